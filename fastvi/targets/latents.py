"""Named latents of a density whose q says what they are: names and shapes, without spaces."""

from collections.abc import Mapping
from typing import Any

from .. import checks
from .constraints import real
from .parameters import Parameters


class Latents(Parameters):
    """Names and shapes, in the order in which they lie in z; z is what the density gets."""

    def __init__(self, given: Mapping) -> None:
        for name, shape in given.items():
            if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
                raise TypeError(
                    f"parameters[{name!r}]: expected a space, such as vi.real(), or with q.latents a shape for every "
                    f"name, got {checks.describe(shape)}"
                )
        super().__init__({name: real(shape) for name, shape in given.items()})
        self.shapes: dict[str, tuple] = dict(given)

    def __repr__(self):
        return f"{{{', '.join(f'{name}: {shape}' for name, shape in self.shapes.items())}}}"

    def __reduce__(self):
        return Latents, (self.shapes,)


def declared(given: Any) -> Parameters:
    """Parameters in spaces, or the latents of a q: a dict with shapes for values."""
    if isinstance(given, Mapping) and any(isinstance(value, tuple) for value in given.values()):
        return Latents(given)
    return given if isinstance(given, Latents) else Parameters(given)


def in_support(target: Any, names: tuple[str, ...]) -> Any:
    """A target of which these parameters are given as they are, without transform and log |J|; made once."""
    known = vars(target).setdefault("_in_support", {})
    if names not in known:
        spaces = {name: real(space.shape) if name in names else space for name, space in target.parameters.items()}
        known[names] = target.density.within(target, spaces)
    return known[names]


def refuse(target: Any, what: str) -> None:
    """Raise where a target was made from ``q.latents`` and ``what`` needs spaces."""
    if target.latents is not None:
        raise ValueError(
            f"{what}: {target.name} was made from q.latents, which have no spaces; pass the q, as in fit(target, q), "
            "or declare spaces, as in Target(log_density, {'mu': vi.real()})"
        )
