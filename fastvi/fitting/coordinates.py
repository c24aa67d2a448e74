"""Coordinates of the members of a family about one of them, in which the ELBO bends alike along all."""

import math

import numpy as np

from ..families.base import Family
from .fixed_draws import FixedDraws


class Coordinates:
    """x = 0 is ``base``; elsewhere x holds the parameters of the member that is composed with it, the location along
    ``axes`` (dim, dim), in columns and in units of base, if they are given."""

    def __init__(self, base: Family, axes: np.ndarray | None = None) -> None:
        self.base, self.axes, dim = base, axes, base.dim
        self.standard = type(base).standard(dim)
        weights = self.standard.entropy_gradient[dim:]  # 1 for the log of a scale, whose curvature is twice that
        self.units = 1.0 / np.sqrt(np.where(weights > 0.0, 2.0 * weights, 1.0))
        self.origin = self.standard.parameters[dim:]

    @property
    def zero(self) -> np.ndarray:
        """Where base is."""
        return np.zeros(self.base.dim + len(self.units))

    def parameters(self, x: np.ndarray) -> np.ndarray:
        """Of the member that is composed with base."""
        dim = self.base.dim
        loc = x[:dim] if self.axes is None else self.axes @ x[:dim]
        return np.concatenate([loc, self.origin + self.units * x[dim:]])

    def member(self, x: np.ndarray) -> Family:
        """The one at x."""
        return self.base.composed(self.standard.with_parameters(self.parameters(x)))

    def elbo(self, draws: FixedDraws, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The ELBO over fixed draws, and its gradient in x; (-inf, nan) where that is not finite."""
        try:
            member = self.standard.with_parameters(self.parameters(x))
        except ValueError:
            return -math.inf, np.full(len(x), math.nan)
        q, dim = self.base.composed(member), self.base.dim
        log_p, slopes = draws.slopes(q.transform(draws.eps), q.stddev)
        gradient = member.pathwise_gradient(draws.eps, self.base.scaled_slopes(slopes)) + member.entropy_gradient
        loc = gradient[:dim] if self.axes is None else self.axes.T @ gradient[:dim]
        return float(np.mean(log_p)) + q.entropy(), np.concatenate([loc, self.units * gradient[dim:]])

    def natural_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Of the location, in base's standard deviations, from a gradient in x."""
        return gradient[: self.base.dim]

    def narrower(self) -> "Coordinates":
        """About a base of half the widths."""
        return type(self)(self.base.resized(0.5))
