"""Where a fit over many rows starts: the best q of a subsample of them, each counted for more.

An optimum found from n of N rows is d N / (2 n) nats short of the best, so that a step or two over all rows is left.
"""

import math

from ..families.base import Family
from ..families.factors import Factors
from ..kernels.random.rows import rows_at
from ..rng import SUBSAMPLE
from ..targets.rows import RowsDensity
from ..targets.target import Target
from .fitter import CONVERGED

LEAST_ROWS, ROWS_A_DIMENSION, WORTH = 20_000, 1000, 4  # rows of a subsample; and how many times that all must be
LOOSE, MOST_ROUNDS = 0.1, 100  # nats, as the subsample's own optimum is much farther from the best


def start_from_rows(run, q: Family, key) -> tuple[Family | None, int]:
    """(the best q of a subsample of the rows, or None where none is wanted or found; evaluations of log p it took)"""
    density = run.target.density
    if not isinstance(density, RowsDensity) or isinstance(q, Factors):
        return None, 0
    rows = max(LEAST_ROWS, ROWS_A_DIMENSION * q.dim)
    if density.count < WORTH * rows:
        return None, 0
    chosen = rows_at(key.child(SUBSAMPLE, 0).word, 0, 0, density.count, rows)
    chosen.sort()
    small = density.subset(chosen, density.count / rows)
    fitter = run.method.fitter(Target.of(small, small.data), q, key, LOOSE, run.max_samples, run.on)
    value, end = fitter.step()
    for _ in range(MOST_ROUNDS):
        if end:
            break
        value, end = fitter.step()
    found = end == CONVERGED and value is not None and math.isfinite(value.value)
    return (fitter.q if found else None), math.ceil(fitter.evaluations * rows / density.count)
