"""Gradients of the ELBO in the parameters of q; the score-function estimators here, the pathwise ones in ``pathwise``.

With f = log p - log q and the score s = d log q / d parameter, E[s] = 0 and the gradient is E[f s] (Ranganath, Gerrish
and Blei 2014, equation 2).  The estimators differ in the baseline they subtract from f.
"""

import dataclasses
import math

import numpy as np

from .. import checks
from ..errors import STOPPED
from ..execution import gpu
from ..execution import sweep as sweeps
from ..kernels.cpu import sweep as cpu
from ..kernels.families import registry
from ..kernels.sums import moments
from ..kernels.sums.score import FFSS, FS, FSS, SS, S
from ..results import GradientEstimate
from ..rng import CHECK, SAMPLE, key_from
from . import dependent_draws, selection
from .elbo import PILOT_WORTHWHILE, SURROGATES, common, enough_samples, estimate, sample_limit
from .pathwise import path_estimate
from .selection import Candidate, cheapest

PATHS = ("pathwise", "sticking_the_landing", "pathwise_quadratic")
ESTIMATORS = ("auto", "score", "leave_one_out", "optimal_baseline", "diagonal", "quadratic", "cubic", *PATHS)
BASELINE_WORTHWHILE, BASELINE_LEAST = 1024, 64


def elbo_gradient(
    target,
    q,
    num_samples=10_000,
    *,
    estimator="auto",
    draws="iid",
    atol=None,
    max_samples=None,
    rng=None,
    dtype="float64",
    backend="cpu",
    num_threads=None,
    executor=None,
    progress=False,
) -> GradientEstimate:
    """Estimate the gradient of the ELBO in ``q.parameters``, with the standard error of each coordinate.

    Parameters
    ----------
    estimator : {"auto", "score", "leave_one_out", "optimal_baseline", "diagonal", "quadratic", "cubic", "pathwise",
                 "sticking_the_landing", "pathwise_quadratic"}
        ``"score"``: the mean of f s.
        ``"leave_one_out"``: each draw's baseline is the mean of f over the others, which makes
        sum (f - mean f) s / (S - 1); a constant in log p has no effect (Kool, van Hoof and Welling 2019, equation 8;
        VarGrad, Richter et al. 2020, proposition 1).  Usually far better than ``"score"``, not always: with few
        dimensions and a mean of f near 0 it can be a little worse.
        ``"optimal_baseline"``: for each coordinate the baseline E[f s^2] / E[s^2] (Greensmith, Bartlett and Baxter
        2004, theorem 13), from other chunks of draws than it is used on, so the estimate stays unbiased; needs 64
        draws.
        ``"pathwise"``: through z = loc + scale eps and the gradient of log p, with q's entropy in closed form (Kingma
        and Welling 2014, equation 10).  It needs a log p that is continuous in z.
        ``"sticking_the_landing"``: the same with the gradient of log p - log q and without the score of log q (Roeder,
        Wu and Duvenaud 2017, equation 8): no variance at all where q is the target.
        ``"diagonal"``, ``"quadratic"``, ``"cubic"``: the polynomial of :func:`elbo` taken off f, its part of the
        gradient in closed form, and ``"leave_one_out"`` on what is left.  They need no gradient of log p.
        ``"pathwise_quadratic"``: straight lines in eps, fitted to the gradient of log p on a pilot, taken off it
        (Geffner and Domke 2020); "pathwise" and "sticking the landing" are two fixed choices of such lines.
        ``"auto"``: ``"optimal_baseline"`` from 1024 draws on, ``"leave_one_out"`` below.  From 4096 draws on a pilot
        compares variance times operations of all of the above; the pathwise ones count twice, and only where the
        target has a gradient and no step: a log p with comparisons, branches or ``floor`` on z stays with score
        gradients.  The result's ``method`` says which it was.
    atol : float, optional
        the standard error that the largest coordinate's is to reach

    ``backend="cuda"`` has the score estimators and those with polynomials, not the pathwise ones, and ``"auto"`` then
    chooses among them.  The other parameters, the errors and Ctrl-C are those of :func:`elbo`.

    Returns
    -------
    GradientEstimate
        in the order of ``q.parameters``
    """
    sweeps.check(target, q)
    num_samples = checks.count("num_samples", num_samples)
    checks.choice("estimator", estimator, ESTIMATORS)
    common(draws, dtype, backend, executor)
    limit = sample_limit(atol, max_samples, num_samples)
    method = estimator
    if estimator == "auto":
        method = "optimal_baseline" if num_samples >= BASELINE_WORTHWHILE else "leave_one_out"
    least = {"optimal_baseline": BASELINE_LEAST}.get(method, 2 if method in (*SURROGATES, "leave_one_out") else 1)
    if num_samples < least:
        raise ValueError(f"num_samples: expected at least {least} for estimator={method!r}, got {num_samples}")
    if backend == "cuda":
        gpu.require(target, q, draws, estimator, PATHS)
    key = key_from(rng)
    if draws != "iid":
        options = dict(draws=draws, atol=atol, limit=limit, num_threads=num_threads)
        return dependent(target, q, num_samples, key, estimator, **options)
    surrogate = None
    try:
        auto, paths = estimator == "auto", () if backend == "cuda" else PATHS
        best, num_samples = choose(target, q, key, method, num_samples, atol, limit, num_threads, auto, paths)
        method, surrogate = best.method, best.surrogate
        where = gpu.settle(backend, target, q, num_samples, method, PATHS) if executor is None else "cpu"
        options = dict(surrogate=surrogate, dtype=dtype, backend=where, executor=executor)
        options |= dict(num_threads=num_threads, progress=progress)
        result = sweeps.sweep(target, q, num_samples, key, SAMPLE, gradient=kind(method), **options)
    except STOPPED as stopped:
        partial = sweeps.partial(stopped)
        stopped.partial = gradient_estimate(partial, q, method, key, atol, surrogate)  # type: ignore[union-attr]
        raise
    return gradient_estimate(result, q, method, key, atol, surrogate)


