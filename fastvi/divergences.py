"""KL(q || p) = E_q[log q - log p]: in closed form between Gaussians, by Monte Carlo otherwise."""

import numpy as np

from . import checks
from .elbo import common, elbo, sample_limit
from .estimates import Estimate
from .families import LOG_2PI, Gaussian, MeanFieldGaussian
from .rng import key_from
from .target import Target

METHODS = ("auto", "exact", "monte_carlo")


def kl_divergence(
    q,
    p,
    num_samples=10_000,
    *,
    method="auto",
    atol=None,
    max_samples=None,
    rng=None,
    dtype="float64",
    backend="cpu",
    num_threads=None,
    progress=False,
) -> Estimate:
    """KL(q || p), the exclusive or reverse divergence that variational inference minimises, in nats.

    Parameters
    ----------
    q : MeanFieldGaussian or FullRankGaussian
    p : MeanFieldGaussian, FullRankGaussian or Target
        a Target must be ``normalized=True``
    method : {"auto", "exact", "monte_carlo"}
        ``"exact"``: 1/2 (tr(S_p^-1 S_q) + (m_p - m_q)^T S_p^-1 (m_p - m_q) - dim) + 1/2 log(det S_p / det S_q), for
        two Gaussians.  ``"monte_carlo"``: the mean of log q - log p over draws of q; unbiased, and its variance is
        finite wherever that of log p - log q is.  ``"auto"``: exact where there is a formula.  The result's ``method``
        says which it was.

    The other parameters are those of :func:`elbo`.

    Raises
    ------
    ValueError
        for a Target that is not normalized, or ``method="exact"`` without a closed form
    """
    if not isinstance(q, Gaussian):
        raise TypeError(f"q: expected a MeanFieldGaussian or FullRankGaussian, got {checks.describe(q)}")
    if not isinstance(p, Gaussian | Target):
        raise TypeError(f"p: expected a Gaussian family or a Target, got {checks.describe(p)}")
    if p.dim != q.dim:
        raise ValueError(f"p: expected {q.dim} dimensions, as q has, got {p.dim}")
    checks.choice("method", method, METHODS)
    common(draws="iid", dtype=dtype, backend=backend)
    sample_limit(atol, max_samples, checks.count("num_samples", num_samples))
    key = key_from(rng)
    if isinstance(p, Gaussian) and method != "monte_carlo":
        return Estimate(gaussian_kl(q, p), 0.0, 0, method="exact", key=None)
    if method == "exact":
        raise ValueError(f"method: no closed form is known for p = {p!r}; use 'monte_carlo'")
    target = as_target(p) if isinstance(p, Gaussian) else p
    if not target.normalized:
        raise ValueError(f"p: {target!r} is not normalized=True, and KL(q || p) needs log p with its constant")
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
            progress=progress,
        )
    except KeyboardInterrupt as interrupt:
        if hasattr(interrupt, "partial"):
            interrupt.partial = negated(interrupt.partial)
        raise
    return negated(result)


def negated(result: Estimate) -> Estimate:
    """KL(q || p) = -L(q) where p is normalized."""
    return Estimate(
        -result.value,
        result.standard_error,
        result.num_samples,
        result.num_neginf,
        "monte_carlo",
        result.converged,
        result.key,
        result.degrees_of_freedom,
    )


def gaussian_kl(q, p) -> float:
    """The closed form, through triangular factors: never a determinant or an inverse."""
    if isinstance(q, MeanFieldGaussian) and isinstance(p, MeanFieldGaussian):
        ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
        return float(np.sum(_scale_part(ratio) + 0.5 * shift**2))
    factor, shift = _relative(q, p)
    strict = np.sum(np.tril(factor, -1) ** 2)
    return float(np.sum(_scale_part(np.diag(factor))) + 0.5 * (strict + np.sum(shift**2)))


def _scale_part(ratio):
    """(r^2 - 1)/2 - log r for ratios of scales; near 1 through log1p, where the terms cancel"""
    with np.errstate(over="ignore"):
        excess = (ratio - 1.0) * (ratio + 1.0)
    near = np.abs(excess) < 0.5
    log_square = np.where(near, np.log1p(np.where(near, excess, 0.0)), 2.0 * np.log(ratio))
    return 0.5 * (excess - log_square)


def _relative(q, p):
    """L_p^-1 L_q and L_p^-1 (m_q - m_p)"""
    if isinstance(p, MeanFieldGaussian):
        return q.scale_tril / p.scale[:, None], (q.loc - p.loc) / p.scale
    from scipy.linalg import solve_triangular

    both = np.column_stack([q.scale_tril, q.loc - p.loc])
    solved = solve_triangular(p.scale_tril, both, lower=True)
    return solved[:, :-1], solved[:, -1]


def as_target(p) -> Target:
    """A Gaussian family as a Target, for Monte Carlo."""
    if isinstance(p, MeanFieldGaussian):
        return Target(_mean_field_log_prob, p.dim, (p.loc, p.scale, p.log_det), normalized=True, name=type(p).__name__)
    from scipy.linalg import solve_triangular

    whiten = solve_triangular(p.scale_tril, np.eye(p.dim), lower=True)
    return Target(_full_rank_log_prob, p.dim, (p.loc, whiten, p.log_det), normalized=True, name=type(p).__name__)


def _mean_field_log_prob(z, loc, scale, log_det):
    return -0.5 * np.sum(((z - loc) / scale) ** 2) - log_det - 0.5 * len(z) * LOG_2PI


def _full_rank_log_prob(z, loc, whiten, log_det):
    eps = whiten @ (z - loc)
    return -0.5 * np.sum(eps * eps) - log_det - 0.5 * len(z) * LOG_2PI


__all__ = ["as_target", "gaussian_kl", "kl_divergence"]
