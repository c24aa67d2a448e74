"""Rows of data addressed by (key, stream, place): whole numbers below a count, from Philox words."""

import functools
import math

import numpy as np
from numba import types

from ..jit import kernel, source_stamp
from .philox import HALF, LOW_WORD, philox4x32

TINY = 2.0**-53


@functools.cache
def row_numbers():
    """``(key, stream, first, count, out)``: a number below ``count`` for every place from ``first`` on, each as likely
    as any other to 2^-53."""
    stamp = source_stamp()

    def fill(key, stream, first, count, out):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        words = np.uint32(key & LOW_WORD), np.uint32(key >> HALF)
        for i in range(len(out)):
            place = np.uint64(first + i)
            counter = np.uint32(place & LOW_WORD), np.uint32(place >> HALF), np.uint32(0), np.uint32(stream)
            low, high, _, _ = philox4x32(counter, words, 10)
            word = np.uint64(low) | np.uint64(high) << HALF
            out[i] = np.int64(math.floor((word >> np.uint64(11)) * TINY * count))

    return kernel(types.void(types.uint64, types.int64, types.int64, types.int64, types.int64[::1]), fill)


def rows_at(key: int, stream: int, first: int, count: int, size: int) -> np.ndarray:
    """``size`` numbers below ``count``, with repetitions."""
    out = np.empty(size, np.int64)
    row_numbers()(np.uint64(key), stream, first, count, out)
    return out
