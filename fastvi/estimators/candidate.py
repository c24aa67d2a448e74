"""A way to estimate with its price, and the variances by which ways are compared."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..control_variates import Lines, Surrogate
from ..families.base import BLOCK
from ..running_moments import Running


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
