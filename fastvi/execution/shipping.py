"""A target on its way to other processes, where it is made once."""

import collections
import hashlib
import os
import tempfile
import threading
from typing import Any, NamedTuple

from ..kernels.density import pickling

SMALL = 2**16  # bytes of a target that every chunk may bring along; a larger one is read from a file, once a process
KEPT = 8  # targets that a process remembers, each with what it has compiled
_targets: collections.OrderedDict[bytes, Any] = collections.OrderedDict()
_sending: dict[bytes, Any] = {}  # of this process, for executors that run in it
_lock = threading.Lock()


def _new_lock():
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


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
        target, careful = pickling.loads(payload)
        if target.density.fingerprint() != self.state:
            raise RuntimeError(
                f"target: {target.name} differs between a worker of the executor and this process: a module it reads, "
                "or the data it was made with, has changed; pass what it reads as data"
            )
        if careful:
            target.density.recompile()
        with _lock:
            target = _targets.setdefault(self.key, target)
            while len(_targets) > KEPT:
                _targets.popitem(last=False)
        return target


class Sent:
    """A target for the length of a sweep: in a file of this machine where it is large."""

    def __init__(self, target):
        careful = target.density.careful
        try:
            self.payload = pickling.dumps((target, careful))
        except Exception as error:
            raise TypeError(
                f"target: {target.name} cannot travel to other processes ({error}); Target.from_factory(make, ...) "
                "has it made there"
            ) from error
        self.target, self.state, self.path = target, target.density.fingerprint(), None
        opaque = self.payload if target.density.opaque else b""
        self.key = digest_of(target.identity + self.state + bytes([careful]) + opaque)

    def __enter__(self):
        if len(self.payload) > SMALL:
            handle, self.path = tempfile.mkstemp(prefix="fastvi-", suffix=".target")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self.payload)
            except OSError as error:
                os.unlink(self.path)
                raise OSError(
                    error.errno,
                    f"target: its {len(self.payload):,} bytes cannot be written for the executor's workers "
                    f"({error.strerror}); TMPDIR names the folder",
                    self.path,
                ) from None
        with _lock:
            _sending[self.key] = self.target
        return self

    def __exit__(self, *_):
        with _lock:
            _sending.pop(self.key, None)
        if self.path is not None:
            os.unlink(self.path)

    def parcel(self, whole) -> Parcel:
        """To go with a chunk; ``whole`` for a process that cannot read our files."""
        bring = whole or self.path is None
        return Parcel(os.getpid(), self.key, self.state, self.payload if bring else None, None if bring else self.path)


def digest_of(data) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
