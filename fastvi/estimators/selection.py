"""Pilots: draws of their own on which surrogates are fitted and estimators compared, before the draws that count.

What is compared is variance times operations, from a committed table and never a clock, so that the choice is a
function of the arguments.
"""

import math
from typing import NamedTuple

import numpy as np

from ..control_variates import Lines, Surrogate, fit, fit_lines, size
from ..families.base import LOG_2PI
from ..families.mean_field import fill_standard_normals
from ..rng import PILOT

# Operations a dimension and draw: to draw a normal, transform it and evaluate a cheap log density; a score's five sums
DRAW_OPERATIONS, SCORE_OPERATIONS = 60, 40
# What a draw costs when log p comes with its gradient, against score sums: the median over benchmarks/run-1-cpu.json
PATH_COST = 2.0
# What a pilot takes before its first draw, in the same unit
CALL_OPERATIONS = 2**21
PER_COEFFICIENT, LEAST, LEAST_PER_COEFFICIENT, CHECK_SHARE = 8, 384, 4, 3
# Draws' worth of steady terms that an error needs: below, a sample variance of heavy tails is mostly too small
STEADY = 200
SMOOTH_ITERATIONS = 30  # of LSMR, as a rule


class Candidate(NamedTuple):
    """A way to estimate: its surrogate, if any, the predicted variance of one draw, and operations a draw.

    ``checked`` draws, to which the surrogate was not fitted, tell the variance.
    """

    method: str
    surrogate: Surrogate | Lines | None
    variance: float = math.nan
    operations: float = 1.0
    checked: int = 0

    @property
    def price(self) -> float:
        """Operations for a given error; a NaN is no bargain."""
        price = self.variance * self.operations
        return price if price == price else math.inf


def operations(level, dim, family, gradient=False) -> float:
    """Of a draw in the sweep."""
    base = DRAW_OPERATIONS * dim + (dim * dim if family == "full_rank" else 0)
    if gradient:
        base += SCORE_OPERATIONS * (dim if family == "mean_field" else dim * dim / 4)
    return base + {"none": 0.0, "diagonal": 4.0 * dim, "quadratic": 2.0 * dim * dim, "cubic": 6.0 * dim * dim}[level]


def affordable(levels, dim, num_samples, family) -> list[str]:
    """The levels whose fit takes no more than half of what the draws will take."""
    budget = 0.5 * num_samples * operations("none", dim, family)
    return [level for level in possible(levels, dim, num_samples) if fit_operations(level, dim) <= budget]


def possible(levels, dim, num_samples) -> list[str]:
    """The levels that a pilot of at most ``num_samples`` draws can fit."""
    return [level for level in levels if LEAST_PER_COEFFICIENT * size(level, dim) <= num_samples]


def enough_to_fit(level, dim) -> int:
    """Draws to which a level is fitted: the error of its coefficients then adds an eighth to the variance, or more
    where what is left grows with the polynomials."""
    return max(LEAST, PER_COEFFICIENT * size(level, dim))


def fit_operations(level, dim) -> float:
    """Of the fit of a level; a product of matrices does four in the time of one."""
    count = size(level, dim)
    return CALL_OPERATIONS + enough_to_fit(level, dim) * min(count**2 / 2, 6 * SMOOTH_ITERATIONS * dim**2)


def draw(target, q, key, num_samples, num_threads=None, stream=PILOT, first_draw=0):
    """(eps, z, log w) of the draws from ``first_draw`` on: (n, dim), (n, dim), (n,)"""
    eps, z = np.empty((num_samples, q.dim)), np.empty((num_samples, q.dim))
    fill_standard_normals(eps, key, stream, first_draw)
    q.fill(z, key, stream, first_draw)
    log_w = target.value(z, num_threads=num_threads)
    return eps, z, log_w + 0.5 * np.sum(eps * eps, axis=1) + (0.5 * q.dim * LOG_2PI + q.log_det)


def candidates(target, q, key, levels, num_samples, num_threads=None) -> list[Candidate]:
    """ "plain", "entropy" and those ``levels`` that ``num_samples`` draws can fit, with the variance that they have on
    draws to which they were not fitted.  A log density that is not finite everywhere leaves the first two."""
    pilot = Pilot(target, q, key, levels, num_samples, num_threads)
    log_w, log_p = (
        pilot.log_w[pilot.check],
        pilot.log_w[pilot.check] - 0.5 * np.sum(pilot.eps[pilot.check] ** 2, axis=1),
    )
    with np.errstate(invalid="ignore"):
        found = [pilot.candidate("plain", None, np.var(log_w)), pilot.candidate("entropy", None, np.var(log_p))]
    for surrogate in pilot.surrogates():
        left = log_w - surrogate.value(pilot.eps[pilot.check])
        terms = (left - np.mean(left)) ** 2
        found.append(pilot.candidate(surrogate.level, surrogate, np.mean(terms), terms=terms))
    return found


