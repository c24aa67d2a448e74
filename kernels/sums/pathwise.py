"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations."""

from ..arithmetic.draw_loops import each_draw
from ..arithmetic.primitives import fma, select
from ..jit import routine
from .moments import mean_and_squares, merge

SUMS = 2
MEAN, SQUARES = range(SUMS)
SQUARED = SUMS  # a row of all chunks together


@routine
def add_row(sums, k, terms, before, count):
    """Take ``count`` terms of coordinate k into its sums, which know of ``before`` draws."""
    mean, squares = mean_and_squares(terms, count)
    sums[MEAN, k], sums[SQUARES, k] = merge(float(before), sums[MEAN, k], sums[SQUARES, k], float(count), mean, squares)


@each_draw
@routine
def merged_totals(mean, squares, total, squared, part, share, weight, several):
    """The moments of both, of terms whose sum and sum of squares are ``total`` and ``squared``: ``part`` is one over
    their number, ``share`` their part of all, ``weight`` what the squared difference of means counts."""
    own = total * part
    about = fma(-total, own, squared) * several
    shift = own - mean
    about = select(about < 0.0, 0.0, about)
    return fma(shift, share, mean), fma(shift * shift, weight, squares + about)


@routine
def add_totals(sums, first, total, squared, before, count):
    """The same for coordinates from ``first`` on, of whose ``count`` terms the sums and those of their squares are
    known."""
    after, more = float(before) + count, float(count)
    mean, squares = sums[MEAN, first : first + len(total)], sums[SQUARES, first : first + len(total)]
    numbers = 1.0 / more, more / after, before * more / after, 1.0 if count > 1 else 0.0
    merged_totals(len(total), mean, squares, mean, squares, total, squared, *numbers)


@routine
def merge_chunks(counts, chunks, total):
    """Merge the chunks in their order, and add up the squares of their squared deviations."""
    total[:] = 0.0
    before = 0.0
    for which in range(len(chunks)):
        if counts[which] > 0.0:
            mean, squares = chunks[which, MEAN], chunks[which, SQUARES]
            for k in range(total.shape[1]):
                merged = merge(before, total[MEAN, k], total[SQUARES, k], counts[which], mean[k], squares[k])
                total[MEAN, k], total[SQUARES, k] = merged
                total[SQUARED, k] += squares[k] * squares[k]
            before += counts[which]
