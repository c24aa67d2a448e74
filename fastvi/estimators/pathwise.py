"""Pathwise gradients of the ELBO: through the draws themselves, z = loc + scale eps, and the gradient of log p.

Kingma and Welling (2014), equation 10, with q's entropy in closed form; "sticking the landing" (Roeder, Wu and Duvenaud
2017, equation 8) differentiates log q at the draws as well and leaves its score out, so that the variance vanishes
as q approaches the target.
"""

import math

import numpy as np

from ..execution.sweep import Sweep
from ..families.base import Family
from ..kernels.sums import moments
from ..kernels.sums.pathwise import MEAN, SQUARES
from ..results import SLOPE_ROUNDING, GradientEstimate
from ..rng import Key
from ..running_moments import Running
from .elbo import read as read_elbo
from .reliability import LEAST_CHUNKS, holds


def read(found: Sweep, q: Family, method: str, key: Key, lines=None) -> GradientEstimate:
    """Read the gradient off a sweep of pathwise sums."""
    places, units, entropy = q.path_layout
    value = read_elbo(found, q, "plain", key)
    if not math.isfinite(value.value):
        gradient = error = np.full(len(places), math.nan)
        return GradientEstimate(value, gradient, error, method, np.ones(len(places), dtype=bool))
    mean, squares = merged(found)
    n = found.num_samples
    gradient = mean[places] * units
    if method != "sticking_the_landing":
        gradient = gradient + entropy
    if lines is not None:
        gradient = gradient + lines.gradient(q)
    spread = squares[places] / (n - 1.0) if n > 1 else np.full(len(places), math.nan)
    error = np.sqrt(spread / n) * units
    if lines is not None:
        error = np.maximum(error, SLOPE_ROUNDING * (np.abs(gradient) + lines.size * units))
    return GradientEstimate(value, gradient, error, method, reliable(found, squares, places))


def pathwise_gradient(found: Sweep, q: Family) -> np.ndarray:
    """The gradient alone, of mean log p and the entropy in closed form."""
    places, units, entropy = q.path_layout
    mean = found.sums[0][MEAN] if len(found.sums) == 1 else merged(found)[0]
    return mean[places] * units + entropy


def merged(found: Sweep):
    """Mean and squared deviations of each coordinate over all chunks, in their order."""
    total = Running()
    for row, chunk in zip(found.rows, found.sums, strict=True):
        if row[moments.COUNT] > 0.0:
            total.merge(row[moments.COUNT], chunk[MEAN], chunk[SQUARES])
    return total.mean, total.squares


def reliable(found: Sweep, squares: np.ndarray, places) -> np.ndarray:
    """For each parameter whether its variance rests on many draws."""
    if len(found.rows) < LEAST_CHUNKS:
        return np.ones(len(places), dtype=bool)
    squared = np.einsum("ck,ck->k", *[found.sums[:, SQUARES]] * 2)  # the chunks' own, squared and added up
    return holds(squares, squared, found.rows[:, moments.COUNT])[places]
