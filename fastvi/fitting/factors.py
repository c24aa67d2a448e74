"""Fits of products of factors: a surrogate in the factors' scores, coordinate ascent on it, and a look at fresh draws.

A round draws a flattened pilot at q, fits a surrogate of log w to it and goes where coordinate ascent on the surrogate
ends.  What that promises is the gain, what the noise of its coefficients may cost is the blur: with a covariance V of
the linear ones and the curvature I - T of the ELBO in whitened natural parameters, tr((I - T)^-1 V) / 2.
"""

import math

import numpy as np

from ..estimators.score_selection import pilot_draws
from ..execution.nonfinite import check_values
from ..results import Estimate
from ..rng import FIT, START
from ..score_surrogates import Design, ScoreSurrogate, fitted, flat_share, size
from .fitter import CONVERGED, NO_STEP, NOWHERE_FINITE, OUT_OF_DRAWS, Fitter
from .restarts import SCATTER
from .start import standard_normals
from .surrogate_ascent import Ascents, ascend

A_COEFFICIENT, LEAST, MOST_COEFFICIENTS = 4, 64, 6000  # draws of a pilot; coefficients beyond which there are no pairs
BLURS = 1.5  # of them that count, as in the other fits
JUDGING, REFUSED, SHORTER, CAP, DAMPED = 256, 3.0, 0.4, 1.0, 0.3
TRIES, FAILURES, GROWTH = 5, 4, 8.0
INFLATION, DOUBLINGS = 20.0, 5  # of a coefficient's variance; of the draws until it is less
NEGLIGIBLE = 1e-9  # of log w that is left, where nothing needs to be judged
STARTS, ROUNDS_WITH_STARTS = 24, 2
FLATTEST = 0.05  # curvature of the ELBO that the blur reckons with


