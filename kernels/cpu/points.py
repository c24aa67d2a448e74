"""Values and gradients at given points: tiles are filled from rows, evaluated, and written back to rows."""

import functools

import numpy as np
from numba import types

from ..arithmetic.draw_loops import copy
from ..arithmetic.emitted import emitted
from ..arithmetic.tiles import aligned, columns, fill_rows
from ..arithmetic.transposes import write_rows_to_tile, write_tile_to_rows
from ..jit import call_density, kernel, source_stamp

TILE = 96
FINISHED = 0


@emitted(write_rows_to_tile)
def rows_to_tile(points, first, count, tile):
    """tile[i, j] = points[first + j, i], for a multiple of eight draws; those beyond ``count`` are the first again."""
    dim, width = tile.shape
    for j in range(width):
        for i in range(dim):
            tile[i, j] = points[first + j if j < count else first, i]


@emitted(write_tile_to_rows)
def tile_to_rows(tile, first, count, rows):
    """rows[first + j, i] = tile[i, j]"""
    for i in range(rows.shape[1]):
        for j in range(count):
            rows[first + j, i] = tile[i, j]


@functools.cache
def evaluate():
    """The compiled evaluation: (status, first point that is not done).

    ``gradient`` is (n, dim), or (0, dim) where no gradient is wanted; ``blank`` where the density may leave some out.
    """
    stamp = source_stamp()

    def evaluate_points(points, first, last, density, data, stop, log_p, gradient, blank, scratch):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        dim, wanted = points.shape[1], len(gradient) > 0
        widest = TILE if dim <= 1024 else 32
        tile, slope, values = aligned(dim, widest), aligned(dim, widest), aligned(1, widest)[0]
        address = np.int64(slope.ctypes.data) if wanted else np.int64(0)
        for start in range(first, last, widest):
            if stop[0] != 0:
                return FINISHED, start
            count = min(widest, last - start)
            width = (count + 31) // 32 * 32
            z, slopes = columns(tile, dim, width), columns(slope, dim, width)
            rows_to_tile(points, start, count, z)
            if wanted and blank:
                fill_rows(slopes, 0, np.nan)  # what a callback leaves out is not a number
            status = call_density(density, z, dim, width, data, values, address, scratch.ctypes.data, 8 * scratch.size)
            if status != 0:
                return status, start
            copy(count, log_p[start:], values)
            if wanted:
                tile_to_rows(slopes, start, count, gradient)
        return FINISHED, last

    matrix, index = types.float64[:, ::1], types.int64
    points = types.Array(types.float64, 2, "C", readonly=True)
    arguments = (
        points,
        index,
        index,
        index,
        index,
        types.int64[::1],
        types.float64[::1],
        matrix,
        types.boolean,
        types.float64[::1],
    )
    return kernel(types.UniTuple(index, 2)(*arguments), evaluate_points)
