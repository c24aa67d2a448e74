"""Pathwise gradients of the ELBO: through the draws themselves, z = loc + scale eps, and the gradient of log p.

Kingma and Welling (2014), equation 10, with q's entropy in closed form; "sticking the landing" (Roeder, Wu and Duvenaud
2017, equation 8) differentiates log q at the draws as well and leaves its score out, so that the variance vanishes
as q approaches the target.
"""

import math

import numpy as np

from .. import kept_memory
from ..execution.sweep import Sweep
from ..families.base import Family
from ..kernels.cpu import merging
from ..kernels.sums import moments
from ..results import SLOPE_ROUNDING, GradientEstimate
from ..rng import Key
from .elbo import read as read_elbo
from .reliability import limits

NOTHING = np.empty(0)


def read(found: Sweep, q: Family, method: str, key: Key, lines=None) -> GradientEstimate:
    """Read the gradient off a sweep of pathwise sums."""
    places, units, entropy = q.path_layout
    value = read_elbo(found, q, "plain", key)
    if not math.isfinite(value.value):
        gradient = error = np.full(len(places), math.nan)
        return GradientEstimate(value, gradient, error, method, np.ones(len(places), dtype=bool))
    stick = method == "sticking_the_landing"
    gradient, error, reliable = results(found, places, units, NOTHING if stick else entropy)
    if lines is not None:
        gradient = gradient + lines.gradient(q)
        error = np.maximum(error, SLOPE_ROUNDING * (np.abs(gradient) + lines.size * units))
    return GradientEstimate(value, gradient, error, method, reliable)


def pathwise_gradient(found: Sweep, q: Family) -> np.ndarray:
    """The gradient alone, of mean log p and the entropy in closed form."""
    places, units, entropy = q.path_layout
    return results(found, places, units, entropy, errors=False)[0]


def results(found: Sweep, places, units, entropy, errors: bool = True):
    """(gradient, its standard errors, whether each holds) over all chunks, in their order"""
    counts = np.ascontiguousarray(found.rows[:, moments.COUNT])
    size = len(places)
    gradient, error = kept_memory.empty((size,)), kept_memory.empty((size if errors else 0,))
    out = gradient, error, np.empty(len(error), dtype=bool)
    numbers = *limits(counts), *out
    sums = np.ascontiguousarray(found.sums), kept_memory.empty((3, found.sums.shape[2]))
    merging.path_results()(counts, *sums, places, units, entropy, *numbers)
    return out
