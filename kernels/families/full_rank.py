"""The full-rank Gaussian: z = loc + L eps with a lower triangular L of positive diagonal.

With y = L^-T eps = Sigma^-1 (z - loc) the scores are d log q / d loc_i = y_i, d log q / d L_ij = y_i eps_j for i > j,
and d log q / d log L_ii = L_ii y_i eps_i - 1: O(d^2) a draw.
"""

import math

import numpy as np

from ..arithmetic.draw_loops import copy, each_draw, plus, times
from ..arithmetic.emitted import emitted
from ..arithmetic.outer_products import correction_of, grouped_draws, panel_shape, to_panels
from ..arithmetic.primitives import fma
from ..arithmetic.tiles import aligned
from ..arithmetic.traced import DOUBLE
from ..arithmetic.triangular import lower_times, negated_transpose, next_four, products_of_rows, solve_transposed
from ..jit import routine
from ..sums import centred, pathwise, score
from .triangle import coordinates, four_rows, layout, path_layout, row_place, square_places

__all__ = ["coordinates", "layout", "path_layout", "square_places"]

SCALE_NDIM = 2
TILE = 160  # draws
CENTRED_DIM = 32  # from so many dimensions on a score costs so much more than a draw that a second pass pays
GROUPED_DIM = 32  # and errors so much that they come from sums over groups of draws
GPU_BLOCK = 512  # draws
GPU_DRAWS_BY_BLOCKS, GPU_KEEPS = False, ("eps", "z")


@routine
def rows(dim, shape):
    """Rows of a tile: blocks of four."""
    return next_four(dim)


@routine
def log_normaliser(scale, dim):
    """-log q(z) - |eps|^2 / 2"""
    total = 0.5 * math.log(2.0 * math.pi) * dim
    for i in range(dim):
        total += math.log(scale[i, i])
    return total


@each_draw
@routine
def half_squared(eps, half_square):
    """eps_i^2 / 2 added to half_square."""
    return fma(0.5 * eps, eps, half_square)


def write_transform(code, loc, scale, eps, z, half_square):
    """See ``transform``."""
    size, width = eps.shape
    lower_times.write(code, scale, eps, loc, z)
    copy.write(code, width, half_square, DOUBLE(0.0))
    with code.loop(0, size) as i:
        half_squared.write(code, width, half_square, eps.row(i), half_square)


@emitted(write_transform)
def transform(loc, scale, eps, z, half_square):
    """z from eps for a tile, and half_square[j] = |eps_j|^2 / 2."""
    size, width = eps.shape
    lower_times(scale, eps, loc, z)
    copy(width, half_square, 0.0)
    for i in range(size):
        half_squared(width, half_square, eps[i], half_square)


@each_draw
@routine
def by_spread(spread, y, eps):
    """The score of log L_ii."""
    return fma(spread * y, eps, -1.0)


@routine
def add_own(sums, place, diagonal, spread, y, eps, row, f, count):
    """Add the scores of loc_i at ``place`` and of log L_ii at ``diagonal``."""
    score.add_row(sums, place, y, f, count)
    by_spread(count, row, spread, y, eps)
    score.add_row(sums, diagonal, row, f, count)


@routine
def workspace(scale, width):
    """-L^T; a tile for y with one row more for the scores of a diagonal element; eps squared; strips of four rows whose
    products with all rows of eps are wanted, and these products."""
    size = len(scale)
    upper_negated = aligned(size, size)
    negated_transpose(scale, upper_negated)
    strips, products = aligned(4 * score.SUMS, width), aligned(4, size)
    return upper_negated, aligned(size + 1, width), aligned(size, width), strips, products


@routine
def keep(upper_negated, scale, eps, out):
    """y for a tile."""
    solve_transposed(upper_negated, scale, eps, out)


def write_square(code, eps, count, squares):
    """See ``square``."""
    with code.loop(0, eps.shape[0]) as i:
        times.write(code, count, squares.row(i), eps.row(i), eps.row(i))


@emitted(write_square)
def square(eps, count, squares):
    """eps^2 for a tile."""
    for i in range(eps.shape[0]):
        times(count, squares[i], eps[i], eps[i])


@routine
def add_products(sums, kind, a, strips, right, count, products):
    """Add the sums over draws of a strip's rows times the rows of ``right``, for rows a to a + 3 of the triangle."""
    size = right.shape[0]
    products_of_rows(strips[4 * kind : 4 * kind + 4], right, a + 4, count, products)
    for r in range(4):
        row = sums[kind, row_place(size, a + r) :]
        plus(a + 4, row, row, products[r])


