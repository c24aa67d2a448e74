"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations, or
where nobody asks for errors the mean alone: sums then have one row.
"""

import math

from ..arithmetic.draw_loops import copy, each_draw, total_of
from ..arithmetic.emitted import emitted
from ..arithmetic.primitives import fma, select
from ..arithmetic.traced import DOUBLE, WORD, Exact
from ..jit import routine
from .moments import mean_and_squares, merge, number_of, write_mean_and_squares

SUMS = 2
AT_ONCE = 512  # coordinates for which all chunks are read before the next ones
MEAN, SQUARES = range(SUMS)


@routine
def clear(sums, height):
    """Let a chunk's sums know of no draws."""
    sums[:] = 0.0


def write_add_row(code, sums, k, terms, before, count):
    """See ``add_row``."""
    builder, places = code.builder, [sums.at(WORD(row), k) for row in range(SUMS)]
    numbers = [Exact(builder, x) for x in (before, code.number(places[MEAN]))]
    more, alone = Exact(builder, code.to_float(count)), builder.icmp_signed("==", sums.shape[0], WORD(1))
    with builder.if_else(alone) as (then, otherwise):
        with then:
            own = Exact(builder, total_of.write(code, count, terms)[0]) / more
            mean = numbers[1] + (own - numbers[1]) * (more / (numbers[0] + more))
            code.store(mean.value, places[MEAN])
        with otherwise:
            found = [Exact(builder, x) for x in write_mean_and_squares(code, terms, count)]
            squares = Exact(builder, code.number(places[SQUARES]))
            for value, place in zip(merge(*numbers, squares, more, *found), places, strict=True):
                code.store(value.value, place)


@emitted(write_add_row)
def add_row(sums, k, terms, before, count):
    """Take ``count`` terms of coordinate k into its sums, which know of ``before`` draws."""
    if len(sums) == 1:
        sums[MEAN, k] += (total_of(count, terms) / count - sums[MEAN, k]) * (count / (float(before) + count))
        return
    mean, squares = mean_and_squares(terms, count)
    sums[MEAN, k], sums[SQUARES, k] = merge(float(before), sums[MEAN, k], sums[SQUARES, k], float(count), mean, squares)


@each_draw
@routine
def moments_of_totals(total, squared, part, several):
    """The mean, and the squared deviations, of terms whose sum and sum of squares are known; ``part`` is one over their
    number."""
    own = total * part
    about = fma(-total, own, squared) * several
    return own, select(about < 0.0, 0.0, about)


@each_draw
@routine
def merged_mean(mean, total, part, share):
    """The mean with terms of this sum; ``part`` is one over their number, ``share`` their part of all."""
    return fma(total * part - mean, share, mean)


@each_draw
@routine
def merged(mean, squares, own, about, share, weight):
    """The moments of both: ``share`` is the part of the others in all, ``weight`` what the squared difference of means
    counts."""
    shift = own - mean
    return fma(shift, share, mean), fma(shift * shift, weight, squares + about)


def write_totals(code, count):
    """(one over a number of draws, 1 if there are several or else 0)"""
    more = code.to_float(count)
    several = code.builder.icmp_signed(">", count, WORD(1))
    return code.builder.fdiv(DOUBLE(1.0), more), code.builder.select(several, DOUBLE(1.0), DOUBLE(0.0))


def write_first_totals(code, mean, squares, count):
    """See ``first_totals``."""
    numbers = write_totals(code, count)
    with code.loop(0, mean.shape[0]) as r:
        both = mean.row(r), squares.row(r)
        moments_of_totals.write(code, mean.shape[1], *both, *both, *numbers)


@emitted(write_first_totals)
def first_totals(mean, squares, count):
    """Make moments of ``count`` terms of the sums of terms and of squares that stand in their places (rows, columns)"""
    for r in range(mean.shape[0]):
        several = 1.0 if count > 1 else 0.0
        moments_of_totals(mean.shape[1], mean[r], squares[r], mean[r], squares[r], 1.0 / count, several)


def write_add_totals(code, mean, squares, total, squared, before, count):
    """See ``add_totals``."""
    builder, numbers, more = code.builder, write_totals(code, count), code.to_float(count)
    after = builder.fadd(before, more)
    shares = builder.fdiv(more, after), builder.fdiv(builder.fmul(before, more), after)
    with code.loop(0, mean.shape[0]) as r:
        one, other = (mean.row(r), squares.row(r)), (total.row(r), squared.row(r))
        moments_of_totals.write(code, mean.shape[1], *other, *other, *numbers)
        merged.write(code, mean.shape[1], *one, *one, *other, *shares)


