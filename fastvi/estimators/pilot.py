"""Pilots: draws of their own on which control variates are fitted and estimators compared, before the draws that count.

What is compared is variance times operations, from a committed table and never a clock, so that the choice is a
function of the arguments.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..control_variates import Lines, Surrogate, fit
from ..execution.sweep import Place
from ..families.base import BLOCK
from ..families.mean_field import fill_standard_normals
from ..rng import PILOT
from ..running_moments import Running
from ..slope_surrogates import fit_slopes, fitted_lines, lines_of
from .cost import (
    CHECK_SHARE,
    LEAST,
    PATHWISE_COST,
    PILOT_SHARE,
    Slopes,
    enough_to_fit,
    fit_operations,
    least_gain,
    operations,
    possible,
    slopes_operations,
)

# Draws' worth of steady terms that an error needs: below, a sample variance of heavy tails is mostly too small
STEADY, STEADY_SLOPES = 200, 60


class Candidate(NamedTuple):
    """A way to estimate: its surrogate, if any, the predicted variance of one draw, and operations a draw, those of
    log p included.

    ``checked`` draws, to which the surrogate was not fitted, tell the variance.  That of a gradient is of standardised
    terms, added up; ``each`` is that of every parameter, in its own units.
    """

    method: str
    surrogate: Surrogate | Lines | None
    variance: float = math.nan
    operations: float = 1.0
    checked: int = 0
    each: np.ndarray | None = None

    @property
    def price(self) -> float:
        """Operations for a given error; a NaN is no bargain."""
        price = self.variance * self.operations
        return price if price == price else math.inf


class Pilot:
    """Draws for fitting and, ``check``, the last of them for judging; surrogates are fitted to values of log w."""

    steady = STEADY

    def __init__(self, target, q, key, levels, num_samples, on: Place):
        self.q, self.levels, self.num_samples = q, possible(levels, q.dim, num_samples), num_samples
        self.density = target.density.operations
        fitted = max([LEAST] + [enough_to_fit(level, q.dim) for level in self.levels])
        n = max(2, min(num_samples, fitted + fitted // CHECK_SHARE))
        first = min(fitted, n - max(1, n // (CHECK_SHARE + 1)))
        self.check = slice(first, n)
        self.eps, _, self.log_w = draw(target, q, key, n, on)

    def surrogates(self) -> Iterator[Surrogate]:
        """One after another, each fitted to as many of the draws before ``check`` as it needs."""
        if not np.isfinite(self.log_w).all():
            return iter(())
        ends = [min(self.check.start, enough_to_fit(level, self.q.dim)) for level in self.levels]
        pairs = zip(self.levels, ends, strict=True)
        return (fit(self.eps[:end], self.log_w[:end], level) for level, end in pairs)

    def fit_operations(self, level: str) -> float:
        """Of the fit of a level."""
        return fit_operations(level, self.q.dim)

    def candidate(self, method, surrogate, variance, gradient=False, terms=None) -> Candidate:
        """``terms`` are the squares whose mean the reported error rests on: where a few hold most of it, that of
        a surrogate is not to be trusted."""
        level = "none" if surrogate is None else surrogate.level
        # products with scores have heavier tails
        if concentrated(terms, self.num_samples, STEADY if gradient else self.steady):
            variance = math.nan
        cost = operations(level, self.q, gradient) + self.density
        return Candidate(method, surrogate, float(variance), cost, self.check.stop - self.check.start)


class SlopePilot(Pilot):
    """The same, with surrogates that are fitted to gradients of log w: some draws a dimension.

    A ``tentative`` pilot ends after its first draws where they tell that a quadratic will not pay.
    """

    steady = STEADY_SLOPES

    def __init__(self, target, q, key, plan: Slopes, num_samples, on: Place, tentative=False):
        self.q, self.levels, self.num_samples = q, list(plan.levels), num_samples
        self.density = target.density.operations
        self.check = slice(plan.fitted, plan.draws)
        first = plan.tentative(q.dim) if tentative else plan.draws
        drawn = self.eps, self.log_w, self.gradients = with_slopes(target, q, key, first, on)
        if first == plan.draws:
            return
        if self.gain >= least_gain(plan, q, num_samples, self.density):
            rest = with_slopes(target, q, key, plan.draws - first, on, first)
            self.eps, self.log_w, self.gradients = (np.concatenate(both) for both in zip(drawn, rest, strict=True))
        else:
            self.levels, self.check = [], slice(0, first)

    def slopes(self, end: int | None = None) -> np.ndarray:
        """Gradients of log w in eps, (n, dim)"""
        with np.errstate(invalid="ignore"):
            return self.q.scaled_slopes(self.gradients[:end]) + self.eps[:end]

    @property
    def gain(self) -> float:
        """The variance of log w over what a quadratic will leave of it.

        A polynomial of degree k in the orthonormal ones has k times its variance as mean square of its gradient, so of
        what is left, degree 3 and more, the gradient has three times the variance or more.
        """
        n, dim = self.eps.shape
        slopes = self.slopes()
        if not (np.isfinite(self.log_w).all() and np.isfinite(slopes).all()):
            return math.nan
        left = slopes - fitted_lines(self.eps, slopes)
        return float(np.var(self.log_w) * 3.0 * (n - dim - 1) / max(np.sum(left**2), np.finfo(float).tiny))

    def surrogates(self) -> Iterator[Surrogate]:
        end = self.check.start
        of_log_w = self.slopes(end)
        if not (np.isfinite(self.log_w).all() and np.isfinite(of_log_w).all()):
            return iter(())
        return (fit_slopes(self.eps[:end], of_log_w, level) for level in self.levels)

    def fit_operations(self, level: str) -> float:
        return slopes_operations(Slopes((level,), self.check.start, 0), self.q.dim)


def with_slopes(target, q, key, num_samples: int, on: Place, first_draw: int = 0):
    """(eps, log w, the gradient of log p) of the draws from ``first_draw`` on: (n, dim), (n,), (n, dim)"""
    eps, z = places(q, key, num_samples, first_draw=first_draw)
    log_p, gradients = on.evaluate(target, z, True)
    return eps, q.log_weights(eps, z, log_p), gradients


def draw(target, q, key, num_samples: int, on: Place, stream: int = PILOT, first_draw: int = 0):
    """(eps, z, log w) of the draws from ``first_draw`` on: (n, dim), (n, dim), (n,)"""
    eps, z = places(q, key, num_samples, stream, first_draw)
    return eps, z, q.log_weights(eps, z, on.evaluate(target, z))


def places(q, key, num_samples: int, stream: int = PILOT, first_draw: int = 0):
    """(eps, z), both (n, dim)"""
    eps, z = np.empty((num_samples, q.dim)), np.empty((num_samples, q.dim))
    fill_standard_normals(eps, key, stream, first_draw)
    q.fill(z, key, stream, first_draw)
    return eps, z


def pilot_of(target, q, key, levels, num_samples, on: Place, slopes: Slopes | None, tentative=False) -> Pilot:
    """By gradients where there is a plan for them, else by values."""
    if slopes is None:
        return Pilot(target, q, key, levels, num_samples, on)
    return SlopePilot(target, q, key, slopes, num_samples, on, tentative)


def candidates(
    target,
    q,
    key,
    levels,
    num_samples,
    on: Place,
    slopes: Slopes | None = None,
    tentative: bool = False,
    ahead: Callable[[Candidate], float] | None = None,
) -> list[Candidate]:
    """ "plain", "entropy" and those ``levels`` that ``num_samples`` draws can fit, with the variance that they have on
    draws to which they were not fitted.  A log density that is not finite everywhere leaves the first two.

    ``ahead(candidate)`` are the operations that the draws take by the best so far: no level is fitted that takes more
    than a share of them.
    """
    pilot = pilot_of(target, q, key, levels, num_samples, on, slopes, tentative)
    log_w, log_p = (
        pilot.log_w[pilot.check],
        pilot.log_w[pilot.check] - 0.5 * np.sum(pilot.eps[pilot.check] ** 2, axis=1),
    )
    with np.errstate(invalid="ignore"):
        found = [pilot.candidate("plain", None, np.var(log_w)), pilot.candidate("entropy", None, np.var(log_p))]
    fits = iter(pilot.surrogates())
    for level in pilot.levels:
        if ahead is not None and pilot.fit_operations(level) > PILOT_SHARE * ahead(cheapest(found)):
            break
        surrogate = next(fits, None)
        if surrogate is None:
            break
        left = log_w - surrogate.value(pilot.eps[pilot.check])
        terms = (left - np.mean(left)) ** 2
        found.append(pilot.candidate(surrogate.level, surrogate, np.mean(terms), terms=terms))
    return found


def gradient_candidate(target, q, key, levels, num_samples, on: Place, *, score=True, paths=(), slopes=None):
    """The cheapest of :func:`gradient_candidates` on a pilot, with the variance of each parameter."""
    pilot = pilot_of(target, q, key, levels, num_samples, on, slopes)
    best = cheapest(gradient_candidates(pilot, score, paths))
    if best.each is not None:
        return best
    eps, left = pilot.eps[pilot.check], pilot.log_w[pilot.check]
    if isinstance(best.surrogate, Surrogate):
        left = left - best.surrogate.value(eps)
    return best._replace(each=score_variances(q, eps, left))


def gradient_candidates(pilot: Pilot, score=True, paths=()) -> list[Candidate]:
    """The same for gradients, by variances of standardised terms, added up over the parameters.

    "leave_one_out" and the levels if ``score``, and those of ``paths``, which need a pilot of slopes.
    """
    q, eps, log_w, found = pilot.q, pilot.eps[pilot.check], pilot.log_w[pilot.check], []
    if score:
        found.append(pilot.candidate("leave_one_out", None, score_spread(q, eps, log_w), True))
        for surrogate in pilot.surrogates():
            left = log_w - surrogate.value(eps)
            terms = (left - np.mean(left)) ** 2 * q.squared_scores(eps)
            found.append(pilot.candidate(surrogate.level, surrogate, score_spread(q, eps, left), True, terms))
    if isinstance(pilot, SlopePilot):
        found += [pathwise_candidate(q, pilot, method) for method in paths]
    return found


def pathwise_candidate(q, pilot: SlopePilot, method) -> Candidate:
    """One of the pathwise estimators, with the variance of its standardised terms."""
    eps, lines, start = pilot.eps[pilot.check], None, pilot.check.start
    cost = PATHWISE_COST * (operations("none", q, True) + pilot.density)
    gradients = pilot.gradients
    slopes = gradients[pilot.check]
    if method == "sticking_the_landing":
        slopes = slopes + q.entropy_slope(eps)
    elif method == "pathwise_quadratic":
        if not np.isfinite(gradients).all() or start < 2 * (q.dim + 1):
            method = "pathwise"  # nothing to fit the lines to
        else:
            of_log_w = q.scaled_slopes(gradients[:start]) + pilot.eps[:start]
            lines = lines_of(fit_slopes(pilot.eps[:start], of_log_w, "quadratic"), q)
            slopes = slopes - lines.offset - eps @ lines.slope.T
            cost += 2.0 * q.dim**2
    return Candidate(method, lines, pathwise_spread(q, eps, slopes), cost, len(eps), pathwise_variances(q, eps, slopes))


def pathwise_variances(q, eps, slopes) -> np.ndarray:
    """Of the pathwise terms of slopes (n, dim) in z, for each parameter."""
    n = len(eps)
    with np.errstate(invalid="ignore", over="ignore"):
        means = q.lines_gradient(np.mean(slopes, axis=0), slopes.T @ eps / n)
        return np.maximum(q.pathwise_powers(eps, slopes)[0] / n - means**2, 0.0)


def concentrated(terms, num_samples: int, steady: int) -> bool:
    """Whether a few draws hold most of the terms, if there are any: the error of so many could not be trusted."""
    return terms is not None and np.sum(terms) ** 2 * num_samples < steady * len(terms) * np.sum(terms**2)


def score_variances(q, eps, f) -> np.ndarray:
    """Of f less its mean times the scores, for each parameter."""
    return variances_with(lambda some: q.scores(eps[some]), len(q.parameters), f)


def variances_with(scores: Callable[[slice], np.ndarray], count: int, f) -> np.ndarray:
    """The variances of f less its mean times each of ``count`` scores, of which some draws have (draws, count)."""
    total, each = Running(), max(1, BLOCK // count)
    with np.errstate(invalid="ignore"):
        f = f - np.mean(f)
        for first in range(0, len(f), each):
            some = slice(first, first + each)
            total.add(f[some, None] * scores(some))
    return np.asarray(total.squares) / total.count


def second_moments(q, u, eps) -> float:
    """The variances of u_i and u_i eps_j added up, over the pairs that are parameters of the scale."""
    n = len(eps)
    pairs = (u**2).T @ eps**2 / n - (u.T @ eps / n) ** 2
    return float(np.sum(np.var(u, axis=0)) + np.sum(pairs * q.scale_mask))


def score_spread(q, eps, f) -> float:
    """The variances of f times the standardised scores eps_i, eps_i eps_j and eps_i^2 - 1 added up."""
    if not np.isfinite(f).all():
        return math.nan
    if q.scale_mask is None:
        return float(score_variances(q, eps, f) @ q.steps**2)
    f = (f - np.mean(f))[:, None]
    twice, once = f * eps * eps, f * (eps * eps - 1.0)
    return second_moments(q, f * eps, eps) - float(np.sum(np.var(twice, axis=0)) - np.sum(np.var(once, axis=0)))


def pathwise_spread(q, eps, gradients) -> float:
    """The variances of the standardised pathwise terms of gradients (n, dim) in z, added up."""
    if not np.isfinite(gradients).all():
        return math.nan
    if q.scale_mask is None:
        return float(pathwise_variances(q, eps, gradients) @ q.steps**2)
    return second_moments(q, q.scaled_slopes(gradients), eps)


def cheapest(found) -> Candidate:
    """The candidate with the least variance times operations."""
    return min(found, key=lambda candidate: candidate.price)
