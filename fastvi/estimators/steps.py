"""Whether log p has steps where q has mass, told from its values and slopes along short segments.

What other libraries write holds comparisons that decide between formulas which meet (softplus, xlogy), so that they
are no sign of a step.  Over a segment log p changes by the mean of the slopes at its ends, up to the cube of its
length; a step stays as high as it is, however short the segment.
"""

from typing import NamedTuple

import numpy as np

from ..families.base import Family
from ..rng import Key

SEGMENTS, LENGTH = 256, 0.3  # their number, and how far each coordinate moves, in standard deviations of q
FOLLOWED, HALVINGS = 16, 24  # the most suspect ones, each halved so many times
STEP = 1e-5  # what is left, of 1 + |log p|, that counts as a step


class Points(NamedTuple):
    """z (n, dim), with log p (n,) and its gradient (n, dim) there."""

    z: np.ndarray
    value: np.ndarray
    slope: np.ndarray

    @property
    def finite(self) -> np.ndarray:
        return np.isfinite(self.value) & np.isfinite(self.slope).all(axis=1)

    def taken(self, which: np.ndarray) -> "Points":
        return Points(*(each[which] for each in self))

    def unless(self, here: np.ndarray, other: "Points") -> "Points":
        """These where ``here``, others elsewhere."""
        pairs = zip(self, other, strict=True)
        return Points(*(np.where(here if a.ndim == 1 else here[:, None], a, b) for a, b in pairs))


def points_of(target, z: np.ndarray) -> Points:
    with np.errstate(all="ignore"):
        return Points(z, *target.value_and_grad(z))


def untold(low: Points, high: Points) -> np.ndarray:
    """(n,): by how much the values differ otherwise than the slopes tell"""
    told = 0.5 * np.einsum("ij,ij->i", low.slope + high.slope, high.z - low.z)
    return np.abs(high.value - low.value - told)


def sees_steps_of(target, q: Family, key: Key) -> bool:
    """Whether log p jumps on one of the segments about draws of q; those that leave its support are left out."""
    rng = np.random.default_rng([key.word, SEGMENTS])
    middle = q.transform(rng.standard_normal((SEGMENTS, q.dim)))
    half = 0.5 * LENGTH * q.stddev * rng.standard_normal((SEGMENTS, q.dim))
    low, high = points_of(target, middle - half), points_of(target, middle + half)
    usable = np.flatnonzero(low.finite & high.finite)
    suspect = usable[np.argsort(-untold(low.taken(usable), high.taken(usable)), kind="stable")[:FOLLOWED]]
    low, high = low.taken(suspect), high.taken(suspect)
    for _ in range(HALVINGS):
        between = points_of(target, 0.5 * (low.z + high.z))
        left = untold(low, between) >= untold(between, high)
        nearer = low.unless(left, between)
        low, high = nearer, between.unless(left, high)
        usable = low.finite & high.finite
        low, high = low.taken(usable), high.taken(usable)
        if not len(low.z):
            return False
    return bool(np.any(untold(low, high) > STEP * (1.0 + np.abs(low.value))))
