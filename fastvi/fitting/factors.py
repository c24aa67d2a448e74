"""Fits of products of factors: a surrogate in the factors' scores, coordinate ascent on it, and a look at fresh draws.

A round draws a flattened pilot at q, fits a surrogate of log w to it and goes where coordinate ascent on the surrogate
ends.  What that promises is the gain, what the noise of its coefficients may cost is the blur: with a covariance V of
the linear ones and the curvature I - T of the ELBO in whitened natural parameters, tr((I - T)^-1 V) / 2.
"""

import math

import numpy as np

from .. import hessian_pairs, state_pairs
from ..estimators.derivative import derivative
from ..estimators.score_selection import pilot_draws
from ..execution.nonfinite import check_values
from ..results import Estimate
from ..rng import FIT, START
from ..score_surrogates import HESSIAN, Design, ScoreSurrogate, flat_share, size
from .fitter import CONVERGED, NO_SLOPE, NO_STEP, NOWHERE_FINITE, OUT_OF_DRAWS, Fitter
from .followed import NEGLIGIBLE, Followed
from .points import Moves, Points, joined
from .restarts import SCATTER
from .start import standard_normals
from .surrogate_ascent import Ascents, ascend

A_COEFFICIENT, LEAST = 4, 64  # draws of a pilot
MANY_COEFFICIENTS, MOST_COEFFICIENTS = 1500, 6000  # beyond which slopes tell pairs, or nothing does
UNTOLD = 0.5  # of the variance of log w, from which on slopes miss pairs that least squares may find
BLURS = 1.5  # of them that count, as in the other fits
JUDGING, REFUSED, SHORTER, CAP, DAMPED = 256, 3.0, 0.4, 1.0, 0.3
TRIES, FAILURES, GROWTH = 5, 4, 8.0
PATIENCE, LEAST_SHARE = 4, 0.02  # rounds without a rise; of the way
INFLATION, DOUBLINGS = 20.0, 5  # of a coefficient's variance; of the draws until it is less
DOUBTFUL = 0.3  # of what was promised: an error beyond which a step of point masses is refused
STARTS, ROUNDS_WITH_STARTS = 24, 2
EPSILON = float(np.finfo(float).eps)
FLATTEST = 0.05  # curvature of the ELBO that the blur reckons with


