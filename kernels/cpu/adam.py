"""Adam's whole inner loop: draw -> transform -> log p and score gradient -> step, without returning to Python.

Kingma and Ba (2015), algorithm 1, uphill, in units of the width of q.  Every step has draws of its own, so none
depends on how the loop is cut.
"""

import functools
import math

import numpy as np
from numba import types

from ..arithmetic.draw_loops import plus, total_of
from ..arithmetic.tiles import add_log_q, aligned, aligned_words, columns
from ..jit import call_density, kernel, routine, source_stamp
from ..random import normal
from ..sums import score
from ..sums.score import FS, centre_of
from ..sums.score import S as SCORE
from .sweep import FAMILIES, FINISHED, RAISED, STOPPED

NOT_FINITE = 5
FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8


@routine
def move(parameters, gradient, mean, square, lengths, step, rate):
    """One step of ``rate`` times ``lengths`` at most, or so; ``step`` counts from 1."""
    first, second = 1.0 - FIRST_DECAY**step, 1.0 - SECOND_DECAY**step
    for k in range(len(parameters)):
        g = gradient[k] * lengths[k]
        mean[k] = FIRST_DECAY * mean[k] + (1.0 - FIRST_DECAY) * g
        square[k] = SECOND_DECAY * square[k] + (1.0 - SECOND_DECAY) * g * g
        parameters[k] += rate * lengths[k] * (mean[k] / first) / (math.sqrt(square[k] / second) + TINY)


@routine
def all_finite(values):
    """Whether no value is NaN or infinite."""
    total = 0.0
    for k in range(len(values)):
        total += 0.0 * values[k]
    return total == 0.0


@functools.cache
def climb(family_name: str):
    """The compiled loop of one family, by leave-one-out scores.

    It does the steps from ``done`` on and returns (status, steps done); a step that is not finite is not taken.
    """
    family, stamp = FAMILIES[family_name], source_stamp()

    def steps(
        parameters,
        mean,
        square,
        average,
        dim,
        key,
        stream,
        first_draw,
        num_samples,
        tile,
        lane_width,
        before,
        done,
        rates,
        density,
        data,
        stop,
        loc,
        scale,
        trace,
    ):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        height = family.rows(dim, scale.shape)
        eps, z = aligned(height, tile), aligned(height, tile)
        half_square, log_p, log_w = np.empty(tile), np.empty(tile), np.empty(tile)
        words = aligned_words(2, tile)
        gradient, lengths = np.empty(len(parameters)), np.empty(len(parameters))
        sums = np.empty((score.SUMS, family.coordinates(dim, scale.shape)))
        for step in range(done, len(rates)):
            if stop[0] != 0:
                return STOPPED, step
            family.unpack(parameters, dim, loc, scale)
            work, normaliser = family.workspace(scale, tile), family.log_normaliser(scale, dim)
            sums[:] = 0.0
            total, centre = 0.0, 0.0
            offset = first_draw + step * num_samples
            for first in range(0, num_samples, tile):
                count = min(tile, num_samples - first)
                width = min(tile, (count + lane_width - 1) // lane_width * lane_width)
                e, x = columns(eps, height, width), columns(z, height, width)
                normal.fill(e, dim, offset + first, stream, key, words)
                family.transform(loc, scale, e, x, half_square)
                if call_density(density, x, dim, width, data, log_p, 0, 0, 0) != 0:
                    return RAISED, step
                add_log_q(width, log_w, log_p, half_square, normaliser)
                if first == 0:
                    centre = centre_of(log_w, count)
                plus(count, log_w, log_w, -centre)
                total += total_of(count, log_w)
                family.add_scores(loc, scale, e, log_w, count, work, sums)
            total /= num_samples
            for k in range(sums.shape[1]):
                sums[FS, k] = (sums[FS, k] - total * sums[SCORE, k]) / (num_samples - 1.0)
            family.collect_scores(sums[FS], scale, dim, 0.0, gradient)
            if not (math.isfinite(total) and all_finite(gradient)):
                return NOT_FINITE, step
            trace[step] = centre + total
            family.steps(scale, dim, lengths)
            move(parameters, gradient, mean, square, lengths, before + step + 1.0, rates[step])
            if step >= len(rates) // 2:
                for k in range(len(parameters)):
                    average[k] += parameters[k]
        return FINISHED, len(rates)

    F1, I8, U8 = types.float64[::1], types.int64, types.uint64
    scale = types.Array(types.float64, family.SCALE_NDIM, "C")
    arguments = [F1] * 4 + [I8, U8, U8] + [I8] * 6 + [F1, I8, I8, types.int64[::1], F1, scale, F1]
    return kernel(types.UniTuple(I8, 2)(*arguments), steps)