def gradient_candidates(target, q, key, levels, num_samples, num_threads=None, *, score=True, paths=()):
    """The same for gradients: variances of standardised terms, added up over the parameters.

    "leave_one_out" and the ``levels`` if ``score``, and those of ``paths``.
    """
    lines = "pathwise_quadratic" in paths
    pilot = Pilot(target, q, key, levels, num_samples, num_threads, PER_COEFFICIENT * (q.dim + 1) if lines else 0)
    eps, log_w, found = pilot.eps[pilot.check], pilot.log_w[pilot.check], []
    if score:
        found.append(pilot.candidate("leave_one_out", None, score_spread(q, eps, log_w), True))
        for surrogate in pilot.surrogates():
            left = log_w - surrogate.value(eps)
            terms = (left - np.mean(left)) ** 2 * squared_scores(q, eps)
            found.append(pilot.candidate(surrogate.level, surrogate, score_spread(q, eps, left), True, terms))
    if not paths:
        return found
    gradients = target.value_and_grad(pilot.z, num_threads=num_threads)[1]
    for method in paths:
        surrogate, cost = None, PATH_COST * operations("none", q.dim, q.family, True)
        slopes = gradients[pilot.check]
        if method == "sticking_the_landing":
            slopes = slopes + entropy_slope(q, eps)
        elif method == "pathwise_quadratic":
            if not np.isfinite(gradients).all() or pilot.check.start < 2 * (q.dim + 1):
                method = "pathwise"  # nothing to fit the lines to
            else:
                surrogate = fit_lines(pilot.eps[: pilot.check.start], gradients[: pilot.check.start])
                slopes = slopes - surrogate.offset - eps @ surrogate.slope.T
                cost += 2.0 * q.dim**2
        spread = path_spread(q, eps, slopes)
        found.append(Candidate(method, surrogate, spread, cost, len(eps)))
    return found


class Pilot:
    """Draws for fitting and, ``check``, the last of them for judging."""

    def __init__(self, target, q, key, levels, num_samples, num_threads, least=0):
        self.q, self.levels, self.num_samples = q, possible(levels, q.dim, num_samples), num_samples
        fitted = max([least, LEAST] + [enough_to_fit(level, q.dim) for level in self.levels])
        n = max(2, min(num_samples, fitted + fitted // CHECK_SHARE))
        first = min(fitted, n - max(1, n // (CHECK_SHARE + 1)))
        self.check = slice(first, n)
        self.eps, self.z, self.log_w = draw(target, q, key, n, num_threads)

    def surrogates(self) -> list[Surrogate]:
        """Each fitted to as many of the draws before ``check`` as it needs, whatever the other levels are."""
        if not np.isfinite(self.log_w).all():
            return []
        ends = [min(self.check.start, enough_to_fit(level, self.q.dim)) for level in self.levels]
        pairs = zip(self.levels, ends, strict=True)
        return [fit(self.eps[:end], self.log_w[:end], level) for level, end in pairs]

    def candidate(self, method, surrogate, variance, gradient=False, terms=None):
        """``terms`` are the squares whose mean the reported error rests on: where a few hold most of it, that of
        a surrogate is not to be trusted."""
        level = "none" if surrogate is None else surrogate.level
        if terms is not None and np.sum(terms) ** 2 * self.num_samples < STEADY * len(terms) * np.sum(terms**2):
            variance = math.nan
        cost = operations(level, self.q.dim, self.q.family, gradient)
        return Candidate(method, surrogate, float(variance), cost, self.check.stop - self.check.start)


def second_moments(q, u, eps) -> float:
    """The variances of u_i and u_i eps_j added up, over the pairs that are parameters of the scale."""
    n, mask = len(eps), np.eye(q.dim) if q.family == "mean_field" else np.tril(np.ones((q.dim, q.dim)))
    pairs = (u**2).T @ eps**2 / n - (u.T @ eps / n) ** 2
    return float(np.sum(np.var(u, axis=0)) + np.sum(pairs * mask))


def score_spread(q, eps, f) -> float:
    """The variances of f times the standardised scores eps_i, eps_i eps_j and eps_i^2 - 1 added up."""
    if not np.isfinite(f).all():
        return math.nan
    f = (f - np.mean(f))[:, None]
    twice, once = f * eps * eps, f * (eps * eps - 1.0)
    return second_moments(q, f * eps, eps) - float(np.sum(np.var(twice, axis=0)) - np.sum(np.var(once, axis=0)))


def squared_scores(q, eps):
    """|standardised score|^2 of each draw, (n,)"""
    squares = eps**2
    if q.family == "mean_field":
        return np.sum(squares + (squares - 1.0) ** 2, axis=1)
    below = np.cumsum(squares, axis=1) - squares
    return np.sum(squares + squares * below + (squares - 1.0) ** 2, axis=1)


def entropy_slope(q, eps):
    """-d log q / dz at eps (n, dim)"""
    if q.family == "mean_field":
        return eps / q.scale
    from scipy.linalg import solve_triangular

    return solve_triangular(q.scale_tril, eps.T, lower=True, trans="T").T


def path_spread(q, eps, gradients) -> float:
    """The variances of the standardised pathwise terms of gradients (n, dim) in z, added up."""
    if not np.isfinite(gradients).all():
        return math.nan
    u = gradients * q.scale if q.family == "mean_field" else gradients @ q.scale_tril
    return second_moments(q, u, eps)


def cheapest(found) -> Candidate:
    """The candidate with the least variance times operations."""
    return min(found, key=lambda candidate: candidate.price)
