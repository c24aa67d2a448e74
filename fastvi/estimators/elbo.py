"""The evidence lower bound L(q) = E_q[log p(z) - log q(z)], with its standard error."""

import dataclasses
import math

from .. import checks
from ..control_variates import LEVELS
from ..errors import STOPPED
from ..execution import executors, gpu
from ..execution import sweep as sweeps
from ..kernels.sums import moments
from ..results import Estimate
from ..rng import CHECK, PILOT, SAMPLE, key_from
from . import dependent_draws, selection
from .dependent_draws import ROUNDING
from .selection import Candidate, cheapest

# What each estimator may take off log w
SURROGATES = {"diagonal": LEVELS[1:2], "quadratic": LEVELS[1:3], "cubic": LEVELS[1:4], "auto": LEVELS[1:4]}
DTYPES = ("float64", "float32")
ESTIMATORS = ("auto", "plain", "entropy", "diagonal", "quadratic", "cubic")
PILOT_SAMPLES, PILOT_WORTHWHILE = 256, 4096
MAX_SAMPLES = 10**9
MARGIN = 4.0  # standard errors of the pilot's variance that the draw count allows for


def elbo(
    target,
    q,
    num_samples=10_000,
    *,
    estimator="auto",
    draws="iid",
    atol=None,
    max_samples=None,
    rng=None,
    dtype="float64",
    backend="cpu",
    num_threads=None,
    executor=None,
    progress=False,
) -> Estimate:
    """Estimate the ELBO of q: log p(x) = L(q) + KL(q || p) (Bishop 2006, equation 10.2).

    Parameters
    ----------
    target : Target
        log p(z) or log p(x, z)
    q : MeanFieldGaussian or FullRankGaussian
    num_samples : int
        draws; with ``atol`` those of the pilot
    estimator : {"auto", "plain", "entropy", "diagonal", "quadratic", "cubic"}
        ``"plain"`` averages log p - log q: its error vanishes as q approaches p.  ``"entropy"`` averages log p and adds
        q's entropy in closed form: better where q is much narrower than p.
        ``"quadratic"`` takes a polynomial of degree 2 in eps off log p - log q, fitted by least squares to a pilot of
        draws of its own and of known mean (a control variate, Miller et al. 2017, here without a gradient): the error
        is that of what is left, 0 for a Gaussian target.  ``"cubic"`` adds eps_i (eps_j^2 - 1), which is where a
        variance parameter is skewed; ``"diagonal"`` leaves the pairs out.  Each falls back to a lower degree, or to
        ``"plain"`` or ``"entropy"``, where the pilot sees no gain, where ``num_samples`` is below four draws a
        coefficient, or where a few draws hold most of the variance that is left, as its error could not be trusted.
        ``"auto"`` takes the one with the least variance times operations over a pilot (``"plain"`` below 4096 draws;
        polynomials only where fitting them costs less than half of the draws).  The result's ``method`` names it.
    draws : {"iid", "antithetic", "sobol"}
        how draws relate to each other.  ``"antithetic"``: pairs eps and -eps, with the error of pairs: half the work
        where log w is odd in eps, twice where it is even.  ``"sobol"``: scrambled Sobol points in at least eight
        replicates of a power of two each, with the error of replicates and Student's t in ``interval``; at most
        ``num_samples`` are used.  With either, ``estimator="auto"`` is ``"plain"``, and there is no progress and no
        partial result
    atol : float, optional
        the standard error to reach, in nats: a pilot of ``num_samples`` draws, more where plain draws would take many
        more, fixes the draw count, and only fresh draws are reported, so the estimate stays unbiased.  There is no
        relative tolerance: an ELBO's zero is arbitrary
    max_samples : int, optional
        a limit for ``atol``, 10^9 by default.  Where it, or a heavy tail that the pilot did not see, keeps the error
        above ``atol``, ``converged`` is False
    rng : int, sequence, SeedSequence, Generator, BitGenerator, Key or None
        where the draws come from (SPEC 7)
    dtype : {"float64", "float32"}
        of the standard normals behind i.i.d. draws; everything computed from them is float64.  ``"float32"`` takes half
        the random words, and cuts |eps| at 6.66 (a probability of 3e-11) and its digits at 3e-7 of its size, so that an
        estimate is off by some 1e-7 of the mean of |log w|: far below any standard error in reach
    backend : {"cpu", "cuda", "auto"}
        where the draws that count are swept; pilots stay on the CPU.  ``"cuda"`` takes i.i.d. draws and all of these
        estimators, makes the same draws to the bit and the same estimate to rounding (1e-12 of the mean of |log w|),
        and raises where there is no GPU.  ``"auto"`` takes it for large problems where there is one
    num_threads : int, optional
        all CPUs by default; the result has the same bits for any number
    executor : optional
        anything with ``submit(f, *arguments)`` that returns a future: of concurrent.futures, dask's
        ``Client.get_executor(pure=False)``, mpi4py.futures.  The draws that count (i.i.d., on the CPU) are computed
        there in chunks, one thread each, up to 128 of them; pilots stay here.  Chunks depend on the problem and not on
        the workers, so the result has the bits of a local run on the same kind of CPU.  The target travels as its
        source and data, and is compiled once in each process; what it reads of modules must be equal there
    progress : bool or callable
        True for a tqdm bar, or a function of (draws done, draws in all)

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
    """
    common(draws, dtype, backend, executor)
    if draws != "iid":
        if backend == "cuda":
            sweeps.check(target, q)
            gpu.require(target, q, draws)
        options = dict(estimator=estimator, draws=draws, atol=atol, max_samples=max_samples)
        return dependent(target, q, num_samples, rng=rng, num_threads=num_threads, **options)
    return estimated(
        target,
        q,
        num_samples,
        estimator=estimator,
        atol=atol,
        max_samples=max_samples,
        rng=rng,
        dtype=dtype,
        backend=backend,
        num_threads=num_threads,
        executor=executor,
        progress=progress,
    )


