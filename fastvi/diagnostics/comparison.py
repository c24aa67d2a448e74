"""Two approximations or two models against each other, with the error of the difference."""

import math

import numpy as np

from .. import checks
from ..execution import sweep as sweeps
from ..results import Estimate
from ..rng import SAMPLE, key_from
from ..running_moments import Running
from .log_weights import LogWeights


def compare(
    target, q1, q2, num_samples=10_000, *, target2=None, rng=None, num_threads=None, progress=False
) -> Estimate:
    """ELBO of q1 minus ELBO of q2, from common draws eps: the error is that of the difference.

    Parameters
    ----------
    target : Target
    q1, q2 : MeanFieldGaussian or FullRankGaussian
        of any two families
    target2 : Target, optional
        the target of q2, for comparing models; ``target`` otherwise

    The other parameters are those of :func:`elbo`.

    Returns
    -------
    Estimate
        positive where q1 is better; -inf minus -inf is nan
    """
    other = target if target2 is None else target2
    for one, q in ((target, q1), (other, q2)):
        sweeps.check(one, q)
    num_samples, key = checks.count("num_samples", num_samples, 2), key_from(rng)
    first = LogWeights(target, q1, num_samples, key, SAMPLE, num_threads, progress)
    second = LogWeights(other, q2, num_samples, key, SAMPLE, num_threads)
    total, infinite = Running(), [0, 0]
    for a, b in zip(first, second, strict=True):
        infinite = [infinite[0] + int(np.sum(a == -np.inf)), infinite[1] + int(np.sum(b == -np.inf))]
        with np.errstate(invalid="ignore", over="ignore"):
            total.add(a - b)
    count = int(total.count)
    if any(infinite):
        value = math.nan if all(infinite) else -math.inf if infinite[0] else math.inf
        return Estimate(value, math.nan, count, sum(infinite), "paired", key=key)
    mean, error = float(total.mean), float(total.standard_error)
    return Estimate(mean, error, count, 0, "paired", key=key, degrees_of_freedom=count - 1.0)
