"""Which method a fit takes, from what its target can tell: gradients, gradients of pieces, or values."""

from typing import Any, NamedTuple

from ..estimators.derivative import continuous, derivative
from ..estimators.steps import sees_steps_of
from ..families.base import Family
from ..rng import SLOPE, Key
from .coordinate_ascent import CoordinateAscent
from .factor_paths import FactorPaths
from .factors import FactorAscent
from .fitter import Fitter
from .lbfgs import LBFGS
from .low_rank import LowRank
from .newton import Newton
from .score import STEEP, Score, slope
from .slopes import DIFFERENCES_DIM

NAMES = tuple(each.name for each in (Newton, LBFGS, Score, CoordinateAscent))
# By q's family, those that fit it; and for any other family
METHODS: dict[str, tuple[type[Fitter], ...]] = {
    "mean_field": (Newton, LBFGS, Score, CoordinateAscent),
    "low_rank": (LowRank, Score),
    "product": (FactorAscent, FactorPaths),
}
OTHERS: tuple[type[Fitter], ...] = (Newton, Score)
SUCCESSORS = {"natural": "newton", "deterministic": "lbfgs", "stochastic": "score"}
NEWTON_DIM = 100  # beyond it the matrix A costs a mean-field fit more than it saves
STEPS = "scores see a slope where gradients see none: log p has steps"


class Method(NamedTuple):
    """A method, whether it has a derived gradient, and whether that may miss steps of log p."""

    name: str
    derived: bool = True
    doubtful: bool = False

    def fitter(self, target, q: Family, key: Key, tolerance: float, max_samples: int, on) -> Fitter:
        """At its start."""
        return methods_for(q)[self.name](target, q, key, tolerance, max_samples, on, self.derived)


def methods_for(q: Family) -> dict[str, type[Fitter]]:
    """Those that fit q's family, by name, the usual one first."""
    return {each.name: each for each in METHODS.get(q.family, OTHERS)}


def checked_name(method) -> str:
    """The name of a method that there is."""
    if isinstance(method, str) and method in SUCCESSORS:
        raise ValueError(f"method: {method!r} is gone; its successor is {SUCCESSORS[method]!r}, or leave method out")
    names = ("auto", *NAMES)
    if method not in names:
        raise ValueError(f"method: expected one of {', '.join(map(repr, names))}, got {method!r}")
    return method


def chosen(name: str, target, q: Family, key: Key) -> Method:
    """The method of that name, or the one that suits the target and q's family.

    Raises
    ------
    ValueError
        where it does not fit the family, or needs a gradient and there is none, nor few enough dimensions for
        differences
    """
    methods = methods_for(q)
    if name == "auto" and not next(iter(methods.values())).uses_gradient:
        return Method(next(iter(methods)), False)
    if name != "auto" and name not in methods:
        fit = ", ".join(map(repr, methods))
        raise ValueError(f"method: {name!r} does not fit {q.family} approximations; use one of {fit}")
    if name != "auto" and not methods[name].uses_gradient:
        return Method(name, False)
    if methods.get(name) is FactorPaths and not has_paths(target, q, key):
        why = f"{q.without_paths} has none" if q.without_paths else f"{target.name} has no gradient, or steps"  # type: ignore
        raise ValueError(f"method: {name!r} differentiates through all factors of q, and {why}; leave method out")
    found = derivative(target, q, key)
    derived, smooth = found.exists, found.smooth
    if not derived and q.dim > DIFFERENCES_DIM:
        if name == "auto":
            return Method(Score.name, False)
        raise ValueError(
            f"method: {name!r} needs a gradient beyond {DIFFERENCES_DIM} dimensions, and {target.name} has none "
            f"({found.why}); use method='score', or give the Target a gradient="
        )
    if name == "auto":
        large = q.is_diagonal and derived and q.dim > NEWTON_DIM
        name = LBFGS.name if large else next(iter(methods))
    return Method(name, derived, not smooth and name != CoordinateAscent.name)


def has_paths(target, q: Any, key: Key) -> bool:
    """Whether a product can be fitted by slopes of log p in all its factors"""
    return not q.without_paths and continuous(target, q, key)


def sees_steps(target, q: Family, num_samples: int, key: Key, tolerance: float, on) -> bool:
    """Whether the score-function gradient, which knows of steps, still has a slope at q."""
    if target.density.doubtful:  # and seldom has any: segments take fewer evaluations
        return sees_steps_of(target, q, key)
    left, error = slope(target, q, num_samples, key.child(SLOPE, 0), on)
    return left - 2.0 * error > STEEP * tolerance