def estimated(
    target,
    q,
    num_samples,
    *,
    estimator="auto",
    atol=None,
    max_samples=None,
    rng=None,
    stream=SAMPLE,
    dtype="float64",
    backend="cpu",
    num_threads=None,
    executor=None,
    progress=False,
) -> Estimate:
    """:func:`elbo` from i.i.d. draws of any stream."""
    sweeps.check(target, q)
    num_samples = checks.count("num_samples", num_samples)
    checks.choice("estimator", estimator, ESTIMATORS)
    limit = sample_limit(atol, max_samples, num_samples)
    if backend == "cuda":
        gpu.require(target, q)
    key = key_from(rng)

    method = "plain"
    try:
        best, num_samples = choose(target, q, key, estimator, num_samples, atol, limit, num_threads)
        method = best.method
        where = gpu.settle(backend, target, q, num_samples) if executor is None else "cpu"
        options = dict(surrogate=best.surrogate, num_threads=num_threads, progress=progress, executor=executor)
        result = sweeps.sweep(target, q, num_samples, key, stream, dtype=dtype, backend=where, **options)
    except STOPPED as stopped:
        stopped.partial = estimate(sweeps.partial(stopped), q, method, key, atol)  # type: ignore[union-attr]
        raise
    return estimate(result, q, method, key, atol)


def dependent(target, q, num_samples, *, estimator, draws, atol, max_samples, rng, num_threads) -> Estimate:
    """:func:`elbo` from draws that depend on each other; ``"auto"`` is ``"plain"``."""
    sweeps.check(target, q)
    num_samples = checks.count("num_samples", num_samples)
    checks.choice("estimator", estimator, ESTIMATORS)
    limit, key = sample_limit(atol, max_samples, num_samples), key_from(rng)
    method = "plain" if estimator == "auto" else estimator
    best, _ = choose(target, q, key, method, num_samples, None, limit, num_threads)

    def run(count, stream):
        groups = dependent_draws.Groups(draws, q.dim, count, key, stream)
        return dependent_draws.elbo_of_groups(target, q, groups, key, best.method, best.surrogate, num_threads)

    if atol is None:
        return run(num_samples, SAMPLE)
    pilot = run(num_samples, CHECK)
    found = run(dependent_draws.enough(pilot.standard_error, pilot.num_samples, atol, limit, draws), SAMPLE)
    return dataclasses.replace(found, converged=found.standard_error <= atol)


