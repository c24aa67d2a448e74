"""The evidence lower bound L(q) = E_q[log p(z) - log q(z)], with its standard error."""

import math

from ..documentation import documented
from ..errors import STOPPED
from ..execution import gpu
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import Sweep, partial, sweep
from ..families.base import Family
from ..kernels.sums import moments
from ..results import ROUNDING, Estimate
from ..rng import Key, RandomSource
from ..score_surrogates import HESSIAN
from ..targets.target import Target
from . import cross_fitting
from .dependent_draws import elbo_of_replicates
from .options import Request, request
from .reliability import LEAST_CHUNKS, holds, holds_all
from .selection import POLYNOMIALS, plan_elbo

ESTIMATORS = ("auto", "plain", "entropy", "linear", "diagonal", "quadratic", "cubic")


@documented
def elbo(
    target: Target,
    q: Family,
    num_samples: int = 10_000,
    *,
    estimator: str = "auto",
    draws: str = "iid",
    atol: float | None = None,
    max_samples: int | None = None,
    rng: RandomSource = None,
    dtype: str = "float64",
    backend: str = "cpu",
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Estimate:
    r"""Estimate the ELBO of q: log p(x) = L(q) + KL(q || p) (Bishop 2006, equation 10.2).

    $$ L(q) = E_q[\log p(x, z) - \log q(z)] $$

    Parameters
    ----------
    @target
    @q
    num_samples : int
        draws; with ``atol`` those of a pilot, at most
    estimator : {"auto", "plain", "entropy", "linear", "diagonal", "quadratic", "cubic"}
        ``"plain"`` averages log p - log q: its error vanishes as q approaches p.  ``"entropy"`` averages log p and adds
        q's entropy in closed form: better where q is much narrower than p.
        ``"quadratic"`` subtracts from log p - log q a polynomial of degree 2 in eps of known mean, fitted to a separate
        set of draws (a control variate, Miller et al. 2017): the error is that of the residuals, 0 for a Gaussian
        target.  ``"cubic"`` adds eps_i (eps_j^2 - 1), which is where a variance parameter is skewed; ``"diagonal"``
        omits the pairs.  They are fitted to gradients of log p on 4 to 16 draws a dimension, or below 30 draws a
        dimension to those of the draws themselves, cross-fitted in five folds; where log p has a step or no gradient
        to its values, on eight draws a coefficient.  Each falls back to a lower degree, or to ``"plain"``
        or ``"entropy"``, where the pilot sees no gain, where there are too few draws to fit it, or where a few draws
        hold most of the residual variance, as its error could not be trusted.
        For a :class:`Product` or a :class:`Bernoulli` they are written in the scores of the factors and fitted to
        values on draws of a flattened q: ``"linear"`` is of degree 1, ``"quadratic"`` has products of scores of two
        factors, which leave nothing of a Boltzmann machine (for a Gaussian, "linear" is "diagonal").
        ``"auto"`` takes the one with the least variance times operations over a pilot, if the pilot costs less than
        half of the draws (``"plain"`` otherwise, and for dependent ``draws``).  The result's ``method`` names it
    @draws
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
        -inf, with standard error nan, where log p is -inf at a draw

    Raises
    ------
    NonFiniteError
        where log p is NaN or +inf at a draw
    KeyboardInterrupt
        with ``.partial``, the Estimate from the draws so far
    ExecutorError
        where an executor breaks: with ``.partial``, and ``.resume(executor)``, which goes on in the same call

    See Also
    --------
    elbo_gradient : its gradient in the parameters of q
    fit : the q that maximises it
    diagnose : whether it is close to log p(x)

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, x):
    ...     return -0.5 * np.sum((z - x) ** 2)
    >>> target = vi.Target(log_density, 2, (np.array([1.0, 2.0]),))
    >>> q = vi.MeanFieldGaussian(loc=[1.0, 1.5], scale=[0.8, 1.2])
    >>> found = vi.elbo(target, q, 100_000, rng=0)
    >>> round(found.value, 6)  # a polynomial is an exact control variate here
    1.632055
    """
    return estimated(
        request(
            target,
            q,
            num_samples,
            estimator=estimator,
            estimators=ESTIMATORS,
            draws=draws,
            atol=atol,
            max_samples=max_samples,
            rng=rng,
            dtype=dtype,
            backend=backend,
            num_threads=num_threads,
            executor=executor,
            progress=progress,
        )
    )


def estimated(r: Request) -> Estimate:
    """Request, plan, sweep, estimate."""
    if r.backend == "cuda":
        gpu.require(r.target, r.q, r.draws)
    if r.draws != "iid":
        return elbo_of_replicates(r, plan_elbo(r))
    method = "plain"
    try:
        cross_fitted = cross_fitting.elbo(r)
        if cross_fitted is not None:
            return cross_fitted
        plan = plan_elbo(r)
        method = plan.method
        job = r.job(plan.num_samples, r.stream, control_variate=plan.control_variate, dtype=r.dtype)
        found = sweep(r.target, job, r.where(plan.num_samples), progress=r.progress)
    except STOPPED as stopped:
        stopped.partial = read(partial(stopped), r.q, method, r.key, r.atol)  # type: ignore[union-attr]
        raise
    expected = math.nan if plan.expected_error is None else plan.expected_error
    return read(found, r.q, method, r.key, r.atol, expected)


def read(found: Sweep, q: Family, method: str, key: Key, atol: float | None = None, expected=math.nan) -> Estimate:
    """Read the ELBO off a sweep."""
    column = moments.MEAN_P if method == "entropy" else moments.MEAN_W
    mean, spread = found.mean_and_variance(column)
    count, neginf = found.num_samples, found.num_neginf
    if neginf:
        value, error = -math.inf, math.nan
    else:
        value = mean + q.entropy() if method == "entropy" else mean
        error = math.sqrt(spread / count) if count > 1 else math.nan
        if method in (*POLYNOMIALS, HESSIAN):  # what rounding leaves of an exact fit varies too little to show its size
            scale = abs(found.total[moments.MEAN_P]) + found.mean_and_variance(moments.MEAN_P)[1] ** 0.5
            error = max(error, ROUNDING * (scale + abs(q.entropy())))
    return Estimate(
        value if count else math.nan,
        error,
        count,
        neginf,
        method,
        atol is None or error <= atol,
        key,
        max(1.0, count - 1.0),
        interval_reliable=neginf > 0 or reliable(found, column + 1) and holds_all(q, method, count),
        expected_error=expected,
    )


def reliable(found: Sweep, squares: int) -> bool:
    """Whether the variance rests on many draws; ``squares`` is the column of squared deviations."""
    if len(found.rows) < LEAST_CHUNKS:
        return True
    each = found.rows[:, squares]
    return bool(holds(each.sum(), each @ each, found.rows[:, moments.COUNT]))
