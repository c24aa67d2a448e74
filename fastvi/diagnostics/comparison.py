"""Two approximations or two models against each other, with the error of the difference."""

import math

import numpy as np

from .. import checks
from ..documentation import documented
from ..estimators.options import check_pair
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import place
from ..families.base import Family
from ..results import Estimate
from ..rng import SAMPLE, RandomSource, key_from
from ..running_moments import Running
from ..targets.target import Target
from .log_weights import LogWeights


@documented
def compare(
    target: Target,
    q1: Family,
    q2: Family,
    num_samples: int = 10_000,
    *,
    target2: Target | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Estimate:
    """ELBO of q1 minus ELBO of q2, from common draws eps: the error is that of the difference.

    Parameters
    ----------
    target : Target
    q1, q2 : MeanFieldGaussian, LowRankGaussian or FullRankGaussian
        of any two families
    num_samples : int
        draws
    target2 : Target, optional
        the target of q2, for comparing models; ``target`` otherwise
    @rng
    @num_threads
    @executor
    @progress

    Returns
    -------
    Estimate
        positive where q1 is better; -inf minus -inf is nan

    See Also
    --------
    elbo : of one approximation

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    >>> near, far = vi.MeanFieldGaussian([0.1], [1.0]), vi.MeanFieldGaussian([1.0], [1.0])
    >>> gain = vi.compare(target, near, far, rng=0)
    >>> abs(gain.value - 0.495) < 5 * gain.standard_error
    True
    """
    other = target if target2 is None else target2
    target, other = check_pair(target, q1), check_pair(other, q2)
    num_samples, key = checks.count("num_samples", num_samples, 2), key_from(rng)
    on = place(num_threads, executor)
    first = LogWeights(target, q1, num_samples, key, SAMPLE, on, progress)
    second = LogWeights(other, q2, num_samples, key, SAMPLE, on)
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
