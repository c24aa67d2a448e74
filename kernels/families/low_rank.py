"""The low-rank Gaussian: z = loc + scale R eps with the symmetric root R of I + A A^T, A = factors / scale.

With x = R^-1 eps = scale y for y = Sigma^-1 (z - loc), and t = factors^T y, the scores in units of the scale are x_i
for loc_i, x_i^2 - P_i for log scale_i, P = diag (I + A A^T)^-1, and x_i t_k - N_ik for factors_ik, N = (I + A A^T)^-1 A
(Ong, Nott and Smith 2018, section 3.1): O(dim rank) a draw.  How they are packed and multiplied is in ``factors``.
"""

import math

import numpy as np

from ..arithmetic.primitives import fma
from ..arithmetic.triangular import next_four
from ..jit import reduction, routine, widest_vectors
from ..sums import score
from .factor_paths import add_paths
from .factor_root import derive, orthogonalise, padded, root
from .factors import OWN, SPREAD, add_times, keep, padded_rank, sections, transposed_times

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
    for j in range(width):
        half_square[j] = 0.0
    for i in range(size):
        spread, centre = scale[i, SPREAD], loc[i]
        for j in range(width):
            z[i, j] = fma(spread, eps[i, j], centre)
            half_square[j] = fma(0.5 * eps[i, j], eps[i, j], half_square[j])
    add_times(z, scale, second, eps, size, rank, size, width)


# ---- score sums
@reduction
def add_block(sums, place, stride, x, a, t, b, scale, column, f, count):
    """Add the scores x_a t_b - N_ab, and those of the three neighbours (a + 1, b), (a, b + 1), (a + 1, b + 1)."""
    widest_vectors()
    n0, n1 = scale[a, column], scale[a, column + 1]
    n2, n3 = scale[a + 1, column], scale[a + 1, column + 1]
    p0 = p1 = p2 = p3 = p4 = 0.0
    q0 = q1 = q2 = q3 = q4 = 0.0
    r0 = r1 = r2 = r3 = r4 = 0.0
    v0 = v1 = v2 = v3 = v4 = 0.0
    for j in range(count):
        x0, x1, t0, t1, w = x[a, j], x[a + 1, j], t[b, j], t[b + 1, j], f[j]
        p, q, r, v = x0 * t0 - n0, x0 * t1 - n1, x1 * t0 - n2, x1 * t1 - n3
        wp, wq, wr, wv = w * p, w * q, w * r, w * v
        p0 += p
        p1 += p * p
        p2 += wp
        p3 += wp * p
        p4 += wp * wp
        q0 += q
        q1 += q * q
        q2 += wq
        q3 += wq * q
        q4 += wq * wq
        r0 += r
        r1 += r * r
        r2 += wr
        r3 += wr * r
        r4 += wr * wr
        v0 += v
        v1 += v * v
        v2 += wv
        v3 += wv * v
        v4 += wv * wv
    for k, values in (
        (place, (p0, p1, p2, p3, p4)),
        (place + 1, (q0, q1, q2, q3, q4)),
        (place + stride, (r0, r1, r2, r3, r4)),
        (place + stride + 1, (v0, v1, v2, v3, v4)),
    ):
        score.add_sums(sums, k, values)


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
        for b in range(0, rank, 2):
            add_block(sums, 2 * size + a * rank + b, rank, x, a, x, size + b, scale, fourth + b, f, count)


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