class FactorAscent(Fitter):
    """A round is a pilot, its surrogate and the ascent on it."""

    name = "coordinate_ascent"
    uses_gradient = False

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=False) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        self.level = "quadratic" if size("quadratic", q) <= MOST_COEFFICIENTS else "linear"
        count = max(LEAST, A_COEFFICIENT * size(self.level, q))
        self.state.update(parameters=q.parameters, count=count, first=0, capped=0, failures=0, rounds=0)

    @property
    def q(self):
        return self.start.with_parameters(self.state["parameters"])

    def draws_of(self, q, count: int, share: float, on_trial: bool = False):
        """(z, log w, log of q over what z is from) of fresh draws; ``on_trial`` they need not be finite"""
        s = self.state
        found = pilot_draws(self.target, q, self.key, count, self.on, share, FIT, s["first"])
        s.update(first=s["first"] + count, draws=s["draws"] + count)
        if not on_trial:
            check_values(self.target, found[0], found[1], s["first"] - count)
        return found

    def step(self) -> tuple[Estimate | None, str]:
        s, q = self.state, self.q
        if s["draws"] + s["count"] > self.max_samples:
            return None, OUT_OF_DRAWS
        draws = self.draws_of(q, s["count"], flat_share(q))
        for _ in range(DOUBLINGS):
            if not np.isfinite(draws[1]).all():
                unknown = Estimate(math.nan, math.nan, len(draws[1]), method="surrogate", key=self.key)
                return unknown, NOWHERE_FINITE
            found, noise, left, inflation = self.surrogate(q, *draws)
            if inflation <= INFLATION or s["draws"] + len(draws[0]) > self.max_samples:
                break  # else some states of two factors are hardly among them
            more = self.draws_of(q, len(draws[0]), flat_share(q))
            draws = tuple(np.concatenate(both) for both in zip(draws, more, strict=True))
        log_w, error = draws[1], left / math.sqrt(len(draws[0]))
        value = Estimate(found.constant, error, len(log_w), method="surrogate", key=self.key)
        ends = ascend(q, found, self.starts(q), cap=CAP if s["capped"] else None)
        s.update(gain=max(0.0, float(ends.elbo[0]) - found.constant), blur=self.blur(found, noise))
        s.update(linear=found.linear, pairs=np.zeros((0, 0)) if found.pairs is None else found.pairs)
        s["rounds"] += 1
        best = float(np.max(ends.elbo)) - found.constant
        exact = left <= NEGLIGIBLE * (1.0 + float(np.std(log_w)))
        others = best > s["gain"] + self.tolerance
        if s["gain"] + BLURS * s["blur"] < self.tolerance and not ends.held[0] and not others:
            return value, CONVERGED
        if not self.move(q, found, ends, error, exact):
            s["failures"] += 1
            s["count"] *= 2
            return value, NO_STEP if s["failures"] >= FAILURES else ""
        s["failures"] = 0
        short = BLURS * s["blur"] / (0.5 * self.tolerance)
        if short > 1.0 and s["gain"] < max(2.0 * s["blur"], self.tolerance):
            s["count"] = math.ceil(s["count"] * min(GROWTH, max(2.0, short)))
        return value, ""

    def surrogate(self, q, z, log_w, log_ratio):
        """(the surrogate, the covariance of its whitened linear coefficients, the deviation of what is left, and by
        what factor the draws make the worst of its coefficients less certain than all states would)"""
        design = Design(q, z, self.level)
        found, left, inverse = fitted(design, log_w, log_ratio)
        weights = np.exp(log_ratio)
        weights /= np.mean(weights)
        n, count = design.shape
        own = slice(1, 1 + len(found.linear))
        if inverse is not None:
            scores = (design.matrix() * (weights * left)[:, None]) @ inverse[:, own]
            noise = scores.T @ scores * (n / max(1, n - count))
        else:
            noise = np.diag((weights * left) ** 2 @ design.whitened**2 / n**2 * (n / max(1, n - count)))
        inflation = 1.0 if inverse is None else n * float(np.max(np.diag(inverse)))
        return found, noise, math.sqrt(float(weights @ left**2) / max(1, n - count)), inflation

    def blur(self, found: ScoreSurrogate, noise) -> float:
        """Nats that the noise of the coefficients costs"""
        if found.pairs is None:
            return 0.5 * float(np.trace(noise))
        values, vectors = np.linalg.eigh(np.eye(len(noise)) - found.pairs)
        return 0.5 * float(np.sum(np.einsum("ik,ij,jk->k", vectors, noise, vectors) / np.maximum(values, FLATTEST)))

    def starts(self, q) -> list:
        """q, and in the first rounds others that are scattered about it: ascents on a surrogate cost no draws."""
        if (
            self.state["rounds"] >= ROUNDS_WITH_STARTS
            or not any(block.is_finite for block in q.blocks)
            or self.level == "linear"
        ):
            return [q]
        away = SCATTER * standard_normals(self.key.child(START, self.state["rounds"]), STARTS, len(q.parameters))
        return [q, *(q.scattered(each) for each in away)]

    def move(self, q, found: ScoreSurrogate, ends: Ascents, error: float, exact: bool) -> bool:
        """Go where an ascent ended; by a shorter way where fresh draws tell that this is worse than q."""
        s = self.state
        best = int(np.argmax(ends.elbo))
        promising = [best] if best == 0 or exact else [best, 0]
        if exact:
            s["parameters"] = ends.member(q, best).parameters
            return True
        judged = [self.judged(q, found, ends, k) for k in promising]
        step = 1.0
        for attempt in range(TRIES):
            value, its_error, new = max(judged, key=lambda each: each[0])
            if value > found.constant - REFUSED * math.hypot(error, its_error):
                s["parameters"] = new.parameters
                return True
            s["capped"], step = 1, step * SHORTER
            if s["draws"] + JUDGING > self.max_samples:
                return False
            plain = found if attempt < 2 else ScoreSurrogate("linear", found.constant, found.linear, None, q)
            shorter = ascend(q, plain, [q], step if attempt < 2 else step * DAMPED, CAP)
            judged = [self.judged(q, plain, shorter, 0)]
        return False

    def judged(self, q, found: ScoreSurrogate, ends: Ascents, which: int):
        """(ELBO of the member where an ascent ended, its error, the member) from fresh draws of it, with what the
        surrogate promised for a control variate; -inf where it leaves the range of numbers or of log p."""
        try:
            new = ends.member(q, which)
        except ValueError:
            return -math.inf, 0.0, q
        z, log_w, _ = self.draws_of(new, JUDGING, 0.0, True)
        log_p = log_w + new.log_prob(z)
        left = log_p - q.log_prob(z) - found.constant - found.at(q.whitened(z))
        if not np.isfinite(left).all():
            return -math.inf, 0.0, new
        error = float(np.std(left, ddof=1)) / math.sqrt(len(left))
        return float(ends.elbo[which]) + float(np.mean(left)), error, new

    def control_variate(self) -> ScoreSurrogate | None:
        """The last surrogate, where q has not moved from it"""
        s = self.state
        if s.get("end") != CONVERGED or "linear" not in s:
            return None
        pairs = s["pairs"] if len(s["pairs"]) else None
        return ScoreSurrogate(self.level, 0.0, s["linear"], pairs, self.q)
