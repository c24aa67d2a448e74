"""Memory for tapes: one buffer a thread, which grows when a density asks for more and is kept for the next call."""

import threading

import numpy as np

FIRST_BYTES, MAX_BYTES = 2**22, 2**30
_local = threading.local()


def buffer() -> np.ndarray:
    """This thread's buffer.  Pages of it that nobody touches cost no memory."""
    if not hasattr(_local, "buffer"):
        _local.buffer = np.empty(FIRST_BYTES // 8)
    return _local.buffer


def grow() -> np.ndarray:
    """A buffer four times as large.

    Raises
    ------
    MemoryError
        beyond a gibibyte
    """
    size = buffer().nbytes
    if size >= MAX_BYTES:
        raise MemoryError(
            f"the gradient of this log density needs a tape of more than {MAX_BYTES >> 20} MiB for a group of draws "
            "(or a C function asks for that much scratch): there are more operations on z than can be kept; declare "
            "which data have rows, rows=, or write products (X @ z) and sums (np.sum), or give the Target a gradient="
        )
    _local.buffer = np.empty(min(4 * size, MAX_BYTES) // 8)
    return _local.buffer


def with_room(call, first, small):
    """``call(first, memory) -> (status, where it stopped)``, again from there with more memory while it says ``small``.

    Returns its last answer.
    """
    memory = buffer()
    while True:
        status, first = call(first, memory)
        if status != small:
            return status, first
        memory = grow()
