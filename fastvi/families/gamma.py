"""Independent gamma factors, and exponential ones."""

import functools

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.families import quantile_factors as rows
from ..kernels.families import runs as kernel
from ..kernels.random import quantiles, shape_derivatives
from .base import exp_of
from .tabled import (
    LEAST_SHAPE,
    MOST,
    ROUNDED,
    TabledBlock,
    TabledFactors,
    TwoShapes,
    derivatives_of,
    looked_up,
    positive_arrays,
    tables_of,
)


class GammaBlock(TwoShapes):
    """eta = (concentration, -rate), t = (log z, z)."""

    kind, width, support = kernel.GAMMA, 2, "positive"

    def __init__(self, concentration: np.ndarray, rate: np.ndarray) -> None:
        self.a, self.b, self.count = concentration, rate, len(rate)

    @property
    def natural(self):
        return np.stack([self.a, -self.b], axis=1)

    def with_natural(self, natural):
        return type(self)(natural[:, 0], -natural[:, 1])

    def exists(self, natural):
        return (natural[:, 0] > 0.0) & (natural[:, 1] < 0.0)

    def bounded(self, natural):
        return super().bounded(natural) & (natural[:, 0] >= LEAST_SHAPE) & (natural[:, 1] < -1.0 / MOST)

    @property
    def log_normaliser(self):
        from scipy.special import gammaln

        return gammaln(self.a) - self.a * np.log(self.b)

    @property
    def mean_statistics(self):
        from scipy.special import digamma

        return np.stack([digamma(self.a) - np.log(self.b), self.a / self.b], axis=1)

    @property
    def fisher(self):
        from scipy.special import polygamma

        one = 1.0 / self.b
        first, second = np.stack([polygamma(1, self.a), one], axis=1), np.stack([one, self.a / self.b**2], axis=1)
        return np.stack([first, second], axis=1)

    def statistics(self, z):
        return np.stack([np.log(np.maximum(z, ROUNDED)), z], axis=-1)

    def statistic_slopes(self, z):
        return np.stack([1.0 / np.maximum(z, ROUNDED), np.ones_like(z)], axis=-1)[:, :, None]

    def log_prob(self, z):
        with np.errstate(divide="ignore", invalid="ignore"):
            each = self.natural[:, 0] * np.log(z) - np.log(z) - self.b * z - self.log_normaliser
        return np.sum(np.where(z > 0.0, each, -np.inf), axis=1)

    def entropy(self):
        log_z, _ = self.mean_statistics.T
        return float(np.sum(self.log_normaliser - np.sum(self.natural * self.mean_statistics, axis=1) + log_z))

    @property
    def mean(self):
        return self.a / self.b

    @property
    def stddev(self):
        return np.sqrt(self.a) / self.b

    @property
    def parameters(self):
        return np.concatenate([np.log(self.a), np.log(self.b)])

    @property
    def units(self):
        return np.stack([self.a, -self.b], axis=1)

    def flat(self, values):
        return np.swapaxes(values, -1, -2).reshape(*values.shape[:-2], -1)

    def transform(self, eps):
        return np.exp(looked_up(self.tables, eps) - np.log(self.b))

    @functools.cached_property
    def tables(self):
        return tables_of(quantiles.LOG_GAMMA, self.a)

    @property
    def quantiles(self):
        return self.tables[0]

    @functools.cached_property
    def path_tables(self):
        flat = derivatives_of(quantiles.LOG_GAMMA, shape_derivatives.FIRST, self.tables, self.a)
        return flat, np.stack([self.tables[1], np.full(self.count, -1.0)], axis=1).ravel()

    @property
    def exponents(self):
        return self.natural - [1.0, 0.0]

    @property
    def path_units(self):
        return np.stack([self.a, np.full(self.count, -1.0)], axis=1)

    def path_sums(self, eps, z, slopes):
        flat, starts = self.path_tables
        return np.stack([slopes * z * looked_up((flat, starts[::2]), eps), slopes * z], axis=-1)

    @property
    def table(self):
        out, means = np.zeros((self.count, 2, kernel.COLUMNS)), self.mean_statistics
        out[:, 0, kernel.NORMALISER], out[:, 0, rows.OFFSET] = self.log_normaliser, self.tables[1]
        out[:, 0, rows.LOG_RATE], out[:, 0, rows.MEAN_LOG] = np.log(self.b), means[:, 0]
        out[:, 0, rows.MEAN] = self.a / self.b
        out[:, 0, rows.LESS], out[:, 0, rows.RATE] = self.a - 1.0, self.b
        return out.reshape(-1, kernel.COLUMNS)


