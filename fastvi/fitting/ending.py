"""What is said of a fitted q: its ELBO and k-hat from the same fresh draws, at no more cost than the fit had."""

import math
from typing import NamedTuple

import numpy as np

from ..control_variates import Surrogate
from ..diagnostics.log_weights import Largest
from ..errors import NonFiniteError
from ..estimators.elbo import read
from ..execution.job import job_of
from ..execution.sweep import Place, sweep
from ..families.base import Family
from ..families.factors import Factors
from ..results import KHAT_LIMITS, Estimate, counted
from ..rng import FINAL, Key
from .fitter import CONVERGED
from .restarts import CHEAP, MOST_DIM, basins
from .result import FitResult
from .rounds import INTERRUPTED, Run
from .units import hint

DRAWS, LEAST_DRAWS = 10_000, 256
ALIKE = 1e-6  # nats between the smallest and the largest log weight: their tail is one of rounding
LEAST_SHORT = 1e-6  # nats that a message tells


class Ending(NamedTuple):
    """The ELBO of q and the Pareto shape of its importance weights, from draws that no fit has seen."""

    elbo: Estimate
    khat: float


def unknown(key: Key, note: str) -> Ending:
    """Where there are no draws to judge by."""
    return Ending(Estimate(math.nan, math.nan, 0, method="none", key=key, note=note), math.nan)


def judged(target, q: Family, num_samples: int, key: Key, on: Place, variate: Surrogate | None, stream: int) -> Ending:
    """Both are nan where log p is not finite at some draws, which the estimate's note then says."""
    try:
        job = job_of(target, q, num_samples, key, stream, control_variate=variate, keep="log_w")
        found = sweep(target, job, on)
    except NonFiniteError as error:
        return unknown(key, str(error))
    value = read(found, q, "plain" if variate is None else variate.level, key)
    largest = Largest(num_samples)
    largest.add(found.log_w)
    alike = np.ptp(found.log_w) < ALIKE if found.num_neginf == 0 else False
    return Ending(value, math.nan if alike else largest.khat())


def ending(run: Run, restart: int, stream: int) -> Ending:
    """How good q is where a start ended, from no more draws than that took; from a few if it was interrupted, and from
    none where this is."""
    fitter, interrupted = run.fitters[restart], run.ends[-1] == INTERRUPTED
    count = min(DRAWS, max(LEAST_DRAWS, fitter.state["draws"]))
    if interrupted:
        count = min(LEAST_DRAWS, fitter.state["draws"])
        if count < 2:
            return unknown(run.key, INTERRUPTED)
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            variate = None if interrupted else fitter.control_variate()
            return judged(run.target, fitter.q, count, run.key, run.on, variate, stream)
    except KeyboardInterrupt:
        run.ends[-1] = INTERRUPTED
        return unknown(run.key, INTERRUPTED)


def is_poor(run: Run, end: Ending) -> bool:
    """Whether a first start calls for others: a rich family that misses part of p, and a cheap fit."""
    fitter = run.fitters[0]
    if isinstance(fitter.q, Factors):
        return False
    cheap = fitter.state["draws"] <= CHEAP and run.target.dim <= MOST_DIM
    return run.ends[0] == CONVERGED and cheap and not fitter.q.is_diagonal and end.khat > KHAT_LIMITS[1]


def finished(run: Run, endings: list[Ending]) -> FitResult:
    """The best of the starts, with an ELBO on draws that did not choose it."""
    values = [end.elbo.value if end.elbo.value == end.elbo.value else -math.inf for end in endings]
    best = int(np.argmax(values))
    found = endings[best] if len(endings) == 1 else ending(run, best, FINAL)
    fitter, end = run.fitters[best], run.ends[best]
    run.history.sort(key=lambda line: line[:2])
    converged = end == CONVERGED and math.isfinite(found.elbo.value + found.elbo.standard_error)
    return FitResult(
        fitter.q,
        found.elbo,
        run.history,
        converged,
        message(run, best, converged, found.elbo) + hint(run.target, fitter.q),
        fitter.name,
        sum(each.state["draws"] + each.state["lost"] for each in run.fitters),
        run.key,
        float(fitter.state["gain"]),
        float(fitter.state["blur"]),
        found.khat,
        fitter.natural_gradient() if converged else None,
        run.target,
        run.on.options,
        run.target.density.data_state(),
    )


def message(run: Run, best: int, converged: bool, value: Estimate) -> str:
    """Why the fit stopped, what is known of its distance from the best q, and what other starts found."""
    end, state = run.ends[best], run.fitters[best].state
    rounds = counted(sum(1 for line in run.history if line.restart == best), "round")
    said = f"{end}: the best so far"
    if not math.isfinite(value.value):
        said += f"; {value.note or f'log p is -inf at {value.num_neginf:,} of {value.num_samples:,} fresh draws of q'}"
    if converged:
        said, short = f"converged after {rounds}", state["gain"] + state["blur"]
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
        if run.ends[-1] == INTERRUPTED and best != len(run.ends) - 1:
            said += "; interrupted in the last of them"
    return said
