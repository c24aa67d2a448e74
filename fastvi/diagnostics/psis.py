"""Pareto smoothed importance sampling: how far log weights can be trusted (Vehtari et al. 2024).

The largest weights are fitted with a generalised Pareto distribution, whose shape k counts the moments that the weights
have: a mean of w^c has a variance only where c k < 1/2.  Below 0.7 the smoothed weights are reliable at practical
sample sizes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..results import shown_khat

LEAST_TAIL = 5
BOUNDED = 0.3  # of log m, that the m largest weights span: less is no heavy tail
PRIOR_STRENGTH, PRIOR_SHAPE, PRIOR_SCALE = 10, 0.5, 3.0
ROUNDING = 1e-13  # relative differences of weights that are none
SMALLEST = math.log(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class SmoothedWeights:
    """Pareto smoothed importance weights.

    Attributes
    ----------
    khat : float
        the fitted shape; inf where fewer than five weights lie in the tail, nan where those do not differ
    log_weights : ndarray (n,)
        smoothed and normalised: their exponentials add up to 1
    ess : float
        effective sample size 1 / sum w^2 of the smoothed weights

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> vi.psis(np.linspace(0.0, 1.0, 1000)).ess > 900
    True
    """

    khat: float
    log_weights: np.ndarray
    ess: float

    def __repr__(self):
        return f"SmoothedWeights(khat = {shown_khat(self.khat)}, ess = {self.ess:,.0f} of {len(self.log_weights):,})"


def psis(log_weights: ArrayLike) -> SmoothedWeights:
    """Pareto smoothed importance sampling of log weights (Vehtari, Simpson, Gelman, Yao and Gabry 2024, section 3).

    Parameters
    ----------
    log_weights : array_like (n,)
        log p - log q at draws of q, where -inf is a weight of 0.  The sign is that of importance sampling:
        ``arviz_stats`` takes the negative (a log likelihood)

    Returns
    -------
    SmoothedWeights

    Raises
    ------
    ValueError
        for NaN, +inf or nothing but -inf

    See Also
    --------
    diagnose : the same for a target and an approximation

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> vi.psis(np.random.default_rng(0).standard_normal(1000)).khat < 0.5
    True
    """
    log_weights = checked(log_weights)
    n = len(log_weights)
    with np.errstate(over="ignore"):
        scaled = log_weights - log_weights.max()
    tail = tail_size(n)
    order = np.argsort(scaled, kind="stable")
    cutoff = max(scaled[order[max(0, n - tail - 1)]], SMALLEST)
    beyond = order[scaled[order] > cutoff]
    smoothed, khat = scaled.copy(), math.inf
    excess = np.exp(scaled[beyond]) - math.exp(cutoff)
    if len(beyond) >= LEAST_TAIL and not differ(excess):
        khat = math.nan  # the weights do not differ
    elif len(beyond) >= LEAST_TAIL:
        khat, scale = fit_pareto(excess)
        ranks = (np.arange(len(beyond)) + 0.5) / len(beyond)
        smoothed[beyond] = np.minimum(np.log(pareto_quantiles(ranks, khat, scale) + math.exp(cutoff)), 0.0)
    smoothed -= smoothed.max() + math.log(np.sum(np.exp(smoothed - smoothed.max())))
    with np.errstate(over="ignore"):
        ess = float(np.exp(-log_sum(2.0 * smoothed)))
    return SmoothedWeights(khat, smoothed, ess)


def checked(log_weights) -> np.ndarray:
    """Log weights (n,) of which one at least is finite and none is NaN or +inf."""
    values = checks.numeric("log_weights", log_weights).astype(np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"log_weights: expected one dimension and a value at least, got shape {values.shape}")
    bad = np.isnan(values) | (values == np.inf)
    if bad.any():
        raise ValueError(f"log_weights: expected finite values or -inf, got {values[bad][0]} at index {np.argmax(bad)}")
    if values.max() == -np.inf:
        raise ValueError("log_weights: all are -inf, so there is nothing to weigh")
    return values


def log_sum(values) -> float:
    """log sum exp of finite values or -inf"""
    top = float(np.max(values))
    return top + math.log(float(np.sum(np.exp(values - top)))) if top > -np.inf else -math.inf


def tail_size(n) -> int:
    """How many of n weights are the tail: min(n / 5, 3 sqrt(n)), equation 12."""
    return math.ceil(min(n / 5.0, 3.0 * math.sqrt(n)))


def khat_of_tail(largest, n) -> float:
    """k from the ``tail_size(n) + 1`` largest of n log weights (all of them where n is smaller)."""
    largest = np.sort(largest)[-tail_size(n) - 1 :]
    scaled = largest - largest[-1]
    cutoff = max(scaled[0], SMALLEST)
    excess = np.exp(scaled[scaled > cutoff]) - math.exp(cutoff)
    if len(excess) < LEAST_TAIL:
        return math.inf
    return fit_pareto(excess)[0] if differ(excess) else math.nan


def bounded_by_span(khat: float, log_weights: np.ndarray) -> float:
    """``khat``, or what the span of the tail allows: for whether the mean of weights like these has a variance.

    The fit is misled by a plateau, where most of the tail is close to its lower end.  The m largest of weights with a
    Pareto tail span k (log m + G) on the log scale with a standard Gumbel G, so that a span below 0.3 log m excludes
    k >= 1/2 at 1e-4 for m = 300 among the weights that these draws could meet.
    """
    if not khat >= 0.5 or len(log_weights) < LEAST_TAIL:
        return khat
    most = (float(np.max(log_weights)) - float(np.min(log_weights))) / math.log(len(log_weights))
    return min(khat, most) if most < BOUNDED else khat


def differ(excess) -> bool:
    """Whether the excesses of a tail, in order and relative to the largest weight, are more than rounding."""
    return bool(excess[-1] > ROUNDING and excess[quartile_of(len(excess))] > 0.0)


def quartile_of(n) -> int:
    """The place of the first quartile of n values in order."""
    return int(n / 4 + 0.5) - 1


def fit_pareto(excess) -> tuple[float, float]:
    """(k, sigma) of a generalised Pareto distribution for values in ascending order (Zhang and Stephens 2009), with
    the weak prior on k of Vehtari et al. (2024), appendix C."""
    n = len(excess)
    count = 30 + int(math.sqrt(n))
    grid = 1.0 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    quartile = excess[quartile_of(n)]
    with np.errstate(all="ignore"):
        theta = 1.0 / excess[-1] + grid / (PRIOR_SCALE * quartile)
        shape = np.array([np.mean(np.log1p(-t * excess)) for t in theta])
        likelihood = n * (np.log(-theta / shape) - shape - 1.0)
        weights = 1.0 / np.sum(np.exp(likelihood - likelihood[:, None]), axis=1)
    weights = np.where(weights >= 10.0 * np.finfo(float).eps, weights, 0.0)
    theta_mean = float(np.sum(theta * (weights / np.sum(weights))))
    k = float(np.mean(np.log1p(-theta_mean * excess)))
    sigma = -k / theta_mean
    return (n * k + PRIOR_STRENGTH * PRIOR_SHAPE) / (n + PRIOR_STRENGTH), sigma


def pareto_quantiles(ranks, k, sigma):
    """Quantiles of the generalised Pareto distribution."""
    if abs(k) < np.finfo(float).eps:
        return -sigma * np.log1p(-ranks)
    return sigma * np.expm1(-k * np.log1p(-ranks)) / k
