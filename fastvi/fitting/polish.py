"""The optimum of the ELBO over fixed draws by L-BFGS, from a member of the family that is near it."""

import math

import numpy as np

from ..families.base import Family
from .ascent import climb
from .fixed_draws import Evaluation, FixedDraws
from .slopes import Slopes

RISE, OVER, MOST, MEMORY = 0.03, 3, 100, 20  # of the tolerance, over so many iterations; iterations; of L-BFGS
FLATTEST, FARTHEST = 1e-6, 50.0  # of the largest precision; units that a parameter moves


def polished(e: Evaluation, slopes: Slopes, tolerance: float) -> Family | None:
    """In coordinates in which q is standard and the location's axes are those of A; None where nothing rises."""
    base, dim = e.q, e.q.dim
    precisions = np.maximum(e.spectrum.precisions, FLATTEST * np.max(e.spectrum.precisions))
    axes = e.spectrum.vectors / np.sqrt(precisions)
    standard = type(base).standard(dim)
    weights = standard.entropy_gradient[dim:]  # 1 for the log of a scale, whose curvature is twice that
    units = 1.0 / np.sqrt(np.where(weights > 0.0, 2.0 * weights, 1.0))
    origin = standard.parameters[dim:]
    draws = FixedDraws(slopes, e.eps)

    def parameters(x):
        return np.concatenate([axes @ x[:dim], origin + units * x[dim:]])

    def function(x):
        if np.max(np.abs(x)) > FARTHEST:
            return -math.inf, x
        value, gradient = draws.relative(base, parameters(x))
        return value, np.concatenate([axes.T @ gradient[:dim], units * gradient[dim:]])

    start = np.zeros(dim + len(units))
    path = climb(function, start, rise=RISE * tolerance, over=OVER, most=MOST, memory=MEMORY)
    return base.composed(standard.with_parameters(parameters(path.points[-1]))) if path.points else None