@emitted(write_add_totals)
def add_totals(mean, squares, total, squared, before, count):
    """Take in ``count`` terms of which the sums, and those of their squares, are known, after ``before`` others: tiles
    of the same number of rows, of which ``total`` and ``squared`` may have more columns."""
    after, more, several = float(before) + count, float(count), 1.0 if count > 1 else 0.0
    for r in range(len(mean)):
        one, other, width = (mean[r], squares[r]), (total[r], squared[r]), mean.shape[1]
        moments_of_totals(width, *other, *other, 1.0 / more, several)
        merged(width, *one, *one, *other, more / after, before * more / after)


def write_add_total(code, mean, total, before, count):
    """See ``add_total``."""
    builder, more = code.builder, code.to_float(count)
    numbers = builder.fdiv(DOUBLE(1.0), more), builder.fdiv(more, builder.fadd(before, more))
    with code.loop(0, mean.shape[0]) as r:
        merged_mean.write(code, mean.shape[1], mean.row(r), mean.row(r), total.row(r), *numbers)


@emitted(write_add_total)
def add_total(mean, total, before, count):
    """The same of sums of terms alone."""
    for r in range(len(mean)):
        merged_mean(mean.shape[1], mean[r], mean[r], total[r], 1.0 / count, count / (float(before) + count))


@each_draw
@routine
def mean_with_chunk(mean, own, share):
    """The mean with that of one chunk more."""
    return mean + (own - mean) * share


@each_draw
@routine
def merged_chunk(mean, squares, squared, own_mean, own_squares, share, weight):
    """The moments with those of one chunk more, and the sum of the chunks' squared deviations squared."""
    shift = own_mean - mean
    return mean + shift * share, squares + own_squares + shift * shift * weight, squared + own_squares * own_squares


def write_merge_chunks(code, counts, chunks, total):
    """See ``merge_chunks``."""
    builder, (_, kinds, size) = code.builder, chunks.shape
    both = builder.icmp_signed(">", kinds, WORD(1))
    with code.stretches(size, AT_ONCE) as (start, count):
        mean, squares, squared = (total.row(row).after(start) for row in range(3))
        for one in (mean, squares, squared):
            copy.write(code, count, one, DOUBLE(0.0))

        def merge_one(which, before):
            own = code.number(counts.at(which))
            after = builder.fadd(before[0], own)
            with builder.if_then(builder.fcmp_ordered(">", own, DOUBLE(0.0))):
                share = builder.fdiv(own, after)
                weight = builder.fdiv(builder.fmul(before[0], own), after)
                own_mean, own_squares = (chunks.row(which).row(kind).after(start) for kind in (MEAN, SQUARES))
                with builder.if_else(both) as (then, otherwise):
                    with then:
                        others = squares, squared, own_mean, own_squares, share, weight
                        merged_chunk.write(code, count, mean, squares, squared, mean, *others)
                    with otherwise:
                        mean_with_chunk.write(code, count, mean, mean, own_mean, share)
            return [after]

        code.follow(0, counts.shape[0], [DOUBLE(0.0)], merge_one)


@emitted(write_merge_chunks)
def merge_chunks(counts, chunks, total):
    """Merge the chunks in their order: the means, and where there are squared deviations these, and the sum of the
    squares of the chunks' own, into three rows of ``total``."""
    size = chunks.shape[2]
    for start in range(0, size, AT_ONCE):
        count, before = min(AT_ONCE, size - start), 0.0
        mean, squares, squared = (total[row, start : start + count] for row in range(3))
        for one in (mean, squares, squared):
            copy(count, one, 0.0)
        for which in range(len(chunks)):
            own, after = counts[which], before + counts[which]
            if own > 0.0:
                share, weight = own / after, before * own / after
                parts = [sums[start : start + count] for sums in chunks[which]]
                if len(parts) > 1:
                    merged_chunk(count, mean, squares, squared, mean, squares, squared, *parts, share, weight)
                else:
                    mean_with_chunk(count, mean, mean, *parts, share)
            before = after


@routine
def results(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable):
    """Merge the chunks, and read for each parameter its gradient, its error and whether that holds.

    ``total`` is room for three sums of each coordinate, ``places`` are those of a parameter's, ``units`` what a term
    is multiplied by, ``entropy`` the entropy's derivatives or nothing.  An error holds if no part of the squared
    deviations above ``limit`` lies with few chunks; ``alike`` is that part where all draws have the same.  ``error``
    may have no room.
    """
    merge_chunks(counts, chunks, total)
    n, errors = number_of(counts), error.size > 0
    for k in range(len(places)):
        p = places[k]
        gradient[k] = total[0, p] * units[k]
        if entropy.size > 0:
            gradient[k] += entropy[k]
        if errors:
            error[k] = math.sqrt(total[1, p] / (n - 1.0) / n) * abs(units[k]) if n > 1.0 else math.nan
            reliable[k] = not total[2, p] / (total[1, p] * total[1, p]) - alike > limit
