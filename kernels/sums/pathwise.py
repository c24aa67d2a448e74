"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations."""

from ..jit import routine
from .moments import mean_and_squares, merge

SUMS = 2
MEAN, SQUARES = range(SUMS)


@routine
def add_row(sums, k, terms, before, count):
    """Take ``count`` terms of coordinate k into its sums, which know of ``before`` draws."""
    mean, squares = mean_and_squares(terms, count)
    sums[MEAN, k], sums[SQUARES, k] = merge(float(before), sums[MEAN, k], sums[SQUARES, k], float(count), mean, squares)
