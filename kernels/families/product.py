"""A product of independent factors: each z_i is a monotone map of its own standard normal eps_i.

Equal factors that follow each other are a *run*; kinds and parameters are data, so one compiled sweep serves all.
``runs`` tells how ``loc`` and ``scale`` hold them.
``transform`` leaves in the rows of eps what scores are made of, in place: a row is never before the eps that it came
from, so rows are written from the last to the first.

A Gaussian keeps eps, whose scores are eps and eps^2 - 1; a Bernoulli factor z = [eps < cut] keeps its score z - p; a
categorical one, whose z counts the cuts up to eps, keeps 1[z = c] - p_c for all categories but the last.  What the
others keep is in ``quantile_factors`` and ``gaussian_blocks``.  A point mass keeps 0, as it has no score.
"""

import numpy as np

from ..arithmetic import elementary
from ..arithmetic.draw_loops import copy, each_draw, sum_draws
from ..arithmetic.primitives import fma, select
from ..arithmetic.triangular import next_four
from ..jit import routine, widest_vectors
from ..sums import score
from . import gaussian_blocks, quantile_factors
from .mean_field import transform_row
from .product_paths import add_mixed as add_mixed
from .runs import (
    BERNOULLI,
    BETA,
    CATEGORICAL,
    CENTRE,
    COUNT,
    CUT,
    DELTA,
    DIRICHLET,
    FIRST,
    FULL_RANK,
    GAMMA,
    GAUSSIAN,
    IF_ONE,
    IF_ZERO,
    KIND,
    LOG_NORMAL,
    NORMALISER,
    POISSON,
    PROBABILITY,
    ROW,
    ROWS,
    RUN,
    SPREAD,
)

SCALE_NDIM = 2
TILE = 96  # draws
GPU_BLOCK = 512  # draws
GPU_DRAWS_BY_BLOCKS, GPU_KEEPS = False, ("eps",)


@routine
def rows(dim, shape):
    """Rows of a tile."""
    return shape[0]


@routine
def basis_rows(dim, shape):
    """Rows that a surrogate is made of, in blocks of four."""
    return next_four(shape[0])


@routine
def coordinates(dim, shape):
    """Places for sums: two for each row."""
    return 2 * shape[0]


@routine
def log_normaliser(scale, dim):
    """-log q(z) without what depends on the draw"""
    total = 0.0
    for i in range(len(scale)):
        total += scale[i, NORMALISER]
    return total


@each_draw
@routine
def exponential_of(centre, spread, eps, half_square):
    """z with log z = loc + scale eps."""
    y = fma(spread, eps, centre)
    return elementary.exp(y), half_square + fma(0.5 * eps, eps, y)


@each_draw
@routine
def below(cut, p, one, zero, eps, half_square):
    """z - p for z = [eps < cut], and z."""
    z = select(eps < cut, 1.0, 0.0)
    return z - p, z, half_square + select(eps < cut, one, zero)


@routine
def bernoulli(parameters, source, row, z, half_square):
    """z = [eps < cut]; z - p is kept."""
    numbers = parameters[CUT], parameters[PROBABILITY], parameters[IF_ONE], parameters[IF_ZERO]
    below(len(z), row, z, half_square, *numbers, source, half_square)


@each_draw
@routine
def count_cut(cut, eps, z):
    """One more where eps is at or above a cut."""
    return z + select(eps >= cut, 1.0, 0.0)


@each_draw
@routine
def is_category(category, p, more, z, half_square):
    """1[z = category] - p, and its share of -log q."""
    return select(z == category, 1.0 - p, -p), half_square + select(z == category, more, 0.0)


@routine
def categorical(parameters, source, rows, z, half_square):
    """z counts the cuts at or below eps; for every category but the last 1[z = c] - p_c is kept."""
    copy(len(z), z, 0.0)
    for c in range(len(parameters)):
        count_cut(len(z), z, parameters[c, CUT], source, z)
    for c in range(len(parameters)):
        numbers = float(c), parameters[c, PROBABILITY], parameters[c, IF_ONE]
        is_category(len(z), rows[c], half_square, *numbers, z, half_square)


