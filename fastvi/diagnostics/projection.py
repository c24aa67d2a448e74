"""Hermite coefficients of log w by projection, where there are too many dimensions for a least-squares fit.

E[log w h(eps)] of each orthonormal polynomial of one coordinate, as a mean over draws, block by block: memory stays
flat and time is linear in the dimensions, at the price of errors that do not shrink with the residuals.
"""

import math

import numpy as np

from ..estimators.pilot import draw
from ..execution.sweep import Place
from ..rng import DIAGNOSE

BLOCK_FLOATS, DRAWN_FLOATS = 2**21, 2**27  # of eps: in a block, and in all


def projected(target, q, key, num_samples: int, on: Place):
    """(linear, squares, their variances, variance of log w) with squares those of (eps_i^2 - 1) / sqrt 2, each (dim,);
    None where log p is not finite at some draw."""
    n = max(2, min(num_samples, DRAWN_FLOATS // q.dim))
    block = max(1, BLOCK_FLOATS // q.dim)
    sums, total, total_squares, centre = np.zeros((4, q.dim)), 0.0, 0.0, 0.0
    for first in range(0, n, block):
        eps, _, log_w = draw(target, q, key, min(block, n - first), on, DIAGNOSE, first)
        if not np.isfinite(log_w).all():
            return None
        if first == 0:
            centre = float(np.mean(log_w))
        f = log_w - centre
        widths = (eps * eps - 1.0) / math.sqrt(2.0)
        sums += np.array([f @ eps, f @ widths, f**2 @ eps**2, f**2 @ widths**2])
        total, total_squares = total + float(f.sum()), total_squares + float(f @ f)
    linear, squares, *seconds = sums / n
    noise = [
        np.maximum(second - mean**2, 0.0) / (n - 1) for mean, second in zip((linear, squares), seconds, strict=True)
    ]
    return linear, squares, *noise, max(0.0, total_squares / n - (total / n) ** 2)
