"""The sweep with sums of both kinds: of scores for factors that have nothing else, pathwise for those that can be
differentiated through, in one pass.  Surrogates are subtracted from what the scores are multiplied with, and from the
pathwise terms."""

import functools

import numpy as np
from numba import types

from ..arithmetic.draw_loops import copy, plus
from ..arithmetic.tiles import add_log_q, aligned, aligned_words, columns, fill_rows
from ..arithmetic.triangular import next_four
from ..density.abi import NEEDS_CARE as CARE
from ..density.abi import SCRATCH_SMALL
from ..families.registry import DRAWS, FAMILIES
from ..jit import call_density, kernel, source_stamp
from ..sums import control_variate, moments, score
from ..sums.score import centre_of
from .sweep import FINISHED, I8, RAISED, READ, STOPPED, _signature


@functools.cache
def sweep(family_name: str, dtype: str = "float64"):
    """The compiled sweep; a surrogate is subtracted if there are terms, and ``wanted`` tells of each z whether its
    paths are summed, ``paths`` has what the family's ``add_mixed`` reads, and ``path_numbers`` tells of each place of
    the sums which of the ``path`` surrogates is subtracted, if any.

    A chunk's first sums are those of scores, the others pathwise.  It returns (status, chunk): where a density asks for
    something, the chunk that is to be done again.
    """
    family, fill, stamp = FAMILIES[family_name], DRAWS[dtype].fill, source_stamp()

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
        blank,
        wanted,
        paths,
        linear,
        squares,
        pairs,
        cubic,
        path_numbers,
        path_linear,
        path_squares,
        path_pairs,
        path_cubic,
        scratch,
    ):
        stamp  # noqa: B018
        height = family.rows(dim, scale.shape)
        terms, followed = (linear, squares, pairs, cubic), len(linear) > 0
        blocks = family.basis_rows(dim, scale.shape) if followed else next_four(height)
        eps, z, gradient = aligned(blocks, tile), aligned(height, tile), aligned(dim, tile)
        lines, drawn, working = aligned(4, tile), aligned(dim, tile), aligned(2, tile)
        half_square, log_p, log_w, row = lines[0], lines[1], lines[2], lines[3]
        words = aligned_words(2, tile)
        work = family.workspace(scale, tile)
        follow, squared = aligned(blocks if followed else 0, tile), max(len(cubic), path_cubic.shape[1])
        h2 = aligned(squared, tile)
        normaliser = family.log_normaliser(scale, dim)
        for which in range(first_chunk, last_chunk):
            centre = 0.0
            rows[which] = 0.0
            sums[which] = 0.0
            end = min(num_samples, (which + 1) * chunk)
            for first in range(which * chunk, end, tile):
                if stop[0] != 0:
                    return STOPPED, which
                count = min(tile, end - first)
                width = min(tile, (count + lane_width - 1) // lane_width * lane_width)
                padded, x, g = columns(eps, blocks, width), columns(z, height, width), columns(gradient, dim, width)
                e = padded[:height]
                fill(e, dim, offset + first, stream, key, words)
                kept = columns(drawn, dim, width)
                for i in range(dim):
                    copy(width, kept[i], e[i])
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
                for i in range(dim):
                    if wanted[i] == 0.0:
                        copy(width, g[i], 0.0)  # whatever it is, nobody asked
                add_log_q(width, log_w, log_p, half_square, normaliser)
                before = rows[which, moments.COUNT]
                moments.count_bad_gradients(rows[which], log_p, g, row, count, offset + first)
                if followed:
                    fill_rows(padded, height, 0.0)
                v, w = columns(follow, len(follow), width), columns(h2, squared, width)
                followers = path_numbers, path_linear, path_squares, path_pairs, path_cubic, padded, v, w
                work_rows, own = columns(working, 2, width), sums[which, score.SUMS :]
                family.add_mixed(loc, scale, paths, kept, e, x, g, wanted, work_rows, followers, before, count, own)
                if followed:
                    control_variate.subtract(*terms, padded, v, w, log_w)
                moments.add_tile(rows[which], log_w, log_p, count, offset + first)
                if first == which * chunk:
                    centre = rows[which, moments.CENTRE] = centre_of(log_w, count)
                plus(count, log_w, log_w, -centre)
                family.add_scores(loc, scale, e, log_w, count, work, sums[which])
        return FINISHED, last_chunk

    one, two, three = *READ, types.Array(types.float64, 3, "C", readonly=True)
    numbers = types.Array(I8, 1, "C", readonly=True)
    variates = one, one, two, two, numbers, two, two, three, three
    arguments = [*_signature(family).args, types.boolean, one, one, *variates, types.float64[::1]]
    return kernel(types.UniTuple(I8, 2)(*arguments), sweep_chunks)