def common(draws, dtype, backend, executor=None) -> None:
    """The options that estimators share."""
    checks.choice("draws", draws, dependent_draws.DRAWS)
    checks.choice("dtype", dtype, DTYPES)
    if draws != "iid" and dtype != "float64":
        raise ValueError(f"dtype: draws={draws!r} takes 'float64', got {dtype!r}")
    checks.choice("backend", backend, gpu.BACKENDS)
    executors.check(executor)
    if executor is not None and draws != "iid":
        raise ValueError(f"executor: takes draws='iid', got draws={draws!r}")
    if executor is not None and backend == "cuda":
        raise ValueError("executor: its workers compute on backend='cpu', got backend='cuda'")


def sample_limit(atol, max_samples, num_samples) -> int:
    """``max_samples`` checked against the other counts."""
    if atol is not None:
        checks.positive("atol", atol)
    if max_samples is None:
        return max(MAX_SAMPLES, num_samples)
    limit = checks.count("max_samples", max_samples)
    if limit < num_samples:
        raise ValueError(f"max_samples: expected at least num_samples, {num_samples}, got {limit}")
    return limit


def enough_samples(candidate, atol, least, limit) -> int:
    """Draws for a standard error of ``atol``, with a margin for the pilot's own error."""
    if not math.isfinite(candidate.variance):
        return least
    margin = 1.0 + MARGIN * math.sqrt(2.0 / candidate.checked)
    return int(min(limit, max(least, math.ceil(margin * candidate.variance / atol**2))))


def choose(target, q, key, estimator, num_samples, atol, limit, num_threads) -> tuple[Candidate, int]:
    """The candidate that ``estimator`` stands for, after a pilot where it needs one, and the draws for ``atol``."""
    auto, follows, count = estimator == "auto", estimator in SURROGATES, num_samples
    best = Candidate("plain" if auto else estimator, None)

    def pilot(draws):
        sweep = sweeps.sweep(target, q, draws, key, PILOT, pilot=True, num_threads=num_threads)
        methods = ("plain", "entropy") if auto else (estimator,)
        return cheapest([Candidate(m, None, variance(sweep, m), 1.0, sweep.num_samples) for m in methods])

    if atol is not None and (auto or not follows):
        best = pilot(max(2, num_samples))
        count = enough_samples(best, atol, num_samples, limit)
    levels = list(SURROGATES.get(estimator, ()))
    if auto:
        levels = selection.affordable(levels, q.dim, count, q.family)
    if levels:
        # ``count`` is what plain draws would take: where that is more, the pilot of the polynomials may take more too
        best = cheapest(selection.candidates(target, q, key, levels, count, num_threads))
    elif auto and atol is None and num_samples >= PILOT_WORTHWHILE:
        best = pilot(PILOT_SAMPLES)
    return best, num_samples if atol is None else enough_samples(best, atol, num_samples, limit)


def variance(sweep, method) -> float:
    """The variance of one draw's contribution."""
    return sweep.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)[1]


def estimate(sweep, q, method, key, atol=None) -> Estimate:
    """Read the ELBO off a sweep."""
    mean, spread = sweep.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)
    if sweep.num_neginf:
        value, error = -math.inf, math.nan
    else:
        value = mean + q.entropy() if method == "entropy" else mean
        error = math.sqrt(spread / sweep.num_samples) if sweep.num_samples > 1 else math.nan
        if method in SURROGATES:  # what rounding leaves of an exact fit varies too little to show its own size
            scale = abs(sweep.total[moments.MEAN_P]) + sweep.mean_and_variance(moments.MEAN_P)[1] ** 0.5
            error = max(error, ROUNDING * (scale + abs(q.entropy())))
    converged = atol is None or error <= atol
    return Estimate(
        value if sweep.num_samples else math.nan,
        error,
        sweep.num_samples,
        sweep.num_neginf,
        method,
        converged,
        key,
        max(1.0, sweep.num_samples - 1.0),
    )
