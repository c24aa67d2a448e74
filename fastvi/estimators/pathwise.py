"""Pathwise gradients of the ELBO: through the draws themselves, z = loc + scale eps, and the gradient of log p.

Kingma and Welling (2014), equation 10, with q's entropy in closed form; "sticking the landing" (Roeder, Wu and Duvenaud
2017, equation 8) differentiates log q at the draws as well and leaves its score out, so that the variance vanishes
as q approaches the target.
"""

import math

import numpy as np

from ..execution.sweep import Sweep
from ..families.base import Family
from ..kernels.cpu import sweep as cpu
from ..kernels.sums import moments
from ..kernels.sums.pathwise import MEAN, SUMS
from ..results import SLOPE_ROUNDING, GradientEstimate
from ..rng import Key
from .elbo import read as read_elbo
from .reliability import LEAST_CHUNKS, holds


def read(found: Sweep, q: Family, method: str, key: Key, lines=None) -> GradientEstimate:
    """Read the gradient off a sweep of pathwise sums."""
    places, units, entropy = q.path_layout
    value = read_elbo(found, q, "plain", key)
    if not math.isfinite(value.value):
        gradient = error = np.full(len(places), math.nan)
        return GradientEstimate(value, gradient, error, method, np.ones(len(places), dtype=bool))
    mean, squares, squared = merged(found)[:, places]
    n = found.num_samples
    gradient = mean * units
    if method != "sticking_the_landing":
        gradient = gradient + entropy
    if lines is not None:
        gradient = gradient + lines.gradient(q)
    spread = squares / (n - 1.0) if n > 1 else np.full(len(places), math.nan)
    error = np.sqrt(spread / n) * np.abs(units)  # a rate's is negative
    if lines is not None:
        error = np.maximum(error, SLOPE_ROUNDING * (np.abs(gradient) + lines.size * units))
    reliable = np.ones(len(places), dtype=bool)
    if len(found.rows) >= LEAST_CHUNKS:
        reliable = holds(squares, squared, found.rows[:, moments.COUNT])
    return GradientEstimate(value, gradient, error, method, reliable)


def pathwise_gradient(found: Sweep, q: Family) -> np.ndarray:
    """The gradient alone, of mean log p and the entropy in closed form."""
    places, units, entropy = q.path_layout
    mean = found.sums[0][MEAN] if len(found.sums) == 1 else merged(found)[0]
    return mean[places] * units + entropy


def merged(found: Sweep) -> np.ndarray:
    """Of each coordinate over all chunks, in their order: the mean, the squared deviations, and what the chunks' own
    squared deviations squared add up to."""
    counts = np.ascontiguousarray(found.rows[:, moments.COUNT])
    total = np.empty((SUMS + 1, found.sums.shape[-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        cpu.path_merger()(counts, np.ascontiguousarray(found.sums), total)
    return total
