"""The full-rank Gaussian: z = loc + L eps with a lower triangular L of positive diagonal.

With y = L^-T eps = Sigma^-1 (z - loc) the scores are d log q / d loc_i = y_i, d log q / d L_ij = y_i eps_j for i > j,
and d log q / d log L_ii = L_ii y_i eps_i - 1: O(d^2) a draw.
"""

import functools
import math

import numpy as np

from ..arithmetic.primitives import fma
from ..arithmetic.triangular import lower_times, next_four, products_of_rows, solve_transposed
from ..jit import reduction, routine, widest_vectors
from ..sums import pathwise, score

SCALE_NDIM = 2
TILE = 160  # draws
GPU_BLOCK = 512  # draws
GPU_DRAWS_BY_BLOCKS, GPU_KEEPS = False, ("eps", "z")


@routine
def rows(dim, shape):
    """Rows of a tile: blocks of four."""
    return next_four(dim)


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
def log_normaliser(scale, dim):
    """-log q(z) - |eps|^2 / 2"""
    total = 0.5 * math.log(2.0 * math.pi) * dim
    for i in range(dim):
        total += math.log(scale[i, i])
    return total


@routine
def transform(loc, scale, eps, z, half_square):
    """z from eps for a tile, and half_square[j] = |eps_j|^2 / 2."""
    widest_vectors()
    count, width = eps.shape
    lower_times(scale, eps, loc, z)
    for j in range(width):
        half_square[j] = 0.0
    for i in range(count):
        for j in range(width):
            half_square[j] = fma(0.5 * eps[i, j], eps[i, j], half_square[j])


@routine
def add_own(sums, place, diagonal, spread, y, eps, row, f, count):
    """Add the scores of loc_i at ``place`` and of log L_ii at ``diagonal``."""
    score.add_row(sums, place, y, f, count)
    for j in range(count):
        row[j] = spread * y[j] * eps[j] - 1.0
    score.add_row(sums, diagonal, row, f, count)


@reduction
def add_block(sums, place, size, y, a, eps, b, f, count):
    """Add the scores y_a eps_b, and those of the three neighbours (a + 1, b), (a, b + 1), (a + 1, b + 1)."""
    widest_vectors()
    p0 = p1 = p2 = p3 = p4 = 0.0
    q0 = q1 = q2 = q3 = q4 = 0.0
    r0 = r1 = r2 = r3 = r4 = 0.0
    t0 = t1 = t2 = t3 = t4 = 0.0
    for j in range(count):
        y0, y1, e0, e1, w = y[a, j], y[a + 1, j], eps[b, j], eps[b + 1, j], f[j]
        p, q, r, t = y0 * e0, y0 * e1, y1 * e0, y1 * e1
        wp, wq, wr, wt = w * p, w * q, w * r, w * t
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
        t0 += t
        t1 += t * t
        t2 += wt
        t3 += wt * t
        t4 += wt * wt
    right, below = place + 1, place + size
    for k, values in (
        (place, (p0, p1, p2, p3, p4)),
        (right, (q0, q1, q2, q3, q4)),
        (below, (r0, r1, r2, r3, r4)),
        (below + 1, (t0, t1, t2, t3, t4)),
    ):
        score.add_sums(sums, k, values)


@routine
def workspace(scale, width):
    """-L^T; a tile for y with one row more for the scores of a diagonal element; eps squared; strips of four rows whose
    products with all rows of eps are wanted, and these products."""
    size = len(scale)
    strips, products = np.empty((4 * score.SUMS, width)), np.empty((8, size))
    return -scale.T.copy(), np.empty((size + 1, width)), np.empty((size, width)), strips, products


@routine
def keep(upper_negated, scale, eps, out):
    """y for a tile."""
    solve_transposed(upper_negated, scale, eps, out)


@routine
def square(eps, count, squares):
    """eps^2 for a tile."""
    for i in range(eps.shape[0]):
        for j in range(count):
            squares[i, j] = eps[i, j] * eps[i, j]


