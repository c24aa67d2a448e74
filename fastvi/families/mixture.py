"""Mixtures of Gaussians: the several-peaked targets of textbooks, and p in a divergence."""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..rng import COMPONENT, SAMPLE, Key, RandomSource, key_from
from ..targets.target import Target
from .base import LOG_2PI, frozen
from .full_rank import FullRankGaussian
from .mean_field import MeanFieldGaussian


class GaussianMixture:
    """sum_k weights_k N(locs_k, S_k).  An instance never changes.

    Parameters
    ----------
    weights : array_like (components,)
        not negative, adding up to 1
    locs : array_like (components, dim)
    scales : array_like (components, dim) or (components, dim, dim)
        standard deviations, or lower triangular factors of the covariances

    Raises
    ------
    ValueError, TypeError
        with the argument's name

    Examples
    --------
    >>> import fastvi as vi
    >>> p = vi.GaussianMixture([0.5, 0.5], locs=[[-1.0], [1.0]], scales=[[1.0], [1.0]])
    >>> p.mean.tolist(), p.covariance.tolist()
    ([0.0], [[2.0]])
    """

    weights: np.ndarray
    locs: np.ndarray
    scales: np.ndarray
    components: tuple

    def __init__(self, weights: ArrayLike, locs: ArrayLike, scales: ArrayLike):
        weights, locs = checks.real_array("weights", weights, 1), checks.real_array("locs", locs, 2)
        given = checks.numeric("scales", scales)
        scales = checks.real_array("scales", given, 3 if given.ndim == 3 else 2)
        if len(locs) != len(weights):
            raise ValueError(f"locs: expected {len(weights)} rows, one for each weight, got shape {locs.shape}")
        if scales.shape[: locs.ndim] != locs.shape or (scales.ndim == 3 and scales.shape[2] != locs.shape[1]):
            expected = f"{locs.shape} or {(*locs.shape, locs.shape[1])}"
            raise ValueError(f"scales: expected shape {expected}, got {scales.shape}")
        if (weights < 0.0).any() or abs(weights.sum() - 1.0) > 1e-9:
            raise ValueError(f"weights: expected values >= 0 that add up to 1, got a sum of {weights.sum()!r}")
        kind = MeanFieldGaussian if scales.ndim == 2 else FullRankGaussian
        try:
            components = tuple(kind(loc, scale) for loc, scale in zip(locs, scales, strict=True))
        except ValueError as error:
            raise ValueError(f"scales: {error}") from None
        self.__dict__.update(components=components)
        self.__dict__.update(weights=frozen(weights / weights.sum()), locs=frozen(locs), scales=frozen(scales))

    def __setattr__(self, name, value):
        raise AttributeError("GaussianMixture is frozen: make another")

    def __repr__(self):
        return f"GaussianMixture({len(self.weights)} components, dim={self.dim})"

    def __reduce__(self):
        return type(self), (self.weights, self.locs, self.scales)

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return self.locs.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """(dim,)"""
        return self.weights @ self.locs

    @property
    def covariance(self) -> np.ndarray:
        """(dim, dim)"""
        away = self.locs - self.mean
        within = sum(w * c.covariance for w, c in zip(self.weights, self.components, strict=True))
        return within + (away * self.weights[:, None]).T @ away

    def log_prob(self, z: ArrayLike):
        """log density at one point (dim,) -> float, or at many (n, dim) -> (n,)."""
        points, single = checks.points(z, self.dim)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            parts = np.column_stack([c.log_prob(points) for c in self.components]) + np.log(self.weights)
            away = np.isnan(parts) & np.isfinite(points).all(axis=1)[:, None]
            parts = np.where(away, -np.inf, parts)  # so far out that squares overflow to inf - inf
            top = parts.max(axis=1)
            safe = np.where(top > -np.inf, top, 0.0)
            total = safe + np.log(np.sum(np.exp(parts - safe[:, None]), axis=1))
        return float(total[0]) if single else total

    def sample(self, num_samples: int, *, rng: RandomSource = None) -> np.ndarray:
        """(num_samples, dim) draws; the first of many are the draws of a shorter call."""
        out = np.empty((checks.count("num_samples", num_samples), self.dim))
        self.fill(out, key_from(rng), SAMPLE, 0)
        return out

    def fill(self, out: np.ndarray, key: Key, stream: int, first_draw: int) -> None:
        """Write the draws first_draw, first_draw + 1, … of a stream into the rows of ``out``."""
        from scipy.special import ndtr

        u, z = np.empty((len(out), 1)), np.empty_like(out)
        MeanFieldGaussian([0.0], [1.0]).fill(u, key, COMPONENT + stream, first_draw)
        which = np.searchsorted(np.cumsum(self.weights), ndtr(u[:, 0]), side="right")
        which = np.minimum(which, np.flatnonzero(self.weights)[-1])
        for k, component in enumerate(self.components):
            component.fill(z, key, stream, first_draw)
            out[which == k] = z[which == k]

    @cached_property
    def target(self) -> Target:
        """The mixture as a normalized Target."""
        with np.errstate(divide="ignore"):
            constants = np.log(self.weights) - 0.5 * self.dim * LOG_2PI - [c.log_det for c in self.components]
        used = self.weights > 0.0
        if self.scales.ndim == 2:
            data = self.locs[used], 1.0 / self.scales[used], constants[used]
            return Target(_diagonal, self.dim, data, normalized=True, name="GaussianMixture")
        whiten = np.array([np.linalg.inv(scale) for scale in self.scales[used]])
        return Target(
            _full, self.dim, (self.locs[used], whiten, constants[used]), normalized=True, name="GaussianMixture"
        )


def _diagonal(z, locs, inverse_scales, constants):
    total = 0.0
    for k in range(len(constants)):
        square = 0.0
        for i in range(len(z)):
            r = (z[i] - locs[k, i]) * inverse_scales[k, i]
            square += r * r
        part = constants[k] - 0.5 * square
        total = part if k == 0 else np.logaddexp(total, part)
    return total


def _full(z, locs, whiten, constants):
    total = 0.0
    for k in range(len(constants)):
        square = 0.0
        for i in range(len(z)):
            r = 0.0
            for j in range(i + 1):
                r += whiten[k, i, j] * (z[j] - locs[k, j])
            square += r * r
        part = constants[k] - 0.5 * square
        total = part if k == 0 else np.logaddexp(total, part)
    return total
