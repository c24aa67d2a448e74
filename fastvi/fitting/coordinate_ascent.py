"""Coordinate ascent (CAVI) where the update has a closed form: Gaussian targets.

Each factor in turn becomes the normalised exponential of the other factors' expectation of log p, q_j* proportional to
exp E_-j[log p] (Bishop 2006, equation 10.9).  For a Gaussian with precision P and mean mu that is a Gaussian of
precision P_jj and mean mu_j - sum over k != j of P_jk (m_k - mu_k) / P_jj (equations 10.12 and 10.13), which is
Gauss-Seidel on P.
The ELBO is concave in each factor, not in all of them together.
"""

import math

import numpy as np

from ..control_variates import fit, size
from ..estimators.pilot import draw
from ..families.mean_field import MeanFieldGaussian
from ..results import Estimate
from ..rng import FIT

EXACT = 1e-8  # what may be left of log w beyond a quadratic, relative to its spread and rounding
SETTLED, FLATTEST = 1e-9, 1e-12


class CoordinateAscent:
    """One fit; a round is a sweep over all coordinates."""

    name = "coordinate_ascent"

    def __init__(self, target, q, key, tolerance, max_samples, on):
        if not q.is_diagonal:
            raise ValueError("method: 'coordinate_ascent' fits mean-field approximations only")
        self.key, self.tolerance = key, tolerance
        count = max(512, 4 * size("quadratic", q.dim))
        if 2 * count > max_samples:
            raise ValueError(
                f"max_samples: expected at least {2 * count} for method='coordinate_ascent', got {max_samples}"
            )
        eps, _, log_w = draw(target, q, key, 2 * count, on, FIT)
        if not np.isfinite(log_w).all():
            raise ValueError(f"method: 'coordinate_ascent' needs a finite log density, and {target.name} is not")
        found = fit(eps[:count], log_w[:count], "quadratic")  # and judged by the other half too
        left = float(np.max(np.abs(log_w - found.constant - found.value(eps))))
        if left > EXACT * float(np.std(log_w)) + 2.0**-48 * float(np.max(np.abs(log_w))):
            raise ValueError(
                f"method: 'coordinate_ascent' needs an update in closed form, and {target.name} is not Gaussian: its "
                f"log density is up to {left:.2g} away from a quadratic; use 'newton'"
            )
        inner = np.eye(q.dim) - found.curvature
        least = float(np.min(np.linalg.eigvalsh(inner)))
        if not least > FLATTEST:
            raise ValueError(
                f"method: 'coordinate_ascent' needs a Gaussian, and exp({target.name}) is none: the least eigenvalue "
                f"of its precision is {least:.2g} in units of q"
            )
        self.precision = inner / np.outer(q.scale, q.scale)
        self.mean = q.loc + q.scale * np.linalg.solve(inner, found.linear)
        # log p(x) from the surrogate: E_q log w + KL(q || p)
        self.log_evidence = found.constant + kl_to(q, self.mean, self.precision)
        self.state = dict(loc=q.loc, scale=q.scale, draws=2 * count, gain=math.nan, blur=math.nan)

    @property
    def q(self):
        """The factors after the last sweep."""
        return MeanFieldGaussian(self.state["loc"], self.state["scale"])

    def control_variate(self):
        """None: the ELBO on the way is exact."""
        return None

    def step(self) -> tuple[Estimate, str]:
        """One sweep: (the exact ELBO before it, "converged" once nothing moves)."""
        before = self.q
        value = self.log_evidence - kl_to(before, self.mean, self.precision)
        loc, diagonal = before.loc.copy(), np.diag(self.precision)
        for j in range(len(loc)):
            away = self.precision[j] @ (loc - self.mean) - diagonal[j] * (loc[j] - self.mean[j])
            loc[j] = self.mean[j] - away / diagonal[j]
        scale = 1.0 / np.sqrt(diagonal)
        moved = float(np.max(np.abs(loc - before.loc) / scale)) + float(np.max(np.abs(np.log(scale / before.scale))))
        self.state.update(loc=loc, scale=scale)
        settled = moved < SETTLED * max(1.0, float(np.max(np.abs(loc / scale))))
        return Estimate(value, 0.0, 0, method="exact"), "converged" if settled else ""


def kl_to(q, mean, precision) -> float:
    """KL(q || N(mean, precision^-1)) for a mean-field q."""
    away = q.loc - mean
    sign, log_det = np.linalg.slogdet(precision)
    if sign <= 0.0:
        return math.nan
    trace = float(np.diag(precision) @ q.scale**2)
    return 0.5 * (trace - q.dim + float(away @ precision @ away) - log_det) - q.log_det
