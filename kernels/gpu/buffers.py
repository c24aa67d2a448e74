"""Memory on the device that stays from call to call."""

import contextlib
import math
import threading

import numpy as np

from . import device

_own = threading.local()


class Buffers:
    """Arrays that stay on the device from call to call, by name."""

    def __init__(self):
        self.arrays: dict = {}

    def room(self, name, shape):
        """An array of this shape, of whatever it held before."""
        shape = (shape,) if isinstance(shape, int) else shape
        size = math.prod(shape)
        if name not in self.arrays or self.arrays[name].size < size:
            self.arrays[name] = device.empty(size)
        return self.arrays[name][:size].reshape(shape)

    def upload(self, name, array):
        """A copy of a host array."""
        out = self.room(name, array.shape if array.size else (1,) * array.ndim)
        if array.size:
            device.fill(out, np.ascontiguousarray(array))
        return out


def unused() -> list[Buffers]:
    """This thread's buffers that are not lent, of the device in use."""
    if not hasattr(_own, "unused"):
        _own.unused = {}
    return _own.unused.setdefault(device.current(), [])


@contextlib.contextmanager
def lent_buffers():
    """Buffers that nobody else uses for the time, a call from within a call included."""
    free = unused()
    buffers = free.pop() if free else Buffers()
    try:
        yield buffers
    finally:
        free.append(buffers)


def held_bytes() -> int:
    """What this thread keeps on the device between calls."""
    return sum(array.nbytes for buffers in unused() for array in buffers.arrays.values())


class Data:
    """A target's data on the device: numbers as they are, arrays copied when new or changed in place."""

    def __init__(self, sources):
        self.sources, self.on = sources, None
        self.seen: list = []
        self.arrays: list = []

    def current(self, values):
        """The data to launch a kernel with, from the host's ``values``."""
        with device.lock:
            if self.on != device.current():
                self.on = device.current()
                self.seen, self.arrays = [None] * len(values), [None] * len(values)
            for k, (value, source) in enumerate(zip(values, self.sources, strict=True)):
                if not isinstance(value, np.ndarray):
                    self.arrays[k] = value.item()
                elif source is not None:
                    self.arrays[k] = device.view(source)
                elif self.seen[k] is None or not same_bits(self.seen[k], value):
                    kept = value.copy()
                    self.arrays[k] = kept if device.SIMULATED else device.to_device(kept)
                    self.seen[k] = kept  # last: an upload that fails is tried again
            return tuple(self.arrays)


def same_bits(a, b):
    """Whether two arrays of one dtype hold the same bits: NaN is no change."""
    word = np.uint64 if a.itemsize == 8 else np.uint8
    return np.array_equal(a.reshape(-1).view(word), b.reshape(-1).view(word))
