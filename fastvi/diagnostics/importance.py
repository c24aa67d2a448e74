"""Divergences by importance weights u = p / q of draws from q, with delta-method errors where there are any."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..results import Estimate
from .log_weights import Largest, Summary

NO_ERROR = "no standard error: the tail of its terms has shape {:.2f}, and from 0.5 on they have no variance"


class Power(NamedTuple):
    """A divergence that is a function of log I, I = integral of p^c q^(1-c): its value, and its slope in log I."""

    c: float
    value: Callable[[float], float]
    slope: Callable[[float], float]


def finite_or_inf(power, log) -> float:
    """The value of a divergence for log I; inf where I is, or is too large for a float."""
    try:
        return power.value(log) + 0.0
    except OverflowError:
        return math.inf


def weighted_power(weights, normalized, power) -> Estimate:
    """A function of log I with I = E_q[u^c], through the logarithm of a mean."""
    negative = Largest(weights.num_samples)
    visit = (lambda block: negative.add(-block[block > -math.inf])) if power.c < 0.0 else None
    summary = Summary(weights, (power.c,), visit)
    mean, khat = summary.powers[power.c], summary.largest.shape()
    if power.c < 0.0 and summary.num_neginf:
        return no_error(math.inf, summary, weights, "p is 0 where q is not")
    log_z = summary.weight.log
    if log_z == -math.inf:
        return no_error(math.nan, summary, weights, "every weight is 0")
    if power.c == 0.0:  # the share of q where p is not 0
        positive = 1.0 - summary.num_neginf / weights.num_samples
        error = math.sqrt((1.0 - positive) / positive / weights.num_samples)
        return result(power.value(math.log(positive)), error, summary, weights)
    sums = np.zeros(5)  # of a, b, a^2, ab, b^2 with a = w^c / E[w^c] - 1, b = w / Z - 1
    for block in weights:
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            a, b = np.expm1(power.c * block - mean.log), np.expm1(block - log_z)
        sums += a.sum(), b.sum(), a @ a, a @ b, b @ b
    n = weights.num_samples
    aa, ab, bb = sums[2] - sums[0] ** 2 / n, sums[3] - sums[0] * sums[1] / n, sums[4] - sums[1] ** 2 / n
    tail = power.c * khat if power.c > 0.0 else -power.c * negative.shape()
    if normalized:
        # E[u] = 1 is known: a control variate, where it has a variance
        coefficient = ab / bb if khat < 0.5 and bb > 0.0 else 0.0
        if coefficient * math.expm1(log_z) <= -0.5:
            coefficient = 0.0  # so far off that a ratio would not correct it
        log, variance = mean.log - math.log1p(coefficient * math.expm1(log_z)), aa - coefficient * ab
    else:
        log, variance = mean.log - power.c * log_z, aa - 2.0 * power.c * ab + power.c**2 * bb
        tail = max(tail, khat)
    value = finite_or_inf(power, log)
    if tail >= 0.5:
        return no_error(value, summary, weights, NO_ERROR.format(tail))
    error = abs(power.slope(log)) * math.sqrt(max(0.0, variance) / (n - 1.0) / n)
    return result(value, error, summary, weights)


def weighted(weights, normalized, kind) -> Estimate:
    """E_q[h(u)]; the delta method accounts for the normaliser."""
    summary = Summary(weights)
    log_z, khat, n = 0.0 if normalized else summary.weight.log, summary.largest.shape(), weights.num_samples
    if log_z == -math.inf:
        return no_error(math.nan, summary, weights, "every weight is 0")
    terms, tail = TERMS[kind]
    sums = np.zeros(6)  # of h, h^2, u - 1, (u - 1)^2, h (u - 1), h'(u) u
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for block in weights:
            h, slope = terms(block - log_z)
            b = np.expm1(block - log_z)
            sums += h.sum(), h @ h, b.sum(), b @ b, h @ b, slope.sum()
        value, b_mean, slope = sums[[0, 2, 5]] / n
        hh, hb, bb = sums[1] - n * value**2, sums[4] - n * value * b_mean, sums[3] - n * b_mean**2
        if normalized:
            coefficient = hb / bb if khat < 0.5 and bb > 0.0 else 0.0
            value, variance = value - coefficient * b_mean, hh - coefficient * hb
        else:
            variance, tail = hh - 2.0 * slope * hb + slope**2 * bb, 1.0
    if not math.isfinite(value):
        return no_error(math.inf, summary, weights, "p is 0 where q is not" if summary.num_neginf else "")
    if tail * khat >= 0.5:
        return no_error(float(value), summary, weights, NO_ERROR.format(tail * khat))
    return result(float(value), math.sqrt(max(0.0, variance) / (n - 1.0) / n), summary, weights)


PLATEAU = "k-hat is misled by a plateau of the weights, which are bounded by all that these draws show"


def result(value, error, summary, weights, note="") -> Estimate:
    """An estimate with its weights' diagnosis."""
    if not note and summary.khat >= 0.5 > summary.largest.shape():
        note = PLATEAU
    return Estimate(
        value,
        error,
        weights.num_samples,
        summary.num_neginf,
        "monte_carlo",
        key=weights.key,
        degrees_of_freedom=weights.num_samples - 1.0,
        khat=summary.khat,
        ess=summary.weight.ess,
        note=note,
    )


def no_error(value, summary, weights, note) -> Estimate:
    """An estimate whose error is unknown."""
    return result(value, math.nan, summary, weights, note)


def _reverse(log_u):
    return -log_u, np.full(len(log_u), -1.0)


def _forward(log_u):
    u = np.exp(log_u)
    h = np.where(u > 0.0, u * log_u, 0.0)
    return h, h + u


def _jeffreys(log_u):
    u = np.exp(log_u)
    forward = np.where(u > 0.0, u * log_u, 0.0)
    return forward - log_u, forward + u - 1.0


def _jensen_shannon(log_u):
    """1/2 (u log u - (1 + u) log(1 + u)) + log 2, without the large terms that cancel"""
    u, more = np.exp(log_u), np.logaddexp(0.0, -log_u)
    product = np.where(u > 0.0, u * more, 0.0)
    return math.log(2.0) - 0.5 * (product + np.logaddexp(0.0, log_u)), -0.5 * product


def _total_variation(log_u):
    below = log_u < 0.0
    return np.where(below, -np.expm1(np.minimum(log_u, 0.0)), 0.0), np.where(below, -np.exp(np.minimum(log_u, 0)), 0.0)


# h(u) and h'(u) u of each kind, and the power of u that it grows with.  Bounded forms where E[u] = 1 allows one
TERMS = {
    "kl_reverse": (_reverse, 0.0),
    "kl_forward": (_forward, 1.0),
    "jeffreys": (_jeffreys, 1.0),
    "jensen_shannon": (_jensen_shannon, 0.0),
    "total_variation": (_total_variation, 0.0),
}
