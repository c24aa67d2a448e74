"""Cross-fitting: every draw counts, corrected by a surrogate that was fitted to the gradients of the others.

The draws are cut into folds; what is subtracted from the terms of a fold was fitted to the other folds and has a mean
known in closed form, so each term is unbiased (Oates, Girolami and Chopin 2017, section 2.2; Wager, Du, Taylor and
Tibshirani 2016, "cross-estimation").  Given the other folds, the terms of a fold are independent with one mean, and so
uncorrelated.  Terms of two folds are correlated only through the errors of both fits at once, a covariance of order
1 / S^2 for least squares, which the standard error leaves out.
"""

import math

import numpy as np

from ..execution.gpu import Gpu
from ..execution.nonfinite import check_gradients, check_values
from ..execution.progress import reporter
from ..execution.sweep import Place
from ..families.factors import Factors
from ..results import ROUNDING, SLOPE_ROUNDING, Estimate, GradientEstimate
from ..rng import SAMPLE
from ..slope_surrogates import CUBIC_DRAWS, fit_slopes, lines_without
from .cost import PATHWISE_COST, PILOT_SHARE, Slopes, operations, slopes_operations
from .derivative import continuous
from .options import Request
from .pilot import places
from .reliability import LIMIT
from .selection import POLYNOMIALS

# Draws a dimension from which a pilot costs little: its draws of an ELBO need no gradient of the others
MOST_VALUES, MOST_GRADIENTS = 30, 40
LEAST_FITTED = 2  # draws a coefficient of an entry of the gradient
FOLDS, FEW_FOLDS, FEW_FROM = 5, 2, 16  # folds; from so many draws a dimension on, two fit gradients as well
AUTO_LEAST, AUTO_DRAWS = 33, 4  # for "auto": draws, and draws a dimension
LARGEST = 2**22  # float64s of draws, all of which are kept
TELLING = 64  # draws from which a kurtosis tells whether an interval can be trusted


def place_for(r: Request, most: int) -> Place | None:
    """Where a request's draws are evaluated, if they are few enough to be cross-fitted but enough to fit."""
    columns, auto = r.q.dim + 1, r.estimator == "auto"
    least = max(LEAST_FITTED * columns * FOLDS / (FOLDS - 1), max(AUTO_LEAST, AUTO_DRAWS * columns) if auto else 0)
    plain_request = r.draws == "iid" and r.atol is None and r.dtype == "float64"
    if (
        isinstance(r.q, Factors)
        or not plain_request
        or not least <= r.num_samples < most * r.q.dim
        or r.num_samples * r.q.dim > LARGEST
    ):
        return None
    on = r.where(r.num_samples)
    return None if isinstance(on, Gpu) or not continuous(r.target, r.q, r.key) else on


class Draws:
    """All draws of a request, with the gradient of log p at each, cut into folds of neighbours."""

    def __init__(self, r: Request, on: Place, count: int) -> None:
        self.q, n = r.q, r.num_samples
        report, close = reporter(r.progress, n)
        self.eps, z = places(r.q, r.key, n, SAMPLE)
        try:
            self.log_p, self.gradients = on.evaluate(r.target, z, True)
            if report is not None:
                report(n)
        finally:
            close()
        check_values(r.target, z, self.log_p)
        self.num_neginf = int(np.sum(self.log_p == -np.inf))
        if not self.num_neginf:
            check_gradients(r.target, z, self.gradients)
        self.log_w = r.q.log_weights(self.eps, z, self.log_p)
        self.slopes = r.q.scaled_slopes(self.gradients) + self.eps  # of log w in eps
        ends = [k * n // count for k in range(count + 1)]
        self.folds = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]

    def others(self, k: int) -> np.ndarray:
        """The draws of all folds but one, from the next fold on."""
        own = self.folds[k]
        return np.r_[own.stop : len(self.eps), : own.start]

    def estimate(self, r: Request, terms: np.ndarray, method: str, rounding: float = 0.0) -> Estimate:
        """The mean of ``terms`` (n,)."""
        n = r.num_samples
        if self.num_neginf:
            return Estimate(-math.inf, math.nan, n, self.num_neginf, method, key=r.key)
        d = terms - np.mean(terms)
        squares = float(d @ d)
        error = max(math.sqrt(squares / (n - 1.0) / n), rounding)
        reliable = bool(steady(squares, np.sum(d**4), n))
        return Estimate(float(np.mean(terms)), error, n, 0, method, True, r.key, n - 1.0, interval_reliable=reliable)


def steady(squares, fourth, n: int):
    """Whether the variance of ``n`` draws rests on many of them, as :func:`fastvi.estimators.reliability.holds`."""
    return ~(np.asarray(fourth) > (LIMIT + 1.0 / n) * squares**2) | (n < TELLING)


