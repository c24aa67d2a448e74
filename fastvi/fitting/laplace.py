"""The Laplace approximation: the Gaussian with the mode and the curvature of the target (Bishop 2006, section 4.4)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..families.base import LOG_2PI
from ..families.full_rank import FullRankGaussian

NEWTON_STEPS = 20


@dataclass(frozen=True, slots=True)
class LaplaceResult:
    """What ``Target.laplace`` returns.

    Attributes
    ----------
    q : FullRankGaussian
        at the mode, with the inverse of the negative Hessian for its covariance
    log_evidence : float
        log p(mode) + dim/2 log(2 pi) + log det of q's scale (Bishop 2006, equation 4.137); exact for a Gaussian target
    log_density : float
        log p at the mode
    gradient_norm : float
        of log p there, in units of q's standard deviations: |L^T g|
    converged : bool
    message : str
    num_evaluations : int

    Examples
    --------
    >>> import math, fastvi as vi
    >>> found = vi.Target(lambda z: -0.5 * (z[0] - 3.0) ** 2, 1).laplace([0.0])
    >>> found.q.loc.round(6).tolist(), round(found.log_evidence - 0.5 * math.log(2.0 * math.pi), 6)
    ([3.0], 0.0)
    """

    q: FullRankGaussian
    log_evidence: float
    log_density: float
    gradient_norm: float
    converged: bool
    message: str
    num_evaluations: int


def laplace(target, start: ArrayLike, *, gtol=1e-6, max_iterations=1000) -> LaplaceResult:
    """Climb from ``start`` (dim,) to a mode and fit a Gaussian there.

    Parameters
    ----------
    gtol : float
        the gradient to reach, in standard deviations of the result
    max_iterations : int

    Raises
    ------
    ValueError
        where log p is not finite at the start, or where the curvature at the end is not that of a maximum
    """
    from scipy.optimize import minimize

    points, single = checks.points(start, target.dim)
    if not single:
        raise ValueError(f"start: expected shape ({target.dim},), got {points.shape}")
    checks.positive("gtol", gtol)
    first = target.value(points[0])
    if not math.isfinite(first):
        raise ValueError(f"start: log p is {first} there; expected a point where it is finite")
    evaluations = 0

    def negative(z):
        nonlocal evaluations
        evaluations += 1
        value, gradient = target.value_and_grad(z, num_threads=1)
        return (-value, -gradient) if math.isfinite(value) else (math.inf, np.zeros_like(z))

    options = dict(maxiter=checks.count("max_iterations", max_iterations), gtol=1e-9)
    found = minimize(negative, points[0], jac=True, method="BFGS", options=options)
    z = found.x
    for steps_left in reversed(range(NEWTON_STEPS)):  # whose last is the proof
        value, gradient = target.value_and_grad(z)
        factor = _scale_tril(target.hessian(z))
        if factor is None:
            raise ValueError(
                f"start: the climb ended at z = {z}, where log p has no strict maximum (its Hessian has eigenvalues "
                "that are not negative); start at fastvi.fit(target).q.loc"
            )
        norm = float(np.linalg.norm(factor.T @ gradient))
        if norm <= min(gtol, 1e-8) or not steps_left:
            break
        step = z + factor @ (factor.T @ gradient)
        if not target.value(step) > value:
            break
        z = step
    q = FullRankGaussian(z, factor)
    evidence = value + 0.5 * target.dim * LOG_2PI + q.log_det
    converged = norm <= gtol
    message = (
        "the gradient vanishes" if converged else f"the gradient is {norm:.2g} standard deviations: {found.message}"
    )
    return LaplaceResult(q, float(evidence), float(value), norm, converged, message, evaluations)


def _scale_tril(hessian):
    """The lower factor L of -hessian^-1, or None where that is not positive definite.

    With -H = U U^T for an upper triangle U (the Cholesky factor of the reversed matrix, reversed), L = U^-T.
    """
    if not np.isfinite(hessian).all():
        return None
    try:
        reversed_ = np.linalg.cholesky(-hessian[::-1, ::-1])
    except np.linalg.LinAlgError:
        return None
    from scipy.linalg import solve_triangular

    upper = reversed_[::-1, ::-1]
    return np.tril(solve_triangular(upper, np.eye(len(hessian)), lower=False).T)
