"""An optimisation over fixed draws in O(dim) memory, on to where a parabola through it has its top."""

import math
from typing import Self

import numpy as np

from ..families.base import Family
from .ascent import climb, truncated_newton
from .coordinates import Coordinates
from .factor_coordinates import FactorCoordinates
from .fixed_draws import FixedDraws

MOST, MEMORY, OVER = 300, 10, 3  # L-BFGS iterations, its memory; iterations whose rise tells the end
SOLVED, VALLEYS, SHORTEST = 0.2, 10, 1e-3  # of the tolerance, what may be left; Newton steps; their least length
FARTHEST, NARROWER = 100.0, 20  # standard deviations that a stage moves; times that q is halved to be finite


class Stage:
    """An optimisation over fixed draws, from the origin of coordinates on.

    ``hidden`` are the nats that draws as few as these hide anyway; ``gain`` those that are left, to second order, after
    so many Newton ``steps``.
    """

    def __init__(
        self, draws: FixedDraws, about: Coordinates | FactorCoordinates, tolerance: float, hidden: float
    ) -> None:
        self.draws, self.about, self.tolerance, self.gain, self.steps = draws, about, tolerance, math.nan, 0
        self.enough = SOLVED * max(tolerance, min(1.0, hidden))
        self.x = about.zero
        for _ in range(NARROWER):
            self.value, self.gradient = self.function(self.x)
            if math.isfinite(self.value):
                break
            self.about = self.about.narrower()

    @property
    def q(self) -> Family:
        """The highest point so far."""
        return self.about.member(self.x)

    def function(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The ELBO over the draws, and its gradient."""
        return self.about.elbo(self.draws, x) if np.max(np.abs(x)) <= FARTHEST else (-math.inf, x)

    def optimised(self, rise: float) -> Self:
        """By L-BFGS, and on to the top of the parabola until that is near: along valleys that L-BFGS takes for tops."""
        if not math.isfinite(self.value):
            return self
        self.climb(rise)
        while self.steps < VALLEYS:
            self.gain, step, self.gradient = truncated_newton(self.function, self.x, self.enough)
            if self.gain < self.enough:
                break
            found, length = -math.inf, 4.0
            while not found > self.value and length > SHORTEST:
                length = 0.25 * length
                found = self.function(self.x + length * step)[0]
            if not found > self.value:
                break
            self.value, self.x, self.steps = found, self.x + length * step, self.steps + 1
            self.climb(rise)
        return self

    def climb(self, rise: float) -> None:
        """By L-BFGS, until it rises no more than ``rise`` times the tolerance."""
        path = climb(self.function, self.x, rise=rise * self.tolerance, over=OVER, most=MOST, memory=MEMORY)
        if path.values and path.values[-1] > self.value:
            self.value, self.x = path.values[-1], path.points[-1]