def dependent(target, q, num_samples, key, method, *, draws, atol, limit, num_threads) -> GradientEstimate:
    """The gradient from draws that depend on each other; ``"auto"`` is ``"leave_one_out"``."""
    if method == "optimal_baseline":
        raise ValueError("estimator: 'optimal_baseline' needs draws='iid', whose chunks judge each other")
    method = "leave_one_out" if method == "auto" else method
    best, _ = choose(target, q, key, method, num_samples, None, limit, num_threads, False)

    def run(count, stream):
        groups = dependent_draws.Groups(draws, q.dim, count, key, stream)
        return dependent_draws.gradient_of_groups(target, q, groups, key, best.method, best.surrogate, num_threads)

    if atol is None:
        return run(num_samples, SAMPLE)
    pilot = run(num_samples, CHECK)
    found = run(
        dependent_draws.enough(float(np.max(pilot.standard_error)), pilot.num_samples, atol, limit, draws), SAMPLE
    )
    converged = bool(np.max(found.standard_error) <= atol)
    return dataclasses.replace(found, elbo=dataclasses.replace(found.elbo, converged=converged))


def kind(method) -> str:
    """The sums that a method needs from the sweep."""
    return {"pathwise_quadratic": "pathwise"}.get(method, method) if method in PATHS else "score"


