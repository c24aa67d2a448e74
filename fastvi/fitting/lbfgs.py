"""Mean-field fits in any number of dimensions: L-BFGS over few matched draws, then over more, in O(dim) memory a draw.

Optimising over fixed draws is Giordano, Ingram and Broderick's (2024) DADVI; what their scarcity costs is measured
here: over n' new draws the optimum of n old ones is short of the new optimum by blur' (1 + n'/n) in expectation,
blur' = blur n/n' being what the new draws still cost.
"""

import math
from typing import Any, Self

import numpy as np

from ..families.base import Family
from ..results import Estimate
from .ascent import climb, truncated_newton
from .fixed_draws import FixedDraws
from .matched_draws import matched_draws
from .slopes import OutOfDraws, Slopes
from .start import best_start, stein_member

FIRST, SECOND = 8, 32  # draws of the first two stages
LEAST_GROWTH, MOST_GROWTH, SPARE = 2.0, 16.0, 1.3
MOST_DRAWS, MOST_FLOATS = 2**17, 2**24  # that are kept at once
CURVED, TRIED = 32, 16  # draws behind the first widths; behind the ELBOs that choose a start
PATIENCE = 10  # starts in a row that are worse than the best: all of them
MOST, MEMORY, OVER = 300, 10, 3  # L-BFGS iterations, its memory; iterations whose rise tells the end
FIRST_RISE, RISE = 0.1, 0.03  # nats to which a stage is optimised, over the tolerance
SOLVED, VALLEYS, SHORTEST = 0.2, 10, 1e-3  # of the tolerance, what may be left; Newton steps; their least length
CAUTION, LUCKY = 2.0, 0.5  # of a blur: what it may be beyond its measure; the least of what another measure promised
FARTHEST, NARROWER = 100.0, 20  # standard deviations that a stage moves; times that q is halved to be finite