class FactorAscent(Fitter):
    """A round is a pilot, its surrogate and the ascent on it."""

    name = "coordinate_ascent"
    uses_gradient = False

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=False) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        self.points = Points(target, on, derivative(target, q, key).exists, q) if q.has_points else None
        level, count = "quadratic", size("quadratic", q)
        self.few = count <= MOST_COEFFICIENTS
        if count > (MANY_COEFFICIENTS if hessian_pairs.tells_all(q) or state_pairs.told(q) else MOST_COEFFICIENTS):
            slopes = (
                hessian_pairs.fit_memory(q) and hessian_pairs.evaluations(q) > 0 and derivative(target, q, key).exists
            )
            level = HESSIAN if slopes else "quadratic" if self.few else "linear"
        self.pairs: np.ndarray | None = None
        count = max(LEAST, A_COEFFICIENT * size(level, q))
        self.state.update(parameters=q.parameters, count=count, first=0, capped=0, failures=0, rounds=0)
        self.state.update(share=1.0, peak=-math.inf, flat=0, level=level)

    @property
    def level(self) -> str:
        return self.state["level"]

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

    def design(self, q, z) -> Design:
        """The scores of a pilot's draws z, with pairs from slopes where there are too many for least squares"""
        if self.level != HESSIAN:
            return Design(q, z, self.level)
        if self.pairs is None:
            others = self.draws_of(q, hessian_pairs.DRAWS, 0.0)[0]
            with np.errstate(all="ignore"):
                self.pairs = hessian_pairs.pairs(q, others, lambda at: self.on.evaluate(self.target, at, True)[1])
            self.state["draws"] += hessian_pairs.evaluations(q)
        return Design(q, z, "linear") if self.pairs is None else hessian_pairs.HessianDesign(q, z, self.pairs)

    def step(self) -> tuple[Estimate | None, str]:
        s, q = self.state, self.q
        if s["draws"] + s["count"] > self.max_samples:
            return None, OUT_OF_DRAWS
        draws, self.pairs = self.draws_of(q, s["count"], flat_share(q)), None
        for _ in range(DOUBLINGS):
            if not np.isfinite(draws[1]).all():
                return self.value_of(math.nan, math.nan, len(draws[1])), NOWHERE_FINITE
            followed = Followed(self.design(q, draws[0]), *draws[1:])
            if followed.inflation <= INFLATION or s["draws"] + len(draws[0]) > self.max_samples:
                break  # else some states of two factors are hardly among them
            more = self.draws_of(q, len(draws[0]), flat_share(q))
            draws = tuple(np.concatenate(both) for both in zip(draws, more, strict=True))
        if not followed.means_something:
            s.update(failures=s["failures"] + 1, count=2 * s["count"])
            value = self.value_of(followed.mean, math.nan, len(draws[1]))
            return value, NO_STEP if s["failures"] >= FAILURES else ""
        self.choose_level(q, followed)
        found, moves = followed.surrogate, None
        s.update(linear=found.linear, pairs=np.zeros((0, 0)) if found.pairs is None else found.pairs)
        if self.points is not None:
            moves = self.moves(q, followed, draws[0][: followed.n], draws[2][: followed.n])
            if moves is None:
                return self.value_of(found.constant, math.nan, len(draws[1])), NO_SLOPE
            found = joined(found, moves)
        error = followed.deviation / math.sqrt(len(draws[0]))
        value = self.value_of(found.constant, error, len(draws[1]))
        ends = ascend(q, found, self.starts(q), cap=CAP if s["capped"] else None)
        noise = followed.noise(None if moves is None else moves.residuals)
        s.update(gain=max(0.0, float(ends.elbo[0]) - found.constant), blur=self.blur(found, noise))
        s["rounds"] += 1
        self.look_for_circles(found.constant, error)
        best = float(np.max(ends.elbo)) - found.constant
        spread = float(np.std(draws[1]))
        exact = moves is None and followed.deviation <= NEGLIGIBLE * (1.0 + spread)
        others, saddle = best > s["gain"] + self.tolerance, moves is not None and not moves.concave
        if s["gain"] + BLURS * s["blur"] < self.tolerance and not (ends.held[0] or others or saddle):
            return value, CONVERGED
        if not self.move(q, found, ends, error, exact, spread, moves):
            s["failures"] += 1
            s["count"] *= 2
            return value, NO_STEP if s["failures"] >= FAILURES else ""
        s["failures"] = 0
        short = BLURS * s["blur"] / (0.5 * self.tolerance)
        if short > 1.0 and s["gain"] < max(2.0 * s["blur"], self.tolerance):
            s["count"] = math.ceil(s["count"] * min(GROWTH, max(2.0, short)))
        return value, ""

    def choose_level(self, q, followed: Followed) -> None:
        """That of the next round: least squares where slopes miss pairs, and no pairs where there are none, as of
        latents that are independent given the point masses."""
        s, found = self.state, followed.surrogate
        if self.level == HESSIAN and not hessian_pairs.tells_all(q):
            other = "quadratic" if followed.left_over > UNTOLD else HESSIAN
        elif self.level == "linear":
            other = "quadratic" if followed.left_over > NEGLIGIBLE else "linear"
        elif self.level == "quadratic" and found.pairs is not None and found.size > 0.0:
            other = "linear" if np.linalg.norm(found.pairs) < NEGLIGIBLE * found.size else "quadratic"
        else:
            return
        if self.few and other != self.level:
            least = A_COEFFICIENT * size(other, q)
            s.update(level=other, count=max(s["count"], least) if other == "quadratic" else max(LEAST, least))

    def look_for_circles(self, value: float, error: float) -> None:
        """Halve the share of the way that steps go where the ELBO does not rise any more: where log p bends in more
        than pairs of factors, full steps may go round in circles about the optimum."""
        s = self.state
        if value > s["peak"] + REFUSED * error:
            s.update(peak=value, flat=0)
        elif s["flat"] + 1 < PATIENCE:
            s["flat"] += 1
        else:
            s.update(share=max(LEAST_SHARE, 0.5 * s["share"]), flat=0)

    def value_of(self, value: float, error: float, count: int) -> Estimate:
        return Estimate(value, error, count, method="surrogate", key=self.key)

    def moves(self, q, followed, z, log_ratio) -> Moves | None:
        """What a move of the point masses brings; None where log p has no finite slope in them"""
        assert self.points is not None
        self.points.evaluations = 0
        some = self.points.curvature_draws(len(z))
        own = self.draws_of(q, some, 0.0)[0] if flat_share(q) else z[:some]
        found = self.points.moves(q, followed.design, z, log_ratio, own)
        self.state["draws"] += self.points.evaluations
        return found

    def blur(self, found: ScoreSurrogate, noise) -> float:
        """Nats that the noise of the coefficients costs"""
        if found.pairs is None:
            return 0.5 * float(np.trace(noise))
        values, vectors = np.linalg.eigh(np.eye(len(noise)) - found.pairs)
        return 0.5 * float(np.sum(np.sum(vectors * (noise @ vectors), axis=0) / np.maximum(values, FLATTEST)))

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

    def move(self, q, found: ScoreSurrogate, ends: Ascents, error: float, exact: bool, spread: float, moves) -> bool:
        """Go where an ascent ended; by a shorter way where fresh draws tell that this is worse than q.

        A member better than q has a smaller ``spread`` of log w: one with an error that is larger is not excused by it.
        """
        s = self.state
        if s["share"] < 1.0 and not exact:
            ends = ascend(q, found, [q], s["share"], CAP if s["capped"] else None)
        best = int(np.argmax(ends.elbo))
        promising = [best] if best == 0 or exact else [best, 0]
        if exact and all(np.isfinite(each[best]).all() for each in ends.natural):
            s["parameters"] = ends.member(q, best).parameters
            return True
        judged = [self.judged(q, found, ends, k, moves) for k in promising]
        step = s["share"]
        for attempt in range(TRIES):
            value, its_error, new = max(judged, key=lambda each: each[0])
            its_error = min(its_error, spread / math.sqrt(JUDGING))
            if moves is not None:  # a step out of where log p is like a parabola has any error
                its_error = min(its_error, 1.0 + DOUBTFUL * (float(np.max(ends.elbo)) - found.constant))
            if value > found.constant - REFUSED * math.hypot(error, its_error):
                s["parameters"] = new.parameters
                return True
            s["capped"], step = 1, step * SHORTER
            if s["draws"] + JUDGING > self.max_samples:
                return False
            plain = found if attempt < 2 else ScoreSurrogate("linear", found.constant, found.linear, None, q)
            shorter = ascend(q, plain, [q], step if attempt < 2 else step * DAMPED, CAP)
            judged = [self.judged(q, plain, shorter, 0, moves)]
        return False

    def judged(self, q, found: ScoreSurrogate, ends: Ascents, which: int, moves: Moves | None):
        """(ELBO of the member where an ascent ended, its error, the member) from fresh draws of it, with what the
        surrogate promised for a control variate unless that makes the error larger, as where it promised the world;
        -inf where it leaves the range of numbers or of log p."""
        x = ends.moves[which]
        try:
            new, there = ends.member(q, which), q
            if self.points is not None and moves is not None:
                theta = self.points.parameters(q) + moves.coordinates(x)
                new, there = self.points.moved(new, theta), self.points.moved(q, theta)
        except ValueError:
            return -math.inf, 0.0, q
        z, log_w, _ = self.draws_of(new, JUDGING, 0.0, True)
        log_p = log_w + new.log_prob(z)
        scores = np.concatenate([q.whitened(z), np.broadcast_to(x, (len(z), len(x)))], axis=1)
        left = log_p - there.log_prob(z) - found.constant - found.at(scores) + 0.5 * float(x @ x)
        if not np.isfinite(left).all():
            return -math.inf, 0.0, new
        plain, promised = log_p - new.log_prob(z), float(ends.elbo[which])
        error, plain_error = (float(np.std(each, ddof=1)) / math.sqrt(len(z)) for each in (left, plain))
        if plain_error < error + EPSILON * abs(promised):
            return float(np.mean(plain)), plain_error, new
        return promised + float(np.mean(left)), error, new

    def control_variate(self) -> ScoreSurrogate | None:
        """The last surrogate, where q has not moved from it"""
        s = self.state
        if s.get("end") != CONVERGED or "linear" not in s:
            return None
        pairs = s["pairs"] if len(s["pairs"]) else None
        return ScoreSurrogate(self.level, 0.0, s["linear"], pairs, self.q)
