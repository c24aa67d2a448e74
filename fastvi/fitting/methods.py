"""Which method a fit takes, from what its target can tell: gradients, gradients of pieces, or values."""

from typing import NamedTuple

from ..families.base import Family
from ..rng import SLOPE, Key
from .coordinate_ascent import CoordinateAscent
from .lbfgs import LBFGS
from .newton import Newton
from .score import STEEP, Score, slope
from .slopes import DIFFERENCES_DIM

METHODS = {each.name: each for each in (Newton, LBFGS, Score, CoordinateAscent)}
SUCCESSORS = {"natural": "newton", "deterministic": "lbfgs", "stochastic": "score"}
NEWTON_DIM = 100  # beyond it the matrix A costs a mean-field fit more than it saves
DOUBTED_DRAWS = 10_000
STEPS = "scores see a slope where gradients see none: log p has steps"


class Method(NamedTuple):
    """A method, whether it has a derived gradient, and whether that may miss steps of log p."""

    name: str
    derived: bool = True
    doubtful: bool = False

    def fitter(self, target, q: Family, key: Key, tolerance: float, max_samples: int, on):
        """At its start."""
        options = {} if self.name in (Score.name, CoordinateAscent.name) else dict(derived=self.derived)
        return METHODS[self.name](target, q, key, tolerance, max_samples, on, **options)


def checked_name(method) -> str:
    """The name of a method that there is."""
    if isinstance(method, str) and method in SUCCESSORS:
        raise ValueError(f"method: {method!r} is gone; its successor is {SUCCESSORS[method]!r}, or leave method out")
    names = ("auto", *METHODS)
    if method not in names:
        raise ValueError(f"method: expected one of {', '.join(map(repr, names))}, got {method!r}")
    return method


def chosen(name: str, target, q: Family, key: Key) -> Method:
    """The method of that name, or the one that suits the target and q's family.

    Raises
    ------
    ValueError
        where it needs a gradient and there is none, nor few enough dimensions for differences
    """
    if name in (Score.name, CoordinateAscent.name):
        return Method(name)
    derived, smooth, why = derivatives(target, q, key)
    if not derived and q.dim > DIFFERENCES_DIM:
        if name == "auto":
            return Method(Score.name)
        raise ValueError(
            f"method: {name!r} needs a gradient beyond {DIFFERENCES_DIM} dimensions, and {target.name} has none "
            f"({why}); use method='score', or give the Target a gradient="
        )
    if name == "auto":
        name = LBFGS.name if q.is_diagonal and derived and q.dim > NEWTON_DIM else Newton.name
    return Method(name, derived, not smooth)


def derivatives(target, q: Family, key: Key) -> tuple[bool, bool, str]:
    """(whether the target has a gradient, whether log p is known to have no steps, why it has none)"""

    def draws():
        return q.sample(2, rng=key)

    try:
        compiled = target.density.trusted(draws, True)
    except (TypeError, MemoryError) as error:
        return False, False, str(error).partition("\n")[0]
    if not target.density.writes_gradient(draws):
        return False, False, "its function writes no gradient"
    return True, compiled.smooth, ""


def sees_steps(target, q: Family, key: Key, tolerance: float, on) -> bool:
    """Whether the score-function gradient, which knows of steps, still has a slope at q."""
    left, error = slope(target, q, DOUBTED_DRAWS, key.child(SLOPE, 0), on)
    return left - 2.0 * error > STEEP * tolerance
