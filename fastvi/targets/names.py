"""What a target says of its parameters: their names and values at a point z, and z at values."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from .density import Density
from .latents import Latents, refuse
from .parameters import Parameters


class Names:
    """The part of a :class:`Target` that knows names."""

    density: Density
    dim: int
    name: str

    @property
    def parameters(self) -> Parameters | None:
        """Names and spaces of the parameters; None of a flat z."""
        return self.density.parameters

    @property
    def source(self) -> str | None:
        """The source of a density that is written in Python or translated from PyMC, JAX or NumPyro; or None."""
        return self.density.text

    @property
    def latents(self) -> dict[str, tuple] | None:
        """Names and shapes of a target that was made from ``q.latents``; None of others."""
        parameters = self.density.parameters
        return dict(parameters.shapes) if isinstance(parameters, Latents) else None

    def constrain(self, z: ArrayLike) -> dict[str, Any]:
        """The parameters by name at one point (dim,), or at many (n, dim) as arrays (n, *shape).

        A target without names has the one parameter ``z``; one of a PyMC or Stan model has what the model reports.
        """
        refuse(self, "constrain")
        points, single = checks.points(z, self.dim)
        found = self.density.constrained(points)
        return {name: value[0] for name, value in found.items()} if single else found

    def unconstrain(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """The point z (dim,) at which the parameters have these values.

        Raises
        ------
        ValueError
            for a name that is missing or not declared, another shape, or a value outside of its space
        """
        refuse(self, "unconstrain")
        return self.density.unconstrained(values)

    def start(self, values: Any) -> Any:
        """A point to start from: of named values, those that are left out at z = 0; anything else as it is."""
        return self.density.unconstrained(values, "start", partly=True) if isinstance(values, Mapping) else values
