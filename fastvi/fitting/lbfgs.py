"""Mean-field fits in any number of dimensions: L-BFGS over few matched draws, then over more, in O(dim) memory a draw.

Optimising over fixed draws is Giordano, Ingram and Broderick's (2024) DADVI; what their scarcity costs is measured
here: over n' new draws the optimum of n old ones is short of the new optimum by blur' (1 + n'/n) in expectation,
blur' = blur n/n' being what the new draws still cost.
"""

import math

import numpy as np

from ..families.base import Family
from .coordinates import Coordinates
from .fitter import CONVERGED, NOWHERE_FINITE, TOO_FEW, OnFixedDraws
from .fixed_draws import FixedDraws
from .matched_draws import matched_draws, more_draws, most_draws
from .stage import Stage
from .start import best_start, stein_member

FIRST, SECOND = 8, 32  # draws of the first two stages
CURVED, TRIED = 32, 16  # draws behind the first widths; behind the ELBOs that choose a start
PATIENCE = 10  # starts in a row that are worse than the best: all of them
FIRST_RISE, RISE = 0.1, 0.03  # nats to which a stage is optimised, over the tolerance
SOLVED = 0.2  # of the tolerance, below which no gain is left over a stage's draws
CAUTION, LUCKY = 2.0, 0.5  # of a blur: what it may be beyond its measure; the least of what another measure promised


def blur_of(rise: float, ratio: float, last: float) -> float:
    """The blur over new draws, which the old ones were ``ratio`` times as many as, from the rise to their optimum and
    the ``last`` blur, if there was one"""
    blur = max(rise, 0.0) * ratio / (1.0 + ratio)
    # one rise is a noisy measure: not far below what the last one promised
    return max(blur, LUCKY * last * ratio) if math.isfinite(last) else blur


class LBFGS(OnFixedDraws):
    """A round is a stage: an optimisation over draws of its own."""

    name = "lbfgs"

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=True) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        self.most = most_draws(q.dim, FIRST)
        self.state.update(count=FIRST, before=FIRST)

    def natural_gradient(self) -> np.ndarray | None:
        return self.state.get("pulls")

    def begin(self) -> tuple[float, str]:
        """The first stage twice, from q as given and from the best of a climb of log p: each gets where the other does
        not, and a few draws are cheap."""
        s, narrow = self.state, self.fresh(CURVED)

        def member(slopes, q, z):
            return stein_member(slopes, q, z, narrow)

        few, others = FixedDraws(self.slopes, self.fresh(FIRST)), FixedDraws(self.slopes, self.fresh(TRIED))
        climbed = self.start if self.near else best_start(others, self.start, self.key, member, PATIENCE).q
        starts = [self.start] if climbed is self.start else [climbed, self.start]
        ends = [others.at(Stage(few, Coordinates(q), self.tolerance, 1.0).optimised(FIRST_RISE).q) for q in starts]
        best = max(ends, key=lambda end: end.elbo)
        s.update(loc=best.q.loc, scale=best.q.scale, before=FIRST, count=SECOND)
        return best.elbo, "" if math.isfinite(best.elbo) else NOWHERE_FINITE

    def about(self):
        """The coordinates in which a stage climbs."""
        return Coordinates(self.q)

    def keep(self, q: Family) -> None:
        """Go on from this."""
        self.state.update(loc=q.loc, scale=q.scale)

    def fresh(self, count: int) -> np.ndarray:
        """Draws that have not been seen."""
        first = self.state["first"]
        self.state["first"] = first + count // 2
        return self.matched(first, count)

    def matched(self, first: int, count: int) -> np.ndarray:
        """What a stage's draws are."""
        return matched_draws(self.key, first, count, self.start.dim, covariance=False)

    def round(self) -> tuple[float, str]:
        """To the optimum over new draws; whether they were enough, and how many the next stage has."""
        s = self.state
        hidden = s["blur"] if math.isfinite(s["blur"]) else 1.0
        draws = FixedDraws(self.slopes, self.fresh(s["count"]))
        stage = Stage(draws, self.about(), self.tolerance, hidden)
        before = stage.value
        if not math.isfinite(before):
            return before, NOWHERE_FINITE
        stage.optimised(RISE)
        ratio = s["before"] / s["count"]
        blur = blur_of(stage.value - before, ratio, s["blur"])
        self.keep(stage.q)
        s.update(gain=stage.gain, blur=blur, before=s["count"])
        s.update(pulls=stage.about.natural_gradient(stage.gradient))
        if stage.gain + CAUTION * blur < self.tolerance:
            solved = stage.gain < SOLVED * self.tolerance and not stage.steps
            return stage.value, CONVERGED if solved else ""  # once more with as many draws
        if s["count"] >= self.most:
            return stage.value, TOO_FEW.format(s["count"])
        s["count"] = more_draws(s["count"], CAUTION * blur / self.tolerance, self.most)
        return stage.value, ""
