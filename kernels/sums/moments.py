"""Means and variances in one pass: two-pass within a tile, then Chan's merge from tile to tile and chunk to chunk.

A row of moments holds what a stretch of draws tells about log w = log p - log q and about log p.
"""

import math

from ..arithmetic.draw_loops import copy, each_draw, sum_draws, total_of
from ..arithmetic.emitted import emitted
from ..arithmetic.traced import DOUBLE, Exact, emit_absolute
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


def write_mean_and_squares(code, values, count):
    """See ``mean_and_squares``."""
    (total,) = total_of.write(code, count, values)
    mean = code.builder.fdiv(total, code.to_float(count))
    return mean, squares_about.write(code, count, mean, values)[0]


def finite(code, x):
    """Whether a number is."""
    return code.builder.fcmp_ordered("<", emit_absolute(code.builder, x), DOUBLE(math.inf))


def write_add_tile(code, row, log_w, log_p, count, first):
    """See ``add_tile``."""
    mean_w, squares_w = write_mean_and_squares(code, log_w, count)
    mean_p, squares_p = write_mean_and_squares(code, log_p, count)
    with code.builder.if_then(code.builder.not_(finite(code, squares_w)), likely=False):
        write_count_nonfinite(code, row, log_p, count, first)
    n, more = code.number(row.at(COUNT)), code.to_float(count)
    for column, mean, squares in ((MEAN_W, mean_w, squares_w), (MEAN_P, mean_p, squares_p)):
        before = n, code.number(row.at(column)), code.number(row.at(column + 1))
        merged = merge(*(Exact(code.builder, x) for x in (*before, more, mean, squares)))
        for k, value in enumerate(merged):
            code.store(value.value, row.at(column + k))
    code.store(code.builder.fadd(n, more), row.at(COUNT))


def write_count_nonfinite(code, row, log_p, count, first):
    """See ``count_nonfinite``."""
    builder = code.builder
    with code.loop(0, count) as j:
        x = code.number(log_p.at(j))
        negative = builder.fcmp_ordered("==", x, DOUBLE(-math.inf))
        with builder.if_then(builder.not_(finite(code, x))), builder.if_else(negative) as (then, otherwise):
            with then:
                write_count(code, row, NEGATIVE_INFINITE, first, j)
            with otherwise:
                write_count(code, row, BAD, first, j)


def write_count(code, row, number, first, j):
    """One more of a number, whose first place follows it."""
    builder, before = code.builder, code.number(row.at(number + 1))
    code.store(builder.fadd(code.number(row.at(number)), DOUBLE(1.0)), row.at(number))
    place = builder.fadd(code.to_float(builder.add(first, j)), DOUBLE(1.0))
    none = builder.fcmp_ordered("==", before, DOUBLE(0.0))
    code.store(builder.select(none, place, before), row.at(number + 1))


@emitted(write_add_tile)
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


def write_count_bad_gradients(code, row, log_p, gradient, work, count, first):
    """See ``count_bad_gradients``."""
    builder = code.builder
    copy.write(code, count, work, DOUBLE(0.0))
    with code.loop(0, gradient.shape[0]) as i:
        add_nothing.write(code, count, work, work, gradient.row(i))
    with code.loop(0, count) as j:
        bad = builder.fcmp_unordered("!=", code.number(work.at(j)), DOUBLE(0.0))
        with builder.if_then(builder.and_(bad, finite(code, code.number(log_p.at(j)))), likely=False):
            write_count(code, row, BAD_GRADIENT, first, j)


@emitted(write_count_bad_gradients)
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
def number_of(counts):
    """How many draws all chunks have."""
    n = 0.0
    for count in counts:
        n += count
    return n


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
