"""Values and gradients at given points: tiles are filled from rows, evaluated, and written back to rows."""

import functools

import numpy as np
from numba import types

from ..jit import call_density, kernel, routine, source_stamp

TILE, BLOCK = 96, 8
FINISHED = 0


@routine
def rows_to_tile(points, first, count, tile):
    """tile[i, j] = points[first + j, i]; the places beyond ``count`` repeat the first of the points."""
    dim, width = tile.shape
    whole = count // BLOCK * BLOCK
    for j in range(0, whole, BLOCK):
        p = first + j
        for i in range(dim):  # a cache line of the tile at a time, from eight rows that advance together
            a, b, c, d = points[p, i], points[p + 1, i], points[p + 2, i], points[p + 3, i]
            e, f, g, h = points[p + 4, i], points[p + 5, i], points[p + 6, i], points[p + 7, i]
            tile[i, j], tile[i, j + 1], tile[i, j + 2], tile[i, j + 3] = a, b, c, d
            tile[i, j + 4], tile[i, j + 5], tile[i, j + 6], tile[i, j + 7] = e, f, g, h
    for j in range(whole, width):
        row = first + j if j < count else first
        for i in range(dim):
            tile[i, j] = points[row, i]


@routine
def tile_to_rows(tile, first, count, rows):
    """rows[first + j, i] = tile[i, j]"""
    dim = tile.shape[0]
    whole = dim // BLOCK * BLOCK
    for i in range(0, whole, BLOCK):
        for j in range(count):
            a, b, c, d = tile[i, j], tile[i + 1, j], tile[i + 2, j], tile[i + 3, j]
            e, f, g, h = tile[i + 4, j], tile[i + 5, j], tile[i + 6, j], tile[i + 7, j]
            r = first + j
            rows[r, i], rows[r, i + 1], rows[r, i + 2], rows[r, i + 3] = a, b, c, d
            rows[r, i + 4], rows[r, i + 5], rows[r, i + 6], rows[r, i + 7] = e, f, g, h
    for i in range(whole, dim):
        for j in range(count):
            rows[first + j, i] = tile[i, j]


@functools.cache
def evaluate():
    """The compiled evaluation: (status, first point that is not done).

    ``gradient`` is (n, dim), or (0, dim) where no gradient is wanted.
    """
    stamp = source_stamp()

    def evaluate_points(points, first, last, density, data, stop, log_p, gradient, scratch):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        dim, wanted = points.shape[1], len(gradient) > 0
        widest = TILE if dim <= 1024 else 32
        tile, slope, values = np.empty(dim * widest), np.empty(dim * widest), np.empty(widest)
        address = np.int64(slope.ctypes.data) if wanted else np.int64(0)
        for start in range(first, last, widest):
            if stop[0] != 0:
                return FINISHED, start
            count = min(widest, last - start)
            width = (count + 31) // 32 * 32
            z = tile[: dim * width].reshape((dim, width))
            rows_to_tile(points, start, count, z)
            if wanted:
                slope[:] = np.nan  # what a callback leaves out is not a number
            status = call_density(density, z, dim, width, data, values, address, scratch.ctypes.data, 8 * scratch.size)
            if status != 0:
                return status, start
            for j in range(count):
                log_p[start + j] = values[j]
            if wanted:
                tile_to_rows(slope[: dim * width].reshape((dim, width)), start, count, gradient)
        return FINISHED, last

    matrix, index = types.float64[:, ::1], types.int64
    points = types.Array(types.float64, 2, "C", readonly=True)
    arguments = (points, index, index, index, index, types.int64[::1], types.float64[::1], matrix, types.float64[::1])
    return kernel(types.UniTuple(index, 2)(*arguments), evaluate_points)
