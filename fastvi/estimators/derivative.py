"""What the gradient of a log density is worth: whether there is one, and whether log p is continuous."""

from typing import NamedTuple

from ..families.product import Product
from .steps import sees_steps_of


class Derivative(NamedTuple):
    """What a target's gradient is worth: whether there is one, or ``why`` not, whether log p is known to have no steps,
    whether it runs in lanes where values do, and the arguments that all of its steps look at, where those are known."""

    exists: bool
    smooth: bool = False
    quick: bool = False
    why: str = ""
    steps_of: frozenset = frozenset()


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
    quick = compiled.vectorised or not target.density.values().vectorised
    return Derivative(True, compiled.smooth, quick, steps_of=compiled.steps_of)


def continuous(target, q, key) -> bool:
    """Whether a target has a gradient worth its price, and no step that would make a pathwise estimate wrong.

    Steps in factors without paths, as those of ``mu[int(c[i])]`` in c, make none wrong.
    """
    found, density = derivative(target, q, key), target.density
    if not (found.exists and found.quick):
        return False
    if found.smooth or found.steps_of and only_without_paths(found.steps_of, density, q):
        return True
    if density.doubtful and density.jumps is None:
        density.jumps = sees_steps_of(target, q, key)
    return density.jumps is False


def only_without_paths(names, density, q) -> bool:
    """Whether those of these arguments that are latents are factors of q without paths."""
    if not isinstance(q, Product) or density.parameters is None or set(q.names) != set(density.parameters.places):
        return False
    moving = {name for name, block in zip(q.names, q.blocks, strict=True) if block.has_paths or block.is_point}
    return not moving & names
