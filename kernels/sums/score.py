"""Sums from which every score-function estimator and its standard error follow, taken in one pass.

For each coordinate with score s, and f = log w minus a fixed centre, a chunk keeps five sums over its draws: s, s^2,
f s, f s^2 and f^2 s^2.  The centre (the mean of the chunk's first tile) keeps a large constant in log p from
cancelling.
"""

import math

from ..jit import reduction, routine, widest_vectors

SUMS = 5
S, SS, FS, FSS, FFSS = range(SUMS)
SQUARED = SUMS  # a row of all chunks together


@routine
def centre_of(log_w, count):
    """A centre for a chunk: the mean over its first tile, or 0 where that is not finite."""
    total = 0.0
    for j in range(count):
        total += log_w[j]
    mean = total / count
    return mean if math.isfinite(mean) else 0.0


@routine
def add_sums(sums, k, values):
    """Add the five sums of coordinate k over some draws."""
    sums[S, k] += values[0]
    sums[SS, k] += values[1]
    sums[FS, k] += values[2]
    sums[FSS, k] += values[3]
    sums[FFSS, k] += values[4]


@reduction
def add_row(sums, k, score, f, count):
    """Add the scores of coordinate k for ``count`` draws."""
    widest_vectors()
    total_s = total_ss = total_fs = total_fss = total_ffss = 0.0
    for j in range(count):
        s = score[j]
        fs = f[j] * s
        total_s += s
        total_ss += s * s
        total_fs += fs
        total_fss += fs * s
        total_ffss += fs * fs
    sums[S, k] += total_s
    sums[SS, k] += total_ss
    sums[FS, k] += total_fs
    sums[FSS, k] += total_fss
    sums[FFSS, k] += total_ffss


@reduction
def add_pair(sums, place, spread, own, x, f, count):
    """Add the scores of loc_i at ``place``, x, and of log scale_i at ``spread``, x^2 - own."""
    widest_vectors()
    s0 = s1 = s2 = s3 = s4 = 0.0
    t0 = t1 = t2 = t3 = t4 = 0.0
    for j in range(count):
        s = x[j]
        t = s * s - own
        fs, ft = f[j] * s, f[j] * t
        s0 += s
        s1 += s * s
        s2 += fs
        s3 += fs * s
        s4 += fs * fs
        t0 += t
        t1 += t * t
        t2 += ft
        t3 += ft * t
        t4 += ft * ft
    for k, values in ((place, (s0, s1, s2, s3, s4)), (spread, (t0, t1, t2, t3, t4))):
        add_sums(sums, k, values)


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
