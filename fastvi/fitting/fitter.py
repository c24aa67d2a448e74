"""What a fit is, whatever its method: a state, from which rounds go on, and the approximation that it stands for."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..execution.sweep import Place
from ..families.base import Family
from ..results import Estimate
from ..rng import Key
from .slopes import LeavesRange, OutOfDraws, Slopes

# Why a method stops
CONVERGED, OUT_OF_DRAWS = "converged", "out of draws"
NOWHERE_FINITE = "log p is not finite at draws of any q that was tried"
NO_SLOPE = "the slope of log p in the point masses of q is not finite at draws of q"
NO_SEEN_DRAWS = "log p is not finite at draws that the fit had not seen"
TOO_FEW = "draws of {:,} at a time are too few for the tolerance; give a larger tolerance"
OUT_OF_RANGE = "q leaves the range of float64; give log p other units"
RUNS_AWAY = "q runs away: the target may be improper, so bound its parameters or give them priors"
TOO_LARGE = "log p is {:.2g}, whose rounding exceeds the tolerance; leave constants out of it"
NO_STEP = "no step raises the ELBO; if log p has steps or kinks, try method='score'"


class Fitter(ABC):
    """One fit from one start; ``state`` is all that its next round depends on.

    ``derived`` tells whether the target has a gradient of its own, and ``near`` that the start is known to be near the
    end, so that no climb looks for a better one.
    """

    name: ClassVar[str]
    uses_gradient: ClassVar[bool] = True
    near = False

    def __init__(
        self, target, q: Family, key: Key, tolerance: float, max_samples: int, on: Place, derived: bool = True
    ) -> None:
        self.target, self.start, self.key, self.on, self.derived = target, q, key, on, derived
        self.tolerance, self.max_samples = tolerance, max_samples
        self.state: dict[str, Any] = dict(draws=0, lost=0, gain=math.nan, blur=math.nan)

    @property
    @abstractmethod
    def q(self) -> Family:
        """The best approximation so far."""

    @abstractmethod
    def step(self) -> tuple[Estimate | None, str]:
        """One round: (the ELBO that it saw, None where it was not finished, and why to stop or "")."""

    @property
    def evaluations(self) -> int:
        """Of log p so far, those of a round that is not finished included."""
        return self.state["draws"]

    def abandon(self, before: dict) -> None:
        """Go back to the state before a round; its evaluations were made, but do not count against the next one."""
        lost = before["lost"] + self.evaluations - before["draws"]
        self.state = before | dict(lost=lost)

    def control_variate(self) -> Any:
        """Of log w at q, where the fit has one."""
        return None

    def natural_gradient(self) -> np.ndarray | None:
        """(dim,): how far a natural-gradient step of length one would move each mean, in q's standard deviations."""
        return None


class OnFixedDraws(Fitter):
    """A fit by gradients at draws that stay fixed for a while, ``count`` of them from ``first`` on."""

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=True) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        self.slopes = Slopes(target, on, max_samples, derived)
        self.state.update(loc=q.loc, scale=q.scale, count=0, first=0, begun=0)

    @property
    def q(self) -> Family:
        return self.start.member(self.state["loc"], self.state["scale"])

    @property
    def evaluations(self) -> int:
        return self.slopes.evaluations

    def step(self) -> tuple[Estimate | None, str]:
        before = dict(self.state)
        self.slopes.evaluations, self.slopes.max_samples = before["draws"], self.max_samples
        try:
            value, end = self.round() if before["begun"] else self.begin()
        except OutOfDraws:
            self.abandon(before)
            return None, OUT_OF_DRAWS
        except LeavesRange:
            self.abandon(before)
            return None, OUT_OF_RANGE
        self.state.update(draws=self.slopes.evaluations, begun=1)
        return Estimate(value, math.nan, self.state["count"], method="fixed_draws", key=self.key), end

    @abstractmethod
    def begin(self) -> tuple[float, str]:
        """Find a start: (its ELBO over the draws, why to stop or "")."""

    @abstractmethod
    def round(self) -> tuple[float, str]:
        """Go on from there, likewise."""