class LBFGS:
    """One fit, stage by stage; ``state`` is all that the next stage depends on."""

    name = "lbfgs"

    def __init__(self, target, q: Family, key, tolerance, max_samples, on, derived: bool = True) -> None:
        if not q.is_diagonal:
            raise ValueError(f"method: 'lbfgs' fits mean-field approximations, got a {q.family} q; use method='newton'")
        self.key, self.tolerance, self.start = key, tolerance, q
        self.slopes = Slopes(target, on, max_samples, derived)
        self.most = max(FIRST, min(MOST_DRAWS, MOST_FLOATS // q.dim))
        self.state: dict[str, Any] = dict(
            loc=q.loc,
            scale=q.scale,
            count=FIRST,
            first=0,
            before=FIRST,
            begun=0,
            draws=0,
            gain=math.nan,
            blur=math.nan,
        )

    @property
    def q(self) -> Family:
        """The last stage's optimum."""
        return self.start.member(self.state["loc"], self.state["scale"])

    def control_variate(self):
        """None: what a quadratic of these draws would follow, the fit has removed."""
        return None

    def step(self) -> tuple[Estimate, str]:
        """One stage: (the ELBO over its draws, why to stop or "")."""
        s, value = self.state, math.nan
        self.slopes.evaluations = s["draws"]
        try:
            if s["begun"]:
                value, end = self.next_stage()
            else:
                value, end = self.begin()
        except OutOfDraws:
            end = "out of draws"
        s["draws"] = self.slopes.evaluations
        return Estimate(value, math.nan, s["count"], method="fixed_draws", key=self.key), end

    def begin(self) -> tuple[float, str]:
        """The first stage twice, from q as given and from the best of a climb of log p: each gets where the other does
        not, and a few draws are cheap."""
        s, narrow = self.state, self.fresh(CURVED)

        def member(slopes, q, z):
            return stein_member(slopes, q, z, narrow)

        few, others = FixedDraws(self.slopes, self.fresh(FIRST)), FixedDraws(self.slopes, self.fresh(TRIED))
        climbed = best_start(others, self.start, self.key, member, PATIENCE).q
        starts = [self.start] if climbed is self.start else [climbed, self.start]
        ends = [others.at(Stage(few, q, self.tolerance, 1.0).optimised(FIRST_RISE).q) for q in starts]
        best = max(ends, key=lambda end: end.elbo)
        s.update(loc=best.q.loc, scale=best.q.scale, begun=1, before=FIRST, count=SECOND)
        return best.elbo, "" if math.isfinite(best.elbo) else "log p is not finite at draws of any q that was tried"

    def fresh(self, count: int) -> np.ndarray:
        """Draws that have not been seen."""
        first = self.state["first"]
        self.state["first"] = first + count // 2
        return matched_draws(self.key, first, count, self.start.dim, covariance=False)

    def next_stage(self) -> tuple[float, str]:
        """To the optimum over new draws; whether they were enough, and how many the next stage has."""
        s = self.state
        hidden = s["blur"] if math.isfinite(s["blur"]) else 1.0
        draws = FixedDraws(self.slopes, self.fresh(s["count"]))
        stage = Stage(draws, self.q, self.tolerance, hidden)
        before = stage.value
        if not math.isfinite(before):
            return before, "log p is not finite at draws of any q that was tried"
        stage.optimised(RISE)
        ratio = s["before"] / s["count"]
        blur = max(stage.value - before, 0.0) * ratio / (1.0 + ratio)
        if math.isfinite(s["blur"]):  # one rise is a noisy measure: not far below what the last one promised
            blur = max(blur, LUCKY * s["blur"] * ratio)
        s.update(loc=stage.q.loc, scale=stage.q.scale, gain=stage.gain, blur=blur, before=s["count"])
        if CAUTION * blur < self.tolerance:
            solved = stage.gain < SOLVED * self.tolerance and not stage.steps
            return stage.value, "converged" if solved else ""  # once more with as many draws
        if s["count"] >= self.most:
            return stage.value, f"draws of {s['count']:,} at a time are too few for the tolerance"
        growth = min(MOST_GROWTH, max(LEAST_GROWTH, SPARE * CAUTION * blur / self.tolerance))
        s["count"] = int(min(self.most, s["count"] * growth)) // 2 * 2
        return stage.value, ""


class Stage:
    """An optimisation over fixed draws, from a member of the family on.

    ``hidden`` are the nats that draws as few as these hide anyway; ``gain`` those that are left, to second order, after
    so many Newton ``steps``.
    """

    def __init__(self, draws: FixedDraws, base: Family, tolerance: float, hidden: float) -> None:
        self.draws, self.tolerance, self.gain, self.steps = draws, tolerance, math.nan, 0
        self.enough = SOLVED * max(tolerance, min(1.0, hidden))
        self.standard = type(base).standard(base.dim)
        # the log of a scale has twice the curvature of a location
        self.units = np.where(self.standard.entropy_gradient > 0.0, math.sqrt(0.5), 1.0)
        self.x, self.base = np.zeros(len(self.units)), base
        for _ in range(NARROWER):
            self.value = self.function(self.x)[0]
            if math.isfinite(self.value):
                break
            self.base = self.base.resized(0.5)

    @property
    def q(self) -> Family:
        """The highest point so far."""
        return self.base.composed(self.standard.with_parameters(self.standard.parameters + self.units * self.x))

    def function(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The ELBO over the draws, and its gradient, in units of ``base``."""
        if not np.max(np.abs(x)) <= FARTHEST:
            return -math.inf, x
        value, gradient = self.draws.relative(self.base, self.standard.parameters + self.units * x)
        return value, self.units * gradient

    def optimised(self, rise: float) -> Self:
        """By L-BFGS, and on to the top of the parabola until that is near: along valleys that L-BFGS takes for tops."""
        if not math.isfinite(self.value):
            return self
        self.climb(rise)
        while self.steps < VALLEYS:
            self.gain, step = truncated_newton(self.function, self.x, self.enough)
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
