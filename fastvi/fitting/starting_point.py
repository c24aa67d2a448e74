"""The member of the family that ``fit`` was asked to start from."""

import numpy as np

from .. import checks
from ..estimators.options import check_pair
from ..families import BY_NAME, Factors, Family, LowRankGaussian
from ..targets.latents import refuse
from .low_rank import MOST_RANK

STARTS = {name: family.standard for name, family in BY_NAME.items()}
STARTS["low_rank"] = lambda dim: LowRankGaussian.standard(dim, min(dim, MOST_RANK))
LEAST = 1e-150  # a standard deviation whose square is no subnormal number


def starting_point(target, family_or_q, start) -> Family:
    """From ``family_or_q`` and ``start`` as given to ``fit``, checked."""
    if isinstance(family_or_q, str):
        refuse(target, "family_or_q")
        given = STARTS[checks.choice("family_or_q", family_or_q, tuple(STARTS))](target.dim)
    elif isinstance(family_or_q, Family):
        given = family_or_q
    else:
        described = checks.describe(family_or_q)
        raise TypeError(f"family_or_q: expected 'mean_field', 'full_rank', 'low_rank' or a q, got {described}")
    check_pair(target, given)
    if start is None:
        return given
    if isinstance(given, Factors):
        raise ValueError("start: a product of factors is where its fit starts; pass one with other parameters")
    start = target.start(start)
    if not isinstance(family_or_q, str):
        raise ValueError("start: family_or_q is a Gaussian to start from already; give one of the two")
    if isinstance(start, str):
        if start != "laplace":
            raise ValueError(f"start: expected a point, a Gaussian or 'laplace', got {start!r}")
        start = target.laplace(np.zeros(target.dim)).q
    if isinstance(start, Family):
        if start.dim != target.dim:
            raise ValueError(f"start: expected {target.dim} dimensions, as the target has, got {start.dim}")
        if type(start) is type(given):
            return start
        extreme = start.stddev[~((start.stddev > LEAST) & (start.stddev < 1.0 / LEAST))]
        if extreme.size:
            wanted = f"{LEAST} to {1.0 / LEAST:.0e}, as another family squares them"
            raise ValueError(f"start: expected standard deviations of {wanted}, got {extreme[0]:.3g}")
        return given.like(start)
    loc = checks.real_array("start", start, 1)
    if loc.shape != (target.dim,):
        raise ValueError(f"start: expected shape ({target.dim},), got {loc.shape}")
    return given.member(loc, given.scale)
