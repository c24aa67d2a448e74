"""The sweeps with gradients on the CPU: draw eps -> transform z -> log p - log q -> accumulate, tile by tile and chunk
by chunk; ``values`` has the one without.

A *tile* is as many draws as fit the first caches; a *chunk* is a fixed run of tiles whose sums are kept apart.  Chunks
depend on the problem alone and merge in order, so the result has the same bits on any number of threads.
"""

import functools

import numpy as np
from numba import types

from ..arithmetic.draw_loops import plus
from ..arithmetic.tiles import add_log_q, aligned, aligned_words, columns, fill_rows
from ..arithmetic.triangular import next_four
from ..density.abi import NEEDS_CARE as CARE
from ..density.abi import SCRATCH_SMALL
from ..families.registry import DRAWS, FAMILIES, padded_rows
from ..jit import call_density, kernel, source_stamp
from ..sums import control_variate, moments, pathwise
from ..sums.score import centre_of

FINISHED, STOPPED, RAISED = 0, 1, 2
NEEDS_SCRATCH, NEEDS_CARE = 3, 4  # a density asks for a larger tape, or for one without additions in place

F8, I8, U8 = types.float64, types.int64, types.uint64
STATE = types.float64[:, ::1], types.float64[:, :, ::1]
READ = types.Array(F8, 1, "C", readonly=True), types.Array(F8, 2, "C", readonly=True)


def _signature(family):
    scale = types.Array(F8, family.SCALE_NDIM, "C", readonly=True)
    sample = [READ[0], scale, I8, U8, U8]
    chunks = [I8] * 7
    return types.int64(*sample, *chunks, I8, I8, types.int64[::1], *STATE)


@functools.cache
def score_sweep(family_name: str, dtype: str = "float64"):
    """The compiled sweep of one family with score sums; a surrogate is subtracted if there are terms."""
    family, fill, stamp = FAMILIES[family_name], DRAWS[dtype].fill, source_stamp()
    basis_rows = getattr(family, "basis_rows", padded_rows)

    def sweep_chunks(
        loc,
        scale,
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
        sums,
        linear,
        squares,
        pairs,
        cubic,
    ):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        height = family.rows(dim, scale.shape)
        terms, followed = (linear, squares, pairs, cubic), len(linear) > 0
        blocks = basis_rows(dim, scale.shape) if followed else height
        most = max(height, blocks)
        eps, z = aligned(most, tile), aligned(height, tile)
        lines = aligned(3, tile)
        half_square, log_p, log_w = lines[0], lines[1], lines[2]
        words = aligned_words(2, tile)
        work = family.workspace(scale, tile)
        follow, h2 = aligned(blocks if followed else 0, tile), aligned(len(cubic), tile)
        normaliser = family.log_normaliser(scale, dim)
        for which in range(first_chunk, last_chunk):
            centre = 0.0
            sums[which] = 0.0
            end = min(num_samples, (which + 1) * chunk)
            for first in range(which * chunk, end, tile):
                if stop[0] != 0:
                    return STOPPED
                count = min(tile, end - first)
                width = min(tile, (count + lane_width - 1) // lane_width * lane_width)
                padded, x = columns(eps, most, width), columns(z, height, width)
                e = padded[:height]
                fill(e, dim, offset + first, stream, key, words)
                family.transform(loc, scale, e, x, half_square)
                status = call_density(density, x, dim, width, data, log_p, 0, 0, 0)
                if status != 0:
                    rows[which, moments.RAISED] = offset + first + 1.0
                    return RAISED
                add_log_q(width, log_w, log_p, half_square, normaliser)
                if followed:
                    fill_rows(padded, height, 0.0)
                    v, w = columns(follow, blocks, width), columns(h2, len(cubic), width)
                    control_variate.subtract(*terms, padded[:blocks], v, w, log_w)
                moments.add_tile(rows[which], log_w, log_p, count, offset + first)
                if first == which * chunk:
                    centre = rows[which, moments.CENTRE] = centre_of(log_w, count)
                plus(count, log_w, log_w, -centre)
                family.add_scores(loc, scale, e, log_w, count, work, sums[which])
        return FINISHED

    signature = _signature(family)
    return kernel(signature.return_type(*signature.args, *READ[:1] * 2, *READ[1:] * 2), sweep_chunks)


@functools.cache
def path_sweep(family_name: str, dtype: str = "float64"):
    """The compiled sweep of one family with sums of pathwise gradients; lines are subtracted if there are offsets, and
    ``stick`` is for sticking the landing.

    It returns (status, chunk): where a density asks for something, the chunk that is to be done again.
    """
    family, fill, stamp = FAMILIES[family_name], DRAWS[dtype].fill, source_stamp()
    clear = getattr(family, "clear_paths", pathwise.clear)
    workspace = getattr(family, "path_workspace", family.workspace)

    def sweep_chunks(
        loc,
        scale,
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
        sums,
        group,
        blank,
        stick,
        offsets,
        slopes,
        scratch,
    ):
        stamp  # noqa: B018
        height = family.rows(dim, scale.shape)
        followed = len(offsets) > 0
        blocks = next_four(dim) if followed else height
        most = max(height, blocks)
        eps, z, gradient = aligned(most, tile), aligned(height, tile), aligned(blocks, tile)
        lines = aligned(4, tile)
        half_square, log_p, log_w, row = lines[0], lines[1], lines[2], lines[3]
        words = aligned_words(2, tile)
        work = workspace(scale, tile)
        normaliser = family.log_normaliser(scale, dim)
        for which in range(first_chunk, last_chunk):
            rows[which] = 0.0
            clear(sums[which], height)
            end = min(num_samples, (which + 1) * chunk)
            for first in range(which * chunk, end, tile):
                if stop[0] != 0:
                    return STOPPED, which
                count = min(tile, end - first)
                width = min(tile, (count + lane_width - 1) // lane_width * lane_width)
                padded, x, whole = (
                    columns(eps, most, width),
                    columns(z, height, width),
                    columns(gradient, blocks, width),
                )
                e, g = padded[:height], whole[:dim]
                fill(e, dim, offset + first, stream, key, words)
                family.transform(loc, scale, e, x, half_square)
                if blank:
                    fill_rows(g, 0, np.nan)  # what a callback leaves out is not a number
                status = call_density(
                    density, x, dim, width, data, log_p, g.ctypes.data, scratch.ctypes.data, 8 * scratch.size
                )
                if status == SCRATCH_SMALL or status == CARE:
                    return status + 1, which
                if status != 0:
                    rows[which, moments.RAISED] = offset + first + 1.0
                    return RAISED, which
                add_log_q(width, log_w, log_p, half_square, normaliser)
                before = rows[which, moments.COUNT]
                moments.count_bad_gradients(rows[which], log_p, g, row, count, offset + first)
                if followed:
                    fill_rows(padded, height, 0.0)
                    fill_rows(whole, dim, 0.0)
                    control_variate.add_lines(offsets, slopes, padded[:blocks], whole)
                family.add_paths(loc, scale, e, g, stick, work, row, before, count, group, sums[which])
                moments.add_tile(rows[which], log_w, log_p, count, offset + first)
        return FINISHED, last_chunk

    arguments = [*_signature(family).args, I8, *[types.boolean] * 2, *READ, types.float64[::1]]
    return kernel(types.UniTuple(I8, 2)(*arguments), sweep_chunks)
