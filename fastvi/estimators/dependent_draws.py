"""Draws that depend on each other: antithetic pairs and scrambled Sobol points, with errors that account for it.

An error is that of independent replicates: pairs (eps, -eps), or Sobol sequences (Owen 1997), each with a scrambling of
its own (Matousek 1998, as SciPy has it).  Antithetic pairs remove what is odd in eps and are wasted on what is even;
Sobol points pay where log w is smooth and dimensions are few.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from ..execution.nonfinite import check_gradients, check_values
from ..families.base import LOG_2PI
from ..families.factors import Factors
from ..families.mean_field import fill_standard_normals
from ..results import ROUNDING, SLOPE_ROUNDING, Estimate, GradientEstimate
from ..rng import CHECK, SAMPLE
from ..running_moments import Running
from .options import Request, kind_of
from .precision import REPLICATES, enough_dependent
from .reliability import SOBOL_DEGREES, Powers, holds_all, holds_for_replicates, without_unseen
from .selection import PATHWISE, Plan

LEAST_POINTS = 4  # of a replicate
SKEWED_FROM = 128  # draws: twice the replicates, as means of few Sobol points inherit the skewness of log w
BLOCK = 2**22  # float64s of a block's terms


class Replicates:
    """eps of replicates, block by block; ``size`` draws each."""

    def __init__(self, draws, dim, num_samples, key, stream):
        self.draws, self.dim, self.key, self.stream = draws, dim, key, stream
        if draws == "antithetic":
            if num_samples % 2 or num_samples < 4:
                raise ValueError(
                    f"num_samples: expected an even number of at least 4 for draws='antithetic', got {num_samples}"
                )
            self.size, self.count = 2, num_samples // 2
        else:
            least = REPLICATES * LEAST_POINTS
            if num_samples < least:
                raise ValueError(f"num_samples: expected at least {least} for draws='sobol', got {num_samples}")
            replicates = REPLICATES if num_samples < SKEWED_FROM else 2 * REPLICATES
            self.size = 2 ** int(math.log2(num_samples // replicates))  # Sobol points are balanced at powers of two
            self.count = num_samples // self.size

    @property
    def num_samples(self) -> int:
        return self.size * self.count

    def blocks(self, terms):
        """(first replicate, eps (replicates, size, dim)) in order, for ``terms`` float64s a draw."""
        at_once = max(1, BLOCK // (self.size * max(terms, self.dim)))
        for first in range(0, self.count, at_once):
            last = min(self.count, first + at_once)
            yield first, self.pairs(first, last) if self.draws == "antithetic" else self.sobol(first, last)

    def pairs(self, first, last):
        eps = np.empty((last - first, self.dim))
        fill_standard_normals(eps, self.key, self.stream, first)
        return np.stack([eps, -eps], axis=1)

    def sobol(self, first, last):
        from scipy.special import ndtri
        from scipy.stats import qmc

        out = np.empty((last - first, self.size, self.dim))
        for k in range(first, last):
            seed = np.random.SeedSequence([self.key.word, self.stream, k])
            sobol = qmc.Sobol(self.dim, scramble=True, bits=52, rng=np.random.default_rng(seed))
            # the middle of a cell: 0 would be a normal of -inf
            out[k - first] = ndtri(sobol.random_base2(int(math.log2(self.size))) + 2.0**-53)
        return out


def log_weights(target, q, replicates: Replicates, num_threads=None):
    """log w of every draw, (replicates, size), and |eps|^2 / 2; for factors what makes log w, less it
    and with dim / 2 more, log p and the entropy of q."""
    shape = replicates.count, replicates.size
    log_w, half = np.empty(shape), np.empty(shape)
    for first, eps in replicates.blocks(1):
        z = q.transform(eps).reshape(-1, replicates.dim)
        log_p = target.value(z, num_threads=num_threads)
        check_values(target, z, log_p, first * replicates.size)
        part = slice(first, first + len(eps))
        if isinstance(q, Factors):
            log_q = q.log_prob(z)
            half[part] = (0.5 * replicates.dim - q.entropy() - log_q).reshape(half[part].shape)
            log_w[part] = (log_p - log_q).reshape(half[part].shape)
            continue
        half[part] = 0.5 * np.sum(eps * eps, axis=2)
        log_w[part] = log_p.reshape(half[part].shape) + half[part] + 0.5 * replicates.dim * LOG_2PI + q.log_det
    return log_w, half


def mean_of(values, replicates: Replicates, key, method, rounding=0.0) -> Estimate:
    """The mean over all draws, with the error of independent replicates."""
    neginf = int(np.sum(values == -np.inf))
    if neginf:
        return Estimate(-math.inf, math.nan, replicates.num_samples, neginf, method, key=key)
    means = values.mean(axis=1)
    degrees = replicates.count - 1.0
    if replicates.draws == "sobol":
        degrees = min(degrees, SOBOL_DEGREES)
    error = float(np.std(means, ddof=1)) / math.sqrt(replicates.count)
    value = float(means.mean())
    error = max(error, rounding * abs(value))
    each, together = Powers(), Powers()
    each.add(values.ravel())
    together.add(means)
    return Estimate(
        value,
        error,
        replicates.num_samples,
        0,
        method,
        key=key,
        degrees_of_freedom=max(1.0, degrees),
        interval_reliable=bool(holds_for_replicates(replicates.draws, each, together)),
    )


def rounding(surrogate) -> float:
    """What rounding leaves of an exact fit, relative to the value: it varies too little to show its own size."""
    return 0.0 if surrogate is None else ROUNDING


def values_of(log_w, half, replicates, method, surrogate):
    """What is averaged."""
    if method == "entropy":
        return log_w - half + 0.5 * replicates.dim
    if surrogate is not None:
        for first, eps in replicates.blocks(1):
            part = log_w[first : first + len(eps)]
            part -= surrogate.value(eps.reshape(-1, replicates.dim)).reshape(part.shape)
    return log_w


def to_precision(r: Request, estimate, largest_error, with_converged):
    """``estimate(replicates)`` of so many draws or, with ``atol``, of as many as a pilot's error tells."""

    def of(count, stream):
        return estimate(Replicates(r.draws, r.q.dim, count, r.key, stream))

    if r.atol is None:
        return of(r.num_samples, SAMPLE)
    pilot = of(r.num_samples, CHECK)
    count = enough_dependent(largest_error(pilot), pilot.num_samples, r.atol, r.max_samples, r.draws)
    found = of(count, SAMPLE)
    return with_converged(found, bool(largest_error(found) <= r.atol))


