"""The optimum of the ELBO over fixed draws by L-BFGS, from a member of the family that is near it."""

import math

import numpy as np

from ..families.base import Family
from .ascent import climb
from .coordinates import Coordinates
from .fixed_draws import Evaluation, FixedDraws
from .slopes import Slopes

RISE, OVER, MOST, MEMORY = 0.03, 3, 100, 20  # of the tolerance, over so many iterations; iterations; of L-BFGS
FLATTEST, FARTHEST = 1e-6, 50.0  # of the largest precision; units that a parameter moves


def polished(e: Evaluation, slopes: Slopes, tolerance: float) -> Family | None:
    """With the location's axes those of A; None where nothing rises."""
    precisions = np.maximum(e.spectrum.precisions, FLATTEST * np.max(e.spectrum.precisions))
    about, draws = Coordinates(e.q, e.spectrum.vectors / np.sqrt(precisions)), FixedDraws(slopes, e.eps)

    def function(x):
        return about.elbo(draws, x) if np.max(np.abs(x)) <= FARTHEST else (-math.inf, x)

    path = climb(function, about.zero, rise=RISE * tolerance, over=OVER, most=MOST, memory=MEMORY)
    return about.member(path.points[-1]) if path.points else None
