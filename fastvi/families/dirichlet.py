"""Independent Dirichlet factors."""

import functools

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import quantile_factors as rows
from ..kernels.families import runs as kernel
from ..kernels.random import quantiles, shape_derivatives
from .base import exp_of
from .tabled import (
    LEAST_SHAPE,
    ROUNDED,
    TabledFactors,
    TabledPaths,
    checked_least,
    derivatives_of,
    looked_up,
    tables_of,
)


class DirichletBlock(TabledPaths):
    """eta = concentration, t = log z, z on the simplex."""

    kind, support = kernel.DIRICHLET, "simplex"

    def __init__(self, concentration: np.ndarray) -> None:
        self.a, (self.count, self.width) = concentration, concentration.shape  # type: ignore[misc]

    @property
    def size(self):
        return self.count * self.width

    @property
    def natural(self):
        return self.a

    def with_natural(self, natural):
        return type(self)(np.asarray(natural))

    def exists(self, natural):
        return (natural > 0.0).all(axis=1)

    def bounded(self, natural):
        return super().bounded(natural) & (natural >= LEAST_SHAPE).all(axis=1)

    @property
    def log_normaliser(self):
        from scipy.special import gammaln

        return np.sum(gammaln(self.a), axis=1) - gammaln(np.sum(self.a, axis=1))

    @property
    def mean_statistics(self):
        from scipy.special import digamma

        return digamma(self.a) - digamma(np.sum(self.a, axis=1))[:, None]

    @property
    def fisher(self):
        from scipy.special import polygamma

        own = polygamma(1, self.a)[:, :, None] * np.eye(self.width)
        return own - polygamma(1, np.sum(self.a, axis=1))[:, None, None]

    def statistics(self, z):
        return np.log(np.maximum(z.reshape(len(z), self.count, self.width), ROUNDED))

    def statistic_slopes(self, z):
        inside = np.maximum(z.reshape(len(z), self.count, self.width), ROUNDED)
        return np.eye(self.width) / inside[..., None]

    def log_prob(self, z):
        each = z.reshape(len(z), self.count, self.width)
        inside = (each > 0.0).all(axis=-1) & (np.abs(np.sum(each, axis=-1) - 1.0) < 1e-9)
        found = np.sum((self.a - 1.0) * self.statistics(z), axis=-1) - self.log_normaliser
        return np.sum(np.where(inside, found, -np.inf), axis=1)

    def entropy(self):
        return float(np.sum(self.log_normaliser - np.sum((self.a - 1.0) * self.mean_statistics, axis=1)))

    @property
    def mean(self):
        return (self.a / np.sum(self.a, axis=1, keepdims=True)).ravel()

    @property
    def stddev(self):
        return np.sqrt(np.diag(self.covariance))

    @property
    def covariance(self):
        from scipy.linalg import block_diag

        means = self.mean.reshape(self.count, self.width)
        each = [(np.diag(m) - np.outer(m, m)) / (1.0 + a.sum()) for m, a in zip(means, self.a, strict=True)]
        return block_diag(*each)

    @property
    def parameters(self):
        return np.log(self.a).ravel()

    @property
    def units(self):
        return self.a

    def transform(self, eps):
        logs = looked_up(self.tables, eps).reshape(*eps.shape[:-1], self.count, self.width)
        weights = np.exp(logs - np.max(logs, axis=-1, keepdims=True))
        return (weights / np.sum(weights, axis=-1, keepdims=True)).reshape(eps.shape)

    @functools.cached_property
    def tables(self):
        return tables_of(quantiles.LOG_GAMMA, self.a.ravel())

    @property
    def quantiles(self):
        return self.tables[0]

    @functools.cached_property
    def path_tables(self):
        flat = derivatives_of(quantiles.LOG_GAMMA, shape_derivatives.FIRST, self.tables, self.a.ravel())
        return flat, self.tables[1]

    def path_sums(self, eps, z, slopes):
        by_factor = len(z), self.count, self.width
        shares, rise = z.reshape(by_factor), slopes.reshape(by_factor)
        along = shares * (rise - np.sum(shares * rise, axis=-1, keepdims=True))
        return along * looked_up(self.path_tables, eps).reshape(by_factor)

    @property
    def table(self):
        out = np.zeros((self.count, self.width, kernel.COLUMNS))
        out[:, 0, kernel.NORMALISER] = self.log_normaliser
        out[:, :, rows.OFFSET] = self.tables[1].reshape(self.count, self.width)
        out[:, :, rows.SHARE_LESS], out[:, :, rows.MEAN_LOG_SHARE] = self.a - 1.0, self.mean_statistics
        return out.reshape(-1, kernel.COLUMNS)

    @property
    def density(self):
        constants = np.zeros_like(self.a)
        constants[:, 0] = -self.log_normaliser
        return self.a.ravel(), constants.ravel()

    @property
    def arguments(self):
        return (self.a,)

    def arguments_of(self, vector):
        return (exp_of("log concentration", vector).reshape(self.count, self.width),)


class Dirichlet(TabledFactors):
    """Independent Dirichlet latents, each a point of the simplex.  An instance never changes.

    Parameters
    ----------
    concentration : array_like (k,) or (n, k)
        of one factor, or of n; at least 0.05, as draws of less underflow.  z has k entries for each, by rows, and a
        density with named latents sees them in this shape

    Examples
    --------
    >>> import fastvi as vi
    >>> q = vi.Dirichlet([2.0, 3.0, 5.0])
    >>> bool(abs(q.sample(1, rng=0).sum() - 1.0) < 1e-15)
    True
    """

    block_type = DirichletBlock

    def __init__(self, concentration: ArrayLike) -> None:
        shape = checks.numeric("concentration", concentration).shape
        array = checks.real_array("concentration", concentration, 1 if len(shape) == 1 else 2)
        if shape[-1] < 2:
            raise ValueError(f"concentration: expected two values at least, got {array}")
        self._adopt((np.atleast_2d(checked_least("concentration", array, LEAST_SHAPE)),), shape)

    @property
    def concentration(self) -> np.ndarray:
        """(n, k)"""
        return self.blocks[0].a
