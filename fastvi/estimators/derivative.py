"""What the gradient of a log density is worth: whether there is one, and whether log p is continuous."""

from typing import NamedTuple

from .steps import sees_steps_of


class Derivative(NamedTuple):
    """What a target's gradient is worth: whether there is one, or ``why`` not, whether log p is known to have no steps,
    and whether it runs in lanes where values do."""

    exists: bool
    smooth: bool = False
    quick: bool = False
    why: str = ""


def derivative(target, q, key) -> Derivative:
    """That of a target, as seen at draws of q."""

    def draws():
        return q.sample(2, rng=key)

    try:
        compiled = target.density.trusted(draws, True)
    except (TypeError, MemoryError) as error:
        return Derivative(False, why=str(error).partition("\n")[0])
    if not target.density.writes_gradient(draws):
        return Derivative(False, why="its function writes no gradient")
    return Derivative(True, compiled.smooth, compiled.vectorised or not target.density.values().vectorised)


def continuous(target, q, key) -> bool:
    """Whether a target has a gradient worth its price, and no step that would make a pathwise estimate wrong."""
    found, density = derivative(target, q, key), target.density
    if not (found.exists and found.quick):
        return False
    if found.smooth:
        return True
    if density.doubtful and density.jumps is None:
        density.jumps = sees_steps_of(target, q, key)
    return density.jumps is False
