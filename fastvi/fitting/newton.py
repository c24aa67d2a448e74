"""Newton steps on matched draws: from m and A, what a pass over fixed draws tells, to the Gaussian that they promise.

The step to precision (1 - rho) I + rho A and location L (.)^-1 rho m in units of q is a natural-gradient step of length
rho on the ELBO over these draws (Khan and Rue 2023, equation 25); near the optimum it is Newton's.  Where steps swing,
as in funnels, L-BFGS over the same draws takes over.  Draws are added only when the optimum over the present ones is
reached and its known distance from the best q, ``blur``, exceeds the tolerance.
"""

import math

import numpy as np

from ..control_variates import Surrogate
from ..families.base import Family
from ..slope_surrogates import symmetric
from .fitter import (
    CONVERGED,
    NO_SEEN_DRAWS,
    NO_STEP,
    NOWHERE_FINITE,
    RUNS_AWAY,
    TOO_FEW,
    TOO_LARGE,
    OnFixedDraws,
)
from .fixed_draws import Evaluation, FixedDraws
from .matched_draws import least_draws, matched_draws, more_draws, most_draws
from .polish import polished
from .slopes import in_range
from .start import best_start, laplace_member

SOLVED = 0.2  # of the tolerance, below which no gain is left over the present draws
HIDDEN = 0.1  # of the blur, likewise
FAR, NEAR = 0.5, 1.0  # nats of gain from which on a step is searched for; below which draws may be added
TRUST = 64.0  # standard deviations that a location moves at most
WIDER, LEAST_STEP, SHORTER, NARROWER = 4.0, 1e-6, 0.25, 0.7
SLOW, QUICK, POOR = 6, 0.3, 0.7  # rounds until a polish; ratios of gains that lengthen or shorten a step
SWINGS = 0.4  # ratio of gains from which on steps are no good
LOST = 20  # searched steps until other draws are tried
MOST_POLISHES, RUNAWAY, WIDEST, ROUNDING = 8, 1e15, 1e15, 2.0**-50
CAUTION = 1.5  # what one set of draws may cost beyond its expectation
TESTED = 2**13  # draws from which on a share of them where log p is not finite is no accident
PATIENCE = 2  # Laplace approximations in a row that are worse than the best
PAYS = 2.0  # ratio of variances from which on the quadratic is a control variate


def left(e: Evaluation) -> float:
    """Nats that are left to gain, draws or no draws."""
    return e.gain + e.blur


