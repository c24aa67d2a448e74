"""Deterministic fitting: the ELBO over fixed draws, maximised by a quasi-Newton method; then over twice as many
others.

DADVI (Giordano, Ingram and Broderick 2024), for mean-field q alone: over n fixed draws a full-rank q can put its mass
where no draw looks, and with n below the dimension the optimum runs away.  The full Hessian of the objective gives
linear response covariances (equation 13), which have the correlations that q lacks.
"""

import math

import numpy as np

from ..diagnostics.comparison import compare
from ..estimators.selection import continuous
from ..families.mean_field import fill_standard_normals
from ..results import Estimate
from ..rng import COMPARISON, FIT

FIRST_DRAWS, COMPARED, MOST_COMPARED = 128, 4000, 2**20
WIDEST = 300.0  # of log scale, either way
STEP = 1e-5
OPTIMIZERS = ("L-BFGS-B", "trust-ncg")


class Deterministic:
    """One fit; a round is an optimisation over fixed draws, twice as many as in the round before."""

    name = "deterministic"

    def __init__(self, target, q, key, tolerance, max_samples, on, optimizer="L-BFGS-B"):
        if not q.is_diagonal:
            raise ValueError(
                "method: 'deterministic' fits mean-field approximations only: with a fixed set of draws a full-rank "
                "optimum runs away; use 'natural' or 'stochastic'"
            )
        self.target, self.key, self.tolerance = target, key, tolerance
        self.max_samples, self.on, self.optimizer = max_samples, on, optimizer
        self.start, self.found = q, -math.inf
        if not continuous(target, q, key):
            raise ValueError(
                f"method: 'deterministic' needs a gradient that sees all of log p, and {target.name} has comparisons, "
                "branches or floor on z, or none at all; use 'natural' or 'stochastic'"
            )
        self.state = dict(
            parameters=q.parameters,
            best_parameters=q.parameters,
            fixed=FIRST_DRAWS,
            first_draw=0,
            best_fixed=FIRST_DRAWS,
            best_first=0,
            draws=0,
            rounds=0,
            settled=0,
            compared=COMPARED,
        )

    @property
    def q(self):
        """The best round's optimum."""
        return self.start.with_parameters(self.state["best_parameters"])

    def eps(self) -> np.ndarray:
        """The fixed draws of this round, (fixed, dim), none of which another round had."""
        out, s = np.empty((self.state["fixed"], self.start.dim)), self.state
        fill_standard_normals(out, self.key, FIT, s["first_draw"])
        return out

    def loss(self, parameters, eps):
        """(-ELBO over the fixed draws, its gradient), exactly."""
        dim = self.start.dim
        loc, log_scale = parameters[:dim], parameters[dim:]
        if np.max(np.abs(log_scale)) > WIDEST or not np.isfinite(loc).all():
            return math.inf, np.zeros(2 * dim)
        if self.state["draws"] + len(eps) > self.max_samples:
            raise OutOfDraws
        scale = np.exp(log_scale)
        with np.errstate(over="ignore", invalid="ignore"):
            log_p, slope = self.on.evaluate(self.target, loc + scale * eps, True)
            self.state["draws"] += len(eps)
            value = float(np.mean(log_p) + np.sum(log_scale)) + 0.5 * dim * (1.0 + math.log(2.0 * math.pi))
            gradient = np.concatenate([slope.mean(0), (slope * eps).mean(0) * scale + 1.0])
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            return math.inf, np.zeros(2 * dim)
        if value > self.found:
            self.found, self.state["parameters"] = value, parameters.copy()
        return -value, -gradient

    def step(self) -> tuple[Estimate, str]:
        """One optimisation: (ELBO over its fixed draws, why to stop or "")."""
        s, eps = self.state, self.eps()
        self.found = -math.inf
        try:
            self.optimise(eps)
        except OutOfDraws:
            if not s["rounds"]:
                s["best_parameters"] = s["parameters"]
            return Estimate(self.found, math.nan, len(eps), method="fixed_draws", key=self.key), "out of draws"
        if not math.isfinite(self.found):
            return Estimate(math.nan, math.nan, len(eps), key=self.key), "the log density is not finite at the start"
        value = Estimate(self.found, math.nan, len(eps), method="fixed_draws", key=self.key)
        s.update(rounds=s["rounds"] + 1, first_draw=s["first_draw"] + s["fixed"], fixed=2 * s["fixed"])
        return value, self.judge()

    def optimise(self, eps) -> None:
        """To the optimum over these draws; ``loss`` keeps the best point that it sees."""
        from scipy.optimize import minimize

        hessian = {"hessp": self.product} if self.optimizer == "trust-ncg" else {}
        options = {"maxiter": 1000} | ({} if hessian else {"maxfun": 5000, "ftol": 1e-12, "gtol": 1e-6})
        before = self.state["parameters"]
        with np.errstate(over="ignore", invalid="ignore"):
            minimize(self.loss, before, (eps,), jac=True, method=self.optimizer, options=options, **hessian)

    def judge(self) -> str:
        """Two optima over different draws differ by what the draws' scarcity costs: converged where that stays below
        the tolerance twice in a row, in either direction."""
        s = self.state
        if np.max(np.abs(s["parameters"][self.start.dim :])) > WIDEST - 1.0:
            return "the scale of q runs away: the target may be improper"
        seen = dict(
            best_parameters=s["parameters"], best_fixed=s["fixed"] // 2, best_first=s["first_draw"] - s["fixed"] // 2
        )
        if s["rounds"] == 1:
            s.update(seen)
            return ""
        if s["draws"] + 2 * s["compared"] > self.max_samples:
            return "out of draws"
        key = self.key.child(COMPARISON, s["rounds"])
        new = self.start.with_parameters(s["parameters"])
        gain = compare(self.target, new, self.q, s["compared"], rng=key, **self.on.options)
        s["draws"] += 2 * s["compared"]
        if not gain.value < 0.0:
            s.update(seen)
        near = abs(gain.value) + 2.0 * gain.standard_error < self.tolerance
        s["settled"] = s["settled"] + 1 if near else 0
        if s["settled"] == 2:
            return "converged"
        if 2.0 * gain.standard_error > 0.5 * self.tolerance:
            s["compared"] = min(4 * s["compared"], MOST_COMPARED)
        return ""

    def product(self, parameters, vector, eps):
        """Hessian of the loss times a vector, by a difference of exact gradients."""
        size = float(np.linalg.norm(vector))
        if size == 0.0:
            return np.zeros_like(vector)
        h = STEP * max(1.0, float(np.linalg.norm(parameters))) / size
        up, down = (self.loss(parameters + sign * h * vector, eps)[1] for sign in (1.0, -1.0))
        return (up - down) / (2.0 * h)

    def linear_response(self) -> np.ndarray | None:
        """Covariance of z, (dim, dim): the block for loc of the inverse of the full Hessian of -ELBO; None where that
        is not positive definite."""
        s = self.state
        s.update(fixed=s["best_fixed"], first_draw=s["best_first"])  # the objective that was optimised
        eps, parameters, draws = self.eps(), s["best_parameters"].copy(), s["draws"]
        self.found, self.max_samples = math.inf, math.inf  # nothing here is a better point, or counts
        hessian = np.array([self.product(parameters, row, eps) for row in np.eye(len(parameters))])
        self.state["draws"] = draws
        if not np.isfinite(hessian).all() or not np.all(np.any(hessian != 0.0, axis=1)):
            return None
        try:
            factor = np.linalg.cholesky(0.5 * (hessian + hessian.T))
        except np.linalg.LinAlgError:
            return None
        root = np.linalg.solve(factor, np.eye(len(parameters)))
        return (root.T @ root)[: self.start.dim, : self.start.dim]


class OutOfDraws(Exception):
    """The next evaluation would exceed ``max_samples``."""
