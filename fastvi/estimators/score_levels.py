"""Levels of surrogates in the scores of factors: which an estimator may subtract, and what they cost."""

from typing import Any

from .. import hessian_pairs
from ..score_surrogates import HESSIAN, LEVELS, NORMAL, pairs_of, size
from .cost import CALL_OPERATIONS, LEAST, LEAST_PER_COEFFICIENT, PATHWISE_COST, PER_COEFFICIENT, SMOOTH_ITERATIONS
from .derivative import derivative
from .options import Request

# Which levels an estimator may subtract
ALLOWED = {"diagonal": LEVELS[:1], "linear": LEVELS[:1], "quadratic": LEVELS[:2], "cubic": LEVELS}
ALLOWED |= {"auto": LEVELS[:2], "mixed": LEVELS[:2]}
CHOOSING = "auto", "mixed"  # by what pays
MOST = 2.0**32  # operations of a fit that was asked for, where slopes of log p may tell pairs instead
BUDGET = 0.5  # of the operations that the draws take, for a fit that may bring nothing


def operations(level: str, q, gradient: bool) -> float:
    """Of a draw in the sweep."""
    return q.operations(q.dim, gradient) + following(level, q)


def following(level: str, q) -> float:
    """Of one surrogate of a level."""
    rows = len(q.arrays[1])
    more = {"none": 0.0, "linear": 4.0 * rows, "quadratic": 2.0 * rows**2, "cubic": 4.0 * rows**2}
    more[HESSIAN] = more["quadratic"]
    return more[level]


def path_following(level: str, q) -> float:
    """Of one that is taken off a pathwise term, a row of a tile at a time."""
    rows = len(q.arrays[1])
    return 10.0 * rows + (0.0 if level == "linear" else 3.0 * rows**2)


def enough_to_fit(level: str, q) -> int:
    """Draws to which a level is fitted."""
    return max(LEAST, PER_COEFFICIENT * size(level, q))


def fit_operations(level: str, q) -> float:
    """Of the fit of a level."""
    count, draws = size(level, q), enough_to_fit(level, q)
    by_normal_equations = float(draws) * count**2 <= NORMAL
    return CALL_OPERATIONS + draws * (count**2 / 2 if by_normal_equations else 6 * SMOOTH_ITERATIONS * q.dim**2)


def affordable(r: Request, levels: list[str], paths: bool) -> list[str]:
    """The levels that ``"auto"`` may try for so many draws, with gradients of log p for ``paths``."""
    if not levels:
        return []
    each = r.q.operations(r.q.dim, False) + r.target.density.operations
    pilot = each * (PATHWISE_COST if paths else 1.0)
    price = {level: fit_operations(level, r.q) + enough_to_fit(level, r.q) * pilot for level in levels}
    if HESSIAN in levels:
        price[HESSIAN] += PATHWISE_COST * each * hessian_pairs.evaluations(r.q)
    return [level for level in levels if price[level] <= BUDGET * r.num_samples * each]


def levels_for(r: Request, paths: bool = False) -> list[str]:
    """The levels to be tried; pairs from slopes where there are too many for least squares."""
    levels = [
        level for level in ALLOWED.get(r.estimator, ()) if LEAST_PER_COEFFICIENT * size(level, r.q) <= r.num_samples
    ]
    if "cubic" in levels and len(pairs_of(r.q, "cubic")[0]) == len(pairs_of(r.q, "quadratic")[0]):
        levels.remove("cubic")
    free, q = r.estimator in CHOOSING, r.q
    cheap = affordable(r, levels, paths) if free else [one for one in levels if fit_operations(one, q) <= MOST]
    if "quadratic" in levels and not free and not hessian_pairs.tells_all(q):
        return levels
    wanted = "quadratic" in ALLOWED.get(r.estimator, ()) and "quadratic" not in cheap
    if wanted and slopes_tell_pairs(r) and (not free or affordable(r, [HESSIAN], paths)):
        return [*cheap, HESSIAN]
    return cheap if free else levels


def slopes_tell_pairs(r: Request) -> bool:
    """Whether there are slopes, pairs and draws enough."""
    q: Any = r.q
    gradients, least = hessian_pairs.evaluations(q), enough_to_fit(HESSIAN, q) // 2
    possible = 2 * hessian_pairs.MOVES <= gradients and max(gradients, least) <= r.num_samples
    return possible and hessian_pairs.fit_memory(q) and derivative(r.target, q, r.key).exists