class Newton(OnFixedDraws):
    """Rounds of steps, polishes and changes of the draws."""

    name = "newton"

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=True) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        count = least_draws(q.dim)
        self.most = most_draws(q.dim, count)
        self.kept: Evaluation | None = None  # of the present q at the present draws
        self.draws: FixedDraws | None = None
        self.state.update(count=count, step=1.0, last=math.inf, slow=0, searched=0, polishes=0)

    def abandon(self, before: dict) -> None:
        super().abandon(before)
        self.draws = self.kept = None

    # ---- rounds

    def begin(self) -> tuple[float, str]:
        """Find a start."""
        found = self.fixed().at(self.start) if self.near else None
        if found is None or not math.isfinite(found.elbo):
            found = best_start(self.fixed(), self.start, self.key, laplace_member, PATIENCE, left)
        self.take(found)
        return found.elbo, "" if math.isfinite(found.elbo) else NOWHERE_FINITE

    def round(self) -> tuple[float, str]:
        """One step, polish, or change of the draws: (the ELBO before it, why to stop or "")."""
        e = self.evaluation()
        self.state.update(gain=e.gain, blur=e.blur)
        return e.elbo, self.improved(e)

    def improved(self, e: Evaluation) -> str:
        s = self.state
        if abs(e.elbo) * ROUNDING > self.tolerance:
            return TOO_LARGE.format(e.elbo)
        if e.gain > RUNAWAY or np.max(e.q.stddev) > WIDEST * np.max(self.start.stddev):
            return RUNS_AWAY
        if self.reached(e):
            return self.confirm(e, self.moved(e, min(s["step"], 1.0)))
        solved = e.gain < SOLVED * self.tolerance
        blur = self.state["blur"]
        if e.gain < NEAR and (solved or e.gain < HIDDEN * blur) and (CAUTION * blur > self.tolerance or e.rejected):
            return self.refine(e)
        if e.gain > FAR:
            return self.search(e)
        if (e.gain > SWINGS * s["last"] or s["slow"] >= SLOW) and s["polishes"] < MOST_POLISHES:
            return self.polish(e)
        return self.follow(e)

    def reached(self, e: Evaluation) -> bool:
        """Whether gain and blur, of which the first is exact and the second an expectation, leave the tolerance."""
        short = CAUTION * self.state["blur"] + e.gain
        return not e.rejected and e.gain < SOLVED * self.tolerance and short < self.tolerance

    def refine(self, e: Evaluation) -> str:
        """More draws: as many as the blur wants."""
        s = self.state
        if e.rejected and s["count"] >= TESTED:
            return f"log p is not finite at {2 * e.rejected:,} of {s['count']:,} draws of q"
        if s["count"] >= self.most:
            return TOO_FEW.format(s["count"])
        q = self.moved(e, s["step"])
        self.fresh(more_draws(s["count"], CAUTION * s["blur"] / self.tolerance, self.most))
        return self.enter(q)

    def confirm(self, e: Evaluation, q: Family) -> str:
        """Whether as many draws that q has not been fitted to tell the same: where it has followed the others, their
        residuals are too small.  What is left to gain over new draws is what q is short of the best and their blur."""
        s = self.state
        self.fresh(s["count"])
        end = self.enter(q)
        if end or self.kept is None or self.kept.q is not q:
            return end
        other = self.kept
        blur = 0.5 * (e.blur + other.blur)
        s.update(gain=e.gain, blur=max(blur, 0.5 * (blur + other.gain - other.blur)))
        if not other.rejected and e.gain + CAUTION * s["blur"] < self.tolerance:
            return CONVERGED
        return self.refine(other)

    def enter(self, q: Family) -> str:
        """Take q at new draws; a narrower one where log p is not finite at some of them."""
        for _ in range(6):
            found = self.fixed().at(q)
            if math.isfinite(found.elbo):
                self.take(found)
                return ""
            q = q.resized(NARROWER)
        return NO_SEEN_DRAWS

    def search(self, e: Evaluation) -> str:
        """Far from the optimum: shorter and shorter steps until the ELBO over the draws rises."""
        s, step = self.state, 1.0
        s["searched"] += 1
        if s["searched"] % LOST == 0 and e.gain < 1e6 and s["count"] < self.most:
            self.fresh(2 * s["count"])
            return self.enter(e.q) or self.polish(self.evaluation())
        while step > LEAST_STEP:
            found = self.tried(self.moved(e, step))
            if found is not None and found.elbo > e.elbo + 1e-4 * step * min(e.gain, 1.0) - 1e-12 * abs(e.elbo):
                self.take(found)
                s.update(step=min(1.0, 2.0 * step), last=math.inf)
                return ""
            step *= SHORTER
        if s["count"] >= self.most:
            return NO_STEP
        self.fresh(4 * s["count"])
        return self.enter(e.q)

    def follow(self, e: Evaluation) -> str:
        """Near the optimum: a step whose length follows from how the last ones did."""
        s = self.state
        s["slow"] += 1
        if e.gain > POOR * s["last"]:
            s["step"] = max(1 / 16, 0.6 * s["step"])
        elif e.gain < QUICK * s["last"]:
            s["step"] = min(1.0, 1.3 * s["step"])
        s["last"] = e.gain
        found = self.tried(self.moved(e, s["step"]))
        if found is not None and found.elbo > e.elbo - FAR:
            self.take(found)
            return ""
        return self.polish(e) if s["polishes"] < MOST_POLISHES else NO_STEP

    def polish(self, e: Evaluation) -> str:
        """The optimum over the present draws, as far as L-BFGS gets; then others, unless that is all."""
        s = self.state
        s.update(polishes=s["polishes"] + 1, last=math.inf, slow=0)
        q = polished(e, self.slopes, self.tolerance)
        found = None if q is None else self.tried(q)
        if found is not None and found.elbo >= e.elbo:
            self.take(found)
        e = self.evaluation()
        s.update(gain=e.gain, blur=e.blur)
        # the optimum over the draws solves tril B = -I, the step sym B = -I: its gain is not 0, but up to the blur
        if e.gain < max(s["blur"], SOLVED * self.tolerance) and not e.rejected:
            return self.confirm(e, e.q) if e.gain + CAUTION * s["blur"] < self.tolerance else self.refine(e)
        return ""

    # ---- steps

    def moved(self, e: Evaluation, step: float) -> Family:
        """A natural-gradient step of this length."""
        precisions, vectors = e.spectrum.precisions, e.spectrum.vectors
        along = step * e.pulls / ((1.0 - step) + step * precisions)
        reach = TRUST / np.sqrt(np.minimum(1.0, precisions))
        loc = e.q.transform(vectors @ np.clip(along, -reach, reach))
        precision = (1.0 - step) * np.eye(e.q.dim) + step * e.precision
        with in_range():
            return e.q.stretched(loc, precision, WIDER ** min(1.0, 2.0 * step))

    def tried(self, q: Family) -> Evaluation | None:
        """q at the present draws, unless log p is not finite there, or at more of them than now."""
        found, kept = self.fixed().at(q), self.kept
        worse = kept is not None and found.rejected > kept.rejected
        return found if math.isfinite(found.elbo) and not worse else None

    # ---- what is known of q at the end

    def control_variate(self) -> Surrogate | None:
        """The quadratic of log w that m and A are, if the last draws say that it pays."""
        e = self.evaluation() if self.state["begun"] else None
        if e is None or not math.isfinite(e.elbo):
            return None
        found = symmetric("quadratic", e.linear, np.eye(e.q.dim) - e.precision)
        log_w = e.log_p + 0.5 * np.sum(e.eps**2, axis=1)
        return found if PAYS * np.var(log_w - found.value(e.eps)) < np.var(log_w) else None

    def natural_gradient(self) -> np.ndarray | None:
        e = self.evaluation() if self.state["begun"] else None
        if e is None or not math.isfinite(e.elbo):
            return None
        return (e.q.transform(e.linear) - e.q.loc) / e.q.stddev

    # ---- what is kept between rounds

    def fixed(self) -> FixedDraws:
        """The present draws."""
        if self.draws is None:
            s = self.state
            eps = matched_draws(self.key, s["first"], s["count"], self.start.dim, covariance=True)
            self.draws = FixedDraws(self.slopes, eps)
        return self.draws

    def fresh(self, count: int) -> None:
        """Other draws, none of which has been seen."""
        s = self.state
        s["first"] += s["count"] // 2
        s.update(count=min(self.most, count), last=math.inf, slow=0)
        self.draws = self.kept = None

    def evaluation(self) -> Evaluation:
        """Of the present q; again after a checkpoint and at the end, and then at no charge."""
        if self.kept is None:
            with self.slopes.uncounted():
                self.kept = self.fixed().at(self.q)
        return self.kept

    def take(self, found: Evaluation) -> None:
        """Go on from this."""
        self.keep(found.q)
        self.kept = found

    def keep(self, q: Family) -> None:
        """Go on from this, which is not evaluated yet."""
        self.state.update(loc=q.loc, scale=q.scale)
        self.kept = None
