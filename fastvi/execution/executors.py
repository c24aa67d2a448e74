"""A sweep on other processes and machines: its chunks through anything with ``submit(f, *args) -> future``.

The chunks, their sums and the order in which they merge depend on the problem alone: whoever computes them, the result
has the bits of a local run.
"""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import checks
from ..errors import ExecutorError, Resumed
from ..kernels.density import pickling
from ..kernels.sums import moments
from ..version import __version__
from .job import Job, Sums
from .shipping import Parcel, Sent, digest_of
from .threads import swept

POINTS = 2**16  # at given points, so many float64s go with a task


class SubmitsTasks(Protocol):
    """What an executor must have: a pool of concurrent.futures, of dask or of mpi4py has it."""

    def submit(self, function: Callable, /, *arguments: Any) -> Any:
        """A future, whose ``result()`` is that of ``function(*arguments)``."""


class Chunk(NamedTuple):
    """The sums of one chunk; ``careless`` where it must be done again, as ``threads.swept`` says."""

    sums: Sums
    careless: bool


def compute(version: str, parcel: Parcel, work: "Job | Points"):
    """One piece of work, where the executor runs it: its answer, an exception, or None for want of the target."""
    try:
        if version != __version__:
            raise RuntimeError(f"a worker of the executor has fastvi {__version__}, the caller {version}")
        target = parcel.open()
        if target is None:
            return None
        if isinstance(work, Points):
            return work.evaluate(target)
        room = work.room()
        careless = swept(target, work, room, 1)
        failure = target.density.failure() if room.rows[0, moments.RAISED] else None
        if failure is not None:
            raise failure
        return Chunk(room, careless)
    except Exception as error:
        try:
            pickling.loads(pickling.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__} in a worker: {error}")
        return error


def check(executor) -> None:
    """An executor, or None."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor: expected something with submit(function, *arguments) that returns a future, such as those of "
            f"concurrent.futures, got {checks.describe(executor)}"
        )


class Executor:
    """Other processes and machines."""

    def __init__(self, executor) -> None:
        check(executor)
        self.executor = executor

    @property
    def options(self) -> dict:
        """For an estimator that is to run at the same place."""
        return dict(executor=self.executor)

    def run(self, target, job: Job, report=None) -> Sums:
        """All chunks of a job; the same contract as :meth:`fastvi.execution.threads.Threads.run`.

        Raises
        ------
        KeyboardInterrupt, ExecutorError
            with the Sums so far as ``.partial``
        """
        room = job.room()
        try:
            while True:
                with Sent(target) as sent:
                    name = digest_of(sent.key + job.fingerprint())
                    if not Chunks(self.executor, sent, job, name).run(room, report):
                        return room
                target.density.recompile()
        except (KeyboardInterrupt, ExecutorError) as stopped:
            stopped.partial = room  # type: ignore[union-attr]
            raise

    def evaluate(self, target, points, gradient: bool = False):
        """log p at points (n, dim), or (log p, gradients)."""
        each = max(1, POINTS // target.dim // 960) * 960  # whole tiles, so that the bits are those of a local call
        with Sent(target) as sent:
            answers = self._answers(sent, [Points(points[k : k + each], gradient) for k in range(0, len(points), each)])
        log_p = np.concatenate([answer[0] for answer in answers])
        return (log_p, np.concatenate([answer[1] for answer in answers])) if gradient else log_p

    def _answers(self, sent, parts) -> list:
        """What workers find for each part, in order; whatever the density raises surfaces as itself."""
        try:
            waiting = [self.executor.submit(compute, __version__, sent.parcel(True), part) for part in parts]
            found = [future.result() for future in waiting]
        except Exception as error:
            raise ExecutorError(f"executor: {type(error).__name__}: {error}", {}, None) from error
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
        return found


class Points(NamedTuple):
    """Points (n, dim) at which a log density is wanted, with its gradient or not."""

    points: np.ndarray
    gradient: bool

    def evaluate(self, target) -> tuple:
        """(log p, gradients or None)"""
        if self.gradient:
            return target.value_and_grad(self.points, num_threads=1)
        return target.value(self.points, num_threads=1), None


class Chunks:
    """The chunks of a sweep on their way: to submit, submitted, done."""

    def __init__(self, executor, sent, job, name):
        self.executor, self.sent, self.job, self.name = executor, sent, job, name
        self.finished = dict(executor.finished) if isinstance(executor, Resumed) else {}
        self.waiting: collections.deque = collections.deque()  # (chunk, its future, whether the target went along)
        self.unmet: list = []  # chunks whose workers could not read the target
        self.seeds = 1  # chunks at a time that may bring a large target along: twice as many each time one is done
        if isinstance(executor, Resumed) and not any(of == name for of, _ in self.finished):
            raise ValueError(
                "executor: none of the finished chunks is of this call; resume with the same arguments, and "
                "rng=error.key where rng was None or a generator"
            )
        self.done = 0

    def run(self, room: Sums, report) -> bool:
        """Take them all; see :func:`fastvi.execution.threads.swept`."""
        self.room = room
        try:
            for i in range(self.job.plan.chunks):
                if (self.name, i) in self.finished:
                    self.take(i, self.finished[self.name, i])
                else:
                    self.submit(i)
            while self.waiting:
                i, future, whole = self.waiting[0]
                try:
                    chunk = future.result()
                except Exception as error:
                    raise self.broken(error) from error
                if not isinstance(chunk, Chunk | Exception | None) or (chunk is None and whole):
                    raise self.broken(TypeError(f"a future gave {checks.describe(chunk)} for a chunk"))
                self.waiting.popleft()
                if isinstance(chunk, Exception):
                    raise chunk
                if chunk is None:
                    self.unmet.append(i)
                    if sum(whole for _, _, whole in self.waiting) < self.seeds:
                        self.submit(self.unmet.pop(), whole=True)
                    continue
                if chunk.careless:
                    return True
                self.take(i, chunk)
                if report is not None:
                    report(self.done * self.job.plan.chunk)
                if room.rows[i, moments.RAISED]:
                    return False
                if whole:  # some worker has the target now: ask again
                    self.seeds *= 2
                    unmet, self.unmet = self.unmet, []
                    for j in unmet:
                        self.submit(j)
        finally:
            for _, future, _ in self.waiting:
                if hasattr(future, "cancel"):
                    future.cancel()
        return False

    def submit(self, i, whole=False):
        """Send a chunk off."""
        try:
            future = self.executor.submit(compute, __version__, self.sent.parcel(whole), self.job.part(i, i + 1))
        except Exception as error:
            raise self.broken(error) from error
        self.waiting.append((i, future, whole))

    def take(self, i, chunk):
        """Put a chunk where a local sweep would have left it."""
        self.finished[self.name, i] = chunk
        first = i * self.job.plan.chunk
        self.room.rows[i], self.room.sums[i : i + 1] = chunk.sums.rows[0], chunk.sums.sums
        self.room.log_w[first : first + self.job.plan.chunk] = chunk.sums.log_w
        self.done += 1

    def broken(self, error) -> ExecutorError:
        """What to raise, with all that is finished."""
        for i, future, _ in self.waiting:
            try:
                chunk = future.result() if future.done() else None
            except Exception:
                continue
            if isinstance(chunk, Chunk) and not chunk.careless:
                self.take(i, chunk)
        self.waiting.clear()  # a pool of processes that breaks may stand still where futures are cancelled meanwhile
        text = (
            f"executor: {self.done} of {self.job.plan.chunks} chunks are finished, then {type(error).__name__}: {error}"
        )
        return ExecutorError(text, self.finished, self.job.key)
