"""Divergences between q and p: exact where a closed form is known, by importance weights u = p / q otherwise.

Everything is computed from log u, and an unnormalised p is normalised by the mean of its own weights.  Whether a mean
has a finite variance is read off the Pareto shape k of the weights: a mean of u^c needs c k < 1/2.  Where it has none
no standard error is offered.
"""

import math
from typing import Any

import numpy as np

from .. import checks
from ..documentation import documented
from ..estimators.kl import METHODS, check_p, kl_divergence
from ..estimators.sampled_kl import sampled_kl
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import place
from ..families.base import Family
from ..families.closed_forms import as_target, closed_form
from ..families.mixture import GaussianMixture
from ..results import Estimate
from ..rng import SAMPLE, RandomSource, key_from
from ..targets.target import Target
from .importance import Power, finite_or_inf, weighted, weighted_power
from .log_weights import LogWeights, MixtureWeights

KINDS = (
    "kl_reverse",
    "kl_forward",
    "chi2",
    "renyi",
    "alpha",
    "hellinger",
    "jeffreys",
    "jensen_shannon",
    "total_variation",
)
LIMIT = 1e-8  # nearer than this to alpha = -1, 1 or order = 1 the limit is taken


def power_of(kind, alpha, order) -> Power | None:
    """The kinds of the alpha family; None for the others and for the limits that are KL divergences."""
    if kind == "chi2":
        return Power(2.0, math.expm1, math.exp)
    if kind == "hellinger":
        return Power(0.5, lambda log: -math.expm1(log), math.exp)
    if kind == "renyi" and abs(order - 1.0) > LIMIT:
        return Power(order, lambda log: log / (order - 1.0), lambda log: 1.0 / (order - 1.0))
    if kind == "alpha" and abs(abs(alpha) - 1.0) > LIMIT:
        factor = 4.0 / (1.0 - alpha * alpha)
        return Power(0.5 * (1.0 + alpha), lambda log: -factor * math.expm1(log), lambda log: factor * math.exp(log))
    return None


