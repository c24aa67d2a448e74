"""Fitting: an approximation with the ELBO it has on draws that it was not fitted to."""

import dataclasses
import math
import os
from collections.abc import Callable

import numpy as np

from .. import checks
from ..diagnostics.diagnosis import diagnose
from ..documentation import documented
from ..errors import NonFiniteError
from ..estimators.elbo import ESTIMATORS, estimated
from ..estimators.options import check_pair, request
from ..execution.executors import SubmitsTasks
from ..execution.progress import reporter
from ..execution.sweep import Place, place
from ..families import BY_NAME, Family
from ..results import Estimate, counted
from ..rng import CHECK, FINAL, RESTART, START, Key, RandomSource, key_from
from ..targets.target import Target
from . import checkpoint as checkpoints
from .coordinate_ascent import CoordinateAscent
from .deterministic import OPTIMIZERS, Deterministic
from .natural import Natural
from .result import FitResult, Round
from .stochastic import Stochastic

METHODS = {each.name: each for each in (Natural, Stochastic, Deterministic, CoordinateAscent)}
MAX_ROUNDS, MAX_SWEEPS, MAX_SAMPLES, FINAL_DRAWS, QUICK_DRAWS = 200, 100_000, 2_000_000, 100_000, 2000
NATURAL_DIM = 32  # beyond it a round of the natural method takes more draws than are worth it
SCATTER = 3.0  # standard deviations of the start between restarts


@documented
def fit(
    target: Target,
    family_or_q: str | Family = "mean_field",
    *,
    method: str = "auto",
    num_restarts: int = 1,
    tolerance: float = 0.005,
    max_rounds: int | None = None,
    max_samples: int = MAX_SAMPLES,
    optimizer: str = "L-BFGS-B",
    checkpoint: str | os.PathLike | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: bool | Callable[[Round], object] = False,
) -> FitResult:
    """Fit a Gaussian approximation by maximising the ELBO.

    Parameters
    ----------
    @target
    family_or_q : {"mean_field", "full_rank"} or MeanFieldGaussian or FullRankGaussian
        a family, to start from location 0 and scale 1, or where to start
    method : {"auto", "natural", "stochastic", "deterministic", "coordinate_ascent"}
        ``"natural"``: fits a quadratic to log w and jumps to its Gaussian; no gradient, few rounds, to some 30
        dimensions.  ``"stochastic"``: Adam on fresh draws, on pathwise gradients where the target has them, on
        leave-one-out scores otherwise.  ``"deterministic"``: fixed draws and a quasi-Newton method, doubled until the
        optimum stays; mean-field only, with linear response covariances.  ``"coordinate_ascent"``: for Gaussian
        targets.  ``"auto"``: natural, and beyond 32 dimensions stochastic
    num_restarts : int
        starts, all but the first scattered about it by three of its deviations; the best final ELBO wins
    tolerance : float
        nats: converged once the remaining improvement is below this, given the Monte Carlo error
    max_rounds, max_samples : int
        limits for each start, by default 200 rounds (100,000 sweeps of coordinate ascent) and two million draws; where
        one ends a fit, ``converged`` is False
    optimizer : {"L-BFGS-B", "trust-ncg"}
        SciPy's, for ``"deterministic"``
    checkpoint : path, optional
        a file that is rewritten after every round; where it exists the fit goes on from it, to the same bits.  Leave
        ``rng`` out then, or give the same
    @rng
    @num_threads
    @executor
    progress : bool or callable
        True for a tqdm bar, or a function that is called with each :class:`Round`

    Returns
    -------
    FitResult
        On Ctrl-C, or where log p is not finite, what was best so far, with ``converged=False`` and the reason

    Raises
    ------
    TypeError, ValueError
        naming the argument
    Exception
        what the log density raises, with the last good approximation as ``.partial``

    See Also
    --------
    Target.laplace : the Gaussian at a mode
    Objective : the ELBO for an optimizer of your own

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, x):
    ...     return -0.5 * np.sum((z - x) ** 2)
    >>> target = vi.Target(log_density, 2, (np.array([1.0, 2.0]),))
    >>> found = vi.fit(target, "mean_field", rng=0)
    >>> found.converged, found.q.mean.round(3)
    (True, array([1., 2.]))
    """
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    start = starting_point(target, family_or_q)
    checks.choice("method", method, ("auto", *METHODS))
    checks.choice("optimizer", optimizer, OPTIMIZERS)
    restarts = checks.count("num_restarts", num_restarts)
    max_samples = checks.count("max_samples", max_samples)
    tolerance = checks.positive("tolerance", tolerance)
    if method == "auto":
        method = "natural" if target.dim <= NATURAL_DIM else "stochastic"
    if max_rounds is None:
        max_rounds = MAX_SWEEPS if method == "coordinate_ascent" else MAX_ROUNDS
    max_rounds = checks.count("max_rounds", max_rounds)
    options = {"optimizer": optimizer} if method == "deterministic" else {}
    on = place(num_threads, executor)
    key, states, history = (None if rng is None else key_from(rng)), [], []
    if checkpoint is not None:
        checkpoint = checkpoints.place(checkpoint)
        mark = checkpoints.fingerprint(target, start, method, {"tolerance": tolerance, "restarts": restarts, **options})
        loaded = checkpoints.load(checkpoint, mark, key)
        if loaded is not None:
            key, states, history = loaded
            history = [Round(int(r), int(n), e, se, int(d)) for r, n, e, se, d in history]
    key = key_from(None) if key is None else key

    def keep(fitters):
        if checkpoint is not None:
            later = states[len(fitters) :]
            checkpoints.save(checkpoint, mark, key, [f.state for f in fitters] + later, history)

    tell, close = teller(progress, max_rounds)
    fitters, ends = [], []
    try:
        for restart in range(restarts):
            q = start if restart == 0 else scattered(start, key, restart)
            each = restart_key(key, restart)
            fitter = METHODS[method](target, q, each, tolerance, max_samples, on, **options)
            if restart < len(states):
                fitter.state.update(states[restart])
            fitters.append(fitter)
            ends.append(ascend(fitter, restart, max_rounds, history, lambda: keep(fitters), tell))
            if ends[-1] == INTERRUPTED:
                break
    except Exception as error:
        if fitters:
            error.partial = fitters[-1].q  # type: ignore[attr-defined]
        raise
    finally:
        close()
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return finished(target, fitters, ends, key, history, method, on)


