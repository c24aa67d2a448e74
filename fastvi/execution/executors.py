"""A sweep on other processes and machines: its chunks through anything with ``submit(f, *args) -> future``.

The chunks, their sums and the order in which they merge depend on the problem alone:
whoever computes them, the result has the bits of a local run.
"""

import collections
from typing import NamedTuple

import numpy as np

from .. import checks
from ..errors import ExecutorError, Resumed
from ..kernels.density import pickling
from ..kernels.sums import moments
from ..version import __version__
from . import threads
from .shipping import Sent, digest_of
from .threads import Job


class Chunk(NamedTuple):
    """The sums of one chunk; ``careless`` where it must be done again, as :func:`fastvi.execution.threads.run` says."""

    rows: np.ndarray
    sums: np.ndarray
    careless: bool


def compute(version, parcel, job):
    """One chunk, where the executor runs it: a Chunk, an exception, or None for want of the target."""
    try:
        if version != __version__:
            raise RuntimeError(f"a worker of the executor has fastvi {__version__}, the caller {version}")
        target = parcel.open()
        if target is None:
            return None
        rows, sums = job.room()
        careless = threads.run(target, job, rows, sums, None, 1, None)
        if rows[0, moments.RAISED]:
            target.raise_failure()
        return Chunk(rows, sums, careless)
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


def run(executor, target, job: Job, rows, sums, report) -> bool:
    """Sweep all chunks of a job elsewhere; the same contract as :func:`fastvi.execution.threads.run`."""
    with Sent(target) as sent:
        name = digest_of(sent.key + job.fingerprint())
        return Chunks(executor, sent, job, name).run(rows, sums, report)


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

    def run(self, rows, sums, report) -> bool:
        """Take them all; see :func:`fastvi.execution.threads.run`."""
        self.rows, self.sums = rows, sums
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
                    report(self.done)
                if rows[i, moments.RAISED]:
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
        self.rows[i], self.sums[i : i + 1] = chunk.rows[0], chunk.sums
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
