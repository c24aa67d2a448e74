"""Gradients of the ELBO in the parameters of q: which estimator, and how it is read off a sweep."""

import dataclasses

import numpy as np

from ..documentation import documented
from ..errors import STOPPED
from ..execution import gpu
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import merged, nothing, partial, sweep
from ..families.base import Family
from ..families.factors import Factors
from ..families.product import parameter_places
from ..results import GradientEstimate
from ..rng import RandomSource
from ..targets.target import Target
from . import cross_fitting, flips, mixed, pathwise, score
from .dependent_draws import gradient_of_replicates
from .derivative import continuous
from .options import NEED_GRADIENT, Request, kind_of, request
from .selection import BASELINE_WORTHWHILE, PATHWISE, POLYNOMIALS, plan_gradient, sums_for

ESTIMATORS = (
    "auto",
    "score",
    "leave_one_out",
    "optimal_baseline",
    "linear",
    "diagonal",
    "quadratic",
    "cubic",
    "mixed",
    *PATHWISE,
)
BASELINE_LEAST = 64


@documented
def elbo_gradient(
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
) -> GradientEstimate:
    r"""Estimate the gradient of the ELBO in ``q.parameters``, with the standard error of each coordinate.

    $$ \nabla L = E_q[f(z) \nabla \log q(z)], \quad f(z) = \log p(x, z) - \log q(z) $$

    Parameters
    ----------
    @target
    @q
    num_samples : int
        draws; with ``atol`` those of the pilot
    estimator : {"auto", "score", "leave_one_out", "optimal_baseline", "linear", "diagonal", "quadratic", "cubic",
                 "mixed", "pathwise", "sticking_the_landing", "pathwise_quadratic"}
        ``"score"``: the mean of f s.
        ``"leave_one_out"``: each draw's baseline is the mean of f over the others, which makes
        sum (f - mean f) s / (S - 1); a constant in log p has no effect (Kool, van Hoof and Welling 2019, equation 8;
        VarGrad, Richter et al. 2020, proposition 1).  Usually far better than ``"score"``, not always: with few
        dimensions and a mean of f near 0 it can be a little worse.
        ``"optimal_baseline"``: for each coordinate the baseline E[f s^2] / E[s^2] (Greensmith, Bartlett and Baxter
        2004, theorem 13), from other chunks of draws than it is used on, so the estimate stays unbiased; needs 64
        draws.
        ``"pathwise"``: through z = loc + scale eps and the gradient of log p, with q's entropy in closed form (Kingma
        and Welling 2014, equation 10).  It needs a log p that is continuous in z.
        ``"sticking_the_landing"``: the same with the gradient of log p - log q and without the score of log q (Roeder,
        Wu and Duvenaud 2017, equation 8): no variance at all where q is the target.
        ``"linear"``, ``"diagonal"``, ``"quadratic"``, ``"cubic"``: the polynomial of :func:`elbo` subtracted from f,
        its part of the gradient in closed form, and ``"leave_one_out"`` on the residuals.  They need no gradient of
        log p; where a product of factors has too many pairs for least squares, its gradient tells them if there is one
        (the result's ``method`` is then ``"quadratic_hessian"``).
        ``"pathwise_quadratic"``: straight lines in eps, fitted to the gradient of log p on a pilot of 4 to 16 draws a
        dimension, subtracted from it (Geffner and Domke 2020); "pathwise" and "sticking the landing" are two fixed
        choices of such lines.  Below 40 draws a dimension there is no pilot: the draws are cut into two to five folds,
        whose lines are fitted to the other folds.
        ``"mixed"``, of a product of factors: ``"pathwise"`` for continuous factors, those of gamma, beta and Dirichlet
        factors by implicit differentiation (Figurnov, Mohamed and Mnih 2018), in one pass with the scores of the
        others, which are multiplied with what a surrogate leaves of f where a pilot finds that one pays (the result's
        ``method`` is then ``"mixed_linear"`` or ``"mixed_quadratic"``), and polynomials of the scores are subtracted
        from the pathwise terms too (Miller, Foti, D'Amour and Adams 2017).  Point masses (:class:`Delta`) have their
        gradient by paths whatever the estimator is.
        ``"auto"``: ``"sticking_the_landing"`` for 32 draws, or for fewer than 4 (dim + 1); then cross-fitted
        ``"pathwise_quadratic"``, and from 40 draws a dimension on what a pilot finds to have the least variance times
        operations.  A log p without a gradient, or with a step (``floor``, comparisons of z that
        do more than make it -inf), has ``"leave_one_out"``, from 1024 draws on ``"optimal_baseline"``, and from 4096
        on polynomials if they pay.  The result's ``method`` says which it was.
    @draws
    @atol
        Here it bounds the largest coordinate's error
    @max_samples
    @rng
    @dtype
    @backend
    @num_threads
    @executor
    @progress

    Returns
    -------
    GradientEstimate
        in the order of ``q.parameters``.  The error is nan for a discrete factor with a value that the draws hold less
        than ten times, as it would be that of the other values; ``"auto"`` gives those of Bernoulli factors by both
        values at some of the draws, for as many evaluations as there are draws at most

    Raises
    ------
    NonFiniteError
        where log p, or its gradient if that is used, is not finite at a draw
    KeyboardInterrupt, ExecutorError
        as for :func:`elbo`, with the GradientEstimate so far as ``.partial``

    See Also
    --------
    Objective : value and gradient as a function of the parameters, for an optimizer
    Target.check_gradient : whether the gradient of log p is right

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * np.dot(z, z), 3)
    >>> q = vi.MeanFieldGaussian(np.ones(3), np.ones(3))
    >>> found = vi.elbo_gradient(target, q, 10_000, estimator="leave_one_out", rng=0)
    >>> bool(np.all(np.abs(found.gradient - [-1, -1, -1, 0, 0, 0]) < 5 * found.standard_error))
    True
    """
    r = request(
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
    check_count(r)
    found = estimated(r)
    if isinstance(q, Factors):
        return dataclasses.replace(found, blocks=parameter_places(q))
    return found if target.parameters is None else dataclasses.replace(found, places=target.parameters.places)


def check_count(r: Request) -> None:
    """Enough draws for the estimator that was asked for."""
    method = r.estimator
    if method == "optimal_baseline" and r.draws != "iid":
        raise ValueError("estimator: 'optimal_baseline' needs draws='iid', whose chunks judge each other")
    if method == "auto" and r.num_samples == 1 and continuous(r.target, r.q, r.key):
        return
    if method == "auto":
        method = "optimal_baseline" if r.num_samples >= BASELINE_WORTHWHILE else "leave_one_out"
    least = {"optimal_baseline": BASELINE_LEAST}.get(method, 2 if method in (*POLYNOMIALS, "leave_one_out") else 1)
    if r.num_samples < least:
        raise ValueError(f"num_samples: expected at least {least} for estimator={method!r}, got {r.num_samples}")


def estimated(r: Request) -> GradientEstimate:
    """Request, plan, sweep, estimate."""

    def read(found, method, variate):
        kind = kind_of(method, r.q) if isinstance(r.q, Factors) else None
        if kind is not None:
            return mixed.read(found, r.q, method, r.key, kind, variate)
        module = pathwise if method in PATHWISE else score
        return module.read(found, r.q, method, r.key, variate)

    if r.backend == "cuda":
        gpu.require(r.target, r.q, r.draws, r.estimator, NEED_GRADIENT)
    if r.draws != "iid":
        return gradient_of_replicates(r, plan_gradient(r, read))
    plan = None
    try:
        cross_fitted = cross_fitting.gradient(r)
        if cross_fitted is not None:
            return cross_fitted
        plan = plan_gradient(r, read)
        method, variate, num_samples = plan[:3]
        what = dict(gradient=sums_for(method, r.q), control_variate=variate, dtype=r.dtype)
        job, on = r.job(num_samples, r.stream, **what), r.where(num_samples, method, NEED_GRADIENT)
        found = sweep(r.target, job, on, progress=r.progress)
    except STOPPED as stopped:
        done = merged(nothing()) if plan is None else partial(stopped)
        method, variate = ("leave_one_out", None) if plan is None else plan[:2]
        stopped.partial = with_converged(read(done, method, variate), r.atol)  # type: ignore[union-attr]
        raise
    result = read(found, method, variate)
    if r.estimator == "auto" and isinstance(r.q, Factors):
        result = flips.filled(r, result, variate)
    if plan.expected_error is not None:
        result = dataclasses.replace(result, expected_error=plan.expected_error)
    return with_converged(result, r.atol)


def with_converged(found: GradientEstimate, atol: float | None) -> GradientEstimate:
    """Whether the largest error is as small as it was to be."""
    if atol is None:
        return found
    converged = bool(np.max(found.standard_error) <= atol)
    return dataclasses.replace(found, elbo=dataclasses.replace(found.elbo, converged=converged))