def elbo(r: Request) -> Estimate | None:
    """The ELBO by "quadratic", "cubic" or "auto" with every draw cross-fitted; None where another way is better."""
    levels = [level for level in POLYNOMIALS.get(r.estimator, ()) if level != "diagonal" or r.estimator != "auto"]
    fitted = r.num_samples * (FOLDS - 1) // FOLDS
    if fitted < CUBIC_DRAWS * r.q.dim:
        levels = [level for level in levels if level != "cubic"]
    if r.estimator == "auto":
        while levels and not affordable(r, levels, fitted):
            levels.pop()
    on = place_for(r, MOST_VALUES) if "quadratic" in levels else None
    if on is None:
        return None
    draws = Draws(r, on, FOLDS)
    terms, methods = np.copy(draws.log_w), []
    for k in range(FOLDS) if not draws.num_neginf else ():
        method, surrogate = chosen(draws, draws.others(k), levels)
        own = draws.folds[k]
        if surrogate is not None:
            terms[own] -= surrogate.value(draws.eps[own])
        elif method == "entropy":
            terms[own] = draws.log_p[own] + r.q.entropy()
        methods.append(method)
    method = max(methods, key=methods.count, default="plain")
    scale = abs(float(np.mean(draws.log_p))) + float(np.std(draws.log_p)) if not draws.num_neginf else 0.0
    return draws.estimate(r, terms, method, ROUNDING * (scale + abs(r.q.entropy())))


def affordable(r: Request, levels, fitted: int) -> bool:
    """Whether "auto" may fit them: the fits take no more than a share of what the draws take."""
    each = operations("none", r.q) + r.target.density.operations
    fits = 2 * FOLDS * slopes_operations(Slopes(tuple(levels), fitted, 0), r.q.dim)
    return fits <= PILOT_SHARE * PATHWISE_COST * r.num_samples * each


def chosen(draws: Draws, some: np.ndarray, levels):
    """(method, its surrogate or None) of the least variance, as a quarter of the draws ``some`` tells after a fit to
    the rest; what is used is fitted to all of them."""
    cut = 3 * len(some) // 4
    fitted, judging = some[:cut], some[cut:]
    spreads = {"plain": np.var(draws.log_w[judging]), "entropy": np.var(draws.log_p[judging])}
    for level in levels:
        surrogate = fit_slopes(draws.eps[fitted], draws.slopes[fitted], level)
        spreads[level] = np.var(draws.log_w[judging] - surrogate.value(draws.eps[judging]))
    method = min(spreads, key=spreads.__getitem__)
    return method, fit_slopes(draws.eps[some], draws.slopes[some], method) if method in levels else None


def gradient(r: Request) -> GradientEstimate | None:
    """ "pathwise_quadratic", or "auto", with every draw cross-fitted; None where another way is better."""
    on = place_for(r, MOST_GRADIENTS) if r.estimator in ("pathwise_quadratic", "auto") else None
    if on is None:
        return None
    q, method = r.q, "pathwise_quadratic"
    draws = Draws(r, on, FOLDS if r.num_samples < FEW_FROM * (q.dim + 1) else FEW_FOLDS)
    value = draws.estimate(r, draws.log_w, "plain")
    if draws.num_neginf:
        unknown = np.full(len(q.parameters), math.nan)
        return GradientEstimate(value, unknown, unknown, method, np.ones(len(unknown), dtype=bool))
    units, entropy = q.path_layout[1:]
    left, means, counts, squares = np.copy(draws.gradients), [], [], np.zeros(len(entropy))
    fits = lines_without(draws.folds, draws.eps, draws.slopes, q)
    for own, lines in zip(draws.folds, fits, strict=True):
        left[own] -= lines.offset + draws.eps[own] @ lines.slope.T
        count = own.stop - own.start
        rest = q.lines_gradient(left[own].mean(axis=0), left[own].T @ draws.eps[own] / count)
        means.append(rest + lines.gradient(q))
        counts.append(count)
        squares = squares - count * rest**2
    mean = np.array(counts) @ np.array(means) / r.num_samples
    second, fourth = q.pathwise_powers(draws.eps, left)
    squares = np.maximum(squares + second + np.array(counts) @ (np.array(means) - mean) ** 2, 0.0)
    found = mean + entropy
    error = np.sqrt(squares / (r.num_samples - 1.0) / r.num_samples)
    error = np.maximum(error, SLOPE_ROUNDING * (np.abs(found) + fits[0].size * units))
    return GradientEstimate(value, found, error, method, steady(squares, fourth, r.num_samples))