@each_draw
@routine
def factors(y, f):
    """What the five sums have of y and f: the rest is eps, or eps^2."""
    fy = f * y
    return y, y * y, fy, fy * y, fy * fy


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    """Add the scores of a tile: loc at 0, the diagonal at ``rows``, row i of L at its ``row_place``."""
    size = eps.shape[0]
    upper_negated, y, squares, strips, products = work
    solve_transposed(upper_negated, scale, eps, y)
    square(eps, count, squares)
    for i in range(size):
        add_own(sums, i, size + i, scale[i, i], y[i], eps[i], y[size], f, count)
    for a in range(0, size, 4):
        for r in range(4):
            factors(count, strips[r], strips[4 + r], strips[8 + r], strips[12 + r], strips[16 + r], y[a + r], f)
        for kind in range(score.SUMS):
            by_eps = kind == score.S or kind == score.FS
            add_products(sums, kind, a, strips, eps if by_eps else squares, count, products)


@routine
def centred_workspace(scale, width):
    """-L^T; a tile for y with one row more for the scores of a diagonal element; room for the panels of eps."""
    size = len(scale)
    upper_negated = aligned(size, size)
    negated_transpose(scale, upper_negated)
    return upper_negated, aligned(size + 1, width), aligned(*panel_shape(size, width))


@routine
def add_centred(loc, scale, eps, f, count, group, work, first, sums):
    """Add the sums of a tile's scores where f is about its mean; with ``first`` they are all that there is.

    The sums of squared scores are those of loc and the diagonal: that of y_i eps_j has the mean of that of y_i.
    """
    size = eps.shape[0]
    upper_negated, y, panels = work
    solve_transposed(upper_negated, scale, eps, y)
    if first:
        for kind in range(centred.SUMS):
            copy(2 * size, sums[kind], 0.0)
    for i in range(size):
        centred.add_row(sums, i, y[i], f, count)
        by_spread(count, y[size], scale[i, i], y[i], eps[i])
        centred.add_row(sums, size + i, y[size], f, count)
        times(count, y[i], y[i], f)
    to_panels(eps, count, panels)
    grouped = grouped_draws(count, group)
    correction = correction_of(grouped, count)
    for a in range(0, size, 4):
        fs, ffss = four_rows(sums[centred.FS], size, a), four_rows(sums[centred.FFSS], size, a)
        centred.add_products(y, a, panels, first, count, grouped, correction, fs, ffss)


@routine
def path_workspace(scale, width):
    """Room for -L^T; for y; for the panels of eps."""
    size = len(scale)
    return aligned(size, size), aligned(size, width), aligned(*panel_shape(size, width))


@routine
def clear_paths(sums, size):
    """Let a chunk's sums know of no draws; the first tile writes those of the triangle."""
    for kind in range(len(sums)):
        copy(2 * size, sums[kind], 0.0)


@routine
def add_paths(loc, scale, eps, gradient, stick, work, row, before, count, group, sums):
    """Add the terms g_i and g_i eps_j of a tile, with g the gradient of log p, or with ``stick`` of log p - log q."""
    dim, size = gradient.shape[0], eps.shape[0]
    upper_negated, y, panels = work
    if stick:
        if before == 0.0:
            negated_transpose(scale, upper_negated)
        solve_transposed(upper_negated, scale, eps, y)
        for i in range(dim):
            plus(count, gradient[i], gradient[i], y[i])
    for i in range(dim):
        pathwise.add_row(sums, i, gradient[i], before, count)
    to_panels(eps, count, panels)
    grouped = grouped_draws(count, group)
    correction = correction_of(grouped, count)
    for a in range(0, size, 4):
        mean = four_rows(sums[pathwise.MEAN], size, a)
        if len(sums) > 1:
            squares = four_rows(sums[pathwise.SQUARES], size, a)
            pathwise.add_products(gradient, a, panels, before, count, grouped, correction, mean, squares)
        else:
            pathwise.add_product_means(gradient, a, panels, before, count, mean)


@routine
def unpack(parameters, dim, loc, scale):
    """loc and scale as the kernels take them, from [loc, rows of the triangle with its diagonal as logs]."""
    k = dim
    for i in range(dim):
        loc[i] = parameters[i]
        for j in range(i + 1):
            scale[i, j] = math.exp(parameters[k]) if i == j else parameters[k]
            k += 1


@routine
def collect_scores(sums, scale, dim, entropy, out):
    """A gradient in the order of the parameters from a row of score sums, with ``entropy`` times the entropy's."""
    k, size = dim, len(scale)
    for i in range(dim):
        out[i] = sums[i]
        for j in range(i + 1):
            out[k] = sums[size + i] + entropy if i == j else sums[row_place(size, i) + j]
            k += 1


@routine
def steps(scale, dim, out):
    """The length of a step of one in each parameter: a row's diagonal element, or a factor e for the diagonal."""
    k = dim
    for i in range(dim):
        out[i] = scale[i, i]
        for j in range(i + 1):
            out[k] = 1.0 if i == j else scale[i, i]
            k += 1


def padded(loc, scale):
    """loc and scale_tril with their rows padded to blocks of four: zeros, and ones on the diagonal."""
    dim, size = len(loc), next_four(len(loc))
    if size == dim:
        return loc, scale
    wide_loc, wide_scale = np.zeros(size), np.eye(size)
    wide_loc[:dim], wide_scale[:dim, :dim] = loc, scale
    return wide_loc, wide_scale