def choose(target, q, key, method, num_samples, atol, limit, num_threads, auto, paths=PATHS) -> tuple[Candidate, int]:
    """The candidate that an estimator stands for, after a pilot where it needs one, and the draws for ``atol``."""

    best, least = Candidate(method, None), max(2, num_samples)
    if method in SURROGATES or method == "pathwise_quadratic":
        score = method in SURROGATES
        options = dict(score=score, paths=() if score else (method,))
        levels = list(SURROGATES.get(method, ()))
        best = cheapest(selection.gradient_candidates(target, q, key, levels, least, num_threads, **options))
    elif auto and num_samples >= PILOT_WORTHWHILE:
        levels = selection.affordable(SURROGATES["auto"], q.dim, num_samples, q.family)
        paths = paths if paths and continuous(target, q, key) else ()
        if levels or paths:
            found = selection.gradient_candidates(target, q, key, levels, least, num_threads, paths=paths)
            best = cheapest(found)
            if best.method == "leave_one_out":
                best = Candidate(method, None)
    if atol is None:
        return best, num_samples
    sweep = sweeps.sweep(
        target,
        q,
        least,
        key,
        CHECK,
        gradient=kind(best.method),
        surrogate=best.surrogate,
        pilot=True,
        num_threads=num_threads,
    )
    found = gradient_estimate(sweep, q, best.method, key, None, best.surrogate)
    largest = float(np.max(found.standard_error)) ** 2 * sweep.num_samples
    # products with scores have heavy tails: their variance is known as if from a quarter of the draws
    judged = Candidate(best.method, None, largest, 1.0, max(1, sweep.num_samples // 4))
    num_samples = enough_samples(judged, atol, least, limit)
    if auto and best.method == "leave_one_out" and num_samples >= BASELINE_WORTHWHILE:
        best = Candidate("optimal_baseline", None)  # whose errors are seldom larger than the pilot's
    return best, num_samples


def gradient_estimate(sweep, q, method, key, atol=None, surrogate=None) -> GradientEstimate:
    """Read the gradient off a sweep."""
    if method in PATHS:
        result = path_estimate(sweep, q, method, key, surrogate)
        if atol is not None:
            converged = bool(np.max(result.standard_error) <= atol)
            result = dataclasses.replace(result, elbo=dataclasses.replace(result.elbo, converged=converged))
        return result
    if method == "optimal_baseline" and np.count_nonzero(sweep.rows[:, moments.COUNT]) < 2:
        method = "leave_one_out"  # an interrupted sweep of a single chunk
    places, units = registry.FAMILIES[q.family].layout(q.scale)
    value = estimate(sweep, q, "plain" if surrogate is None else method, key)
    if not math.isfinite(value.value) or (sweep.num_samples < 2 and method != "score"):
        gradient = error = np.full(len(places), math.nan)
    else:
        gradient, variance = FORMULAS.get(method, leave_one_out)(*centred(sweep, method))
        gradient = gradient[places] * units
        if surrogate is not None:
            gradient = gradient + surrogate.gradient(q)
        error = np.sqrt(np.maximum(variance[places], 0.0) / sweep.num_samples) * units
    if atol is not None:
        value = dataclasses.replace(value, converged=bool(np.max(error) <= atol))
    return GradientEstimate(value, gradient, error, method)


def continuous(target, q, key) -> bool:
    """Whether a target has a gradient, and no step that would make a pathwise estimate wrong."""
    try:
        compiled = target.derivative.trusted(lambda: q.sample(2, rng=key))
    except (TypeError, MemoryError):
        return False
    return compiled.smooth and compiled.vectorised >= target.compiled.vectorised


def centred(sweep, method):
    """(moments of all draws, their score sums with f relative to its mean, the sums with baselines taken off)"""
    counts = np.ascontiguousarray(sweep.rows[:, moments.COUNT])
    shifts = sweep.rows[:, moments.CENTRE] - sweep.total[moments.MEAN_W]
    total = np.empty(sweep.sums.shape[1:])
    result = np.empty((2, total.shape[1] if method == "optimal_baseline" else 0))
    with np.errstate(invalid="ignore"):
        cpu.score_merger()(counts, shifts, sweep.sums, total, result)
    return sweep.total, total, result


def score(total, sums, _):
    """mean of f s, and the variance of one draw's f s"""
    n, mean = total[moments.COUNT], total[moments.MEAN_W]
    gradient = (sums[FS] + mean * sums[S]) / n
    squares = sums[FFSS] + mean * (2.0 * sums[FSS] + mean * sums[SS])
    return gradient, (squares - n * gradient**2) / (n - 1.0) if n > 1 else np.full_like(gradient, math.nan)


def leave_one_out(total, sums, _):
    """sum (f - mean f) s / (S - 1); S times its variance is mu22 - mu11^2 + (mu11^2 + mu20 mu02) / (S - 1) in the
    central moments of f and s"""
    n = total[moments.COUNT]
    gradient = sums[FS] / (n - 1.0)
    mu20 = total[moments.SQUARES_W] / (n - 1.0)
    return gradient, sums[FFSS] / n - gradient**2 + (gradient**2 + mu20 * sums[SS] / n) / (n - 1.0)


def optimal_baseline(total, _, result):
    """mean of (f - b) s with b = sum f s^2 / sum s^2 over the other chunks"""
    n = total[moments.COUNT]
    gradient = result[0] / n
    return gradient, (result[1] - n * gradient**2) / (n - 1.0)


FORMULAS = {"score": score, "leave_one_out": leave_one_out, "optimal_baseline": optimal_baseline}
