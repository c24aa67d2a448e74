"""Where the sums of a full-rank Gaussian's parameters are: of loc, of the diagonal, and of the rows of the triangle."""

import functools

import numpy as np

from ..arithmetic.tiles import part
from ..arithmetic.triangular import next_four
from ..jit import routine


@routine
def coordinates(dim, shape):
    """Places for sums: loc, the diagonal, and the rows of the lower triangle in fours, each as long as the last."""
    return row_place(next_four(dim), next_four(dim))


@routine
def row_place(size, i):
    """Where the sums of row i of the triangle begin."""
    four = i // 4
    return 2 * size + 8 * four * (four + 1) + i % 4 * (4 * four + 4)


@routine
def four_rows(sums, size, a):
    """The places of the rows a to a + 3 of the triangle, (4, a + 4)."""
    return part(sums, row_place(size, a), 4, a + 4)


@functools.lru_cache(maxsize=8)
def triangle_places(dim):
    """For each element of the lower triangle, by rows: the place of its sums, and whether it is on the diagonal."""
    i, j = np.tril_indices(dim)
    places, diagonal = row_place(next_four(dim), i) + j, i == j
    places.flags.writeable = diagonal.flags.writeable = False
    return places, diagonal


@functools.lru_cache(maxsize=2)
def path_places(dim):
    """What of ``path_layout`` does not depend on the scale, and which parameters are of the diagonal."""
    places, diagonal = triangle_places(dim)
    found = np.concatenate([np.arange(dim), places]), np.concatenate([np.zeros(dim), diagonal])
    for array in found:
        array.flags.writeable = False
    return *found, dim + np.flatnonzero(diagonal)


def path_layout(loc, scale):
    """For each variational parameter: the place of its sums, the factor that makes a term its own, and the derivative
    of the entropy."""
    dim = len(loc)
    places, entropy, diagonal = path_places(dim)
    units = np.ones(len(places))
    units[diagonal] = np.diag(scale)[:dim]
    return places, units, entropy


def layout(loc, scale):
    """For each variational parameter (loc, then the lower triangle by rows, its diagonal as logs): the place of its
    sums, and the factor that makes a kept score its score."""
    dim = len(loc)
    places = np.concatenate([np.arange(dim), triangle_places(dim)[0]])
    places[dim:][triangle_places(dim)[1]] = next_four(dim) + np.arange(dim)
    return places, np.ones(len(places))


@functools.lru_cache(maxsize=8)
def square_places(dim):
    """For each parameter the place of a sum of squared scores with the mean of its own."""
    places = np.arange(dim)
    return np.concatenate([places, np.where(triangle_places(dim)[1], next_four(dim), 0) + np.tril_indices(dim)[0]])