class ExponentialBlock(GammaBlock):
    """eta = -rate, t = z: a gamma factor of concentration 1 with one parameter."""

    width = 1

    def __init__(self, rate: np.ndarray) -> None:
        super().__init__(np.ones(len(rate)), rate)

    @property
    def natural(self):
        return -self.b[:, None]

    def with_natural(self, natural):
        return type(self)(-natural[:, 0])

    @property
    def wider(self):
        return GammaBlock(self.a, self.b)

    def exists(self, natural):
        return natural[:, 0] < 0.0

    def bounded(self, natural):
        return TabledBlock.bounded(self, natural) & (natural[:, 0] < -1.0 / MOST)

    @property
    def mean_statistics(self):
        return (1.0 / self.b)[:, None]

    @property
    def fisher(self):
        return (1.0 / self.b**2)[:, None, None]

    def statistics(self, z):
        return z[..., None]

    def statistic_slopes(self, z):
        return np.ones_like(z)[..., None, None]

    def log_prob(self, z):
        return np.sum(np.where(z >= 0.0, np.log(self.b) - self.b * z, -np.inf), axis=1)

    def entropy(self):
        return float(np.sum(1.0 - np.log(self.b)))

    @property
    def parameters(self):
        return np.log(self.b)

    @property
    def units(self):
        return -self.b[:, None]

    @property
    def row_roots(self):
        first, own = np.zeros((2 * self.count, self.count)), np.arange(self.count)
        first[2 * own + 1, own] = self.b
        return first, np.zeros_like(first)

    def places(self, row, height):
        return row + 2 * np.arange(self.count) + 1, -self.b

    @property
    def path_tables(self):  # type: ignore[override]
        return np.empty(0), np.full(2 * self.count, -1.0)

    @property
    def exponents(self):
        return self.natural

    @property
    def path_units(self):
        return np.full((self.count, 1), -1.0)

    def path_sums(self, eps, z, slopes):
        return (slopes * z)[..., None]

    @property
    def table(self):
        out = GammaBlock(self.a, self.b).table
        out[::2, rows.MEAN_LOG] = 0.0
        return out

    @property
    def arguments(self):
        return (self.b,)

    def arguments_of(self, vector):
        return (exp_of("log rate", vector),)


class Gamma(TabledFactors):
    """Independent gamma latents on z > 0, with mean concentration / rate.  An instance never changes.

    Parameters
    ----------
    concentration : array_like (dim,) or a number
        at least 0.05, as draws of less underflow to 0
    rate : array_like (dim,) or a number
        above 0.  Two numbers are one factor, which a density with named latents sees as a number

    Raises
    ------
    TypeError, ValueError
        with the argument's name

    Notes
    -----
    ``parameters`` are the logs of the concentrations, then those of the rates.  z is drawn as a table of its quantile
    function over a standard normal, so draws are addressed, paired and stratified as those of a Gaussian.

    Examples
    --------
    >>> import fastvi as vi
    >>> q = vi.Gamma(2.0, 4.0)
    >>> round(vi.kl_divergence(q, vi.Gamma(1.0, 1.0)).value, 6)
    0.309079
    """

    block_type = GammaBlock

    def __init__(self, concentration: ArrayLike, rate: ArrayLike) -> None:
        positive_arrays(LEAST_SHAPE, concentration=concentration)
        arrays, shape = positive_arrays(concentration=concentration, rate=rate)
        self._adopt(arrays, shape)

    @property
    def concentration(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].a

    @property
    def rate(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].b


class Exponential(TabledFactors):
    """Independent exponential latents on z >= 0, with mean 1 / rate.  An instance never changes.

    Parameters
    ----------
    rate : array_like (dim,) or a number
        above 0

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.kl_divergence(vi.Exponential(2.0), vi.Exponential(1.0))
    0.1931471806 (exact)
    """

    block_type = ExponentialBlock

    def __init__(self, rate: ArrayLike) -> None:
        self._adopt(*positive_arrays(rate=rate))

    @property
    def rate(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].b
