"""Gradients of both kinds from one sweep: pathwise for what can be differentiated through, by scores for the rest.

Point masses have no other gradient, so every estimator of a q with some takes theirs from paths.  "mixed" does so for
all continuous factors, whose terms mostly vary far less than their scores times log w.
"""

import dataclasses
import math

import numpy as np

from ..execution.sweep import Sweep
from ..kernels.sums.score import SUMS
from ..results import SLOPE_ROUNDING, GradientEstimate
from ..rng import Key
from . import pathwise, score
from .options import MIXED


def read(found: Sweep, q, method: str, key: Key, kind: str, surrogate=None) -> GradientEstimate:
    """Read the gradient off such a sweep."""
    baseline = "leave_one_out" if method in (*MIXED, "pathwise") else method
    if found.sums.shape[1] == 0:  # interrupted before the first chunk
        nothing = np.full(len(q.parameters), math.nan)
        value = pathwise.read_elbo(found, q, "plain", key)
        return GradientEstimate(value, nothing, nothing, method, np.ones(len(nothing), bool))
    by_scores = found._replace(sums=np.ascontiguousarray(found.sums[:, :SUMS]))
    by_paths = found._replace(sums=found.sums[:, SUMS:])
    a = score.read(by_scores, q, baseline, key, surrogate)
    b = pathwise.read(by_paths, q, "pathwise", key)
    own, error = q.path_parameters(kind), b.standard_error.copy()
    for parameter, one in ({} if surrogate is None else surrogate.paths).items():
        rounding = SLOPE_ROUNDING * (abs(b.gradient[parameter]) + one.size)
        error[parameter] = max(error[parameter], rounding)
    all_seen = q.seen(found.num_samples) is None  # a slope may be another at a value that no draw holds
    return dataclasses.replace(
        a,
        gradient=np.where(own, b.gradient, a.gradient),
        standard_error=np.where(own, error, a.standard_error),
        interval_reliable=np.where(own, b.interval_reliable & all_seen, a.interval_reliable),
        method=method,
    )
