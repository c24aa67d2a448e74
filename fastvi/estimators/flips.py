"""Gradients of nearly certain Bernoulli factors, whose other value hardly any draw holds: by flips.

d ELBO / d logit_j = p_j (1 - p_j) E[f(z_j = 1) - f(z_j = 0)] over draws of the others (local expectation gradients:
Titsias and Lázaro-Gredilla 2015, section 3), which sees both values at every draw, for two evaluations of log p each.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from ..results import SLOPE_ROUNDING, GradientEstimate
from .options import Request

LEAST, MOST = 64, 1024  # draws of the others


def filled(r: Request, found: GradientEstimate, surrogate=None) -> GradientEstimate:
    """The gradient with what the draws left without an error, if as many evaluations of log p as there are draws do; of
    the change of a surrogate the mean is known, too"""
    q: Any = r.q
    unknown, places = np.isnan(found.standard_error), []
    parts = zip(q.blocks, q.spots, q.parameter_spots, q.score_spots, strict=True)
    for block, spot, parameters, scores in parts:
        if block.is_flipped:
            own = np.flatnonzero(unknown[parameters])
            places += list(zip(spot.start + own, parameters.start + own, scores.start + own, strict=True))
    count = min(MOST, r.num_samples // (2 * len(places))) if places and np.isfinite(found.gradient).all() else 0
    if count < LEAST:
        return found
    z = np.empty((count, q.dim))
    q.fill(z, r.key, r.stream, 0)
    gradient, error, reliable = found.gradient.copy(), found.standard_error.copy(), found.interval_reliable.copy()
    for i, k, score in places:
        low, high = z.copy(), z.copy()
        low[:, i], high[:, i] = 0.0, 1.0
        logit = float(q.parameters[k])
        change = r.here.evaluate(r.target, high) - r.here.evaluate(r.target, low) - logit
        if np.isfinite(change).all():
            slope, known, left = 1.0 / (2.0 + 2.0 * math.cosh(logit)), 0.0, change
            if surrogate is not None:
                known = float(surrogate.linear[score]) / math.sqrt(slope)
                left = change - (surrogate.at(q.whitened(high)) - surrogate.at(q.whitened(low))) + known
            gradient[k] = slope * np.mean(left)
            spread = slope * float(np.std(left, ddof=1)) / math.sqrt(count)
            error[k] = max(spread, SLOPE_ROUNDING * slope * (abs(known) + float(np.max(np.abs(change)))))
            reliable[k] = True
    return dataclasses.replace(found, gradient=gradient, standard_error=error, interval_reliable=reliable)
