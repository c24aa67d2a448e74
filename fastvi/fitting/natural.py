"""Natural-gradient fitting without a gradient: the surrogate's Gaussian is the next q.

With log p - log q close to m^T eps + 1/2 eps^T M eps under q, the target's own Gaussian has precision I - M and mean
(I - M)^-1 m in eps; moving there is a natural-gradient step of length one (Salimans and Knowles 2013, section 4; here
by least squares on fresh draws).  Steps and changes of width are bounded by a trust region, whose
size is searched for while the optimum is far.
"""

import math

import numpy as np

from ..control_variates import fit, size
from ..estimators.cost import possible
from ..estimators.dependent_draws import ROUNDING
from ..estimators.pilot import draw
from ..results import Estimate
from ..rng import FIT

LEAST_DRAWS, PER_COEFFICIENT, GROWTH = 2048, 16, 4
STEP, FACTOR = 2.0, 4.0  # bounds of a round at trust 1: deviations moved, factor of the variance
FLAT, FLATTEST = 0.1, 0.01  # precisions below which a step is bounded as if by these, or computed as if with these
LEAST_TRUST, MOST_TRUST, MOST_WIDENING = 2.0**-12, 2.0**8, 2.0
SEARCHED, TRIAL = (1 / 64, 1 / 8, 1 / 2, 1.0, 2.0, 8.0), 256
LEAST_STEP, SWING, MANY = 1 / 16, 0.25, 32
CAUTION = 0.2  # of the tolerance, for nats that are estimated to second order only
FAR = 2.0  # nats to be gained from which on a step is searched for


RUNAWAY = "the ELBO is too large for its rounding: the target may be improper"


