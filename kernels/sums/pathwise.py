"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations."""

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


@routine
def add_totals(sums, k, total, squared, before, count):
    """The same for ``count`` terms of which their sum and the sum of their squares are known."""
    mean = total / count
    squares = max(squared - total * mean, 0.0) if count > 1 else 0.0
    sums[MEAN, k], sums[SQUARES, k] = merge(float(before), sums[MEAN, k], sums[SQUARES, k], float(count), mean, squares)


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
