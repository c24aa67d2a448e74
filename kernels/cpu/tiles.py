"""The memory of a tile."""

import numpy as np

from ..jit import routine

ALIGNMENT = 8  # float64s in a cache line


@routine
def aligned(height, width):
    """An empty (height, width) tile that starts on a cache line; without it rows cost up to a third more."""
    raw = np.empty(height * width + ALIGNMENT)
    skip = (ALIGNMENT - (raw.ctypes.data // 8) % ALIGNMENT) % ALIGNMENT
    return raw[skip : skip + height * width].reshape((height, width))


@routine
def columns(tile, height, width):
    """The memory of a tile as a narrower one, for the last draws."""
    return tile.reshape(tile.size)[: height * width].reshape((height, width))
