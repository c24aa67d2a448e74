"""One pass over the draws of a job, wherever it runs: judged, and read as moments."""

from typing import NamedTuple

import numpy as np

from ..errors import STOPPED
from ..kernels.cpu import sweep as cpu
from ..kernels.sums import moments
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
    report, close = reporter(progress, job.num_samples)
    try:
        found = merged(on.run(target, job, report))
    except STOPPED as stopped:
        stopped.partial = merged(getattr(stopped, "partial", nothing()))  # type: ignore[union-attr]
        raise
    finally:
        close()
    judge(found.total, target, job, 1 if isinstance(on, Gpu) else job.plan.tile, pilot)
    return found


def merged(sums: Sums) -> Sweep:
    """The chunks of a sweep, finished or not, merged in order."""
    if len(sums.rows) == 1:
        return Sweep(sums.rows[0], *sums)
    total = np.empty(moments.COLUMNS)
    cpu.merger()(sums.rows, total)
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
