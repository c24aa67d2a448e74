"""A sweep on other processes and machines: its leaves through anything with ``submit(f, *args) -> future``.

A block is a leaf of the sweep, so the blocks, their sums and the order in which they merge depend on the problem alone:
whoever computes them, the result has the bits of a local run.
"""

import collections
import hashlib
import os
import tempfile
import threading
from typing import Any, NamedTuple

import numpy as np

from . import checks, leaves
from .errors import ExecutorError
from .kernels import moments, recipe
from .leaves import Job
from .version import __version__

SMALL = 2**16  # bytes of a target that every block may bring along; a larger one is read from a file, once a process
KEPT = 8  # targets that a process remembers, each with what it has compiled
_targets: collections.OrderedDict[bytes, Any] = collections.OrderedDict()
_sending: dict[bytes, Any] = {}  # of this process, for executors that run in it
_lock = threading.Lock()


def _new_lock():
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class Block(NamedTuple):
    """The sums of one leaf; ``careless`` where it must be done again, as :func:`fastvi.leaves.run` says."""

    rows: np.ndarray
    sums: np.ndarray
    careless: bool


class Parcel(NamedTuple):
    """A target on its way: its names here and in other processes, and its bytes or the file that holds them."""

    process: int
    key: bytes
    state: bytes
    payload: bytes | None
    path: str | None

    def open(self):
        """The target, made once in each process; None where its bytes are out of reach."""
        with _lock:
            if self.process == os.getpid() and self.key in _sending:
                return _sending[self.key]
            if self.key in _targets:
                _targets.move_to_end(self.key)
                return _targets[self.key]
        payload = self.payload
        if payload is None:
            try:
                with open(self.path or "", "rb") as file:
                    payload = file.read()
            except OSError:
                return None
        target, careful = recipe.loads(payload)
        if target.state() != self.state:
            raise RuntimeError(
                f"target: {target.name} is another in a worker of the executor than here: what it reads of modules, or "
                "the data it was made with, have changed since; pass them as data"
            )
        if careful:
            target.derivative.take_care()
        with _lock:
            target = _targets.setdefault(self.key, target)
            while len(_targets) > KEPT:
                _targets.popitem(last=False)
        return target


class Resumed:
    """An executor, and the blocks that another has finished."""

    def __init__(self, executor, finished):
        check(executor)
        if executor is None:
            raise TypeError("executor: expected another executor to resume with, got None")
        self.executor, self.finished = executor, finished

    def submit(self, function, *arguments):
        return self.executor.submit(function, *arguments)


class Sent:
    """A target for the length of a sweep: in a file of this machine where it is large."""

    def __init__(self, target):
        careful = target.derivative.careful
        try:
            self.payload = recipe.dumps((target, careful))
        except Exception as error:
            raise TypeError(
                f"target: {target.name} cannot travel to other processes ({error}); Target.from_factory(make, ...) "
                "has it made there"
            ) from error
        self.target, self.state, self.path = target, target.state(), None
        opaque = self.payload if target.foreign is not None and target.foreign.opaque else b""
        self.key = digest_of(target.identity + self.state + bytes([careful]) + opaque)

    def __enter__(self):
        if len(self.payload) > SMALL:
            handle, self.path = tempfile.mkstemp(prefix="fastvi-", suffix=".target")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self.payload)
            except BaseException:
                os.unlink(self.path)
                raise
        with _lock:
            _sending[self.key] = self.target
        return self

    def __exit__(self, *_):
        with _lock:
            _sending.pop(self.key, None)
        if self.path is not None:
            os.unlink(self.path)

    def parcel(self, whole) -> Parcel:
        """To go with a block; ``whole`` for a process that cannot read our files."""
        bring = whole or self.path is None
        return Parcel(os.getpid(), self.key, self.state, self.payload if bring else None, None if bring else self.path)


def digest_of(data) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def compute(version, parcel, job):
    """One block, where the executor runs it: a Block, an exception, or None for want of the target."""
    try:
        if version != __version__:
            raise RuntimeError(f"a worker of the executor has fastvi {__version__}, the caller {version}")
        target = parcel.open()
        if target is None:
            return None
        rows, sums = job.room()
        careless = leaves.run(target, job, rows, sums, None, 1, None)
        failure = target.foreign.failure() if rows[0, moments.RAISED] and target.foreign is not None else None
        if failure is not None:
            raise failure
        return Block(rows, sums, careless)
    except Exception as error:
        try:
            recipe.loads(recipe.dumps(error))
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
    """Sweep all leaves of a job elsewhere; the same contract as :func:`fastvi.leaves.run`."""
    with Sent(target) as sent:
        name = digest_of(sent.key + job.fingerprint())
        return Blocks(executor, sent, job, name).run(rows, sums, report)


class Blocks:
    """The blocks of a sweep on their way: to submit, submitted, done."""

    def __init__(self, executor, sent, job, name):
        self.executor, self.sent, self.job, self.name = executor, sent, job, name
        self.finished = dict(executor.finished) if isinstance(executor, Resumed) else {}
        self.waiting: collections.deque = collections.deque()  # (leaf, its future, whether the target went along)
        self.unmet: list = []  # leaves whose workers could not read the target
        self.seeds = 1  # blocks at a time that may bring a large target along: twice as many each time one is done
        known = [i for i in range(job.plan.leaves) if (name, i) in self.finished]
        if isinstance(executor, Resumed) and not known:
            raise ValueError(
                "executor: none of the finished blocks is of this call; resume with the same arguments, and "
                "rng=error.key where rng was None or a generator"
            )
        self.done = 0

    def run(self, rows, sums, report) -> bool:
        """Take them all; see :func:`fastvi.leaves.run`."""
        self.rows, self.sums = rows, sums
        try:
            for i in range(self.job.plan.leaves):
                if (self.name, i) in self.finished:
                    self.take(i, self.finished[self.name, i])
                else:
                    self.submit(i)
            while self.waiting:
                i, future, whole = self.waiting[0]
                try:
                    block = future.result()
                except Exception as error:
                    raise self.broken(error) from error
                if not isinstance(block, Block | Exception | None) or (block is None and whole):
                    raise self.broken(TypeError(f"a future gave {checks.describe(block)} for a block"))
                self.waiting.popleft()
                if isinstance(block, Exception):
                    raise block
                if block is None:
                    self.unmet.append(i)
                    if sum(whole for _, _, whole in self.waiting) < self.seeds:
                        self.submit(self.unmet.pop(), whole=True)
                    continue
                if block.careless:
                    return True
                self.take(i, block)
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
        """Send a leaf off."""
        try:
            future = self.executor.submit(compute, __version__, self.sent.parcel(whole), self.job.part(i, i + 1))
        except Exception as error:
            raise self.broken(error) from error
        self.waiting.append((i, future, whole))

    def take(self, i, block):
        """Put a block where a local sweep would have left it."""
        self.finished[self.name, i] = block
        self.rows[i], self.sums[i : i + 1] = block.rows[0], block.sums
        self.done += 1

    def broken(self, error) -> ExecutorError:
        """What to raise, with all that is finished."""
        for i, future, _ in self.waiting:
            try:
                block = future.result() if future.done() else None
            except Exception:
                continue
            if isinstance(block, Block) and not block.careless:
                self.take(i, block)
        self.waiting.clear()  # a pool of processes that breaks may stand still where futures are cancelled meanwhile
        text = (
            f"executor: {self.done} of {self.job.plan.leaves} blocks are finished, then {type(error).__name__}: {error}"
        )
        return ExecutorError(text, self.finished, self.job.key)
