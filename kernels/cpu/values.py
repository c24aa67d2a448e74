"""The sweep of values on the CPU, compiled once for all families: draw eps -> transform z -> log p - log q -> sums.

What is a family's own is a C function that the sweep is given the address of, as it is given that of the density.
"""

import functools

import numpy as np
from numba import types

from ..arithmetic.draw_loops import copy
from ..arithmetic.tiles import add_log_q, aligned, aligned_words, columns, fill_rows, numbers_at, tile_at
from ..density.abi import LANE_WIDTH
from ..families.registry import DRAWS, FAMILIES, padded_rows
from ..jit import c_kernel, call_density, call_with_words, kernel, routine, source_stamp
from ..plan import WIDE_DIM
from ..sums import control_variate, moments
from .points import TILE, tile_to_rows
from .sweep import F8, FINISHED, I8, RAISED, READ, STOPPED, U8

NO_WEIGHTS, NO_ROWS = np.empty(0), np.empty((1, moments.COLUMNS))
made: list = []  # kept, as q keep their addresses: two threads that come first may make two of one family
NOTHING_ELSE = 0, 0, np.zeros(1, np.int64), NO_ROWS, NO_WEIGHTS, False, *control_variate.NOTHING  # for draws alone


@routine
def vector(address, rows, columns):
    """A scale that is a vector."""
    return numbers_at(address, rows)


@functools.cache
def transform(family_name: str):
    """The C function of a family: z and |eps|^2 / 2 of a tile, or of no rows the ``log_normaliser``."""
    family, stamp = FAMILIES[family_name], source_stamp()
    scale_at = vector if family.SCALE_NDIM == 1 else tile_at

    def transform_tile(loc, count, scale, rows, columns, dim, eps, z, height, width, half_square):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        spread = scale_at(scale, rows, columns)
        if height == 0:
            return family.log_normaliser(spread, dim)
        e, x = tile_at(eps, height, width), tile_at(z, height, width)
        family.transform(numbers_at(loc, count), spread, e, x, numbers_at(half_square, width))
        return 0.0

    made.append(c_kernel(F8(*[I8] * 11), transform_tile))
    return made[-1]


@functools.cache
def sweep(dtype: str = "float64"):
    """The compiled sweep; a surrogate is subtracted if there are terms.

    ``weights`` may have room for log w of each draw, or with ``left`` for what the surrogate leaves of it.  Without a
    density draws are all that is wanted: z goes into the rows at the address ``out``.
    """
    fill, stamp = DRAWS[dtype].fill, source_stamp()

    def sweep_chunks(
        family,
        loc,
        scale,
        height,
        blocks,
        scale_rows,
        scale_columns,
        dim,
        key,
        stream,
        offset,
        num_samples,
        tile,
        chunk,
        lane_width,
        first_chunk,
        last_chunk,
        density,
        data,
        stop,
        rows,
        weights,
        left,
        linear,
        squares,
        pairs,
        cubic,
        out,
    ):
        stamp  # noqa: B018
        terms, followed = (linear, squares, pairs, cubic), len(linear) > 0
        most = max(height, blocks)
        eps, z = aligned(most, tile), aligned(height, tile)
        lines = aligned(3, tile)
        half_square, log_p, log_w = lines[0], lines[1], lines[2]
        words = aligned_words(2, tile)
        follow, h2 = aligned(blocks if followed else 0, tile), aligned(len(cubic), tile)
        where = loc.ctypes.data, len(loc), scale.ctypes.data, scale_rows, scale_columns, dim
        places = eps.ctypes.data, z.ctypes.data
        normaliser = call_with_words(family, (*where, *places, 0, 0, half_square.ctypes.data))
        for which in range(first_chunk, last_chunk):
            end = min(num_samples, (which + 1) * chunk)
            for first in range(which * chunk, end, tile):
                if stop[0] != 0:
                    return STOPPED
                count = min(tile, end - first)
                width = min(tile, (count + lane_width - 1) // lane_width * lane_width)
                padded, x = columns(eps, most, width), columns(z, height, width)
                fill(padded[:height], dim, offset + first, stream, key, words)
                call_with_words(family, (*where, *places, height, width, half_square.ctypes.data))
                if density == 0:
                    tile_to_rows(x, first, count, tile_at(out, num_samples, dim))
                    continue
                status = call_density(density, x, dim, width, data, log_p, 0, 0, 0)
                if status != 0:
                    rows[which, moments.RAISED] = offset + first + 1.0
                    return RAISED
                add_log_q(width, log_w, log_p, half_square, normaliser)
                if weights.size > 0 and not left:
                    copy(count, weights[first:], log_w)
                if followed:
                    fill_rows(padded, height, 0.0)
                    v, w = columns(follow, blocks, width), columns(h2, len(cubic), width)
                    control_variate.subtract(*terms, padded[:blocks], v, w, log_w)
                if weights.size > 0 and left:
                    copy(count, weights[first:], log_w)
                moments.add_tile(rows[which], log_w, log_p, count, offset + first)
        return FINISHED

    what = [I8, *READ[:1] * 2, *[I8] * 5, U8, U8, *[I8] * 7, I8, I8, types.int64[::1]]
    surrogate = *READ[:1] * 2, *READ[1:] * 2
    arrays = types.float64[:, ::1], types.float64[::1], types.boolean, *surrogate, I8
    return kernel(types.int64(*what, *arrays), sweep_chunks)


def arguments(family_name: str, loc, scale, dim: int) -> tuple:
    """The first of the sweep's arguments, for a family's loc and scale as its kernels take them."""
    family, shape = FAMILIES[family_name], (*scale.shape, 1)[:2]
    height = family.rows(dim, scale.shape)
    blocks = getattr(family, "basis_rows", padded_rows)(dim, scale.shape)
    return transform(family_name).address, loc, scale.ravel(), height, blocks, *shape, dim


def draw(of_q: tuple, dtype: str, key, stream: int, first_draw: int, out) -> None:
    """Write the draws from ``first_draw`` on into the rows of ``out``, of a q by its ``arguments``."""
    if out.dtype != np.float64 or not out.flags.c_contiguous or not out.flags.writeable:
        raise TypeError("out: expected float64 in C order that may be written to")
    what = *of_q, key, stream, first_draw
    whole, tile = max(1, len(out)), TILE if out.shape[1] <= WIDE_DIM else LANE_WIDTH
    sweep(dtype)(*what, len(out), tile, whole, LANE_WIDTH, 0, 1, *NOTHING_ELSE, out.__array_interface__["data"][0])
