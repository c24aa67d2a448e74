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
from ..results import Estimate
from ..rng import FINAL, Key

DRAWS, LEAST_DRAWS = 10_000, 256
ALIKE = 1e-6  # nats between the smallest and the largest log weight: their tail is one of rounding


class Ending(NamedTuple):
    """The ELBO of q and the Pareto shape of its importance weights, from draws that no fit has seen."""

    elbo: Estimate
    khat: float


def judged(
    target, q: Family, num_samples: int, key: Key, on: Place, variate: Surrogate | None, stream: int = FINAL
) -> Ending:
    """Both are nan where log p is not finite at some draws, which the estimate's note then says."""
    try:
        job = job_of(target, q, num_samples, key, stream, control_variate=variate, keep=True)
        found = sweep(target, job, on)
    except (NonFiniteError, KeyboardInterrupt, OverflowError) as error:
        note = str(error) if isinstance(error, NonFiniteError) else type(error).__name__
        return Ending(Estimate(math.nan, math.nan, 0, method="none", key=key, note=note), math.nan)
    value = read(found, q, "plain" if variate is None else variate.level, key)
    largest = Largest(num_samples)
    largest.add(found.log_w)
    alike = np.ptp(found.log_w) < ALIKE if found.num_neginf == 0 else False
    return Ending(value, math.nan if alike else largest.khat())
