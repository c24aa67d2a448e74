"""Sums from which every score-function estimator and its standard error follow, taken in one pass.

For each coordinate with score s, and f = log w minus a fixed centre, a chunk keeps five sums over its draws: s, s^2,
f s, f s^2 and f^2 s^2.  The centre (the mean of the chunk's first tile) keeps a large constant in log p from
cancelling.
"""

import math

from ..arithmetic.draw_loops import sum_draws, total_of
from ..arithmetic.primitives import fma
from ..jit import routine

SUMS = 5
S, SS, FS, FSS, FFSS = range(SUMS)
SQUARED = SUMS  # a row of all chunks together


@routine
def centre_of(log_w, count):
    """A centre for a chunk: the mean over its first tile, or 0 where that is not finite."""
    mean = total_of(count, log_w) / count
    return mean if math.isfinite(mean) else 0.0


@routine
def add_sums(sums, k, values):
    """Add the five sums of coordinate k over some draws."""
    sums[S, k] += values[0]
    sums[SS, k] += values[1]
    sums[FS, k] += values[2]
    sums[FSS, k] += values[3]
    sums[FFSS, k] += values[4]


@sum_draws
@routine
def five(s, f):
    """The five sums of the scores s."""
    fs = f * s
    return s, (s, s), (f, s), (fs, s), (fs, fs)


@sum_draws
@routine
def five_of_both(own, x, f):
    """Those of the scores x and x^2 - own."""
    t = fma(x, x, -own)
    fx, ft = f * x, f * t
    return x, (x, x), (f, x), (fx, x), (fx, fx), t, (t, t), (f, t), (ft, t), (ft, ft)


@sum_draws
@routine
def five_of_product(x, y, less, f):
    """Those of the scores x y - less."""
    s = fma(x, y, -less)
    fs = f * s
    return s, (s, s), (f, s), (fs, s), (fs, fs)


@routine
def add_product(sums, k, x, y, less, f, count):
    """Add the scores x y - less of coordinate k."""
    add_sums(sums, k, five_of_product(count, x, y, less, f))


@routine
def add_row(sums, k, score, f, count):
    """Add the scores of coordinate k for ``count`` draws."""
    add_sums(sums, k, five(count, score, f))


@routine
def add_pair(sums, place, spread, own, x, f, count):
    """Add the scores of loc_i at ``place``, x, and of log scale_i at ``spread``, x^2 - own."""
    both = five_of_both(count, own, x, f)
    add_sums(sums, place, both[:5])
    add_sums(sums, spread, both[5:])


@routine
def shifted(chunk, k, shift):
    """The sums of coordinate k of a chunk, with f relative to its centre plus ``shift`` less."""
    s, ss, fs, fss = chunk[S, k], chunk[SS, k], chunk[FS, k], chunk[FSS, k]
    return s, ss, fs + shift * s, fss + shift * ss, chunk[FFSS, k] + shift * (2.0 * fss + shift * ss)


@routine
def merge_chunks(counts, shifts, chunks, total):
    """Add the chunks in their order, each shifted to the common centre; and the squares of their sums of f^2 s^2."""
    total[:] = 0.0
    for which in range(len(chunks)):
        if counts[which] > 0.0:
            for k in range(total.shape[1]):
                parts = shifted(chunks[which], k, shifts[which])
                for row in range(SUMS):
                    total[row, k] += parts[row]
                total[SQUARED, k] += parts[FFSS] * parts[FFSS]


@routine
def subtract_baselines(counts, shifts, chunks, total, result):
    """result[0] = sum (f - b) s and result[1] = sum (f - b)^2 s^2, with b = sum f s^2 / sum s^2 over other chunks."""
    result[:] = 0.0
    for which in range(len(chunks)):
        if counts[which] > 0.0:
            for k in range(total.shape[1]):
                s, ss, fs, fss, ffss = shifted(chunks[which], k, shifts[which])
                b = (total[FSS, k] - fss) / (total[SS, k] - ss)
                result[0, k] += fs - b * s
                result[1, k] += ffss + b * (b * ss - 2.0 * fss)