@routine
def transform(loc, scale, eps, z, half_square):
    """z from eps for a tile, what scores are made of in place of eps, and half_square[j] = -log q(z_j) but for the
    ``log_normaliser``."""
    widest_vectors()
    copy(eps.shape[1], half_square, 0.0)
    for r in range(np.int64(loc[0]) - 1, -1, -1):
        run = loc[1 + RUN * r : 1 + RUN * (r + 1)]
        kind, first, count, row = np.int64(run[KIND]), np.int64(run[FIRST]), np.int64(run[COUNT]), np.int64(run[ROW])
        each = np.int64(run[ROWS])
        if kind == GAUSSIAN or kind == LOG_NORMAL:
            for i in range(count - 1, -1, -1):
                centre, spread, own, x = scale[row + i, CENTRE], scale[row + i, SPREAD], eps[first + i], z[first + i]
                if kind == GAUSSIAN:
                    transform_row(centre, spread, own, x, half_square)
                else:
                    exponential_of(len(x), x, half_square, centre, spread, own, half_square)
                if row != first:
                    copy(len(x), eps[row + i], own)
        elif kind == GAMMA or kind == BETA:
            for i in range(count - 1, -1, -1):
                k, own, x = row + 2 * i, eps[first + i], z[first + i]
                if kind == GAMMA:
                    quantile_factors.gamma(scale[k], loc, own, eps[k], eps[k + 1], x, half_square)
                else:
                    quantile_factors.beta(scale[k], loc, own, eps[k], eps[k + 1], x, half_square)
        elif kind == DIRICHLET:
            for i in range(count - 1, -1, -1):
                start, begin = row + i * each, first + i * each
                own, kept = eps[begin : begin + each], eps[start : start + each]
                shares = scale[start : start + each]
                quantile_factors.dirichlet(shares, loc, own, kept, z[begin : begin + each], half_square)
        elif kind == FULL_RANK:
            for i in range(count - 1, -1, -1):
                start = row + i * each
                size = np.int64(scale[start, gaussian_blocks.SIZE])
                begin, own = first + i * size, scale[start : start + each]
                # its rows are more than twice as many as its z, so that so many at the end of z belong to no factor
                kept, x = z[len(scale) - size :], z[begin : begin + size]
                here = eps[begin : begin + size]
                gaussian_blocks.transform(own, loc, here, kept, eps[start : start + each], x, half_square)
        elif kind == POISSON:
            for i in range(count - 1, -1, -1):
                quantile_factors.poisson(scale[row + i], loc, eps[first + i], eps[row + i], z[first + i], half_square)
        elif kind == DELTA:
            for i in range(count - 1, -1, -1):
                copy(eps.shape[1], z[first + i], scale[row + i, CENTRE])
                copy(eps.shape[1], eps[row + i], 0.0)
        elif kind == CATEGORICAL:
            for i in range(count - 1, -1, -1):
                start = row + i * each
                own = scale[start : start + each]
                categorical(own, eps[first + i], eps[start : start + each], z[first + i], half_square)
        else:
            for i in range(count - 1, -1, -1):
                bernoulli(scale[row + i], eps[first + i], eps[row + i], z[first + i], half_square)


@routine
def workspace(scale, width):
    """Nothing is needed beside the tile."""
    return scale, scale


@sum_draws
@routine
def of_ones(score_, f):
    """How often z = 1, f and f^2 there, and f and f^2 of all draws."""
    on = select(score_ > 0.0, 1.0, 0.0)
    g = on * f
    return on, g, (g, g), f, (f, f)


@routine
def add_bernoulli(sums, k, p, row, f, count):
    """Add the scores z - p: of two values, so that sums over the draws with z = 1 and over all tell the five."""
    ones, once, twice, total, squares = of_ones(count, row, f)
    rest = 1.0 - p
    sums[score.S, k] += rest * ones - p * (count - ones)
    sums[score.SS, k] += rest * rest * ones + p * p * (count - ones)
    sums[score.FS, k] += rest * once - p * (total - once)
    sums[score.FSS, k] += rest * rest * once + p * p * (total - once)
    sums[score.FFSS, k] += rest * rest * twice + p * p * (squares - twice)


@routine
def add_row(kind, sums, place, second, p, row, f, count):
    """Add the scores of a row of one kind of factors at ``place``, those of a Gaussian's scale at ``second``."""
    if kind == GAUSSIAN or kind == LOG_NORMAL:
        score.add_pair(sums, place, second, 1.0, row, f, count)
    elif kind == BERNOULLI or kind == CATEGORICAL:
        add_bernoulli(sums, place, p, row, f, count)
    elif kind != DELTA:
        score.add_row(sums, place, row, f, count)


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    """Add the scores of a tile: the first of a row at its own number, the second as far behind the last row."""
    height = len(scale)
    for r in range(np.int64(loc[0])):
        run = loc[1 + RUN * r : 1 + RUN * (r + 1)]
        kind, row = np.int64(run[KIND]), np.int64(run[ROW])
        for i in range(row, row + np.int64(run[COUNT]) * np.int64(run[ROWS])):
            add_row(kind, sums, i, height + i, scale[i, PROBABILITY], eps[i], f, count)
