"""A density that is a sum over rows of its data, a block of rows at a time, as a C function by ``abi``.

What a density makes of its rows, and the tape of its gradient, then have the size of a block whatever the number of
rows is.  One function serves all densities: whom it calls, and where the rows lie, it reads from its data.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import carray, types

from ..arithmetic.primitives import from_bits
from ..jit import c_kernel, call_density, source_stamp, words_at
from .abi import FINE, Memory
from .tile_loop import REAL, is_null

(VALUES, GRADIENTS, ROWS, BLOCK, WEIGHT, WORDS, LENGTH, TABLE, ITEMS, ONCE, TERMS, LINE, OFFSET) = range(13)
HEADER = 13
SIGNATURE = types.int64(
    REAL, types.int64, types.int64, types.CPointer(types.int64), REAL, REAL, types.int64, types.int64
)


class Term(NamedTuple):
    """A density that is added once: where its functions are, its data, and a factor."""

    values: int
    gradients: int
    memory: Memory
    factor: float


class Line(NamedTuple):
    """offset + slope'z, which is added once."""

    offset: float
    slope: np.ndarray


def bits(x: float) -> int:
    return int(np.float64(x).view(np.int64))


def packed(
    functions: tuple[int, int],
    memory: Memory,
    rows: tuple[int, ...],
    block: int,
    weight: float,
    terms: tuple[Term, ...],
    line: Line | None,
) -> Memory:
    """The data of :func:`over_rows`.

    ``functions`` are the addresses for values and for gradients (0 for what is not asked), ``memory`` the data of the
    density, of which the items ``rows`` have a row for each of the rows; their sum is multiplied by ``weight``.
    """
    places: Any = np.cumsum([0, *(1 + np.ndim(v) for v in memory.data)])
    items = [memory.data[i] for i in rows]
    table = [[places[i], v.strides[0], places[i] + 1] for i, v in zip(rows, items, strict=True)]
    number = np.array(table or [[0, 0, 0]], np.int64)
    once = [[t.values, t.gradients, t.memory.address, bits(t.factor)] for t in terms]
    others = np.array(once or [[0, 0, 0, 0]], np.int64)
    head = np.empty(HEADER, np.int64)
    head[[VALUES, GRADIENTS, BLOCK]] = *functions, block
    head[ROWS] = len(items[0]) if items else 1
    head[WEIGHT] = bits(weight)
    head[[WORDS, LENGTH]] = memory.address, len(memory.words)
    head[[TABLE, ITEMS]] = number.ctypes.data, len(table)
    head[[ONCE, TERMS]] = others.ctypes.data, len(once)
    head[[LINE, OFFSET]] = (0, 0) if line is None else (line.slope.ctypes.data, bits(line.offset))
    found = Memory(())
    found.words, found.address = head, head.ctypes.data
    found.data = (memory, number, others, terms, line)  # what must live as long
    return found


@functools.cache
def over_rows():
    """The compiled function, from the disk cache where it is there."""
    stamp = source_stamp()

    def sum_over_rows(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        head, wanted = carray(data, HEADER), not is_null(gradient)
        size = dim * width if wanted else 0
        total, slopes = carray(log_p, width), carray(gradient, size)
        part, part_slopes, place = np.empty(width), np.empty(size), 0
        if wanted:
            place = np.int64(part_slopes.ctypes.data)
        which = GRADIENTS if wanted else VALUES
        source, own = carray(words_at(head[WORDS]), head[LENGTH]), np.empty(head[LENGTH], np.int64)
        own[:] = source
        table = carray(words_at(head[TABLE]), 3 * head[ITEMS])
        total[:], slopes[:] = 0.0, 0.0
        rows, block, weight = head[ROWS], head[BLOCK], from_bits(np.uint64(head[WEIGHT]))
        for first in range(0, rows, block):
            for k in range(0, len(table), 3):
                own[table[k]] = source[table[k]] + first * table[k + 1]
                own[table[k + 2]] = min(block, rows - first)
            words = np.int64(own.ctypes.data)
            status = call_density(head[which], z, dim, width, words, part, place, scratch, scratch_bytes)
            if status != FINE:
                return status
            for j in range(width):
                total[j] += part[j]
            for k in range(size):
                slopes[k] += part_slopes[k]
        if weight != 1.0:
            for j in range(width):
                total[j] *= weight
            for k in range(size):
                slopes[k] *= weight
        once = carray(words_at(head[ONCE]), 4 * head[TERMS])
        for k in range(0, len(once), 4):
            address, factor = once[k + which], from_bits(np.uint64(once[k + 3]))
            status = call_density(address, z, dim, width, once[k + 2], part, place, scratch, scratch_bytes)
            if status != FINE:
                return status
            for j in range(width):
                total[j] += factor * part[j]
            for i in range(size):
                slopes[i] += factor * part_slopes[i]
        if head[LINE] != 0:
            slope, draws = carray(words_at(head[LINE]), dim), carray(z, dim * width)
            offset = from_bits(np.uint64(head[OFFSET]))
            for j in range(width):
                total[j] += offset
            for i in range(dim):
                by = from_bits(np.uint64(slope[i]))
                for j in range(width):
                    total[j] += by * draws[i * width + j]
                if wanted:
                    for j in range(width):
                        slopes[i * width + j] += by
        return FINE

    return c_kernel(SIGNATURE, sum_over_rows)
