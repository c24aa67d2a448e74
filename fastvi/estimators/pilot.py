"""Pilots: draws of their own on which control variates are fitted and judged, before the draws that count."""

import math
from collections.abc import Iterator

import numpy as np

from ..control_variates import Surrogate, fit
from ..execution.sweep import Place
from ..families.mean_field import fill_standard_normals
from ..rng import PILOT
from ..slope_surrogates import fit_slopes, fitted_lines
from .candidate import Candidate, concentrated
from .cost import (
    CHECK_SHARE,
    LEAST,
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
