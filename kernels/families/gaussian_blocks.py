"""Gaussian factors of several dimensions with a full covariance, z = loc + L eps with a lower triangular L.

What is kept are the scores themselves, as in ``full_rank``: y = L^-T eps of loc, y_i eps_j of L_ij, and
L_ii y_i eps_i - 1 of log L_ii, the triangle by rows.  L is in the tables, by rows as well.
"""

import numpy as np

from ..arithmetic.draw_loops import copy, plus_times, times
from ..jit import routine
from .full_rank import by_spread, half_squared

OFFSET, LOC, SIZE = 1, 2, 3  # of a row of parameters: where L begins, of the first ones loc_i, and of all dimensions


@routine
def element(i, j):
    """The place of L_ij in a triangle by rows."""
    return i * (i + 1) // 2 + j


@routine
def transform(parameters, tables, source, kept, rows, z, half_square):
    """z, and the scores in ``rows``, which may lie on ``source``: eps goes to ``kept`` before."""
    size, width = z.shape
    lower = tables[np.int64(parameters[0, OFFSET]) :]
    for i in range(size):
        copy(width, kept[i], source[i])
        half_squared(width, half_square, kept[i], half_square)
    for i in range(size):
        copy(width, z[i], parameters[i, LOC])
        for j in range(i + 1):
            plus_times(width, z[i], z[i], lower[element(i, j)], kept[j])
    for i in range(size - 1, -1, -1):
        copy(width, rows[i], kept[i])
        for k in range(i + 1, size):
            plus_times(width, rows[i], rows[i], -lower[element(k, i)], rows[k])
        times(width, rows[i], rows[i], 1.0 / lower[element(i, i)])
    for i in range(size):
        for j in range(i):
            times(width, rows[size + element(i, j)], rows[i], kept[j])
        by_spread(width, rows[size + element(i, i)], lower[element(i, i)], rows[i], kept[i])
