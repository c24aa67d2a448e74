"""Surrogates of pathwise terms in the scores of a product of factors: what follows a slope has mean 0, as the scores.

The slope of log p in a parameter of the model, or in the parameters of a factor, is a function of z as log w is, whose
mean is the gradient; a polynomial of whitened scores without its constant takes most of the variance off it and nothing
of the mean (Miller, Foti, D'Amour and Adams 2017 do so for Gaussians).  All slopes are fitted to one pilot at once.
"""

from typing import Any

import numpy as np

from .kernels.sums import control_variate as kernel
from .score_surrogates import Design, ScoreSurrogate

NO_PATHS = np.empty(0, np.int64), *np.empty((2, 0, 0)), *np.empty((2, 0, 0, 0))


def fit(design: Design, terms: np.ndarray, log_ratio, inverse: np.ndarray) -> dict[int, ScoreSurrogate]:
    """By least squares, weighted as those of log w, of the terms (n, parameters) that vary; ``inverse`` is that of the
    weighted Gram matrix"""
    varies = np.flatnonzero(np.isfinite(terms).all(axis=0) & (np.ptp(terms, axis=0) > 0.0))
    weights = np.exp(log_ratio + np.zeros(len(terms)))
    weights /= np.mean(weights)
    values = terms[:, varies] - np.average(terms[:, varies], axis=0, weights=weights)
    values *= weights[:, None]
    sums = np.zeros((len(inverse), len(varies)))
    for own, matrix in design.matrices():
        sums += matrix.T @ values[own]
    return {int(p): design.unpack(x) for p, x in zip(varies, (inverse @ sums).T, strict=True)}


def arrays(q: Any, paths: dict[int, ScoreSurrogate]):
    """As the kernels take them: of each place of the sums which surrogate is taken off it, or -1, and these"""
    places, units, _ = q.path_layout if paths else (np.empty(0),) * 3
    own = np.array([parameter for parameter in paths if units[parameter] != 0.0], int)
    if len(own) == 0:
        return NO_PATHS
    numbers, height = np.full(2 * len(q.arrays[1]), -1), len(q.arrays[1])
    numbers[places[own]] = np.arange(len(own))
    found = [paths[parameter].divided(units[parameter]).coefficients for parameter in own]
    none = [np.zeros((height, height)) if any(each[kind] is not None for each in found) else None for kind in (2, 3)]
    filled = [(a, b, none[0] if c is None else c, none[1] if d is None else d) for a, b, c, d in found]
    return numbers, *map(np.stack, zip(*(kernel.padded(*each) for each in filled), strict=True))
