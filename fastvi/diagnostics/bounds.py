"""Bounds on log p(x) from importance weights: from below ELBO, IWAE and Renyi, from above CUBO and EUBO."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..documentation import documented
from ..estimators.options import check_pair
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import place
from ..families.base import Family
from ..results import Estimate, shown_khat, with_error
from ..rng import SAMPLE, RandomSource, key_from
from ..running_moments import Running
from ..targets.target import Target
from .log_weights import Largest, LogWeights, Summary

CUBO_ORDER = 2.0


@dataclass(frozen=True, eq=False)
class Bounds:
    """Estimates of bounds on log p(x), in nats, from the same draws.

    Attributes
    ----------
    elbo : Estimate
        E_q[log w]; log p(x) = ELBO + KL(q || p)
    iwae : dict of int to Estimate
        E log mean of K weights (Burda, Grosse and Salakhutdinov 2016, equation 8): rises with K to log p(x)
    renyi : dict of float to Estimate
        log E_q[w^(1-a)] / (1-a) (Li and Turner 2016, equation 4): a lower bound for a > 0; estimated low for a < 1 and
        high for a > 1
    log_evidence : Estimate
        log E_q[w], by importance sampling: consistent, biased low by half its variance
    cubo : Estimate
        1/2 log E_q[w^2] (Dieng et al. 2017, equation 5), an upper bound; its estimate is biased low, and without an
        error unless k-hat < 1/4
    eubo : Estimate or None
        E_p[log w] over draws of the posterior, an upper bound
    khat, ess, max_weight : float
        Pareto shape, effective sample size and the largest share of a weight

    Examples
    --------
    >>> import fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    >>> found = vi.bounds(target, vi.MeanFieldGaussian([0.1], [1.0]), 10_000, rng=0)
    >>> found.elbo.value < found.iwae[100].value < found.cubo.value
    True
    """

    elbo: Estimate
    iwae: dict
    renyi: dict
    log_evidence: Estimate
    cubo: Estimate
    eubo: Estimate | None
    khat: float
    ess: float
    max_weight: float

    def lower(self) -> float:
        """The best lower end for log p(x), each the lower end of a 95 % interval for its bound."""
        ends = [e.interval()[0] for e in (self.elbo, *self.iwae.values())]
        return max([end for end in ends if end == end], default=-math.inf)

    def upper(self) -> float:
        """The best upper end, each the upper end of a 95 % interval for its bound; inf where none has an error."""
        ends = [e.interval()[1] for e in (self.cubo, self.eubo) if e is not None]
        return min([end for end in ends if end == end], default=math.inf)

    def __repr__(self):
        rows = [("ELBO", self.elbo), *((f"IWAE-{k}", e) for k, e in self.iwae.items())]
        rows += [*((f"Renyi {a:g}", e) for a, e in self.renyi.items()), ("log evidence", self.log_evidence)]
        rows += [("CUBO-2", self.cubo)] + ([("EUBO", self.eubo)] if self.eubo is not None else [])
        lines = [f"  {name:<13} {with_error(e.value, e.standard_error)}{note(e)}" for name, e in rows]
        return "\n".join([f"Bounds from {self.elbo.num_samples:,} draws, k-hat {shown_khat(self.khat)}", *lines])


def note(estimate) -> str:
    return f"  ({estimate.note})" if estimate.note else ""


@documented
def bounds(
    target: Target,
    q: Family,
    num_samples: int = 100_000,
    *,
    num_particles: int | Sequence[int] = (10, 100),
    orders: float | Sequence[float] = (0.5,),
    posterior_draws: ArrayLike | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Bounds:
    r"""Bounds on log p(x) from below and above, all in one pass.

    $$ E_q[\log w] \le E[\log \tfrac{1}{K} \sum_k w_k] \le \log p(x) \le \tfrac{1}{2} \log E_q[w^2], \quad w = p / q $$

    Parameters
    ----------
    @target
    @q
    num_samples : int
        draws
    num_particles : sequence of int
        the K of each IWAE bound, from num_samples // K groups
    orders : sequence of float
        the a of each Renyi bound; 1 is the ELBO
    posterior_draws : array_like (n, dim) or (chains, n, dim), optional
        draws from the posterior, such as a sampler's, for the EUBO; its error allows for their autocorrelation
    @rng
    @num_threads
    @executor
    @progress

    Returns
    -------
    Bounds

    Raises
    ------
    NonFiniteError
        where log p is NaN or +inf at a draw

    See Also
    --------
    diagnose : what they say about q, in words

    Examples
    --------
    >>> import math, fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    >>> found = vi.bounds(target, vi.MeanFieldGaussian([0.1], [1.0]), 10_000, rng=0)
    >>> found.lower() <= 0.5 * math.log(2 * math.pi) <= found.upper()
    True
    """
    target = check_pair(target, q)
    num_samples = checks.count("num_samples", num_samples, 2)
    particles = [checks.count("num_particles", k) for k in np.atleast_1d(num_particles).tolist()]
    if any(k > num_samples for k in particles):
        raise ValueError(f"num_particles: expected at most num_samples, {num_samples}, got {max(particles)}")
    orders = [float(a) for a in checks.real_array("orders", orders, 1)] if len(np.atleast_1d(orders)) else []
    key = key_from(rng)
    weights = LogWeights(target, q, num_samples, key, SAMPLE, place(num_threads, executor), progress)
    eubo = None if posterior_draws is None else upper_bound(target, q, posterior_draws)
    return from_weights(weights, particles, orders, eubo)


def from_weights(weights, particles, orders, eubo=None) -> Bounds:
    """All bounds from one pass over log weights."""
    groups = [Groups(k) for k in particles]
    powers = {1.0 - a for a in orders if a != 1.0} | {CUBO_ORDER}
    smallest = Largest(weights.num_samples)  # of 1 / w

    def visit(block):
        if min(powers) < 0.0:
            smallest.add(-block[block > -math.inf])
        for group in groups:
            group.add(block)

    summary = Summary(weights, sorted(powers), visit)
    key, n, khat = weights.key, weights.num_samples, summary.khat

    def power_bound(c, mean):
        value, estimate = mean.log / c, mean.relative_error / abs(c)
        if c < 0.0 and summary.num_neginf:
            value, estimate = -math.inf, math.nan
        note = ""
        tail = c * khat if c > 0.0 else -c * smallest.khat()
        if tail >= 0.5:
            estimate, note = math.nan, f"no error: the tail of w^{c:g} has shape {tail:.2f}, from 0.5 on no variance"
        return Estimate(value, estimate, n, summary.num_neginf, "monte_carlo", key=key, khat=khat, note=note)

    mean, spread = float(summary.moments.mean), float(summary.moments.standard_error)
    elbo = Estimate(mean, spread, n, summary.num_neginf, "plain", key=key, degrees_of_freedom=n - 1.0)
    if summary.num_neginf:
        elbo = Estimate(-math.inf, math.nan, n, summary.num_neginf, "plain", key=key)
    return Bounds(
        elbo,
        {group.size: group.estimate(key) for group in groups},
        {a: elbo if a == 1.0 else power_bound(1.0 - a, summary.powers[1.0 - a]) for a in orders},
        power_bound(1.0, summary.weight),
        power_bound(CUBO_ORDER, summary.powers[CUBO_ORDER]),
        eubo,
        khat,
        summary.weight.ess,
        summary.max_weight,
    )


class Groups:
    """log mean weights of groups of K draws in their order."""

    def __init__(self, size):
        self.size, self.left = size, np.empty(0)
        self.moments, self.num_neginf = Running(), 0

    def add(self, block) -> None:
        """Take a block; what does not fill a group waits for the next."""
        values = np.concatenate([self.left, block])
        whole = len(values) // self.size * self.size
        self.left = values[whole:]
        if whole == 0:
            return
        groups = values[:whole].reshape(-1, self.size)
        top = groups.max(axis=1)
        safe = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            logs = safe + np.log(np.mean(np.exp(groups - safe[:, None]), axis=1))
        self.num_neginf += int(np.sum(logs == -np.inf))
        self.moments.add(logs[logs > -np.inf])

    def estimate(self, key) -> Estimate:
        """E log mean of K weights."""
        n = int(self.moments.count) + self.num_neginf
        if self.num_neginf:
            return Estimate(-math.inf, math.nan, n * self.size, self.num_neginf * self.size, method="iwae", key=key)
        mean, error = float(self.moments.mean), float(self.moments.standard_error)
        return Estimate(mean, error, n * self.size, method="iwae", key=key, degrees_of_freedom=max(1.0, n - 1.0))


def upper_bound(target, q, draws) -> Estimate:
    """EUBO = E_p[log p - log q] over draws (n, dim) or (chains, n, dim) of the posterior."""
    draws = checks.numeric("posterior_draws", draws)
    draws = checks.real_array("posterior_draws", draws, 3 if draws.ndim == 3 else 2)
    if draws.shape[-1] != target.dim or draws.shape[-2] < 4:
        expected = f"(n, {target.dim}) or (chains, n, {target.dim}) with n >= 4"
        raise ValueError(f"posterior_draws: expected shape {expected}, got {draws.shape}")
    points = draws.reshape(-1, target.dim)
    log_w = (target.value(points) - q.log_prob(points)).reshape(-1, draws.shape[-2])
    if not np.isfinite(log_w).all():
        bad = points[np.argmin(np.isfinite(log_w.ravel()))]
        raise ValueError(f"posterior_draws: expected draws where log p is finite, got one where it is not, z = {bad}")
    time = autocorrelation_time(log_w)
    error = math.sqrt(float(np.var(log_w, ddof=1)) * time / log_w.size)
    return Estimate(float(np.mean(log_w)), error, log_w.size, method="posterior_draws", ess=log_w.size / time)


def autocorrelation_time(chains) -> float:
    """1 + 2 sum of autocorrelations of chains (m, n), by Geyer's initial monotone sequence (1992, section 3.3).

    The variance is that of all chains together, so chains that disagree count as correlated.
    """
    n = chains.shape[1]
    away = chains - chains.mean()
    spectrum = np.abs(np.fft.rfft(away, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:, :n].mean(axis=0) / n
    if covariance[0] <= 0.0:
        return 1.0
    pairs = (covariance[: n // 2 * 2] / covariance[0]).reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0.0)
    monotone = np.minimum.accumulate(pairs[: ends[0] if len(ends) else len(pairs)])
    return max(1.0, 2.0 * float(np.sum(monotone)) - 1.0)
