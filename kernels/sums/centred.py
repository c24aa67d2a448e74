"""Score sums where the mean of f is known beforehand, so that f is about it: two for each coordinate and no baselines.

For a score s and f less its mean they are the sums of f s, f^2 s^2 and, where one is kept, s^2.
"""

import math

from ..arithmetic.draw_loops import copy, each_draw, plus, sum_draws
from ..arithmetic.emitted import emitted
from ..arithmetic.outer_products import mean_and_deviations, sums_of_products, write_sums_of_products
from ..arithmetic.primitives import fma
from ..arithmetic.traced import DOUBLE, WORD, Exact
from ..jit import routine
from .moments import number_of
from .pathwise import AT_ONCE

SUMS, OF_ALL = 3, 2  # and how many are of every coordinate
FS, FFSS, SS = range(SUMS)


@sum_draws
@routine
def three(s, f):
    """The three sums of the scores s."""
    fs = f * s
    return (f, s), (fs, fs), (s, s)


@routine
def add_row(sums, k, score, f, count):
    """Add the scores of coordinate k for ``count`` draws."""
    fs, ffss, ss = three(count, score, f)
    sums[FS, k] += fs
    sums[FFSS, k] += ffss
    sums[SS, k] += ss


@routine
def sum_of_squares(total, squared, part, correction):
    """The sum of squares of terms, from their sum and the sum of squares of their groups."""
    mean, about = mean_and_deviations(total, squared, part, correction)
    return fma(total, mean, about)


def write_add_products(code, left, a, panels, first, count, grouped, correction, fs, ffss):
    """See ``add_products``."""
    builder = code.builder
    numbers = builder.fdiv(DOUBLE(1.0), code.to_float(count)), correction
    part, correction = (Exact(builder, code.splat(x)) for x in numbers)
    only = code.splat(first)

    def take_in(row, column, mask, total, squared):
        total, squared = Exact(builder, total), Exact(builder, squared)
        for sums, own in ((fs, total), (ffss, sum_of_squares(total, squared, part, correction))):
            place = sums.at(WORD(row), column)
            both = Exact(builder, code.load(place, mask)) + own
            code.store(builder.select(only, own.value, both.value), place, mask)

    write_sums_of_products(code, left, a, panels, grouped, count, take_in)


@emitted(write_add_products)
def add_products(left, a, panels, first, count, grouped, correction, fs, ffss):
    """Add the terms left[a + r, j] x[c, j] of ``count`` draws j, and their squares, to sums (4, a + 4); with ``first``
    they are all that there is.  For the rest see ``sums_of_products`` and ``correction_of``."""
    for r, c, total, squared in sums_of_products(left, a, panels, grouped, count):
        own = sum_of_squares(total, squared, 1.0 / count, correction)
        fs[r, c], ffss[r, c] = (total, own) if first else (fs[r, c] + total, ffss[r, c] + own)


@each_draw
@routine
def with_chunk(fs, ffss, squared, own_fs, own_ffss):
    """The sums with those of one chunk more, and the sum of the chunks' sums of f^2 s^2 squared."""
    return fs + own_fs, ffss + own_ffss, squared + own_ffss * own_ffss


def write_merge_chunks(code, counts, chunks, total, squares):
    """See ``merge_chunks``."""
    builder, size = code.builder, chunks.shape[2]

    def where_there_are_draws(which):
        return builder.if_then(builder.fcmp_ordered(">", code.number(counts.at(which)), DOUBLE(0.0)))

    ss = total.row(3)
    copy.write(code, squares, ss, DOUBLE(0.0))
    with code.loop(0, counts.shape[0]) as which, where_there_are_draws(which):
        plus.write(code, squares, ss, ss, chunks.row(which).row(SS))
    with code.stretches(size, AT_ONCE) as (start, count):
        sums = [total.row(row).after(start) for row in range(3)]
        for one in sums:
            copy.write(code, count, one, DOUBLE(0.0))
        with code.loop(0, counts.shape[0]) as which, where_there_are_draws(which):
            own = (chunks.row(which).row(kind).after(start) for kind in (FS, FFSS))
            with_chunk.write(code, count, *sums, *sums, *own)


@emitted(write_merge_chunks)
def merge_chunks(counts, chunks, total, squares):
    """Add the chunks in their order: sums of f s, of f^2 s^2, of the squares of the chunks' own, and the first
    ``squares`` sums of s^2, into four rows of ``total``."""
    size, ss = chunks.shape[2], total[3]
    copy(squares, ss, 0.0)
    for row in range(3):
        copy(size, total[row], 0.0)
    for which in range(len(chunks)):
        if counts[which] > 0.0:
            plus(squares, ss, ss, chunks[which, SS])
            with_chunk(size, *total[:3], *total[:3], chunks[which, FS], chunks[which, FFSS])


@routine
def results(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable):
    """For each parameter sum f s / (n - 1), its standard error, and whether that holds.

    n times its variance is mu22 - mu11^2 + (mu11^2 + mu20 mu02) / (n - 1) in the central moments of f and s, of which
    ``variance`` is mu20.  ``total`` is room for four sums of each coordinate, ``places`` are those of a parameter's
    sums, ``squares_at`` of its sum of s^2; the rest is as in ``pathwise.results``.
    """
    last = 0
    for place in squares_at:
        last = max(last, place)
    merge_chunks(counts, chunks, total, last + 1)
    n = number_of(counts)
    for k in range(len(places)):
        p = places[k]
        slope, squares, ss = total[0, p] / (n - 1.0), total[1, p], total[3, squares_at[k]]
        own = slope * slope  # not **2, whose last digit is another in Python
        of_one = squares / n - own + (own + variance * ss / n) / (n - 1.0)
        gradient[k], error[k] = slope, math.sqrt(max(of_one, 0.0) / n)
        reliable[k] = not total[2, p] / (squares * squares) - alike > limit