INTERRUPTED, OUT_OF_DRAWS = "interrupted", "out of draws"


def starting_point(target, family_or_q) -> Family:
    """A q of the family at 0 with scale 1, or the given one, checked."""
    if isinstance(family_or_q, str):
        return BY_NAME[checks.choice("family_or_q", family_or_q, tuple(BY_NAME))].standard(target.dim)
    if not isinstance(family_or_q, Family):
        given = checks.describe(family_or_q)
        raise TypeError(f"family_or_q: expected 'mean_field', 'full_rank' or a Gaussian to start from, got {given}")
    check_pair(target, family_or_q)
    return family_or_q


def scattered(q, key, restart) -> Family:
    """The start of another restart."""
    rng = np.random.default_rng(key.child(START, restart).word)
    return type(q)(q.loc + SCATTER * q.stddev * rng.normal(size=q.dim), q.scale)


def restart_key(key, restart) -> Key:
    """The key of a restart; the first has the fit's own."""
    return key if restart == 0 else key.child(RESTART, restart)


def ascend(fitter, restart, max_rounds, history, keep, tell) -> str:
    """Round after round until the fitter has a reason to stop, which is returned."""
    number = sum(1 for line in history if line.restart == restart)
    end = fitter.state.get("end", "")
    try:
        while not end:
            if number >= max_rounds:
                return f"stopped after {counted(max_rounds, 'round')}"
            before = dict(fitter.state)
            try:
                with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # of a q that runs away
                    value, end = fitter.step()
            except KeyboardInterrupt:
                seen = fitter.state
                fitter.state = before
                if fitter.name == Deterministic.name and not before["rounds"]:
                    fitter.state["best_parameters"] = seen["parameters"]  # the best point of the first optimisation
                raise
            if value.num_samples or end == "converged" or value.method == "exact":
                number += 1
                history.append(Round(restart, number, value.value, value.standard_error, fitter.state["draws"]))
                tell(history[-1])
            if end and end != OUT_OF_DRAWS:
                fitter.state["end"] = end
            keep()
    except KeyboardInterrupt:
        return INTERRUPTED
    except NonFiniteError as error:
        return str(error)
    except OverflowError:
        return "q runs away: the target may be improper"
    return end


def teller(progress, max_rounds):
    """(tell, close) for ``progress``."""
    if progress is False or progress is None:
        return (lambda line: None), (lambda: None)
    if callable(progress):
        return progress, (lambda: None)
    if progress is not True:
        raise TypeError(f"progress: expected a bool or a function of a Round, got {checks.describe(progress)}")
    bar_report, close = reporter(True, max_rounds, "round")
    return (lambda line: bar_report(line.number)), close


def finished(target, fitters, ends, key, history, method, on) -> FitResult:
    """Judge the results on fresh draws, and keep the best."""
    quick = INTERRUPTED in ends
    count, best = QUICK_DRAWS if quick else FINAL_DRAWS, 0
    if len(fitters) > 1:  # chosen by other draws than those that are reported
        judged = [judge(target, fitter.q, count, key, CHECK, on).value for fitter in fitters]
        best = max(range(len(judged)), key=lambda k: judged[k] if judged[k] == judged[k] else -math.inf)
    fitter, end = fitters[best], ends[best]
    value = judge(target, fitter.q, count, key, FINAL, on)
    diagnosis, response = None, None
    if not quick and math.isfinite(value.value):
        try:
            diagnosis = diagnose(target, fitter.q, count, rng=key, **on.options)
            if isinstance(fitter, Deterministic):
                response = fitter.linear_response()
        except (NonFiniteError, KeyboardInterrupt, OverflowError) as error:
            value = dataclasses.replace(value, note=f"{type(error).__name__} in the diagnosis")
            end = INTERRUPTED if isinstance(error, KeyboardInterrupt) else end
    history.sort(key=lambda line: line[:2])
    rounds = sum(1 for line in history if line.restart == best)
    converged = end == "converged" and math.isfinite(value.value + value.standard_error)
    message = f"{end}: the best so far"
    if converged:
        message = f"converged after {counted(rounds, 'round')}"
    elif end == INTERRUPTED:
        message = f"interrupted after {counted(len(history), 'round')}: the best so far"
    elif end == "converged":
        message = f"settled after {counted(rounds, 'round')}, but the ELBO of q is {value.value:g} on fresh draws"
    if len(fitters) > 1:
        message += f"; the best of {len(fitters)} starts"
    draws = sum(f.state["draws"] for f in fitters)
    return FitResult(fitter.q, value, diagnosis, history, converged, message, method, draws, key, response, target)


def judge(target, q, count, key, stream, on: Place) -> Estimate:
    """The ELBO of q on draws that no fit has seen; nan where log p is not finite at some."""
    try:
        return estimated(
            request(target, q, count, estimator="auto", estimators=ESTIMATORS, rng=key, stream=stream, **on.options)
        )
    except (NonFiniteError, KeyboardInterrupt, OverflowError) as error:
        return Estimate(math.nan, math.nan, 0, method="none", key=key, note=type(error).__name__)
