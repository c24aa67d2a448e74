"""Score sums where the mean of f is known beforehand, so that f is about it: two for each coordinate and no baselines.

For a score s and f less its mean they are the sums of f s, f^2 s^2 and, where one is kept, s^2.
"""

import math

import numpy as np

from ..arithmetic.draw_loops import copy, each_draw, plus, sum_draws
from ..jit import routine
from .moments import number_of
from .pathwise import AT_ONCE

SUMS, OF_ALL = 3, 2  # and how many are of every coordinate
FS, FFSS, SS = range(SUMS)


@sum_draws
@routine
def three(s, f):
    """The three sums of the scores s."""
    fs = f * s
    return (f, s), (fs, fs), (s, s)


@routine
def add_row(sums, k, score, f, count):
    """Add the scores of coordinate k for ``count`` draws."""
    fs, ffss, ss = three(count, score, f)
    sums[FS, k] += fs
    sums[FFSS, k] += ffss
    sums[SS, k] += ss


@each_draw
@routine
def with_chunk(fs, ffss, squared, own_fs, own_ffss):
    """The sums with those of one chunk more, and the sum of the chunks' sums of f^2 s^2 squared."""
    return fs + own_fs, ffss + own_ffss, squared + own_ffss * own_ffss


@routine
def results(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable):
    """For each parameter sum f s / (n - 1), its standard error, and whether that holds.

    n times its variance is mu22 - mu11^2 + (mu11^2 + mu20 mu02) / (n - 1) in the central moments of f and s, of which
    ``variance`` is mu20.  ``places`` are those of a parameter's sums, ``squares_at`` of its sum of s^2; the rest is as
    in ``pathwise.results``.
    """
    n, size, ss = number_of(counts), chunks.shape[2], np.zeros(squares_at.max() + 1)
    for which in range(len(chunks)):
        if counts[which] > 0.0:
            plus(len(ss), ss, ss, chunks[which, SS])
    for start in range(0, size, AT_ONCE):
        end = min(size, start + AT_ONCE)
        fs, ffss, squared = total[0, start:end], total[1, start:end], total[2, start:end]
        for row in range(3):
            copy(end - start, total[row, start:end], 0.0)
        for which in range(len(chunks)):
            if counts[which] > 0.0:
                own = chunks[which, FS, start:end], chunks[which, FFSS, start:end]
                with_chunk(end - start, fs, ffss, squared, fs, ffss, squared, *own)
    for k in range(len(places)):
        p = places[k]
        slope, squares = total[0, p] / (n - 1.0), total[1, p]
        of_one = squares / n - slope**2 + (slope**2 + variance * ss[squares_at[k]] / n) / (n - 1.0)
        gradient[k], error[k] = slope, math.sqrt(max(of_one, 0.0) / n)
        reliable[k] = not total[2, p] / squares**2 - alike > limit
