"""Coordinate ascent (CAVI) where the update has a closed form: Gaussian targets.

Each factor in turn becomes the normalised exponential of the other factors' expectation of log p, q_j* proportional to
exp E_-j[log p] (Bishop 2006, equation 10.9).  For a Gaussian with precision P and mean mu that is a Gaussian of
precision P_jj and mean mu_j - sum over k != j of P_jk (m_k - mu_k) / P_jj (equations 10.12 and 10.13), which is
Gauss-Seidel on P.
The ELBO is concave in each factor, not in all of them together.
"""

import math

import numpy as np

from ..families.mean_field import MeanFieldGaussian
from ..results import Estimate
from .fitter import CONVERGED, Fitter
from .fixed_draws import FixedDraws
from .matched_draws import least_draws, matched_draws
from .slopes import OutOfDraws, Slopes

EXACT = 1e-8  # what may be left of log w beyond a quadratic, relative to its spread and rounding
SETTLED, FLATTEST = 1e-9, 1e-12


class CoordinateAscent(Fitter):
    """A round is a sweep over all coordinates of a Gaussian that matched draws tell exactly."""

    name = "coordinate_ascent"

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=True):
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        slopes, count = Slopes(target, on, max_samples, derived), least_draws(q.dim)
        try:
            e = FixedDraws(slopes, matched_draws(key, 0, count, q.dim, covariance=True)).at(q)
        except OutOfDraws:
            need = count if derived else count * (2 * q.dim + 1)
            raise ValueError(
                f"max_samples: expected at least {need} for method='coordinate_ascent', got {max_samples}"
            ) from None
        if e.rejected or not math.isfinite(e.elbo):
            raise ValueError(
                f"method: 'coordinate_ascent' needs a finite log density, and {target.name} is not; use method='newton'"
            )
        log_w = e.log_p + 0.5 * np.sum(e.eps**2, axis=1) + 0.5 * q.dim * math.log(2.0 * math.pi) + q.log_det
        followed = e.eps @ e.linear + 0.5 * np.sum(e.eps * (e.eps - e.eps @ e.precision) - 1.0, axis=1)
        followed += 0.5 * np.trace(e.precision)
        constant = float(np.mean(log_w))
        beyond = float(np.max(np.abs(log_w - constant - followed)))
        if beyond > EXACT * float(np.std(log_w)) + 2.0**-48 * float(np.max(np.abs(log_w))):
            raise ValueError(
                f"method: 'coordinate_ascent' needs an update in closed form, and {target.name} is not Gaussian: its "
                f"log density is up to {beyond:.2g} away from a quadratic; use method='newton'"
            )
        least = float(np.min(np.linalg.eigvalsh(e.precision)))
        if not least > FLATTEST:
            raise ValueError(
                f"method: 'coordinate_ascent' needs a Gaussian, and exp({target.name}) is none: the least eigenvalue "
                f"of its precision is {least:.2g} in units of q; give it a proper prior"
            )
        self.precision = e.precision / np.outer(q.scale, q.scale)
        self.mean = q.loc + q.scale * np.linalg.solve(e.precision, e.linear)
        # log p(x) from the quadratic: E_q log w + KL(q || p)
        self.log_evidence = constant + kl_to(q, self.mean, self.precision)
        self.state.update(loc=q.loc, scale=q.scale, draws=slopes.evaluations)

    @property
    def q(self):
        """The factors after the last sweep."""
        return MeanFieldGaussian(self.state["loc"], self.state["scale"])

    def step(self) -> tuple[Estimate | None, str]:
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
        return Estimate(value, 0.0, 0, method="exact"), CONVERGED if settled else ""


def kl_to(q, mean, precision) -> float:
    """KL(q || N(mean, precision^-1)) for a mean-field q."""
    away = q.loc - mean
    sign, log_det = np.linalg.slogdet(precision)
    if sign <= 0.0:
        return math.nan
    trace = float(np.diag(precision) @ q.scale**2)
    return 0.5 * (trace - q.dim + float(away @ precision @ away) - log_det) - q.log_det
