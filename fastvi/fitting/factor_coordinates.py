"""Coordinates of low-rank Gaussians about one of them."""

import math

import numpy as np

from ..families.low_rank import LowRankGaussian
from .fixed_draws import FixedDraws

UNIT = math.sqrt(0.5)  # the log of a scale has twice the curvature of a location


class FactorCoordinates:
    """x = 0 is ``base``; elsewhere x holds a location in units of base's root, logs of scales relative to its own, and
    what factors have beyond its own, in units of its scale.

    Draws have ``dim`` eps and then an eta for each factor: z = loc + scale eps + factors eta.
    """

    def __init__(self, base: LowRankGaussian) -> None:
        self.base, self.dim, self.rank = base, base.dim, base.rank

    @property
    def zero(self) -> np.ndarray:
        """Where base is."""
        return np.zeros(self.dim * (2 + self.rank))

    def member(self, x: np.ndarray) -> LowRankGaussian:
        """The one at x."""
        base, dim = self.base, self.dim
        factors = base.factors + base.scale[:, None] * x[2 * dim :].reshape(dim, self.rank)
        return LowRankGaussian(base.transform(x[:dim]), base.scale * np.exp(UNIT * x[dim : 2 * dim]), factors)

    def elbo(self, draws: FixedDraws, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The ELBO over fixed draws, and its gradient in x; (-inf, nan) where that is not finite."""
        try:
            q = self.member(x)
        except ValueError:
            return -math.inf, np.full(len(x), math.nan)
        dim, count = self.dim, len(draws.eps)
        eps, eta = draws.eps[:, :dim], draws.eps[:, dim:]
        log_p, slopes = draws.slopes(q.loc + eps * q.scale + eta @ q.factors.T, q.stddev)
        entropy = q.entropy_gradient[dim:]
        logs = q.scale * np.mean(slopes * eps, axis=0) + entropy[:dim]
        factors = slopes.T @ eta / count + entropy[dim:].reshape(dim, self.rank)
        loc = self.base.scaled_slopes(slopes.mean(axis=0)[None])[0]
        gradient = np.concatenate([loc, UNIT * logs, (self.base.scale[:, None] * factors).ravel()])
        return float(np.mean(log_p)) + q.entropy(), gradient

    def natural_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Of the location, in base's standard deviations, from a gradient in x."""
        return (self.base.transform(gradient[None, : self.dim])[0] - self.base.loc) / self.base.stddev

    def narrower(self) -> "FactorCoordinates":
        """About a base of half the widths."""
        base = self.base
        return FactorCoordinates(LowRankGaussian(base.loc, 0.5 * base.scale, 0.5 * base.factors))
