"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations, or
where nobody asks for errors the mean alone: sums then have one row.
"""

import math

from ..arithmetic.draw_loops import copy, each_draw, total_of
from ..arithmetic.emitted import emitted
from ..arithmetic.primitives import fma, select
from ..arithmetic.traced import WORD, Exact
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


@routine
def first_totals(mean, squares, count):
    """Make moments of ``count`` terms of the sums of terms and of squares that stand in their places (rows, columns)"""
    for r in range(mean.shape[0]):
        several = 1.0 if count > 1 else 0.0
        moments_of_totals(mean.shape[1], mean[r], squares[r], mean[r], squares[r], 1.0 / count, several)


@routine
def add_total(mean, total, before, count):
    """The same of sums of terms alone."""
    merged_mean(len(mean), mean, mean, total, 1.0 / count, count / (float(before) + count))


@routine
def add_totals(mean, squares, total, squared, before, count):
    """Take in ``count`` terms of which the sums, and those of their squares, are known, after ``before`` others."""
    after, more, several = float(before) + count, float(count), 1.0 if count > 1 else 0.0
    moments_of_totals(len(mean), total, squared, total, squared, 1.0 / more, several)
    merged(len(mean), mean, squares, mean, squares, total, squared, more / after, before * more / after)


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


@routine
def results(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable):
    """Merge the chunks in their order, and read for each parameter its gradient, its error and whether that holds.

    ``total`` is room for three sums of each coordinate, ``places`` are those of a parameter's, ``units`` what a term
    is multiplied by, ``entropy`` the entropy's derivatives or nothing.  An error holds if no part of the squared
    deviations above ``limit`` lies with few chunks; ``alike`` is that part where all draws have the same.  ``error``
    may have no room.
    """
    n, size, errors = number_of(counts), chunks.shape[2], error.size > 0
    for start in range(0, size, AT_ONCE):
        end, before = min(size, start + AT_ONCE), 0.0
        mean, squares, squared = total[0, start:end], total[1, start:end], total[2, start:end]
        for row in range(3 if errors else 1):
            copy(end - start, total[row, start:end], 0.0)
        for which in range(len(chunks)):
            if counts[which] > 0.0:
                after = before + counts[which]
                shares = counts[which] / after, before * counts[which] / after
                own = chunks[which, MEAN, start:end]
                if errors:
                    others = squares, squared, own, chunks[which, SQUARES, start:end]
                    merged_chunk(end - start, mean, squares, squared, mean, *others, *shares)
                else:
                    mean_with_chunk(end - start, mean, mean, own, shares[0])
                before = after
    for k in range(len(places)):
        p = places[k]
        gradient[k] = total[0, p] * units[k]
        if entropy.size > 0:
            gradient[k] += entropy[k]
        if errors:
            error[k] = math.sqrt(total[1, p] / (n - 1.0) / n) * abs(units[k]) if n > 1.0 else math.nan
            reliable[k] = not total[2, p] / total[1, p] ** 2 - alike > limit
