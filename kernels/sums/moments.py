"""Means and variances in one pass: two-pass within a tile, then Chan's merge from tile to tile and chunk to chunk.

A row of moments holds what a stretch of draws tells about log w = log p - log q and about log p.
"""

import math

from ..jit import reduction, routine

# The columns of a row of moments.  A place (FIRST_NEGATIVE, FIRST_BAD, RAISED) is the index of a draw plus one, 0 for
# none, so a row of zeros knows of no draws.
COUNT, MEAN_W, SQUARES_W, MEAN_P, SQUARES_P = range(5)
NEGATIVE_INFINITE, FIRST_NEGATIVE, BAD, FIRST_BAD, RAISED, CENTRE, BAD_GRADIENT, FIRST_BAD_GRADIENT = range(5, 13)
COLUMNS = 13


@reduction
def mean_and_squares(values, count):
    """Mean and sum of squared deviations of the first ``count`` values."""
    total = 0.0
    for j in range(count):
        total += values[j]
    mean = total / count
    squares = 0.0
    for j in range(count):
        squares += (values[j] - mean) * (values[j] - mean)
    return mean, squares


@routine
def merge(count, mean, squares, more_count, more_mean, more_squares):
    """Moments of two stretches of draws together (Chan, Golub and LeVeque 1983, equation 2.1)."""
    total = count + more_count
    shift = more_mean - mean
    return mean + shift * (more_count / total), squares + more_squares + shift * shift * (count * more_count / total)


@routine
def add_tile(row, log_w, log_p, count, first):
    """Take the first ``count`` draws of a tile, whose first draw has the index ``first``, into a row."""
    mean_w, squares_w = mean_and_squares(log_w, count)
    mean_p, squares_p = mean_and_squares(log_p, count)
    if not math.isfinite(squares_w):
        count_nonfinite(row, log_p, count, first)
    n, more = row[COUNT], float(count)
    row[MEAN_W], row[SQUARES_W] = merge(n, row[MEAN_W], row[SQUARES_W], more, mean_w, squares_w)
    row[MEAN_P], row[SQUARES_P] = merge(n, row[MEAN_P], row[SQUARES_P], more, mean_p, squares_p)
    row[COUNT] = n + more


@routine
def count_nonfinite(row, log_p, count, first):
    """Count -inf apart from NaN and +inf, and keep the index of the first of each."""
    for j in range(count):
        if log_p[j] == -math.inf:
            row[NEGATIVE_INFINITE] += 1.0
            if row[FIRST_NEGATIVE] == 0.0:
                row[FIRST_NEGATIVE] = first + j + 1.0
        elif not math.isfinite(log_p[j]):
            row[BAD] += 1.0
            if row[FIRST_BAD] == 0.0:
                row[FIRST_BAD] = first + j + 1.0


@routine
def count_bad_gradients(row, log_p, gradient, work, count, first):
    """Count the draws whose log p is finite and whose gradient is not, and keep the index of the first."""
    for j in range(count):
        work[j] = 0.0
    for i in range(gradient.shape[0]):
        for j in range(count):
            work[j] += 0.0 * gradient[i, j]
    for j in range(count):
        if work[j] != 0.0 and math.isfinite(log_p[j]):
            row[BAD_GRADIENT] += 1.0
            if row[FIRST_BAD_GRADIENT] == 0.0:
                row[FIRST_BAD_GRADIENT] = first + j + 1.0


@routine
def earlier(place, other):
    """The smaller of two places, of which 0 is none."""
    return other if place == 0.0 or 0.0 < other < place else place


@routine
def merge_row(row, total):
    """Merge one row into ``total``."""
    total[RAISED] = earlier(total[RAISED], row[RAISED])
    n, more = total[COUNT], row[COUNT]
    if more == 0.0:
        return
    for mean, squares in ((MEAN_W, SQUARES_W), (MEAN_P, SQUARES_P)):
        total[mean], total[squares] = merge(n, total[mean], total[squares], more, row[mean], row[squares])
    total[COUNT] = n + more
    for number, place in ((NEGATIVE_INFINITE, FIRST_NEGATIVE), (BAD, FIRST_BAD), (BAD_GRADIENT, FIRST_BAD_GRADIENT)):
        total[number] += row[number]
        total[place] = earlier(total[place], row[place])


@routine
def merge_rows(rows, total):
    """Merge rows in their order into ``total``: the same bits whoever computed them."""
    total[:] = 0.0
    for k in range(rows.shape[0]):
        merge_row(rows[k], total)
