"""Independent beta factors."""

import functools

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.families import quantile_factors as rows
from ..kernels.families import runs as kernel
from ..kernels.random import quantiles, shape_derivatives
from .tabled import (
    LEAST_SHAPE,
    ROUNDED,
    TabledFactors,
    TwoShapes,
    derivatives_of,
    looked_up,
    positive_arrays,
    tables_of,
)


class BetaBlock(TwoShapes):
    """eta = (concentration1, concentration0), t = (log z, log(1 - z))."""

    kind, width, support = kernel.BETA, 2, "unit"

    def __init__(self, concentration1: np.ndarray, concentration0: np.ndarray) -> None:
        self.a, self.b, self.count = concentration1, concentration0, len(concentration1)

    @property
    def natural(self):
        return np.stack([self.a, self.b], axis=1)

    def with_natural(self, natural):
        return type(self)(natural[:, 0], natural[:, 1])

    def exists(self, natural):
        return (natural > 0.0).all(axis=1)

    def bounded(self, natural):
        return super().bounded(natural) & (natural >= LEAST_SHAPE).all(axis=1)

    @property
    def log_normaliser(self):
        from scipy.special import betaln

        return betaln(self.a, self.b)

    @property
    def mean_statistics(self):
        from scipy.special import digamma

        return digamma(self.natural) - digamma(self.a + self.b)[:, None]

    @property
    def fisher(self):
        from scipy.special import polygamma

        own = polygamma(1, self.natural)
        return own[:, :, None] * np.eye(2) - polygamma(1, self.a + self.b)[:, None, None]

    def statistics(self, z):
        inside = np.clip(z, ROUNDED, 1.0 - 2.0**-53)
        return np.stack([np.log(inside), np.log1p(-inside)], axis=-1)

    def statistic_slopes(self, z):
        inside = np.clip(z, ROUNDED, 1.0 - 2.0**-53)
        return np.stack([1.0 / inside, -1.0 / (1.0 - inside)], axis=-1)[:, :, None]

    def log_prob(self, z):
        inside = (z > 0.0) & (z < 1.0)
        logs = self.statistics(np.where(inside, z, 0.5))
        each = np.sum((self.natural - 1.0) * logs, axis=-1) - self.log_normaliser
        return np.sum(np.where(inside, each, -np.inf), axis=1)

    def entropy(self):
        return float(np.sum(self.log_normaliser - np.sum((self.natural - 1.0) * self.mean_statistics, axis=1)))

    @property
    def mean(self):
        return self.a / (self.a + self.b)

    @property
    def stddev(self):
        return np.sqrt(self.a * self.b / (self.a + self.b + 1.0)) / (self.a + self.b)

    @property
    def parameters(self):
        return np.log(self.natural).T.ravel()

    @property
    def units(self):
        return self.natural

    def flat(self, values):
        return np.swapaxes(values, -1, -2).reshape(*values.shape[:-2], -1)

    def transform(self, eps):
        from scipy.special import expit

        return expit(looked_up(self.tables, eps))

    @functools.cached_property
    def tables(self):
        return tables_of(quantiles.LOGIT_BETA, self.a, self.b)

    @property
    def quantiles(self):
        return self.tables[0]

    @functools.cached_property
    def path_tables(self):
        which = shape_derivatives.FIRST, shape_derivatives.SECOND
        flat = [derivatives_of(quantiles.LOGIT_BETA, one, self.tables, self.a, self.b) for one in which]
        starts = np.stack([self.tables[1], self.tables[1] + len(flat[0])], axis=1)
        return np.concatenate(flat), starts.ravel()

    def path_sums(self, eps, z, slopes):
        flat, starts = self.path_tables
        moved = [looked_up((flat, starts[which::2]), eps) for which in range(2)]
        return (slopes * (z * (1.0 - z)))[..., None] * np.stack(moved, axis=-1)

    @property
    def table(self):
        out = np.zeros((self.count, 2, kernel.COLUMNS))
        out[:, 0, kernel.NORMALISER], out[:, 0, rows.OFFSET] = self.log_normaliser, self.tables[1]
        out[:, 0, rows.LESS_ONE], out[:, 0, rows.LESS_OTHER] = self.a - 1.0, self.b - 1.0
        out[:, 0, rows.MEAN_LOG_ONE], out[:, 0, rows.MEAN_LOG_OTHER] = self.mean_statistics.T
        return out.reshape(-1, kernel.COLUMNS)


class Beta(TabledFactors):
    """Independent beta latents on 0 < z < 1, with density z^(concentration1 - 1) (1 - z)^(concentration0 - 1) / B.

    An instance never changes.

    Parameters
    ----------
    concentration1, concentration0 : array_like (dim,) or a number
        at least 0.05, as draws of less underflow.  With a concentration0 below some 0.3 draws round to 1, where a
        density that takes log(1 - z) is -inf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(vi.kl_divergence(vi.Beta(2.0, 3.0), vi.Beta(1.0, 1.0)).value, 6)
    0.234907
    """

    block_type = BetaBlock

    def __init__(self, concentration1: ArrayLike, concentration0: ArrayLike) -> None:
        self._adopt(*positive_arrays(LEAST_SHAPE, concentration1=concentration1, concentration0=concentration0))

    @property
    def concentration1(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].a

    @property
    def concentration0(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].b
