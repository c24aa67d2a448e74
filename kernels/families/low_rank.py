"""The low-rank Gaussian: z = loc + scale R eps with the symmetric root R of I + A A^T, A = factors / scale.

With x = R^-1 eps = scale y for y = Sigma^-1 (z - loc), and t = factors^T y, the scores in units of the scale are x_i
for loc_i, x_i^2 - P_i for log scale_i, P = diag (I + A A^T)^-1, and x_i t_k - N_ik for factors_ik, N = (I + A A^T)^-1 A
(Ong, Nott and Smith 2018, section 3.1): O(dim rank) a draw.  How they are packed and multiplied is in ``factors``.
"""

import math

import numpy as np

from ..arithmetic.draw_loops import copy
from ..arithmetic.triangular import next_four
from ..jit import routine, widest_vectors
from ..sums import score
from .factor_paths import add_paths
from .factor_root import derive, orthogonalise, padded, root
from .factors import OWN, SPREAD, add_times, keep, padded_rank, sections, transposed_times
from .mean_field import transform_row

__all__ = ["add_paths", "keep", "padded", "root"]

SCALE_NDIM = 2
TILE = 96  # draws
GPU_BLOCK = 512  # draws
GPU_DRAWS_BY_BLOCKS, GPU_KEEPS = False, ("z",)


@routine
def rows(dim, shape):
    """Rows of a tile: dimensions in blocks of four, and a row for each factor."""
    return shape[0]


@routine
def coordinates(dim, shape):
    """Places for sums: loc, log scale, and the factors by rows."""
    return next_four(dim) * (2 + padded_rank(shape))


@routine
def log_normaliser(scale, dim):
    """-log q(z) - |eps|^2 / 2"""
    rank = padded_rank(scale.shape)
    size, third = len(scale) - rank, sections(scale.shape)[2]
    total = 0.5 * math.log(2.0 * math.pi) * dim
    for i in range(dim):
        total += math.log(scale[i, SPREAD])
    for k in range(rank):
        total += math.log(scale[size + k, third + k])
    return total


@routine
def transform(loc, scale, eps, z, half_square):
    """z from eps for a tile, u below eps, and half_square[j] = |eps_j|^2 / 2."""
    widest_vectors()
    rank, width = padded_rank(scale.shape), eps.shape[1]
    size, (first, second, _, _, _) = len(scale) - rank, sections(scale.shape)
    transposed_times(scale, first, eps, eps, size, rank, size, width)
    copy(width, half_square, 0.0)
    for i in range(size):
        transform_row(loc[i], scale[i, SPREAD], eps[i], z[i], half_square)
    add_times(z, scale, second, eps, size, rank, size, width)


# ---- score sums
@routine
def workspace(scale, width):
    """A tile for x and t or, in paths, the gradient in units of the scale; rows for what paths have of each draw."""
    rank = padded_rank(scale.shape)
    return np.empty((len(scale), width)), np.empty((4 * rank + rank * rank + 1, width))


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    """Add the scores of a tile: loc at 0, log scale at ``size``, the factors by rows at 2 ``size``."""
    rank, fourth = padded_rank(scale.shape), sections(scale.shape)[3]
    size, x = len(scale) - rank, work[0]
    keep(x, scale, eps, x)
    for a in range(0, size, 2):
        score.add_pair(sums, a, size + a, scale[a, OWN], x[a], f, count)
        score.add_pair(sums, a + 1, size + a + 1, scale[a + 1, OWN], x[a + 1], f, count)
    for a in range(size):
        for b in range(rank):
            score.add_product(sums, 2 * size + a * rank + b, x[a], x[size + b], scale[a, fourth + b], f, count)


# ---- for Adam
@routine
def unpack(parameters, dim, loc, scale):
    """loc and scale as the kernels take them, from [loc, log scale, factors by rows]."""
    first, _, _, _, fifth = sections(scale.shape)
    factors = (len(parameters) - 2 * dim) // dim
    for i in range(dim):
        loc[i] = parameters[i]
        scale[i, SPREAD] = math.exp(parameters[dim + i])
        for k in range(factors):
            ratio = parameters[2 * dim + i * factors + k] / scale[i, SPREAD]
            scale[i, first + k] = scale[i, fifth + k] = ratio
    orthogonalise(scale, dim)
    derive(scale, dim)


@routine
def collect_scores(sums, scale, dim, entropy, out):
    """A gradient in the order of the parameters from a row of score sums, with ``entropy`` times the entropy's."""
    rank, factors = padded_rank(scale.shape), (len(out) - 2 * dim) // dim
    size, fourth = len(scale) - rank, sections(scale.shape)[3]
    for i in range(dim):
        spread = scale[i, SPREAD]
        out[i] = sums[i] / spread
        out[dim + i] = sums[size + i] + entropy * scale[i, OWN]
        for k in range(factors):
            value = sums[2 * size + i * rank + k] + entropy * scale[i, fourth + k]
            out[2 * dim + i * factors + k] = value / spread


@routine
def steps(scale, dim, out):
    """The length of a step of one in each parameter: a scale of z, or a factor e."""
    factors = (len(out) - 2 * dim) // dim
    for i in range(dim):
        out[i] = scale[i, SPREAD]
        out[dim + i] = 1.0
        for k in range(factors):
            out[2 * dim + i * factors + k] = scale[i, SPREAD]


def layout(loc, scale, factors):
    """For each variational parameter, loc, log scale, factors by rows: the place of its sums, and the factor that makes
    a score in units of the scale its own."""
    (dim, rank), size = factors.shape, next_four(len(loc))
    i, k = np.divmod(np.arange(dim * rank), rank)
    places = np.concatenate([np.arange(dim), size + np.arange(dim), 2 * size + i * (rank + rank % 2) + k])
    return places, np.concatenate([1.0 / scale, np.ones(dim), 1.0 / scale[i]])
