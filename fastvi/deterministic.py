"""Deterministic fitting: the ELBO over fixed draws, maximised by a quasi-Newton method; then over twice as many.

DADVI (Giordano, Ingram and Broderick 2024), for mean-field q alone: over n fixed draws a full-rank q can put its mass
where no draw looks, and with n below the dimension the optimum runs away.  The full Hessian of the objective gives
linear response covariances (equation 13), which have the correlations that q lacks.
"""

import math

import numpy as np

from .comparison import compare
from .estimates import Estimate
from .families import MeanFieldGaussian
from .rng import FIT, Key

FIRST_DRAWS, COMPARED, MOST_COMPARED = 64, 4000, 2**20
STEP = 1e-5
OPTIMIZERS = ("L-BFGS-B", "trust-ncg")


class Deterministic:
    """One fit; a round is an optimisation over fixed draws, twice as many as in the round before."""

    name = "deterministic"

    def __init__(self, target, q, key, tolerance, max_draws, num_threads=None, optimizer="L-BFGS-B"):
        if not isinstance(q, MeanFieldGaussian):
            raise ValueError(
                "method: 'deterministic' fits mean-field approximations only: with a fixed set of draws a full-rank "
                "optimum runs away; use 'natural' or 'stochastic'"
            )
        self.target, self.key, self.tolerance = target, key, tolerance
        self.max_draws, self.num_threads, self.optimizer = max_draws, num_threads, optimizer
        self.start = q
        self.state = dict(parameters=q.parameters, fixed=FIRST_DRAWS, draws=0, rounds=0, compared=COMPARED)

    @property
    def q(self):
        """The last round's optimum, or the best point of an unfinished one."""
        return self.start.with_parameters(self.state["parameters"])

    def eps(self) -> np.ndarray:
        """The fixed draws, (fixed, dim): those of a round are the first of the next."""
        out = np.empty((self.state["fixed"], self.start.dim))
        MeanFieldGaussian(np.zeros(self.start.dim), np.ones(self.start.dim)).fill(out, self.key, FIT, 0)
        return out

    def loss(self, parameters, eps):
        """(-ELBO over the fixed draws, its gradient), exactly."""
        dim = self.start.dim
        loc, log_scale = parameters[:dim], parameters[dim:]
        with np.errstate(over="ignore"):
            scale = np.exp(log_scale)
        if not np.isfinite(scale).all():
            return math.inf, np.zeros(2 * dim)
        log_p, slope = self.target.value_and_grad(loc + scale * eps, num_threads=self.num_threads)
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
        from scipy.optimize import minimize

        s, eps = self.state, self.eps()
        if s["draws"] + len(eps) > self.max_draws:
            return Estimate(math.nan, math.nan, 0, key=self.key), "out of draws"
        self.found, before = -math.inf, s["parameters"]
        options = {"maxiter": 1000}
        if self.optimizer == "L-BFGS-B":
            options.update(maxfun=5000, ftol=1e-12, gtol=1e-6)
            result = minimize(self.loss, before, (eps,), jac=True, method=self.optimizer, options=options)
        else:
            result = minimize(
                self.loss, before, (eps,), jac=True, hessp=self.product, method=self.optimizer, options=options
            )
        if not math.isfinite(self.found):
            return Estimate(math.nan, math.nan, len(eps), key=self.key), "the log density is not finite at the start"
        value = Estimate(self.found, math.nan, len(eps), method="fixed_draws", key=self.key)
        s["rounds"] += 1
        s["fixed"] *= 2
        if s["rounds"] == 1:
            return value, ""
        key = Key(self.key.word ^ (s["rounds"] << 40))
        gain = compare(self.target, self.q, self.start.with_parameters(before), s["compared"], rng=key)
        s["draws"] += s["compared"]
        if gain.value + 2.0 * gain.standard_error < self.tolerance:
            return value, "converged" if result.success or result.status == 2 else str(result.message)
        if 2.0 * gain.standard_error > 0.5 * self.tolerance:
            s["compared"] = min(4 * s["compared"], MOST_COMPARED)
        return value, ""

    def product(self, parameters, vector, eps):
        """Hessian of the loss times a vector, by a difference of exact gradients."""
        size = float(np.linalg.norm(vector))
        if size == 0.0:
            return np.zeros_like(vector)
        h = STEP * max(1.0, float(np.linalg.norm(parameters))) / size
        up, down = (self.loss(parameters + sign * h * vector, eps)[1] for sign in (1.0, -1.0))
        return (up - down) / (2.0 * h)

    def linear_response(self) -> np.ndarray:
        """Covariance of z, (dim, dim): the block for loc of the inverse of the full Hessian of -ELBO."""
        eps, parameters = self.eps(), self.state["parameters"].copy()
        self.found = math.inf  # nothing here is a better point
        hessian = np.array([self.product(parameters, row, eps) for row in np.eye(len(parameters))])
        return np.linalg.inv(0.5 * (hessian + hessian.T))[: self.start.dim, : self.start.dim]
