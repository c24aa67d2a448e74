"""The memory of a tile, and what all sweeps do with it."""

import ctypes

import numpy as np

from ..jit import routine
from .draw_loops import copy, each_draw
from .emitted import emitted, emitted_tile
from .traced import HALF_WORD, WORD
from .vector_code import NUMBERS, TILE, WORD_TILE

LINE = 64  # bytes of a cache line


def write_aligned(code, height, width, kind=TILE):
    """See ``aligned``."""
    builder, context = code.builder, code.context
    size = builder.mul(builder.mul(height, width), WORD(8))
    # as much of another line, so that no size is 0
    owner = context.nrt.meminfo_alloc_aligned(builder, code.sum(size, LINE), HALF_WORD(LINE))
    address = builder.ptrtoint(context.nrt.meminfo_data(builder, owner), WORD)
    return code.tile(owner, address, height, width, kind)


def write_aligned_words(code, height, width):
    """See ``aligned_words``."""
    return write_aligned(code, height, width, WORD_TILE)


def write_columns(code, tile, height, width):
    """See ``columns``."""
    array = code.context.make_array(TILE)(code.context, code.builder, tile)
    code.context.nrt.incref(code.builder, TILE, tile)
    return code.tile(array.meminfo, code.builder.ptrtoint(array.data, WORD), height, width)


def write_part(code, numbers, first, height, width):
    """See ``part``."""
    array = code.context.make_array(NUMBERS)(code.context, code.builder, numbers)
    code.context.nrt.incref(code.builder, NUMBERS, numbers)
    address = code.builder.ptrtoint(array.data, WORD)
    return code.tile(array.meminfo, code.sum(address, code.builder.mul(first, WORD(8))), height, width)


def write_tile_at(code, address, height, width):
    """See ``tile_at``."""
    return code.tile(None, address, height, width)


def write_numbers_at(code, address, count):
    """See ``numbers_at``."""
    return code.array(None, address, (count,), (WORD(8),), NUMBERS)


@emitted_tile(write_aligned)
def aligned(height, width):
    """An empty (height, width) tile that starts on a cache line; without it rows cost up to a third more."""
    raw = np.empty(height * width + LINE // 8)
    skip = -(raw.ctypes.data // 8) % (LINE // 8)
    return raw[skip : skip + height * width].reshape((height, width))


@emitted_tile(write_aligned_words, WORD_TILE)
def aligned_words(height, width):
    """The same for 64-bit words."""
    return aligned(height, width).view(np.uint64)


@emitted_tile(write_columns)
def columns(tile, height, width):
    """The memory of a tile, or of one row of a larger one, as a narrower one, for the last draws."""
    return tile.reshape(tile.size)[: height * width].reshape((height, width))


@emitted_tile(write_part)
def part(numbers, first, height, width):
    """The numbers from ``first`` on as a tile."""
    return numbers[first : first + height * width].reshape((height, width))


@emitted_tile(write_tile_at)
def tile_at(address, height, width):
    """The tile at an address, whose memory the caller keeps."""
    return at_address(address, (height, width))


@emitted_tile(write_numbers_at, NUMBERS)
def numbers_at(address, count):
    """The float64 at an address, whose memory the caller keeps."""
    return at_address(address, (count,))


def at_address(address, shape):
    """An array over memory."""
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_double)), shape)


def write_fill_rows(code, tile, first, value):
    """See ``fill_rows``."""
    with code.loop(first, tile.shape[0]) as i:
        copy.write(code, tile.shape[1], tile.row(i), value)


@emitted(write_fill_rows)
def fill_rows(tile, first, value):
    """A number in all places of the rows of a tile from ``first`` on."""
    for i in range(first, tile.shape[0]):
        copy(tile.shape[1], tile[i], value)


@each_draw
@routine
def add_log_q(log_p, half_square, normaliser):
    """log w from log p."""
    return log_p + (half_square + normaliser)
