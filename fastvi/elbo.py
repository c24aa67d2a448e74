"""The evidence lower bound L(q) = E_q[log p(z) - log q(z)], with its standard error."""

import math

from . import checks, engine
from .estimates import Estimate
from .kernels import moments
from .rng import PILOT, SAMPLE, key_from

ESTIMATORS = ("auto", "plain", "entropy")
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
    estimator : {"auto", "plain", "entropy"}
        ``"plain"`` averages log p - log q: its error vanishes as q approaches p.  ``"entropy"`` averages log p and adds
        q's entropy in closed form: better where q is much narrower than p.  ``"auto"`` takes the one with the smaller
        variance over a pilot of 256 draws of their own (``"plain"`` below 4096 draws).
    draws : {"iid"}
        how draws relate to each other
    atol : float, optional
        the standard error to reach, in nats: a pilot of ``num_samples`` draws fixes the draw count, and only fresh
        draws are reported, so the estimate stays unbiased.  There is no relative tolerance: an ELBO's zero is arbitrary
    max_samples : int, optional
        a limit for ``atol``, 10^9 by default.  Where it, or a heavy tail that the pilot did not see, keeps the error
        above ``atol``, ``converged`` is False
    rng : int, sequence, SeedSequence, Generator, BitGenerator, Key or None
        where the draws come from (SPEC 7)
    dtype, backend : {"float64"}, {"cpu"}
    num_threads : int, optional
        all CPUs by default; the result has the same bits for any number
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
    """
    engine.check(target, q)
    num_samples = checks.count("num_samples", num_samples)
    checks.choice("estimator", estimator, ESTIMATORS)
    common(draws, dtype, backend)
    limit = sample_limit(atol, max_samples, num_samples)
    key = key_from(rng)

    def run(count, stream, **options):
        return engine.sweep(target, q, count, key, stream, num_threads=num_threads, **options)

    method = "plain" if estimator == "auto" else estimator
    try:
        if atol is not None:
            pilot = run(max(2, num_samples), PILOT, pilot=True)
            method = choose(pilot) if estimator == "auto" else estimator
            num_samples = enough_samples(variance(pilot, method), pilot.num_samples, atol, limit)
        elif estimator == "auto" and num_samples >= PILOT_WORTHWHILE:
            method = choose(run(PILOT_SAMPLES, PILOT, pilot=True))
        result = run(num_samples, SAMPLE, progress=progress)
    except KeyboardInterrupt as interrupt:
        interrupt.partial = estimate(interrupt.partial, q, method, key, atol)  # type: ignore[attr-defined]
        raise
    return estimate(result, q, method, key, atol)


def common(draws, dtype, backend) -> None:
    """The options that estimators share."""
    checks.choice("draws", draws, ("iid",))
    checks.choice("dtype", dtype, ("float64",))
    checks.choice("backend", backend, ("cpu",))


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


def enough_samples(variance_, pilot_count, atol, limit) -> int:
    """Draws for a standard error of ``atol``, with a margin for the pilot's own error."""
    if not math.isfinite(variance_):
        return min(pilot_count, limit)
    margin = 1.0 + MARGIN * math.sqrt(2.0 / pilot_count)
    return int(min(limit, max(pilot_count, math.ceil(margin * variance_ / atol**2))))


def variance(sweep, method) -> float:
    """The variance of one draw's contribution."""
    return sweep.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)[1]


def choose(sweep) -> str:
    """The estimator with the smaller variance."""
    return "entropy" if variance(sweep, "entropy") < variance(sweep, "plain") else "plain"


def estimate(sweep, q, method, key, atol=None) -> Estimate:
    """Read the ELBO off a sweep."""
    mean, spread = sweep.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)
    if sweep.num_neginf:
        value, error = -math.inf, math.nan
    else:
        value = mean + q.entropy() if method == "entropy" else mean
        error = math.sqrt(spread / sweep.num_samples) if sweep.num_samples > 1 else math.nan
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
