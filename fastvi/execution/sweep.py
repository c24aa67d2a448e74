"""One pass over the draws of a job, wherever it runs: judged, and read as moments."""

import contextlib
import math
from typing import NamedTuple

import numpy as np

from ..errors import STOPPED
from ..kernels.cpu import merging
from ..kernels.sums import moments
from . import centred
from .executors import Executor
from .gpu import Gpu
from .job import Job, Sums
from .nonfinite import judge
from .progress import Progress, reporter
from .threads import Threads

Place = Threads | Executor


class Sweep(NamedTuple):
    """The moments of all draws; those of each chunk, with its sums of gradients; log w of every draw where kept."""

    total: np.ndarray
    rows: np.ndarray
    sums: np.ndarray
    log_w: np.ndarray

    @property
    def num_samples(self) -> int:
        return int(self.total[moments.COUNT])

    @property
    def num_neginf(self) -> int:
        return int(self.total[moments.NEGATIVE_INFINITE])

    def mean_and_variance(self, mean: int) -> tuple[float, float]:
        """Of log w (``moments.MEAN_W``) or log p (``moments.MEAN_P``); the variance of one draw, nan for one draw."""
        count = self.total[moments.COUNT]
        squares = self.total[mean + 1]
        return float(self.total[mean]), float(squares / (count - 1.0)) if count > 1 else float("nan")


def sweep(target, job: Job, on: Place | Gpu, *, progress: Progress = False, pilot: bool = False) -> Sweep:
    """Sweep a job ``on`` threads, a GPU or an executor.  Non-finite values in a ``pilot`` are not raised.

    Raises
    ------
    NonFiniteError
        where log p is NaN or +inf
    KeyboardInterrupt, ExecutorError
        with the Sweep so far as ``.partial``
    Exception
        whatever the log density raises
    """
    two_passes = job.gradient == "centred"
    if two_passes and isinstance(on, Gpu):
        two_passes, job = False, job._replace(gradient="score")
    first = job._replace(gradient=None, keep="left") if two_passes else job
    report, close = reporter(progress, job.num_samples)
    try:
        found = merged(on.run(target, first, report))
    except STOPPED as stopped:
        stopped.partial = merged(getattr(stopped, "partial", nothing()))  # type: ignore[union-attr]
        if two_passes:
            with contextlib.suppress(KeyboardInterrupt, MemoryError):  # what has stopped the sweep is to be raised
                stopped.partial = with_scores(stopped.partial, job, on)  # type: ignore[union-attr]
        raise
    finally:
        close()
    judge(found.total, target, job, 1 if isinstance(on, Gpu) else job.plan.tile, pilot)
    return with_scores(found, job, on) if two_passes else found


def with_scores(found: Sweep, job: Job, on: Place | Gpu) -> Sweep:
    """The sweep with its score sums about the mean of f, which take no further evaluations of log p."""
    counts, mean = np.ascontiguousarray(found.rows[:, moments.COUNT]), float(found.total[moments.MEAN_W])
    if not math.isfinite(mean) or not counts.any():
        return found
    try:
        sums = centred.sums(job, counts, found.log_w, mean, on.num_threads if isinstance(on, Threads) else 1)
    except KeyboardInterrupt as interrupt:
        interrupt.partial = found  # type: ignore[attr-defined]
        raise
    return found._replace(sums=sums)


def merged(sums: Sums) -> Sweep:
    """The chunks of a sweep, finished or not, merged in order."""
    if len(sums.rows) == 1:
        return Sweep(sums.rows[0], *sums)
    total = np.empty(moments.COLUMNS)
    merging.merger()(sums.rows, total)
    return Sweep(total, *sums)


def nothing() -> Sums:
    """Of no draws."""
    return Sums(np.zeros((1, moments.COLUMNS)), np.zeros((0, 0, 0)), np.empty(0))


def partial(stopped: BaseException) -> Sweep:
    """The sweep that an interrupt stopped, of no draws where it came before the first."""
    found = getattr(stopped, "partial", None)
    return found if isinstance(found, Sweep) else merged(nothing())


def place(num_threads: int | None = None, executor=None) -> Threads | Executor:
    """This machine's threads, or an executor."""
    return Threads(num_threads) if executor is None else Executor(executor)