class Natural:
    """One fit, round by round; ``state`` is all that the next round depends on."""

    name = "natural"

    def __init__(self, target, q, key, tolerance, max_samples, on):
        self.target, self.key, self.tolerance = target, key, CAUTION * tolerance
        self.max_samples, self.on, self.kind = max_samples, on, type(q)
        self.state = dict(
            loc=q.loc,
            scale=q.scale,
            best_loc=q.loc,
            best_scale=q.scale,
            best=-math.inf,
            trust=1.0,
            step_size=1.0,
            averaged=1,
            curvature=np.zeros((q.dim, q.dim)),
            draws=0,
            wanted=0,
        )

    @property
    def q(self):
        """The best so far."""
        return self.kind(self.state["best_loc"], self.state["best_scale"])

    def step(self) -> tuple[Estimate, str]:
        """One round: (ELBO before the step, why to stop or "")."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            try:
                return self.round()
            except (ValueError, np.linalg.LinAlgError) as error:
                if isinstance(error, ValueError) and not str(error).startswith(("loc:", "scale:", "scale_tril:")):
                    raise
                return self.estimate(math.nan, math.nan, 0), "q leaves the range of float64"

    def round(self) -> tuple[Estimate, str]:
        """:meth:`step`, where numbers stay in range."""
        s = self.state
        q = self.kind(s["loc"], s["scale"])
        count = int(min(max(least_draws(q.dim), s["wanted"]), self.max_samples - s["draws"]))
        levels = possible(("diagonal", "quadratic", "cubic"), q.dim, count // 2)
        if not levels:
            return self.estimate(math.nan, math.nan, 0), "out of draws"
        eps, _, log_w = draw(self.target, q, self.key, count, self.on, FIT, s["draws"])
        s["draws"] += count
        if np.isnan(log_w).any() or (log_w == math.inf).any():
            return self.estimate(math.nan, math.nan, count), "the log density is not finite at some draws"
        if (log_w == -math.inf).any():
            return self.estimate(-math.inf, math.nan, count), "the log density is -inf at some draws"
        half = count // 2
        fits = [fit(eps[part], log_w[part], levels[-1]) for part in (slice(half), slice(half, None))]
        constant = 0.5 * (fits[0].constant + fits[1].constant)
        left = log_w - constant - 0.5 * (fits[0].value(eps) + fits[1].value(eps))
        error = float(np.std(left)) / math.sqrt(count - size(levels[-1], q.dim)) + ROUNDING * abs(constant)
        # of the two estimates of the error the larger: heavy tails hide from the residuals
        value = self.estimate(constant, max(error, 0.5 * abs(fits[0].constant - fits[1].constant)), count)
        linear, noise = halves(fits[0].linear, fits[1].linear)
        curvature, rough = halves(fits[0].curvature, fits[1].curvature)
        return value, self.move(q, value, linear, curvature, noise, rough)

    def estimate(self, value, error, count) -> Estimate:
        return Estimate(value, error, count, method="surrogate", key=self.key)

    def move(self, q, value, linear, curvature, noise, rough) -> str:
        """To the next q; "converged" where nothing is left to gain.

        ``noise`` and ``rough`` are as far from 0 as ``linear`` and ``curvature`` are from the truth.
        """
        s, count = self.state, value.num_samples
        moved, held = self.next_q(q, linear, curvature, 1.0)
        blur = self.gain(q, curvature, noise, rough)  # as much of the gain may be noise
        gain = max(0.0, self.gain(q, curvature, linear, curvature) - blur)
        far = held or gain > FAR
        worse = value.value < s["best"] - 3.0 * value.standard_error - self.tolerance
        if not worse:
            s.update(best=value.value, best_loc=q.loc, best_scale=q.scale)
        if far:
            moved = self.search(q, linear, curvature)
        elif worse and s["averaged"] == 1:
            # the step near the optimum was too long: half of it, from the best q, measured anew
            s.update(loc=s["best_loc"], scale=s["best_scale"], best=-math.inf)
            s["step_size"] = max(LEAST_STEP, 0.5 * s["step_size"])
            s["wanted"] = min(2 * count, MANY * least_draws(q.dim))
            return ""
        elif max(gain, blur / s["averaged"]) < self.tolerance:
            if ROUNDING * abs(value.value) > self.tolerance:
                return RUNAWAY
            moved = self.next_q(q, linear / s["averaged"], curvature / s["averaged"], 1.0)[0]
            s.update(loc=moved.loc, scale=moved.scale, best_loc=moved.loc, best_scale=moved.scale)
            return "converged"
        else:
            s["step_size"] = self.step_size(q, curvature)
            step = s["step_size"] / s["averaged"]
            moved = self.next_q(q, step * linear, step * curvature, 1.0)[0]
            if gain < blur and count >= MANY * least_draws(q.dim):
                s["averaged"] += 1  # what is left is noise: average it away, rather than follow it
        s.update(loc=moved.loc, scale=moved.scale)
        s["wanted"] = count if far else int(count * min(GROWTH, max(1.0, 2.0 * blur / self.tolerance)))
        s["wanted"] = min(s["wanted"], MANY * least_draws(q.dim))
        return ""

    def step_size(self, q, curvature) -> float:
        """The part of a whole step to take: less where steps swing back and forth, as they do for skewed targets."""
        s = self.state
        curvature = q.restrict(curvature)  # the rest stays, whatever q does
        before, s["curvature"] = s["curvature"], curvature
        swing = float(np.sum(before * curvature))
        size = float(np.linalg.norm(before) * np.linalg.norm(curvature))
        if swing < -SWING * size:
            return max(LEAST_STEP, 0.6 * s["step_size"])
        return min(1.0, 1.3 * s["step_size"]) if swing > SWING * size else s["step_size"]

    def search(self, q, linear, curvature):
        """The best of steps within regions of several sizes, by the ELBO over a few common draws."""
        s = self.state
        trusts = [min(max(s["trust"] * t, LEAST_TRUST), MOST_TRUST) for t in SEARCHED]
        if np.min(1.0 - np.linalg.eigvalsh(curvature)) > FLATTEST:
            trusts.append(math.inf)  # all the way to the surrogate's Gaussian, which may be the target itself
        tried = [self.next_q(q, linear, curvature, trust)[0] for trust in trusts]
        if s["draws"] + TRIAL * len(tried) > self.max_samples:
            return tried[0]
        values = [np.mean(draw(self.target, q, self.key, TRIAL, self.on, FIT, s["draws"])[2]) for q in tried]
        s["draws"] += TRIAL * len(tried)
        which = int(np.argmax([v if math.isfinite(v) else -math.inf for v in values]))
        if trusts[which] < math.inf:
            s["trust"] = trusts[which]
        return tried[which]

    def next_q(self, q, linear, curvature, trust):
        """(the next q, whether the trust region held it back)"""
        values, vectors = np.linalg.eigh(curvature)
        widest = FACTOR ** (trust if trust == math.inf else min(trust, MOST_WIDENING))
        precision = np.maximum(1.0 - values, FLATTEST)
        pull, reach = vectors.T @ linear / precision, STEP * trust / np.sqrt(np.maximum(precision, FLAT))
        along = np.clip(pull, -reach, reach)
        loc = q.loc + q.scale_tril @ (vectors @ along)
        held = bool(np.any(np.abs(pull) > reach) or np.any(1.0 - values < FLATTEST))
        moved, out = q.stretched(loc, curvature, widest)
        return moved, held or out

    def gain(self, q, curvature, linear, change) -> float:
        """Nats to be gained, to second order, where the coefficients are ``linear`` and ``change`` and the target's
        precision is I - ``curvature``."""
        values, vectors = np.linalg.eigh(curvature)
        along = vectors.T @ linear
        widths = q.restrict(change)
        return 0.5 * float(np.sum(along**2 / np.maximum(1.0 - values, FLATTEST))) + 0.25 * float(np.sum(widths**2))


def least_draws(dim) -> int:
    """In a round."""
    return max(LEAST_DRAWS, PER_COEFFICIENT * size("quadratic", dim))


def halves(first, second):
    """The mean of what two halves of the draws say, and half their difference, which varies as the mean does."""
    return 0.5 * (first + second), 0.5 * (first - second)
