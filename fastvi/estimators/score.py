"""Score-function gradients.

With f = log p - log q and the score s = d log q / d parameter, E[s] = 0 and the gradient is E[f s] (Ranganath, Gerrish
and Blei 2014, equation 2).  The estimators differ in the baseline they subtract from f.
"""

import math

import numpy as np

from .. import kept_memory
from ..execution.job import has_second_pass
from ..execution.sweep import Sweep
from ..families.base import Family
from ..kernels.cpu import merging
from ..kernels.sums import centred as about_mean
from ..kernels.sums import moments
from ..kernels.sums.score import FFSS, FS, FSS, SQUARED, SS, SUMS, S
from ..results import SLOPE_ROUNDING, GradientEstimate
from ..rng import Key
from .elbo import read as read_elbo
from .reliability import holds, limits, without_unseen


def read(found: Sweep, q: Family, method: str, key: Key, surrogate=None) -> GradientEstimate:
    """Read the gradient off a sweep of score sums."""
    if method == "optimal_baseline" and np.count_nonzero(found.rows[:, moments.COUNT]) < 2:
        method = "leave_one_out"  # an interrupted sweep of a single chunk
    places, units = q.layout
    value = read_elbo(found, q, "plain" if surrogate is None else surrogate.level, key)
    if not math.isfinite(value.value) or found.sums.size == 0 or (found.num_samples < 2 and method != "score"):
        unknown = np.full(len(places), math.nan)
        return GradientEstimate(value, unknown, unknown, method, np.ones(len(places), dtype=bool))
    if found.sums.shape[1] == about_mean.SUMS:
        gradient, error, reliable = results(found, q)
    else:
        total, sums, result = centred(found, method)
        if has_second_pass(q) and method not in ("score", "optimal_baseline"):  # as ``results`` does
            sums[SS, places] = sums[SS, q.kernels.square_places(q.dim)]
        with np.errstate(over="ignore", invalid="ignore"):  # of a log p of 1e155 and more: its errors are nan
            gradient, variance = FORMULAS.get(method, leave_one_out)(total, sums, result)
        gradient = gradient[places] * units
        error = np.sqrt(np.maximum(variance[places], 0.0) / found.num_samples) * np.abs(units)  # a rate's is negative
        reliable = holds(sums[FFSS], sums[SQUARED], found.rows[:, moments.COUNT])[places]
    if surrogate is not None:  # what rounding leaves of an exact fit varies too little to show its own size
        gradient = gradient + surrogate.gradient(q)
        error = np.maximum(error, SLOPE_ROUNDING * (np.abs(gradient) + surrogate.size * np.abs(units)))
    error, reliable = without_unseen(q, found.num_samples, error, reliable)
    return GradientEstimate(value, gradient, error, method, reliable)


def results(found: Sweep, q: Family):
    """(gradient, its standard errors, whether each holds) from sums about the mean of f"""
    places, _ = q.layout
    counts = np.ascontiguousarray(found.rows[:, moments.COUNT])
    variance = float(found.total[moments.SQUARES_W] / (found.num_samples - 1.0))
    out = kept_memory.empty((len(places),)), kept_memory.empty((len(places),)), np.empty(len(places), dtype=bool)
    numbers = variance, *limits(counts), *out
    merging.centred_results()(
        counts,
        found.sums,
        kept_memory.empty((4, found.sums.shape[2])),
        places,
        q.kernels.square_places(q.dim),
        *numbers,
    )
    return out


def centred(found: Sweep, method: str):
    """(moments of all draws, their score sums with f relative to its mean, the sums with baselines taken off)"""
    counts = np.ascontiguousarray(found.rows[:, moments.COUNT])
    shifts = found.rows[:, moments.CENTRE] - found.total[moments.MEAN_W]
    total = np.empty((SUMS + 1, found.sums.shape[-1]))
    result = np.empty((2, found.sums.shape[-1] if method == "optimal_baseline" else 0))
    with np.errstate(invalid="ignore"):
        merging.score_merger()(counts, shifts, found.sums, total, result)
    return found.total, total, result


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
