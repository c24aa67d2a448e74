"""KL(q || p) = E_q[log q - log p]: in closed form between Gaussians, by Monte Carlo otherwise."""

import dataclasses

from .. import checks
from ..documentation import documented
from ..errors import STOPPED
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..families.base import Family
from ..families.closed_forms import as_target, closed_form
from ..families.mixture import GaussianMixture
from ..results import Estimate
from ..rng import RandomSource, key_from
from ..targets.target import Target
from .elbo import elbo
from .options import check_options
from .precision import sample_limit
from .sampled_kl import sampled_kl

METHODS = ("auto", "exact", "monte_carlo")


@documented
def kl_divergence(
    q: Family | GaussianMixture,
    p: Family | GaussianMixture | Target,
    num_samples: int = 10_000,
    *,
    method: str = "auto",
    atol: float | None = None,
    max_samples: int | None = None,
    rng: RandomSource = None,
    dtype: str = "float64",
    backend: str = "cpu",
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Estimate:
    r"""KL(q || p), the exclusive or reverse divergence that variational inference minimises, in nats.

    $$ KL(q \parallel p) = E_q[\log q(z) - \log p(z)] $$

    Parameters
    ----------
    q : MeanFieldGaussian, LowRankGaussian, FullRankGaussian, Bernoulli, Product or GaussianMixture
        a mixture is sampled in NumPy, on this machine's CPU
    p : one of these families, GaussianMixture or Target
        a Target must be ``normalized=True``
    num_samples : int
        draws of q for Monte Carlo; with ``atol`` those of the pilot
    method : {"auto", "exact", "monte_carlo"}
        ``"exact"``: 1/2 (tr(S_p^-1 S_q) + (m_p - m_q)^T S_p^-1 (m_p - m_q) - dim) + 1/2 log(det S_p / det S_q), for
        two Gaussians; (eta_q - eta_p)' E_q t - A(eta_q) + A(eta_p) added up over the factors of two products that
        are alike.  ``"monte_carlo"``: the mean of log q - log p over draws of q; unbiased, and its variance is
        finite wherever that of log p - log q is.  ``"auto"``: exact where there is a formula.  The result's ``method``
        says which it was.  The options below are those of Monte Carlo
    @atol
    @max_samples
    @rng
    @dtype
    @backend
    @num_threads
    @executor
    @progress

    Returns
    -------
    Estimate
        exact results have standard error 0 and no draws

    Raises
    ------
    ValueError
        for a Target that is not normalized, or ``method="exact"`` without a closed form
    NonFiniteError, KeyboardInterrupt, ExecutorError
        as for :func:`elbo`

    See Also
    --------
    divergence : the other directions and kinds

    Examples
    --------
    >>> import fastvi as vi
    >>> q, p = vi.MeanFieldGaussian([0.0], [1.0]), vi.MeanFieldGaussian([1.0], [2.0])
    >>> vi.kl_divergence(q, p)
    0.4431471806 (exact)
    """
    check_p(q, p)
    checks.choice("method", method, METHODS)
    check_options("iid", dtype, backend, executor)
    limit = sample_limit(atol, max_samples, checks.count("num_samples", num_samples))
    key = key_from(rng)
    exact = closed_form(q, p)
    if exact is not None and method != "monte_carlo":
        return Estimate(exact.kl(q, p), 0.0, 0, method="exact", key=None)
    if method == "exact":
        raise ValueError(f"method: no closed form is known for p = {p!r}; use 'monte_carlo'")
    target = as_target(p)
    if not target.normalized:
        raise ValueError(f"p: {target!r} is not normalized=True, and KL(q || p) needs log p with its constant")
    if isinstance(q, GaussianMixture):
        if backend == "cuda" or executor is not None or dtype != "float64":
            raise ValueError("q: a GaussianMixture is sampled on backend='cpu', in float64 and without an executor")
        return sampled_kl(q, p, num_samples, key, atol, limit)
    try:
        result = elbo(
            target,
            q,
            num_samples,
            estimator="auto",
            atol=atol,
            max_samples=max_samples,
            rng=key,
            dtype=dtype,
            backend=backend,
            num_threads=num_threads,
            executor=executor,
            progress=progress,
        )
    except STOPPED as stopped:
        if hasattr(stopped, "partial"):
            stopped.partial = negated(stopped.partial)
        raise
    return negated(result)


def negated(result: Estimate) -> Estimate:
    """KL(q || p) = -L(q) where p is normalized."""
    return dataclasses.replace(result, value=-result.value, method="monte_carlo")


def check_p(q, p) -> None:
    """A q and a p that fit each other."""
    if not isinstance(q, Family | GaussianMixture):
        raise TypeError(f"q: expected a family or a GaussianMixture, got {checks.describe(q)}")
    if not isinstance(p, Family | GaussianMixture | Target):
        raise TypeError(f"p: expected a family, a GaussianMixture or a Target, got {checks.describe(p)}")
    if p.dim != q.dim:
        raise ValueError(f"p: expected {q.dim} dimensions, as q has, got {p.dim}")
