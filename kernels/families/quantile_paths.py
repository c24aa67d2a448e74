"""Pathwise terms of factors whose draws come from tables of quantile functions: gamma, beta and Dirichlet.

``paths`` begins with a number for each row of the tile, where the table of dG / d shape of that row begins, or -1.
"""

import numpy as np

from ..arithmetic.draw_loops import copy, each_draw, plus_times
from ..jit import routine
from ..random.quantiles import quantile


@each_draw
@routine
def of_logit(slope, z):
    """d log p / d logit z"""
    return slope * (z * (1.0 - z))


@each_draw
@routine
def of_share(slope, z, total):
    """d log p / d log of a gamma variable of which z is the share"""
    return z * (slope - total)


@routine
def times_moved(paths, k, eps, row):
    """row *= dG / d shape at eps, of row k of the tile"""
    offset = np.int64(paths[k])
    for j in range(len(row)):
        row[j] *= quantile(paths, offset, eps[j])


@routine
def average(slope, z, total):
    """sum_k z_k d log p / dz_k over the entries of a Dirichlet factor, (entries, draws) each"""
    copy(len(total), total, 0.0)
    for k in range(len(z)):
        plus_times(len(total), total, total, slope[k], z[k])
