"""Gradients of nearly certain Bernoulli factors, whose other value hardly any draw holds: by flips.

d ELBO / d logit_j = p_j (1 - p_j) E[f(z_j = 1) - f(z_j = 0)] over draws of the others (local expectation gradients:
Titsias and Lázaro-Gredilla 2015, section 3), which sees both values at every draw, for two evaluations of log p each.
The others may be nearly certain, too: those are flattened towards the uniform distribution, and draws weighted back.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from ..results import SLOPE_ROUNDING, GradientEstimate
from ..score_surrogates import FLATTEST
from .options import Request

LEAST, MOST = 64, 1024  # draws of the others
SPREAD = 2.0  # shares of the uniform distribution, over all factors that take some


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
    flat, z = flattened(q, count), np.empty((count, q.dim))
    flat.fill(z, r.key, r.stream, 0)
    log_ratio = q.log_prob(z) - flat.log_prob(z)
    gradient, error, reliable = found.gradient.copy(), found.standard_error.copy(), found.interval_reliable.copy()
    for i, k, score in places:
        low, high = z.copy(), z.copy()
        low[:, i], high[:, i] = 0.0, 1.0
        logit, flat_logit = float(q.parameters[k]), float(flat.parameters[k])
        change = r.here.evaluate(r.target, high) - r.here.evaluate(r.target, low) - logit
        if np.isfinite(change).all():
            slope, known, left = 1.0 / (2.0 + 2.0 * math.cosh(logit)), 0.0, change
            if surrogate is not None:
                known = float(surrogate.linear[score]) / math.sqrt(slope)
                left = change - (surrogate.at(q.whitened(high)) - surrogate.at(q.whitened(low)))
            own = z[:, i] * (logit - flat_logit) - np.logaddexp(0.0, logit) + np.logaddexp(0.0, flat_logit)
            terms = np.exp(log_ratio - own) * left  # by the weights of the others
            gradient[k] = slope * (known + np.mean(terms))
            spread = slope * float(np.std(terms, ddof=1)) / math.sqrt(count)
            error[k] = max(spread, SLOPE_ROUNDING * slope * (abs(known) + float(np.max(np.abs(change)))))
            reliable[k] = True
    return dataclasses.replace(found, gradient=gradient, standard_error=error, interval_reliable=reliable)


def flattened(q: Any, count: int) -> Any:
    """q with the factors of which so many draws would miss a value mixed with a share of the uniform distribution"""
    seen = [block.seen(count) for block in q.blocks]
    rare = sum(0 if each is None else int(np.count_nonzero(~each)) for each in seen)
    share, blocks = min(FLATTEST, SPREAD / max(rare, 1)), []
    for block, each in zip(q.blocks, seen, strict=True):
        if block.is_finite and each is not None:
            flat = block.flattened(share)
            if block.is_flipped:
                flat = block.with_natural(np.where(each[:, None], block.natural, flat.natural))
            block = flat
        blocks.append(block)
    return q.with_blocks(blocks)
