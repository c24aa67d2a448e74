"""Score sums about the mean of f, in a pass of its own: draw eps again -> scores -> sums.

Where a score costs more than a draw, knowing the mean saves more than the second drawing takes: the five sums that any
baseline can be taken off afterwards become two.
"""

import functools

from numba import types

from ..arithmetic.draw_loops import plus
from ..arithmetic.tiles import aligned, aligned_words, columns
from ..density.abi import LANE_WIDTH
from ..families.registry import DRAWS, FAMILIES
from ..jit import kernel, source_stamp
from .sweep import FINISHED, STOPPED, _signature


@functools.cache
def sweep(family_name: str, dtype: str = "float64"):
    """The compiled pass of one family over the first draws of each chunk, as many as ``counts`` says."""
    family, fill, stamp = FAMILIES[family_name], DRAWS[dtype].fill, source_stamp()

    def sweep_chunks(
        loc,
        scale,
        dim,
        key,
        stream,
        offset,
        tile,
        chunk,
        first_chunk,
        last_chunk,
        stop,
        counts,
        log_w,
        mean,
        group,
        sums,
    ):
        stamp  # noqa: B018
        height = family.rows(dim, scale.shape)
        eps, f, words = aligned(height, tile), aligned(1, tile)[0], aligned_words(2, tile)
        work = family.centred_workspace(scale, tile)
        for which in range(first_chunk, last_chunk):
            start = which * chunk
            end = start + int(counts[which])
            for first in range(start, end, tile):
                if stop[0] != 0:
                    return STOPPED
                count = min(tile, end - first)
                e = columns(eps, height, min(tile, (count + LANE_WIDTH - 1) // LANE_WIDTH * LANE_WIDTH))
                fill(e, dim, offset + first, stream, key, words)
                plus(count, f, log_w[first:], -mean)
                family.add_centred(loc, scale, e, f, count, group, work, first == start, sums[which])
        return FINISHED

    sample = _signature(family).args[:5]  # loc to stream
    vector, number, cube = types.float64[::1], types.float64, types.float64[:, :, ::1]
    return kernel(
        types.int64(*sample, *[types.int64] * 5, types.int64[::1], vector, vector, number, types.int64, cube),
        sweep_chunks,
    )
