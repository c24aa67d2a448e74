"""Rows of factors whose draws come from a table of their quantile function over eps: gamma, beta, Dirichlet, Poisson.

Each takes a row of parameters for every row of the tile, of which ``OFFSET`` says where its table is.
"""

import numpy as np

from ..arithmetic import elementary
from ..arithmetic.primitives import absolute, fma, select
from ..jit import routine
from ..random.quantiles import LOW, quantile

OFFSET = 1
LOG_RATE, MEAN_LOG, MEAN, LESS, RATE = 2, 3, 4, 5, 6  # of a gamma factor
LESS_ONE, LESS_OTHER, MEAN_LOG_ONE, MEAN_LOG_OTHER = 2, 3, 4, 5  # of a beta factor
SHARE_LESS, MEAN_LOG_SHARE = 2, 3  # of an entry of a Dirichlet factor
LEAST, EXPECTED, CANDIDATES = 2, 3, 4  # of a Poisson factor
CELLS = 1024
PER_CELL = CELLS / (-2.0 * LOW)


@routine
def gamma(parameters, tables, source, first, second, z, half_square):
    """z with log z = G(eps) - log rate; log z and z less their means are kept."""
    offset, log_rate = np.int64(parameters[OFFSET]), parameters[LOG_RATE]
    less, rate, mean_log, mean = parameters[LESS], parameters[RATE], parameters[MEAN_LOG], parameters[MEAN]
    for j in range(len(z)):
        z[j] = quantile(tables, offset, source[j]) - log_rate
    for j in range(len(z)):
        y = z[j]
        x = elementary.exp(y)
        first[j] = y - mean_log
        second[j] = x - mean
        half_square[j] += fma(rate, x, -less * y)
        z[j] = x


@routine
def beta(parameters, tables, source, first, second, z, half_square):
    """z with logit z = G(eps); log z and log(1 - z) less their means are kept."""
    offset, one, other = np.int64(parameters[OFFSET]), parameters[LESS_ONE], parameters[LESS_OTHER]
    mean_one, mean_other = parameters[MEAN_LOG_ONE], parameters[MEAN_LOG_OTHER]
    for j in range(len(z)):
        z[j] = quantile(tables, offset, source[j])
    for j in range(len(z)):
        y = z[j]
        t = elementary.exp(-absolute(y))
        rest = elementary.log1p_unit(t)
        above = 1.0 / (1.0 + t)
        log_z, log_other = select(y < 0.0, y, 0.0) - rest, -rest - select(y > 0.0, y, 0.0)
        first[j] = log_z - mean_one
        second[j] = log_other - mean_other
        half_square[j] -= fma(one, log_z, other * log_other)
        z[j] = select(y > 0.0, above, t * above)


@routine
def dirichlet(parameters, tables, source, rows, z, half_square):
    """Gamma factors in logs, normalised; log z less their means are kept.  The rows are worked in before."""
    size, width = z.shape
    for k in range(size):
        offset = np.int64(parameters[k, OFFSET])
        for j in range(width):
            z[k, j] = quantile(tables, offset, source[k, j])
    top, total = rows[0], rows[1]
    for j in range(width):
        top[j] = z[0, j]
        total[j] = 0.0
    for k in range(1, size):
        for j in range(width):
            top[j] = select(z[k, j] > top[j], z[k, j], top[j])
    for k in range(size):
        for j in range(width):
            total[j] += elementary.exp(z[k, j] - top[j])
    for j in range(width):
        top[j] += elementary.log(total[j])
    for k in range(size - 1, -1, -1):
        less, mean = parameters[k, SHARE_LESS], parameters[k, MEAN_LOG_SHARE]
        for j in range(width):
            y = z[k, j] - top[j]
            half_square[j] -= less * y
            z[k, j] = elementary.exp(y)
            rows[k, j] = y - mean


@routine
def poisson(parameters, tables, source, row, z, half_square):
    """z counts the cuts at or below eps, from a first candidate for its cell on; z - rate is kept."""
    guide, least, expected = np.int64(parameters[OFFSET]), parameters[LEAST], parameters[EXPECTED]
    cuts = guide + CELLS
    log_q = cuts + np.int64(parameters[CANDIDATES])
    for j in range(len(z)):
        k = np.int64(tables[guide + np.int64((source[j] - LOW) * PER_CELL)])
        while source[j] >= tables[cuts + k]:
            k += 1
        half_square[j] -= tables[log_q + k]
        z[j] = least + k
    for j in range(len(z)):
        row[j] = z[j] - expected
