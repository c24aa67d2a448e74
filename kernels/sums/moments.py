"""Means and variances in one pass: two-pass within a tile, then Chan's merge from tile to tile and chunk to chunk.

A row of moments holds what a stretch of draws tells about log w = log p - log q and about log p.
"""

import math

from ..arithmetic.draw_loops import copy, each_draw, sum_draws, total_of
from ..jit import routine

# The columns of a row of moments.  A place (FIRST_NEGATIVE, FIRST_BAD, RAISED) is the index of a draw plus one, 0 for
# none, so a row of zeros knows of no draws.
COUNT, MEAN_W, SQUARES_W, MEAN_P, SQUARES_P = range(5)
NEGATIVE_INFINITE, FIRST_NEGATIVE, BAD, FIRST_BAD, RAISED, CENTRE, BAD_GRADIENT, FIRST_BAD_GRADIENT = range(5, 13)
COLUMNS = 13
NUMBERS = NEGATIVE_INFINITE, BAD, BAD_GRADIENT  # the place of the first follows each


@sum_draws
@routine
def squares_about(mean, value):
    """The sum of their squared deviations."""
    return ((value - mean, value - mean),)


@routine
def mean_and_squares(values, count):
    """Mean and sum of squared deviations of the first ``count`` values."""
    mean = total_of(count, values) / count
    return mean, squares_about(count, mean, values)


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


@each_draw
@routine
def add_nothing(sum_, value):
    """A sum that is 0 until it meets what is not finite."""
    return sum_ + 0.0 * value


@routine
def count_bad_gradients(row, log_p, gradient, work, count, first):
    """Count the draws whose log p is finite and whose gradient is not, and keep the index of the first."""
    copy(count, work, 0.0)
    for i in range(gradient.shape[0]):
        add_nothing(count, work, work, gradient[i])
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
    for mean in range(MEAN_W, SQUARES_P, 2):  # its squares follow it
        total[mean], total[mean + 1] = merge(n, total[mean], total[mean + 1], more, row[mean], row[mean + 1])
    total[COUNT] = n + more
    for number in NUMBERS:
        total[number] += row[number]
        total[number + 1] = earlier(total[number + 1], row[number + 1])


@routine
def merge_rows(rows, total):
    """Merge rows in their order into ``total``: the same bits whoever computed them."""
    total[:] = 0.0
    for k in range(rows.shape[0]):
        merge_row(rows[k], total)