@routine
def add_products(sums, kind, a, strips, right, count, products):
    """Add the sums over draws of a strip's rows times the rows of ``right``, at rows a to a + 3 of the square."""
    size = right.shape[0]
    products_of_rows(strips[4 * kind : 4 * kind + 4], right, a + 4, count, products)
    for r in range(4):
        for c in range(a + 4):
            sums[kind, row_place(size, a + r) + c] += products[r, c]


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    """Add the scores of a tile: loc at 0, the diagonal at ``rows``, row i of L at its ``row_place``."""
    widest_vectors()
    size = eps.shape[0]
    upper_negated, y, squares, strips, products = work
    solve_transposed(upper_negated, scale, eps, y)
    square(eps, count, squares)
    for i in range(size):
        add_own(sums, i, size + i, scale[i, i], y[i], eps[i], y[size], f, count)
    for a in range(0, size, 4):
        for r in range(4):
            for j in range(count):
                s, fs = y[a + r, j], f[j] * y[a + r, j]
                strips[4 * score.S + r, j], strips[4 * score.SS + r, j], strips[4 * score.FS + r, j] = s, s * s, fs
                strips[4 * score.FSS + r, j], strips[4 * score.FFSS + r, j] = fs * s, fs * fs
        for kind in (score.S, score.FS):
            add_products(sums, kind, a, strips, eps, count, products)
        for kind in (score.SS, score.FSS, score.FFSS):
            add_products(sums, kind, a, strips, squares, count, products)


@routine
def add_paths(loc, scale, eps, gradient, stick, work, row, before, count, sums):
    """Add the terms g_i and g_i eps_j of a tile, with g the gradient of log p, or with ``stick`` of log p - log q."""
    widest_vectors()
    dim, size = gradient.shape[0], eps.shape[0]
    upper_negated, y, squares, strips, products = work
    if stick:
        solve_transposed(upper_negated, scale, eps, y)
        for i in range(dim):
            for j in range(count):
                gradient[i, j] += y[i, j]
    square(eps, count, squares)
    for i in range(dim):
        pathwise.add_row(sums, i, gradient[i], before, count)
    for a in range(0, size, 4):
        rows = min(4, dim - a)
        for r in range(rows):
            for j in range(count):
                g = gradient[a + r, j]
                strips[r, j], strips[4 + r, j] = g, g * g
        products_of_rows(strips[:4], eps, a + 4, count, products)
        products_of_rows(strips[4:8], squares, a + 4, count, products[4:])
        for r in range(rows):
            for c in range(a + r + 1):
                pathwise.add_totals(sums, row_place(size, a + r) + c, products[r, c], products[4 + r, c], before, count)


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
def collect(sums, scale, dim, entropy, out):
    """A gradient in the order of the parameters from a row of pathwise sums, with ``entropy`` times the entropy's."""
    k, size = dim, len(scale)
    for i in range(dim):
        out[i] = sums[i]
        for j in range(i + 1):
            value = sums[row_place(size, i) + j]
            out[k] = scale[i, i] * value + entropy if i == j else value
            k += 1


@routine
def collect_scores(sums, scale, dim, entropy, out):
    """The same from a row of score sums, where the diagonal has its own places."""
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


@functools.lru_cache(maxsize=8)
def triangle_places(dim):
    """For each element of the lower triangle, by rows: the place of its sums, and whether it is on the diagonal."""
    i, j = np.tril_indices(dim)
    places, diagonal = row_place(next_four(dim), i) + j, i == j
    places.flags.writeable = diagonal.flags.writeable = False
    return places, diagonal


def path_layout(loc, scale):
    """For each variational parameter: the place of its sums, the factor that makes a term its own, and the derivative
    of the entropy."""
    dim = len(loc)
    places, diagonal = triangle_places(dim)
    units = np.ones(dim + len(places))
    units[dim:][diagonal] = np.diag(scale)[:dim]
    return np.concatenate([np.arange(dim), places]), units, np.concatenate([np.zeros(dim), diagonal])


def padded(loc, scale):
    """loc and scale_tril with their rows padded to blocks of four: zeros, and ones on the diagonal."""
    dim, size = len(loc), next_four(len(loc))
    if size == dim:
        return loc, scale
    wide_loc, wide_scale = np.zeros(size), np.eye(size)
    wide_loc[:dim], wide_scale[:dim, :dim] = loc, scale
    return wide_loc, wide_scale


def layout(loc, scale):
    """For each variational parameter (loc, then the lower triangle by rows, its diagonal as logs): the place of its
    sums, and the factor that makes a kept score its score."""
    dim = len(loc)
    places = np.concatenate([np.arange(dim), triangle_places(dim)[0]])
    places[dim:][triangle_places(dim)[1]] = next_four(dim) + np.arange(dim)
    return places, np.ones(len(places))
