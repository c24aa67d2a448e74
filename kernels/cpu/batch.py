"""The sweep of a batch of mean-field q's: lanes over rows, each with its own location, scale and data.

A group of lanes is 32 rows at one draw, so that sums over draws stay in their lanes; where there are fewer rows than
half a group, several draws of each lie side by side.  The density reads a tile of ``[z; items of the row; theta]``,
and its gradient by theta is summed over rows; of matrices that all lanes share it brings the sums itself.
"""

import functools
import math

import numpy as np
from numba import types

from ..arithmetic.tiles import aligned, aligned_words
from ..jit import call_density, kernel, routine, source_stamp
from ..random import normal

LANES, GROUPS = 32, 16  # rows of a group; groups of a chunk
CHUNK = LANES * GROUPS
DRAW = 32  # bits of a draw's address that are its row's
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
FINISHED = 0


@routine
def open_rows(loc, scale, items, start, count, row_of, z, m, s, norm):
    """Each lane's row, its location and scale, its items below z, and the constant of -log q."""
    dim, given = loc.shape[1], items.shape[1]
    for lane in range(LANES):
        row = row_of[lane] = start + lane % count
        norm[lane] = dim * HALF_LOG_2PI
        for i in range(dim):
            m[i, lane], s[i, lane] = loc[row, i], scale[row, i]
            norm[lane] += math.log(scale[row, i])
        for i in range(given):
            z[dim + i, lane] = items[row, i]


@routine
def draw_rows(eps, part, draw, side, start, count, stream, key, words):
    """The normals of ``side`` draws of each row; of the rows of a group at one draw they follow one another."""
    dim = len(eps)
    if side == 1:
        normal.fill(eps, dim, (draw << DRAW) | start, stream, key, words)
        return
    eps[:] = 0.0
    for k in range(side):
        normal.fill(part, dim, ((draw + k) << DRAW) | start, stream, key, words)
        for i in range(dim):
            for lane in range(count):
                eps[i, k * count + lane] = part[i, lane]


@routine
def transform(eps, m, s, z, log_w):
    """z = m + s eps, and -log q without its constant."""
    log_w[:] = 0.0
    for i in range(len(eps)):
        for lane in range(LANES):
            z[i, lane] = m[i, lane] + s[i, lane] * eps[i, lane]
            log_w[lane] += 0.5 * eps[i, lane] * eps[i, lane]


@routine
def add_values(log_w, alive, centre, total, square, bad):
    """Sums of log w about a centre, in each lane."""
    for lane in range(LANES):
        if alive[lane]:
            w = log_w[lane] - centre[lane]
            total[lane] += w
            square[lane] += w * w
            if not w < math.inf:
                bad[lane] += 1.0


@routine
def add_slopes(slopes, eps, s, alive, by_loc, by_scale):
    """Sums of d log p / dz, and of it times s eps, in each lane."""
    for i in range(len(eps)):
        for lane in range(LANES):
            slope = slopes[i, lane] if alive[lane] else 0.0
            by_loc[i, lane] += slope
            by_scale[i, lane] += slope * s[i, lane] * eps[i, lane]


@routine
def weigh_lanes(weigh, weights, row_of, k, count):
    """The weight of each lane's row in the ``k``-th of the draws side by side, 0 in other lanes."""
    for lane in range(LANES):
        weigh[lane] = weights[row_of[lane]] if k * count <= lane < (k + 1) * count else 0.0


