"""Independent Poisson factors."""

import functools
import math

import numpy as np
from numpy.typing import ArrayLike

from ..kernels.families import quantile_factors as rows
from ..kernels.families import runs as kernel
from ..kernels.random import quantiles
from .base import exp_of
from .tabled import MOST, TabledBlock, TabledFactors, positive_arrays


class PoissonBlock(TabledBlock):
    """eta = log rate, t = z."""

    kind, width, is_discrete = kernel.POISSON, 1, True

    def __init__(self, rate: np.ndarray) -> None:
        self.rate, self.count = rate, len(rate)

    @property
    def natural(self):
        return np.log(self.rate)[:, None]

    def with_natural(self, natural):
        return type(self)(np.exp(natural[:, 0]))

    def exists(self, natural):
        return np.isfinite(natural[:, 0])

    def bounded(self, natural):
        return np.abs(natural[:, 0]) < math.log(MOST)

    @property
    def log_normaliser(self):
        return self.rate

    @property
    def mean_statistics(self):
        return self.rate[:, None]

    @property
    def fisher(self):
        return self.rate[:, None, None]

    def statistics(self, z):
        return z[..., None]

    @property
    def ends(self):
        spread = np.sqrt(self.rate)
        return np.maximum(self.rate - spread, 0.0), self.rate + spread

    def log_prob(self, z):
        from scipy.special import gammaln

        whole = (z >= 0.0) & (z == np.floor(z))
        each = z * np.log(self.rate) - self.rate - gammaln(np.where(whole, z, 0.0) + 1.0)
        return np.sum(np.where(whole, each, -np.inf), axis=1)

    def entropy(self):
        total = 0.0
        for rate in self.rate:
            _, log_p, _ = candidates(float(rate))
            total -= float(np.exp(log_p) @ log_p)
        return total

    @property
    def mean(self):
        return self.rate

    @property
    def stddev(self):
        return np.sqrt(self.rate)

    @property
    def parameters(self):
        return np.log(self.rate)

    @property
    def units(self):
        return np.ones((self.count, 1))

    def transform(self, eps):
        found = [candidates(float(r)) for r in self.rate]
        columns = [least + np.searchsorted(cuts, eps[..., i], "right") for i, (least, _, cuts) in enumerate(found)]
        return np.stack(columns, axis=-1).astype(float)

    @functools.cached_property
    def tables(self):
        """(guides, cuts and log q of each rate in a row, where each begins, least z, number of candidates)"""
        parts, starts, start = [], [], 0
        edges = quantiles.LOW + np.arange(rows.CELLS) / rows.PER_CELL
        found = [candidates(float(rate)) for rate in self.rate]
        for _, log_p, cuts in found:
            parts += [np.searchsorted(cuts, edges, "right").astype(float), cuts, log_p]
            starts.append(float(start))
            start += rows.CELLS + 2 * len(cuts)
        return np.concatenate(parts), np.array(starts), [f[0] for f in found], [len(f[2]) for f in found]

    @property
    def quantiles(self):
        return self.tables[0]

    @property
    def table(self):
        out = np.zeros((self.count, kernel.COLUMNS))
        _, out[:, rows.OFFSET], out[:, rows.LEAST], out[:, rows.CANDIDATES] = self.tables
        out[:, rows.EXPECTED] = self.rate
        return out

    @property
    def density(self):
        return np.log(self.rate), self.rate

    @property
    def arguments(self):
        return (self.rate,)

    def arguments_of(self, vector):
        return (exp_of("log rate", vector),)


@functools.lru_cache(maxsize=4096)
def candidates(rate: float) -> tuple[int, np.ndarray, np.ndarray]:
    """(the least z, log q of it and what follows, the eps from which on each next one is drawn) of a Poisson factor, as
    far as normals go."""
    from scipy.special import gammaln, ndtri

    width = math.sqrt(rate)
    least = max(0, math.floor(rate - 10.0 * width - 20.0))
    z = np.arange(least, math.ceil(rate + 12.0 * width + 60.0))
    log_p = z * math.log(rate) - rate - gammaln(z + 1.0)
    p = np.exp(log_p)
    below, above = np.cumsum(p), np.append(np.cumsum(p[::-1])[::-1][1:], 0.0)
    with np.errstate(divide="ignore"):
        cuts = np.where(below < 0.5, ndtri(below), -ndtri(above))
    cuts[-1] = np.inf
    return least, log_p, cuts


class Poisson(TabledFactors):
    """Independent Poisson latents: z is a whole number as a float, with mean ``rate``.  An instance never changes.

    Parameters
    ----------
    rate : array_like (dim,) or a number
        above 0

    Notes
    -----
    The tables that draws are read off hold some 22 sqrt(rate) values each.

    Examples
    --------
    >>> import fastvi as vi
    >>> round(vi.kl_divergence(vi.Poisson(3.0), vi.Poisson(2.0)).value, 6)
    0.216395
    """

    block_type = PoissonBlock

    def __init__(self, rate: ArrayLike) -> None:
        self._adopt(*positive_arrays(rate=rate))

    @property
    def rate(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].rate
