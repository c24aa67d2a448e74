"""Pathwise terms of a product of factors."""

import numpy as np

from ..arithmetic.draw_loops import copy, times
from ..jit import routine, widest_vectors
from ..sums import control_variate, pathwise
from . import gaussian_blocks, quantile_paths
from .runs import BETA, COUNT, DELTA, DIRICHLET, FIRST, FULL_RANK, GAMMA, KIND, LOG_NORMAL, ROW, ROWS, RUN, SPREAD


@routine
def add_path(k, lines, follow, before, count, sums):
    """Add the terms at the second of ``lines`` to the sums at place k, less what follows them."""
    numbers, linear, squares, pairs, cubic, basis, v, h2 = follow
    own = lines[1]
    if len(numbers) > 0 and numbers[k] >= 0:
        n = numbers[k]
        control_variate.subtract(linear[n], squares[n], pairs[n], cubic[n], basis, v, h2, own)
    pathwise.add_row(sums, k, own, before, count)


@routine
def add_mixed(loc, scale, paths, drawn, eps, z, gradient, wanted, lines, follow, before, count, sums):
    """Add the pathwise terms of the factors whose z are ``wanted``, where ``add_scores`` has the same factors' scores:
    g and g eps of a Gaussian, with g the gradient of log p in eps, g of a point mass in z, and of others g in log z, or
    logit z, times how its quantile function moves with a shape at the normals that were ``drawn``."""
    widest_vectors()
    height, width = len(scale), eps.shape[1]
    total, row = lines[0], lines[1]
    for r in range(np.int64(loc[0])):
        run = loc[1 + RUN * r : 1 + RUN * (r + 1)]
        kind, first, top = np.int64(run[KIND]), np.int64(run[FIRST]), np.int64(run[ROW])
        each = np.int64(run[ROWS])
        if wanted[first] == 0.0:
            continue
        for i in range(np.int64(run[COUNT])):
            if kind == FULL_RANK:
                k = top + i * each
                size = np.int64(scale[k, gaussian_blocks.SIZE])
                begin = first + i * size
                for a in range(size):
                    copy(width, row, gradient[begin + a])
                    add_path(k + a, lines, follow, before, count, sums)
                    for b in range(a + 1):
                        times(width, row, gradient[begin + a], drawn[begin + b])
                        add_path(k + size + gaussian_blocks.element(a, b), lines, follow, before, count, sums)
                continue
            if kind == DIRICHLET:
                begin, k = first + i * each, top + i * each
                quantile_paths.average(gradient[begin : begin + each], z[begin : begin + each], total)
                for c in range(each):
                    quantile_paths.of_share(width, row, gradient[begin + c], z[begin + c], total)
                    quantile_paths.times_moved(paths, k + c, drawn[begin + c], row)
                    add_path(k + c, lines, follow, before, count, sums)
                continue
            slope, x, k = gradient[first + i], z[first + i], top + each * i
            if kind == GAMMA or kind == BETA:
                for c in range(2):
                    if kind == GAMMA:
                        times(width, row, slope, x)
                    else:
                        quantile_paths.of_logit(width, row, slope, x)
                    if paths[k + c] >= 0.0:
                        quantile_paths.times_moved(paths, k + c, drawn[first + i], row)
                    add_path(k + c, lines, follow, before, count, sums)
                continue
            if kind == DELTA:
                copy(width, row, slope)
                add_path(k, lines, follow, before, count, sums)
                continue
            times(width, row, slope, scale[k, SPREAD])
            if kind == LOG_NORMAL:
                times(width, row, row, x)
            copy(width, total, row)
            add_path(k, lines, follow, before, count, sums)
            times(width, row, total, eps[k])
            add_path(height + k, lines, follow, before, count, sums)