@routine
def sum_theta(slopes, weigh, part, sums):
    """The gradient by theta of one draw of the group's rows, to ``sums``.

    ``weigh`` has the weight of each lane's row, 0 in lanes that are no row of this draw.  Lanes are summed in halves,
    which takes a tenth of the time of one after the other.
    """
    for q in range(len(slopes)):
        for lane in range(LANES // 2):
            upper = lane + LANES // 2
            low = weigh[lane] * slopes[q, lane] if weigh[lane] != 0.0 else 0.0
            high = weigh[upper] * slopes[q, upper] if weigh[upper] != 0.0 else 0.0
            part[lane] = low + high
        for lane in range(8):
            part[lane] += part[lane + 8]
        for lane in range(4):
            part[lane] += part[lane + 4]
        sums[q] = (part[0] + part[2]) + (part[1] + part[3])


@routine
def add_sums(sums, new, begun, run, squares):
    """Add what one draw has summed over rows, and its square about that of the first draw."""
    for q in range(len(sums)):
        if new:
            begun[q] = sums[q]
        run[q] += sums[q]
        squares[q] += (sums[q] - begun[q]) * (sums[q] - begun[q])


@routine
def variance_of_mean(square, off, count):
    """From the mean square about a centre that the mean is ``off``."""
    return max(square / count - off * off, 0.0) / (count - 1.0)


@routine
def close_rows(start, count, side, num_samples, lanes, by_loc, by_scale, sums, loc_slopes, scale_slopes):
    """The means of each row, from its lanes: ``lanes`` has centre, total, square and bad."""
    for lane in range(count):
        row, w, ww, wrong = start + lane, 0.0, 0.0, 0.0
        for k in range(lane, side * count, count):
            w, ww, wrong = w + lanes[1, k], ww + lanes[2, k], wrong + lanes[3, k]
        mean = w / num_samples
        sums[0, row] = lanes[0, lane] + mean
        sums[1, row] = variance_of_mean(ww, mean, num_samples)
        sums[2, row] = wrong
        for i in range(len(by_loc)):
            a, b = 0.0, 0.0
            for k in range(lane, side * count, count):
                a, b = a + by_loc[i, k], b + by_scale[i, k]
            loc_slopes[row, i], scale_slopes[row, i] = a / num_samples, b / num_samples + 1.0


@functools.cache
def sweep_rows():
    """The compiled sweep of the chunks from ``first`` on: (status, chunk that is not done).

    ``sums`` is (3, N): mean and variance of log w, and what is not finite; ``theta_sums`` (chunks, 2, Q): the gradient
    by theta, each row times its weight, and the variance of that.  The last ``summed`` of theta are entries of matrices
    among the data.  Those are ``packed`` in words of ours, and end with the lanes' weights and the sums that a density
    adds to.
    """
    stamp = source_stamp()

    def sweep(
        loc,
        scale,
        items,
        theta,
        weights,
        key,
        stream,
        num_samples,
        first,
        last,
        density,
        packed,
        summed,
        stop,
        sums,
        loc_slopes,
        scale_slopes,
        theta_sums,
        scratch,
    ):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        number, dim = loc.shape
        size = len(theta)
        after = dim + items.shape[1]
        side = LANES // number if number <= LANES // 2 and summed == 0 else 1  # draws side by side
        height = after + size
        z, slopes, eps, part = aligned(height, LANES), aligned(height, LANES), aligned(dim, LANES), aligned(dim, LANES)
        m, s, by_loc, by_scale = aligned(dim, LANES), aligned(dim, LANES), aligned(dim, LANES), aligned(dim, LANES)
        log_p, log_w, norm, lanes = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty((4, LANES))
        row_of, alive, words = np.zeros(LANES, np.int64), np.zeros(LANES, np.bool_), aligned_words(2, LANES)
        every = size + summed
        begun, run, squares = np.empty(every), np.empty(every), np.empty(every)
        weigh, lane_sums, of_draw = np.empty(LANES), np.empty(LANES // 2), np.empty(every)
        by_density = of_draw[size:]
        if summed > 0:
            packed[-4], packed[-2] = weigh.ctypes.data, by_density.ctypes.data
        data = packed.ctypes.data
        centre, total, square, bad = lanes[0], lanes[1], lanes[2], lanes[3]
        address = np.int64(slopes.ctypes.data)
        for q in range(size):
            z[after + q] = theta[q]
        for chunk in range(first, last):
            theta_sums[chunk] = 0.0
            for start in range(chunk * CHUNK, min(number, (chunk + 1) * CHUNK), LANES):
                if stop[0] != 0:
                    return FINISHED, chunk
                count = min(LANES, number - start)
                open_rows(loc, scale, items, start, count, row_of, z, m, s, norm)
                weigh_lanes(weigh, weights, row_of, 0, count)
                lanes[:], by_loc[:], by_scale[:], run[:], squares[:] = 0.0, 0.0, 0.0, 0.0, 0.0
                for draw in range(0, num_samples, side):
                    here = min(side, num_samples - draw)
                    for lane in range(LANES):
                        alive[lane] = lane < here * count
                    draw_rows(eps, part, draw, side, start, count, stream, key, words)
                    transform(eps, m, s, z, log_w)
                    by_density[:] = 0.0
                    room = scratch.ctypes.data, 8 * scratch.size
                    status = call_density(density, z, height, LANES, data, log_p, address, room[0], room[1])
                    if status != 0:
                        return status, chunk
                    for lane in range(LANES):
                        log_w[lane] += log_p[lane] + norm[lane]
                    if draw == 0:
                        for lane in range(LANES):
                            known = log_w[lane % count]
                            centre[lane] = known if math.isfinite(known) else 0.0
                    add_values(log_w, alive, centre, total, square, bad)
                    add_slopes(slopes, eps, s, alive, by_loc, by_scale)
                    for k in range(here if every > 0 else 0):
                        if side > 1:
                            weigh_lanes(weigh, weights, row_of, k, count)
                        sum_theta(slopes[after:], weigh, lane_sums, of_draw)
                        add_sums(of_draw, draw + k == 0, begun, run, squares)
                close_rows(start, count, side, num_samples, lanes, by_loc, by_scale, sums, loc_slopes, scale_slopes)
                for q in range(every):
                    mean = run[q] / num_samples
                    theta_sums[chunk, 0, q] += mean
                    theta_sums[chunk, 1, q] += variance_of_mean(squares[q], mean - begun[q], num_samples)
        return FINISHED, last

    F8, I8 = types.float64, types.int64
    read = [types.Array(F8, n, "C", readonly=True) for n in (2, 2, 2, 1, 1)]
    written = [types.int64[::1], F8[:, ::1], F8[:, ::1], F8[:, ::1], F8[:, :, ::1], F8[::1]]
    arguments = [*read, types.uint64, I8, I8, I8, I8, I8, I8[::1], I8, *written]
    return kernel(types.UniTuple(I8, 2)(*arguments), sweep)
