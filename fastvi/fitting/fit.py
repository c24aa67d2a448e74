"""Fitting: the best approximation in a family, how far it is from that, and its ELBO on draws of its own."""

import math
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..documentation import documented
from ..estimators.options import check_pair
from ..execution.executors import SubmitsTasks
from ..execution.sweep import place
from ..families import BY_NAME, Family
from ..results import KHAT_LIMITS, Estimate, counted
from ..rng import CHECK, FINAL, RandomSource, key_from
from ..targets.target import Target
from . import checkpoint as checkpoints
from .ending import DRAWS, LEAST_DRAWS, Ending, judged
from .methods import checked_name, chosen
from .restarts import AUTOMATIC, CHEAP, MOST_DIM, basins
from .result import FitResult, Round
from .rounds import CONVERGED, INTERRUPTED, Run, teller
from .units import hint

MAX_ROUNDS, MAX_SWEEPS, MAX_SAMPLES = 500, 100_000, 4_000_000
LEAST_TOLERANCE, TOLERANCE_A_DIMENSION = 0.002, 2e-4  # nats
LEAST_SHORT = 1e-6  # nats that a message tells


@documented
def fit(
    target: Target,
    family_or_q: str | Family = "mean_field",
    *,
    start: ArrayLike | Family | str | None = None,
    tolerance: float | None = None,
    method: str = "auto",
    num_restarts: int | str = "auto",
    max_rounds: int | None = None,
    max_samples: int | None = None,
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
        a family, or a member of it to start from
    start : array_like (dim,), Gaussian or "laplace", optional
        where to start: a point, a Gaussian of any family, or the Laplace approximation at the mode above 0.  By
        default location 0 and scale 1, which is tried along with the Laplace approximations on a climb of log p from
        there, so that a start need not be near
    tolerance : float, optional
        nats, by default max(0.002, 2e-4 dim): converged once q is known to be no further from the best of its family
        near there, in ELBO
    method : {"auto", "newton", "lbfgs", "score", "coordinate_ascent"}
        ``"newton"``: natural-gradient steps on matched draws, the default for a full-rank q and up to 100 dimensions;
        without a gradient of log p by central differences, to 30 dimensions.  ``"lbfgs"``: L-BFGS over few and then
        more matched draws, for a mean-field q in any number of dimensions.  ``"score"``: Adam on score-function
        gradients, the default for what has steps or no gradient.  ``"coordinate_ascent"``: for Gaussian targets
    num_restarts : int or "auto"
        starts, all but the first scattered about it by three of its deviations; the best ELBO wins, and the message
        tells how many optima were met.  ``"auto"``: one, and three more where a full-rank q with a first fit of few
        draws has a k-hat above 0.7
    max_rounds, max_samples : int, optional
        limits for each start, by default 500 rounds (100,000 sweeps of coordinate ascent) and four million evaluations
        of log p; where one ends a fit, ``converged`` is False
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
        On Ctrl-C during its rounds, or where log p is not finite, what was best so far, with ``converged=False`` and
        the reason

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
    method = checked_name(method)
    first = starting_point(target, family_or_q, start)
    automatic = isinstance(num_restarts, str) and checks.choice("num_restarts", num_restarts, ("auto",)) == "auto"
    restarts = 1 if automatic else checks.count("num_restarts", num_restarts)
    most = MAX_SAMPLES if max_samples is None else checks.count("max_samples", max_samples)
    if tolerance is None:
        tolerance = max(LEAST_TOLERANCE, TOLERANCE_A_DIMENSION * target.dim)
    tolerance = checks.positive("tolerance", tolerance)
    if max_rounds is None:
        max_rounds = MAX_SWEEPS if method == "coordinate_ascent" else MAX_ROUNDS
    max_rounds = checks.count("max_rounds", max_rounds)
    on = place(num_threads, executor)
    key, states, history, save = (None if rng is None else key_from(rng)), [], [], nowhere
    if checkpoint is not None:
        path = checkpoints.place(checkpoint)
        mark = checkpoints.fingerprint(target, first, method, dict(tolerance=tolerance, restarts=num_restarts))
        loaded = checkpoints.load(path, mark, key)
        if loaded is not None:
            key, states, history = loaded
            history = [Round(int(r), int(n), e, se, int(d), g, b) for r, n, e, se, d, g, b in history]
        key = key_from(None) if key is None else key

        def save(states, history):
            checkpoints.save(path, mark, key, states, history)

    key = key_from(None) if key is None else key
    tell, close = teller(progress, max_rounds)
    how, limits = chosen(method, target, first, key), (tolerance, most, max_rounds)
    run = Run(target, first, how, method, key, limits, on, states, history, save, tell)
    endings: list[Ending] = []
    try:
        while len(endings) < restarts:
            interrupted = run.start(len(endings)) == INTERRUPTED
            endings.append(ending(run, len(endings), CHECK if restarts > 1 else FINAL, interrupted))
            if interrupted:
                break
            if automatic and len(endings) == 1 and is_poor(run, endings[0]):
                restarts = AUTOMATIC
    except Exception as error:
        if run.fitters:
            error.partial = run.fitters[-1].q  # type: ignore[attr-defined]
        raise
    finally:
        close()
    return finished(run, endings)


def nowhere(states, history) -> None:
    """Where no checkpoint is wanted."""


def starting_point(target, family_or_q, start) -> Family:
    """The member of the family to start from, checked."""
    if isinstance(family_or_q, str):
        given = BY_NAME[checks.choice("family_or_q", family_or_q, tuple(BY_NAME))].standard(target.dim)
    elif isinstance(family_or_q, Family):
        given = family_or_q
    else:
        described = checks.describe(family_or_q)
        raise TypeError(f"family_or_q: expected 'mean_field', 'full_rank' or a Gaussian to start from, got {described}")
    check_pair(target, given)
    if start is None:
        return given
    start = target.start(start)
    if not isinstance(family_or_q, str):
        raise ValueError("start: family_or_q is a Gaussian to start from already; give one of the two")
    if isinstance(start, str):
        if start != "laplace":
            raise ValueError(f"start: expected a point, a Gaussian or 'laplace', got {start!r}")
        start = target.laplace(np.zeros(target.dim)).q
    if isinstance(start, Family):
        if start.dim != target.dim:
            raise ValueError(f"start: expected {target.dim} dimensions, as the target has, got {start.dim}")
        if type(start) is type(given):
            return start
        return given.stretched(start.loc, np.linalg.inv(given.restrict(start.covariance)), math.inf)
    loc = checks.real_array("start", start, 1)
    if loc.shape != (target.dim,):
        raise ValueError(f"start: expected shape ({target.dim},), got {loc.shape}")
    return given.member(loc, given.scale)


def ending(run: Run, restart: int, stream: int, quick: bool) -> Ending:
    """How good q is where a start ended, from no more draws than that took."""
    fitter = run.fitters[restart]
    count = min(DRAWS, max(LEAST_DRAWS, fitter.state["draws"]))
    if quick:
        count = min(LEAST_DRAWS, fitter.state["draws"])
        if count < 2:
            return Ending(Estimate(math.nan, math.nan, 0, method="none", key=run.key, note="interrupted"), math.nan)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return judged(run.target, fitter.q, count, run.key, run.on, fitter.control_variate(), stream)


def is_poor(run: Run, end: Ending) -> bool:
    """Whether a first start calls for others: a rich family that misses part of p, and a cheap fit."""
    fitter = run.fitters[0]
    cheap = fitter.state["draws"] <= CHEAP and run.target.dim <= MOST_DIM
    return run.ends[0] == CONVERGED and cheap and not fitter.q.is_diagonal and end.khat > KHAT_LIMITS[1]


def finished(run: Run, endings: list[Ending]) -> FitResult:
    """The best of the starts, with an ELBO on draws that did not choose it."""
    values = [end.elbo.value if end.elbo.value == end.elbo.value else -math.inf for end in endings]
    best = int(np.argmax(values))
    fitter, end, found = run.fitters[best], run.ends[best], endings[best]
    if len(endings) > 1:
        found = ending(run, best, FINAL, run.ends[-1] == INTERRUPTED)
    run.history.sort(key=lambda line: line[:2])
    converged = end == CONVERGED and math.isfinite(found.elbo.value + found.elbo.standard_error)
    gain, blur = (float(fitter.state.get(name, math.nan)) for name in ("gain", "blur"))
    return FitResult(
        fitter.q,
        found.elbo,
        run.history,
        converged,
        message(run, best, converged, found.elbo) + hint(run.target, fitter.q),
        fitter.name,
        sum(each.state["draws"] for each in run.fitters),
        run.key,
        gain,
        blur,
        found.khat,
        run.target,
        run.on.options,
    )


def message(run: Run, best: int, converged: bool, value: Estimate) -> str:
    """Why the fit stopped, what is known of its distance from the best q, and what other starts found."""
    end, state = run.ends[best], run.fitters[best].state
    rounds = counted(sum(1 for line in run.history if line.restart == best), "round")
    said = f"{end}: the best so far"
    if not math.isfinite(value.value):
        said += f"; {value.note or f'log p is -inf at {value.num_neginf:,} of {value.num_samples:,} fresh draws of q'}"
    if converged:
        said, short = f"converged after {rounds}", state.get("gain", math.nan) + state.get("blur", math.nan)
        if math.isfinite(short):
            some = f"some {short:.1g}" if short > LEAST_SHORT else f"less than {LEAST_SHORT:g}"
            said += f": {some} nat short of the best {run.fitters[best].q.family} q near here"
    elif end == INTERRUPTED:
        said = f"interrupted after {counted(len(run.history), 'round')}: the best so far"
    elif end == CONVERGED:
        said = f"settled after {rounds}, but the ELBO of q is {value.value:g} on fresh draws; {value.note}".rstrip("; ")
    if len(run.fitters) > 1:
        optima = len(set(basins([fitter.q for fitter in run.fitters])))
        where = f"in {optima} different places" if optima > 1 else "in the same place"
        said += f"; the best of {len(run.fitters)} starts, which ended {where}"
    return said
