"""The contract between a density and the sweeps: a C function that evaluates it for a tile of draws.

    int64 f(const double* z, int64 dim, int64 width, const void* data, double* log_p, double* gradient_or_null,
            void* scratch, int64 scratch_bytes)

z is (dim, width), C-contiguous, one draw a column; log_p has ``width`` places.  It returns 0, or 1 when the density
raised; 2, a scratch that is too small, and the gradient are for callbacks that need them.  Kernels call it by address
and never specialise on it, so they stay in the disk cache; and data comes through one pointer, so new data never
recompiles.
"""

import ctypes
from typing import NamedTuple

import numpy as np
from numba import types

LANE_WIDTH = 32
FINE, RAISED, SCRATCH_SMALL, NEEDS_CARE = range(4)  # what it returns; the last two of gradients only


class Compiled(NamedTuple):
    """A compiled density: where it is, whether it runs in lanes, why not, what must outlive the address, whether it is
    known to be continuous: no comparison, step or branch on z; whether it takes multiples of 32 draws all the same;
    whether its gradient is always written whole, which a callback may not do; and, where all of its steps are known to
    look at some arguments alone, the names of those."""

    address: int
    vectorised: bool
    reason: str | None
    keep: tuple
    smooth: bool = False
    padded: bool = False
    whole: bool = False
    steps_of: frozenset = frozenset()

    @property
    def step(self) -> int:
        """Draws of which it takes multiples."""
        return LANE_WIDTH if self.vectorised or self.padded else 1


def pack(data):
    """The data as one array of 64-bit words: for an array its address and shape, for a number its bits."""
    words = []
    for value in data:
        if isinstance(value, np.ndarray):
            words += [value.ctypes.data, *value.shape]
        else:
            words.append(int(value) if value.dtype == bool else int(value.view(np.int64)))
    return np.array(words or [0], dtype=np.int64)


class Memory:
    """Packed data, and what keeps them alive for as long as somebody holds this."""

    def __init__(self, data):
        self.data, self.words = data, pack(data)
        self.address = self.words.ctypes.data


def data_types(data):
    """The Numba type of each packed value: a C-contiguous array or a scalar of float64, int64 or bool."""
    kinds = []
    for value in data:
        dtype = {"f": types.float64, "i": types.int64, "b": types.boolean}[value.dtype.kind]
        kinds.append(types.Array(dtype, value.ndim, "C", readonly=True) if isinstance(value, np.ndarray) else dtype)
    return tuple(kinds)


C_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, *[ctypes.c_void_p] * 4, ctypes.c_int64
)


def call(address, tile, words, log_p, gradient=None, scratch=None) -> int:
    """Evaluate a compiled density for one tile from Python; returns its status."""
    dim, width = tile.shape
    out = None if gradient is None else gradient.ctypes.data
    room = (None, 0) if scratch is None else (scratch.ctypes.data, scratch.nbytes)
    return C_FUNCTION(address)(tile.ctypes.data, dim, width, words.ctypes.data, log_p.ctypes.data, out, *room)
