"""The memory of a tile, and what all sweeps do with it."""

import numpy as np
from numba import types
from numba.np import arrayobj

from ..jit import routine
from .draw_loops import copy, each_draw
from .emitted import emitted_tile
from .traced import WORD
from .vector_code import TILE

ALIGNMENT = 8  # float64s in a cache line
FLAT = types.Array(types.float64, 1, "C")


def write_aligned(code, height, width):
    """See ``aligned``."""
    builder = code.builder
    size = code.sum(builder.mul(height, width), ALIGNMENT)
    raw = arrayobj._empty_nd_impl(code.context, builder, FLAT, [size])
    address, line = builder.ptrtoint(raw.data, WORD), WORD(8 * ALIGNMENT)
    start = builder.mul(builder.udiv(code.sum(address, 8 * ALIGNMENT - 1), line), line)
    return code.tile(raw.meminfo, start, height, width)


def write_columns(code, tile, height, width):
    """See ``columns``."""
    array = code.context.make_array(TILE)(code.context, code.builder, tile)
    code.context.nrt.incref(code.builder, TILE, tile)
    return code.tile(array.meminfo, code.builder.ptrtoint(array.data, WORD), height, width)


@emitted_tile(write_aligned)
def aligned(height, width):
    """An empty (height, width) tile that starts on a cache line; without it rows cost up to a third more."""
    raw = np.empty(height * width + ALIGNMENT)
    skip = (ALIGNMENT - (raw.ctypes.data // 8) % ALIGNMENT) % ALIGNMENT
    return raw[skip : skip + height * width].reshape((height, width))


@emitted_tile(write_columns)
def columns(tile, height, width):
    """The memory of a tile, or of one row of a larger one, as a narrower one, for the last draws."""
    return tile.reshape(tile.size)[: height * width].reshape((height, width))


@routine
def fill_rows(tile, first, value):
    """A number in all places of the rows of a tile from ``first`` on."""
    for i in range(first, tile.shape[0]):
        copy(tile.shape[1], tile[i], value)


@each_draw
@routine
def add_log_q(log_p, half_square, normaliser):
    """log w from log p."""
    return log_p + (half_square + normaliser)
