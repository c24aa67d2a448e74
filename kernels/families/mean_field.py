"""The mean-field Gaussian: z_i = loc_i + scale_i eps_i.

Its score in standardised form: d log q / d loc_i = eps_i / scale_i and d log q / d log scale_i = eps_i^2 - 1.
"""

import functools
import math

import numpy as np

from ..arithmetic.draw_loops import copy, each_draw, times
from ..arithmetic.emitted import emitted
from ..arithmetic.primitives import fma
from ..arithmetic.traced import DOUBLE
from ..jit import routine
from ..sums import pathwise, score

SCALE_NDIM = 1
TILE = 96  # draws
GPU_BLOCK = 1024  # draws
GPU_DRAWS_BY_BLOCKS, GPU_KEEPS = True, ()


@routine
def rows(dim, shape):
    """Rows of a tile, for a scale of this shape as the kernels take it."""
    return dim


@routine
def coordinates(dim, shape):
    """Number of variational parameters."""
    return 2 * dim


@routine
def log_normaliser(scale, dim):
    """-log q(z) - |eps|^2 / 2"""
    total = 0.5 * math.log(2.0 * math.pi) * dim
    for i in range(dim):
        total += math.log(scale[i])
    return total


@each_draw
@routine
def moved(centre, spread, eps, half_square):
    """z_i from eps_i, and eps_i^2 / 2 added to half_square."""
    return fma(spread, eps, centre), fma(0.5 * eps, eps, half_square)


@routine
def transform_row(centre, spread, eps, z, half_square):
    """The same for the draws of a tile."""
    moved(len(eps), z, half_square, centre, spread, eps, half_square)


def write_transform(code, loc, scale, eps, z, half_square):
    """See ``transform``."""
    dim, width = eps.shape
    copy.write(code, width, half_square, DOUBLE(0.0))
    with code.loop(0, dim) as i:
        numbers = code.number(loc.at(i)), code.number(scale.at(i))
        moved.write(code, width, z.row(i), half_square, *numbers, eps.row(i), half_square)


@emitted(write_transform)
def transform(loc, scale, eps, z, half_square):
    """z from eps for a tile, and half_square[j] = |eps_j|^2 / 2."""
    dim, width = eps.shape
    copy(width, half_square, 0.0)
    for i in range(dim):
        transform_row(loc[i], scale[i], eps[i], z[i], half_square)


@routine
def workspace(scale, width):
    """Nothing is needed beside the tile."""
    return scale, scale


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    """Add the standardised scores of a tile: coordinate i is eps_i, coordinate dim + i is eps_i^2 - 1."""
    dim = eps.shape[0]
    for i in range(dim):
        score.add_pair(sums, i, dim + i, 1.0, eps[i], f, count)


@each_draw
@routine
def slope_in_eps(spread, slope, share, eps):
    """d / d eps_i from d / d z_i, and ``share`` of that of -log q."""
    return fma(spread, slope, share * eps)


@routine
def add_paths(loc, scale, eps, gradient, stick, work, row, before, count, group, sums):
    """Add the terms g_i and g_i eps_i of a tile, with g the gradient of log p in z times the scale; with ``stick``
    that of log p - log q."""
    dim = eps.shape[0]
    share = 1.0 if stick else 0.0
    for i in range(dim):
        slope_in_eps(count, row, scale[i], gradient[i], share, eps[i])
        pathwise.add_row(sums, i, row, before, count)
        times(count, row, row, eps[i])
        pathwise.add_row(sums, dim + i, row, before, count)


@routine
def unpack(parameters, dim, loc, scale):
    """loc and scale as the kernels take them, from [loc, log scale]."""
    for i in range(dim):
        loc[i] = parameters[i]
        scale[i] = math.exp(parameters[dim + i])


@routine
def collect_scores(sums, scale, dim, entropy, out):
    """A gradient in the order of the parameters from a row of sums, with ``entropy`` times the entropy's."""
    for i in range(dim):
        out[i] = sums[i] / scale[i]
        out[dim + i] = sums[dim + i] + entropy


@routine
def steps(scale, dim, out):
    """The length of a step of one in each parameter: a standard deviation of z, or a factor e."""
    for i in range(dim):
        out[i] = scale[i]
        out[dim + i] = 1.0


def padded(loc, scale):
    """loc and scale as the kernels take them."""
    return loc, scale


def layout(loc, scale):
    """For each variational parameter, loc then log scale: the place of its sums, and the factor that makes a
    standardised score its score."""
    dim = len(loc)
    return np.arange(2 * dim), np.concatenate([1.0 / scale, np.ones(dim)])


@functools.lru_cache(maxsize=256)
def path_places(dim):
    """What of ``path_layout`` does not depend on the scale."""
    places, entropy = np.arange(2 * dim), np.repeat([0.0, 1.0], dim)
    places.flags.writeable = entropy.flags.writeable = False
    return places, entropy


def path_layout(loc, scale):
    """For each variational parameter: the place of its sums, the factor that makes a term its own, and the derivative
    of the entropy."""
    dim = len(loc)
    places, entropy = path_places(dim)
    units = np.ones(2 * dim)
    units[:dim] /= scale
    return places, units, entropy
