"""Fits of products whose factors can all be differentiated through: L-BFGS over fixed draws, then over more.

Where log p bends in more than pairs of factors, or has tails that scores see dimly, slopes of log p tell more than
its values.  As in ``lbfgs``, what the scarcity of draws costs is what an optimum rises by over fresh ones: over n'
draws the optimum of n old ones is short by blur' (1 + n'/n) in expectation, blur' = blur n/n'.
"""

import math

import numpy as np

from ..results import Estimate
from ..rng import STEP
from .fitter import CONVERGED, NOWHERE_FINITE, OUT_OF_DRAWS, TOO_FEW, Fitter
from .lbfgs import CAUTION, blur_of
from .matched_draws import more_draws, most_draws
from .objective import Objective

FIRST, MOST_CALLS, RISE = 128, 200, 0.03  # draws of the first stage; of an objective; of the tolerance, between steps


class Spent(Exception):
    """Another evaluation would take more draws than there are."""


class FactorPaths(Fitter):
    """A round is a stage: an optimisation over draws of its own."""

    name = "lbfgs"

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=True) -> None:
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        self.most = most_draws(q.dim, FIRST)
        self.state.update(parameters=q.parameters, count=FIRST, before=0, stages=0)

    @property
    def q(self):
        return self.start.with_parameters(self.state["parameters"])

    def step(self) -> tuple[Estimate | None, str]:
        s, count = self.state, self.state["count"]
        if s["draws"] + 2 * count > self.max_samples:
            return None, OUT_OF_DRAWS
        key = self.key.child(STEP, s["stages"])
        threads = self.on.options.get("num_threads")
        objective = Objective(self.target, self.q, count, estimator="pathwise", rng=key, num_threads=threads)
        before = self.value(objective, s["parameters"])
        if not math.isfinite(before):
            return self.seen(before), NOWHERE_FINITE
        value, found, gain = self.optimised(objective)
        s.update(parameters=found, stages=s["stages"] + 1, gain=gain)
        if s["before"]:
            s["blur"] = blur_of(value - before, s["before"] / count, s["blur"])
        s["before"] = count
        if gain + CAUTION * s["blur"] < self.tolerance:  # not of the first stage, whose blur is nan
            return self.seen(value), CONVERGED
        if count >= self.most:
            return self.seen(value), TOO_FEW.format(count)
        need = CAUTION * s["blur"] / self.tolerance if math.isfinite(s["blur"]) else 1.0
        s["count"] = more_draws(count, need, self.most)
        return self.seen(value), ""

    def value(self, objective: Objective, parameters) -> float:
        """The ELBO over the draws of a stage"""
        self.state["draws"] += self.state["count"]
        return objective.value(parameters)

    def seen(self, value: float) -> Estimate:
        return Estimate(value, math.nan, self.state["count"], method="fixed_draws", key=self.key)

    def optimised(self, objective: Objective) -> tuple[float, np.ndarray, float]:
        """(ELBO, parameters, nats that are left) of the optimum over the draws of a stage, in units of q's widths"""
        from scipy.optimize import minimize

        s, unit = self.state, self.q.steps
        start = s["parameters"] / unit
        best = math.inf, start

        def downhill(x):
            nonlocal best
            if s["draws"] + s["count"] > self.max_samples:
                raise Spent
            s["draws"] += s["count"]
            value, gradient = objective.negative_value_and_grad(x * unit)
            if not math.isfinite(value):
                return 1e300, np.zeros(len(x))  # a wall, from which a line search turns back
            best = min(best, (value, x.copy()), key=lambda each: each[0])
            return value, gradient * unit

        stop = RISE * self.tolerance
        options = dict(maxfun=MOST_CALLS, maxiter=MOST_CALLS, gtol=0.0, maxcor=20)
        options["ftol"] = stop / max(1.0, abs(s.get("value", 1.0)))
        try:
            found = minimize(downhill, start, jac=True, method="L-BFGS-B", options=options)
        except Spent:
            return -best[0], best[1] * unit, math.inf
        slope = np.asarray(found.jac)
        s["value"] = float(-found.fun)
        left = max(0.5 * float(slope @ found.hess_inv.dot(slope)), stop)
        return s["value"], found.x * unit, left