@documented
def divergence(
    q: Family | GaussianMixture,
    p: Family | GaussianMixture | Target,
    kind: str,
    num_samples: int = 10_000,
    *,
    alpha: float | None = None,
    order: float | None = None,
    method: str = "auto",
    rng: RandomSource = None,
    dtype: str = "float64",
    backend: str = "cpu",
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Estimate:
    r"""A divergence between q and p, in nats where it is a logarithm.

    Parameters
    ----------
    q : MeanFieldGaussian, LowRankGaussian, FullRankGaussian or GaussianMixture
    p : MeanFieldGaussian, LowRankGaussian, FullRankGaussian, GaussianMixture or Target
        a Target that is not ``normalized`` is normalised by its importance weights
    kind : str
        * ``"kl_reverse"``: $KL(q \parallel p) = E_q[\log q/p]$
        * ``"kl_forward"``: $KL(p \parallel q) = E_p[\log p/q]$
        * ``"chi2"``: $\int p^2/q - 1$
        * ``"renyi"``: $D_r(p \parallel q) = \log(\int p^r q^{1-r}) / (r - 1)$, r = ``order``; r -> 1 is KL(p || q)
        * ``"alpha"``: $D_a(p \parallel q) = 4/(1 - a^2) (1 - \int p^{(1+a)/2} q^{(1-a)/2})$, a = ``alpha`` (Bishop
          2006, equation 10.19): a -> -1 is KL(q || p), a -> 1 is KL(p || q), a = 0 four times the Hellinger divergence
        * ``"hellinger"``: $\tfrac12 \int (\sqrt p - \sqrt q)^2 = 1 - \int \sqrt{p q}$
        * ``"jeffreys"``: $KL(q \parallel p) + KL(p \parallel q)$
        * ``"jensen_shannon"``: $\tfrac12 KL(p \parallel m) + \tfrac12 KL(q \parallel m)$, m = (p + q)/2; at most log 2
        * ``"total_variation"``: $\tfrac12 \int |p - q|$; at most 1
    num_samples : int
        draws of q; of p for ``"kl_forward"`` where p can be sampled
    method : {"auto", "exact", "monte_carlo"}
        exact between Gaussians, but for ``"jensen_shannon"`` and, in more than one dimension, ``"total_variation"``

    alpha, order : float, optional
        of ``"alpha"`` and ``"renyi"``
    @rng
    dtype, backend : str
        "float64" and "cpu": importance weights are computed in no other way
    @num_threads
    @executor
    @progress

    Returns
    -------
    Estimate
        with ``khat`` and ``ess`` of the weights.  inf where a closed form says so.  Where the weights have no second
        moment of the power that is averaged (a mean of u^c needs c khat < 1/2) the standard error is nan and ``note``
        says so: the value then depends on draws that have not been seen

    Raises
    ------
    ValueError
        for an unknown kind, a missing ``alpha`` or ``order``, or ``method="exact"`` without a closed form

    See Also
    --------
    kl_divergence : KL(q || p) with every option of :func:`elbo`

    Examples
    --------
    >>> import fastvi as vi
    >>> q, p = vi.MeanFieldGaussian([0.0], [1.0]), vi.MeanFieldGaussian([1.0], [2.0])
    >>> vi.divergence(q, p, "hellinger")
    0.1491945378 (exact)
    """
    check_p(q, p)
    checks.choice("kind", kind, KINDS)
    checks.choice("method", method, METHODS)
    checks.choice("dtype", dtype, ("float64",))
    checks.choice("backend", backend, ("cpu",))
    num_samples = checks.count("num_samples", num_samples, 2)
    on = place(num_threads, executor)
    alpha = parameter("alpha", alpha, kind == "alpha", kind)
    order = parameter("order", order, kind == "renyi", kind)
    if kind == "alpha" and abs(alpha + 1.0) <= LIMIT:
        kind = "kl_reverse"
    elif (kind == "alpha" and abs(alpha - 1.0) <= LIMIT) or (kind == "renyi" and abs(order - 1.0) <= LIMIT):
        kind = "kl_forward"
    power = power_of(kind, alpha, order)
    value = None if method == "monte_carlo" else exact(q, p, kind, power)
    if value is not None:
        return Estimate(value, 0.0, 0, method="exact")
    if method == "exact":
        raise ValueError(f"method: no closed form is known for {kind!r} and p = {p!r}; use 'monte_carlo'")
    key, target = key_from(rng), as_target(p)
    options: dict[str, Any] = dict(num_threads=num_threads, progress=progress)
    options |= dict(executor=executor) if isinstance(q, Family) else {}
    if kind == "kl_reverse" and target.normalized:
        return kl_divergence(q, p, num_samples, method="monte_carlo", rng=key, **options)
    if kind == "kl_forward" and isinstance(p, Family) and isinstance(q, Family):
        return kl_divergence(p, as_target(q), num_samples, method="monte_carlo", rng=key, **options)
    if kind == "kl_forward" and not isinstance(p, Target):
        return sampled_kl(p, q, num_samples, key)
    weights: LogWeights | MixtureWeights
    if isinstance(q, GaussianMixture):
        weights = MixtureWeights(target, q, num_samples, key)
    else:
        weights = LogWeights(target, q, num_samples, key, SAMPLE, on, progress)
    return (weighted if power is None else weighted_power)(weights, target.normalized, power or kind)


def parameter(name, value, wanted, kind) -> float:
    """``alpha`` or ``order``, asked for by one kind alone."""
    if not wanted:
        if value is not None:
            raise ValueError(f"{name}: does not belong to kind={kind!r}")
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError(f"{name}: expected a number for kind={kind!r}, got {checks.describe(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    return float(value)


def exact(q, p, kind, power) -> float | None:
    """In closed form, or None."""
    pair = closed_form(q, p)
    if pair is None:
        return None
    if power is not None:
        log = pair.log_power(q, p, power.c)
        with np.errstate(over="ignore"):
            return finite_or_inf(power, log)
    forms = {
        "kl_reverse": lambda: pair.kl(q, p),
        "kl_forward": lambda: pair.kl(p, q),
        "jeffreys": lambda: pair.kl(q, p) + pair.kl(p, q),
        "total_variation": lambda: pair.total_variation(q, p),
    }
    return forms[kind]() if kind in forms else None
