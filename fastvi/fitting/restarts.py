"""Several starts of one fit: where they begin, and whether they ended in the same place."""

import numpy as np

from ..families.base import Family
from ..families.factors import Factors
from ..rng import RESTART, START, Key
from .start import standard_normals

SCATTER = 3.0  # standard deviations of the start between restarts
AUTOMATIC, CHEAP, MOST_DIM = 4, 20_000, 100  # starts where q is poor; draws of the first, and dimensions, up to which
APART = 1.0  # standard deviations between means of different basins


def scattered(q: Family, key: Key, restart: int) -> Family:
    """The start of another restart."""
    if isinstance(q, Factors):
        return q.scattered(SCATTER * standard_normals(key.child(START, restart), 1, len(q.parameters))[0])
    away = standard_normals(key.child(START, restart), 1, q.dim)[0]
    return q.member(q.loc + SCATTER * q.stddev * away, q.scale)


def restart_key(key: Key, restart: int) -> Key:
    """The key of a restart; the first has the fit's own."""
    return key if restart == 0 else key.child(RESTART, restart)


def basins(found: list[Family]) -> list[int]:
    """For each end the number of its basin: two are in one where no mean differs by more than a standard deviation."""
    numbers: list[int] = []
    for k, q in enumerate(found):
        for j, other in enumerate(found[:k]):
            if np.all(np.abs(q.loc - other.loc) < APART * np.maximum(q.stddev, other.stddev)):
                numbers.append(numbers[j])
                break
        else:
            numbers.append(max(numbers, default=-1) + 1)
    return numbers
