"""Parameters in units that differ by powers of ten, which a fit from a standard start takes long to find."""

import numpy as np

from ..families.base import Family
from ..families.factors import Factors

APART = 1e4  # between the largest and the smallest deviation of a coordinate


def hint(target, q: Family) -> str:
    """What to say of them, or nothing."""
    if isinstance(q, Factors):
        return ""
    sd = q.stddev
    low, high = int(np.argmin(sd)), int(np.argmax(sd))
    if not np.isfinite(sd).all() or not sd[high] >= APART * sd[low]:
        return ""
    labels = target.density.coordinates()
    return (
        f"; the deviation of {labels[high]} is {sd[high] / sd[low]:.0e} times that of {labels[low]}: bring data to "
        "like units, or begin near the answer with start="
    )
