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
from .kernels import recipe
from .leaves import Job
from .version import __version__

SMALL = 2**16  # bytes of a target that every block may bring along; a larger one is read from a file, once a process
KEPT = 8  # targets that a process remembers, each with what it has compiled
_targets: collections.OrderedDict[bytes, Any] = collections.OrderedDict()
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
    """A target on its way: its name, and its bytes or the file that holds them."""

    digest: bytes
    payload: bytes | None
    path: str | None

    def open(self):
        """The target, made once in each process; None where its bytes are out of reach."""
        with _lock:
            if self.digest in _targets:
                _targets.move_to_end(self.digest)
                return _targets[self.digest]
        payload = self.payload
        if payload is None:
            try:
                with open(self.path or "", "rb") as file:
                    payload = file.read()
            except OSError:
                return None
        if digest_of(payload) != self.digest:
            raise RuntimeError("a target was changed on its way")
        target, careful = recipe.loads(payload)
        if careful:
            target.derivative.take_care()
        with _lock:
            target = _targets.setdefault(self.digest, target)
            while len(_targets) > KEPT:
                _targets.popitem(last=False)
        return target


class Resumed:
    """An executor, and the blocks that another has finished."""

    def __init__(self, executor, finished):
        self.executor, self.finished = executor, finished

    def submit(self, function, *arguments):
        return self.executor.submit(function, *arguments)


class Sent:
    """A target for the length of a sweep: in a file of this machine where it is large."""

    def __init__(self, target):
        try:
            self.payload = recipe.dumps((target, target.derivative.careful))
        except Exception as error:
            raise TypeError(
                f"target: {target.name} cannot travel to other processes ({error}); Target.from_factory(make, ...) "
                "has it made there"
            ) from error
        self.digest, self.path = digest_of(self.payload), None

    def __enter__(self):
        if len(self.payload) > SMALL:
            handle, self.path = tempfile.mkstemp(prefix="fastvi-", suffix=".target")
            with os.fdopen(handle, "wb") as file:
                file.write(self.payload)
        return self

    def __exit__(self, *_):
        if self.path is not None:
            os.unlink(self.path)

    def parcel(self, whole) -> Parcel:
        """To go with a block; ``whole`` for a process that cannot read our files."""
        bring = whole or self.path is None
        return Parcel(self.digest, self.payload if bring else None, None if bring else self.path)


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
        return Block(rows, sums, leaves.run(target, job, rows, sums, None, 1, None))
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
        finished = getattr(executor, "finished", {}) if isinstance(executor, Resumed) else {}
        name = digest_of(sent.digest + job.fingerprint())
        todo = collections.deque((i, job.part(i, i + 1)) for i in range(job.plan.leaves))
        waiting: collections.deque = collections.deque()
        done = 0

        def submit(i, part, whole=False):
            try:
                future = executor.submit(compute, __version__, sent.parcel(whole), part)
            except Exception as error:
                raise broken(error) from error
            waiting.append((i, part, future))

        def broken(error):
            text = f"executor: {done} of {job.plan.leaves} blocks are finished, then {type(error).__name__}: {error}"
            return ExecutorError(text, {**finished, **here})

        here: dict = {}
        try:
            while todo:
                i, part = todo.popleft()
                if (name, i) in finished:
                    waiting.append((i, part, None))
                else:
                    submit(i, part)
            while waiting:
                i, part, future = waiting.popleft()
                try:
                    block = finished[name, i] if future is None else future.result()
                except Exception as error:
                    raise broken(error) from error
                if block is None:
                    submit(i, part, whole=True)
                    continue
                if isinstance(block, Exception):
                    raise block
                if block.careless:
                    return True
                here[name, i] = block
                rows[i], sums[i : i + 1] = block.rows[0], block.sums
                done += 1
                if report is not None:
                    report(done)
        finally:
            for _, _, future in waiting:
                if hasattr(future, "cancel"):
                    future.cancel()
    return False