def elbo_of_replicates(r: Request, plan: Plan) -> Estimate:
    """The ELBO by "plain", "entropy" or the residuals of a control variate."""

    def estimate(replicates):
        log_w, half = log_weights(r.target, r.q, replicates, r.num_threads)
        values = values_of(log_w, half, replicates, plan.method, plan.control_variate)
        found = mean_of(values, replicates, r.key, plan.method, rounding(plan.control_variate))
        sure = found.interval_reliable and holds_all(r.q, plan.method, found.num_samples)
        return dataclasses.replace(found, interval_reliable=sure)

    def with_converged(found, converged):
        return dataclasses.replace(found, converged=converged)

    return to_precision(r, estimate, lambda found: found.standard_error, with_converged)


def gradient_of_replicates(r: Request, plan: Plan) -> GradientEstimate:
    """The gradient, each replicate against a baseline from the others."""

    def largest_error(found):
        return float(np.max(found.standard_error))

    def with_converged(found, converged):
        return dataclasses.replace(found, elbo=dataclasses.replace(found.elbo, converged=converged))

    return to_precision(r, lambda replicates: _gradient(r, plan, replicates), largest_error, with_converged)


def _gradient(r: Request, plan: Plan, replicates: Replicates) -> GradientEstimate:
    q: Any = r.q
    target, method, variate = r.target, plan.method, plan.control_variate
    log_w, half = log_weights(target, q, replicates, r.num_threads)
    kind = kind_of(method, q) if isinstance(q, Factors) else None
    pathwise = method in PATHWISE and kind is None
    f = log_w if pathwise else values_of(log_w, half, replicates, method, variate)
    value_method = "plain" if variate is None or pathwise else method
    value = mean_of(f, replicates, r.key, value_method, rounding(variate))
    size = len(q.parameters)
    if not math.isfinite(value.value):
        empty = np.full(size, math.nan)
        return GradientEstimate(value, empty, empty, method, np.ones(size, dtype=bool))
    baseline = np.zeros(replicates.count)
    if not pathwise and method != "score":
        sums = f.sum(axis=1)
        baseline = (sums.sum() - sums) / (f.size - replicates.size)
    total, each, together, largest = Running(), Powers(), Powers(), np.zeros(size)
    for first, eps in replicates.blocks(size):
        flat = eps.reshape(-1, replicates.dim)
        if pathwise:
            z = q.transform(flat)
            slopes = target.value_and_grad(z, num_threads=r.num_threads)[1]
            check_gradients(target, z, slopes, first * replicates.size)
            terms = pathwise_terms(q, flat, slopes, method, variate)
        else:
            part = f[first : first + len(eps)] - baseline[first : first + len(eps), None]
            terms = part.reshape(-1, 1) * q.scores(flat)
            if kind is not None:
                own = q.path_parameters(kind)
                terms = np.where(own, mixed_terms(r, flat, first * replicates.size, variate), terms)
        means = terms.reshape(len(eps), replicates.size, size).mean(axis=1)
        total.add(means)
        each.add(terms)
        largest = np.maximum(largest, np.abs(terms).max(axis=0))
        together.add(means)
    gradient, error = np.asarray(total.mean), np.asarray(total.standard_error)
    cancels = largest if variate is None else largest + variate.size
    if pathwise and method != "sticking_the_landing":
        gradient = gradient + q.path_layout[2]
    if kind is not None:
        by_scores = 0.0 if variate is None else variate.gradient(q)
        gradient = gradient + np.where(q.path_parameters(kind), q.path_layout[2], by_scores)
    elif variate is not None:
        gradient = gradient + variate.gradient(q)
    error = np.maximum(error, SLOPE_ROUNDING * (np.abs(gradient) + cancels))
    reliable = holds_for_replicates(replicates.draws, each, together)
    error, reliable = without_unseen(q, replicates.num_samples, error, reliable)
    return GradientEstimate(value, gradient, error, method, reliable)


def mixed_terms(r: Request, eps, first_draw: int, variate=None):
    """Pathwise terms of a product in the order of the parameters, without the entropy's and less what follows them; 0
    where there are none."""
    z = r.q.transform(eps)
    slopes = r.target.value_and_grad(z, num_threads=r.num_threads)[1]
    slopes = np.where(r.q.path_rows("mixed") > 0.0, slopes, 0.0)  # type: ignore[attr-defined]
    check_gradients(r.target, z, slopes, first_draw)
    terms = r.q.path_terms(eps, z, slopes)  # type: ignore[attr-defined]
    for parameter, surrogate in ({} if variate is None else variate.paths).items():
        terms[:, parameter] -= surrogate.value(eps)
    return terms


def pathwise_terms(q, eps, slopes, method, lines):
    """Pathwise terms in the order of the parameters, without the entropy's."""
    if method == "sticking_the_landing":
        slopes = slopes + q.entropy_slope(eps)
    elif lines is not None:
        slopes = slopes - lines.offset - eps @ lines.slope.T
    return q.pathwise_terms(eps, slopes)
