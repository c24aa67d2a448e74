"""Means and squared deviations of values that come in blocks (Chan, Golub and LeVeque 1983, equation 2.1)."""

import math

import numpy as np


class Running:
    """``count``, ``mean`` and ``squares``, the sum of squared deviations; numbers, or arrays of one shape."""

    def __init__(self):
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def add(self, values) -> None:
        """Take a block (n,) or (n, ...)."""
        if len(values):
            with np.errstate(over="ignore", invalid="ignore"):
                mean = np.mean(values, axis=0)
                self.merge(len(values), mean, np.sum((values - mean) ** 2, axis=0))

    def merge(self, count, mean, squares) -> None:
        """Take the moments of a block."""
        with np.errstate(over="ignore", invalid="ignore"):
            shift, both = mean - self.mean, self.count + count
            self.mean = self.mean + shift * (count / both)
            self.squares = self.squares + squares + shift * shift * (self.count * count / both)
            self.count = both

    @property
    def standard_error(self):
        """Of the mean; nan for fewer than two values."""
        if self.count < 2:
            return math.nan + 0.0 * self.mean
        return np.sqrt(self.squares / (self.count - 1.0) / self.count)
