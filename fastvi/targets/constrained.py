"""A density from elsewhere, of constrained values, as one of z."""

from typing import Any

import numpy as np

from ..kernels.density import abi
from .density import Density
from .parameters import Parameters


class ConstrainedDensity(Density):
    """Spaces around the C functions of another target."""

    def __init__(self, inner, parameters: Parameters) -> None:
        if inner.dim != parameters.stage.height:
            raise ValueError(
                f"parameters: expected {inner.dim} numbers, as {inner.name} takes, got {parameters.stage.height}"
            )
        super().__init__(parameters.dim, inner.name)
        self.inner, self.parameters, self.what = inner, parameters, inner.density.what
        self.operations, self.batch_size = inner.density.operations, inner.density.batch_size
        self.opaque = inner.density.opaque

    @property
    def careful(self) -> bool:  # type: ignore[override]
        return self.inner.density.careful

    def _around(self, compiled: abi.Compiled, gradient: bool) -> abi.Compiled:
        from ..kernels.density import constrained

        outer = constrained.around(self.parameters.stage, compiled.address, gradient)
        return compiled._replace(address=outer.address, keep=(compiled, outer), padded=True)

    def values(self) -> abi.Compiled:
        return self._around(self.inner.density.values(), False)

    def gradients(self) -> abi.Compiled:
        return self._around(self.inner.density.gradients(), True)

    def memory(self) -> abi.Memory:
        return self.inner.density.memory()

    def x(self, points: Any) -> np.ndarray:
        return self.parameters.flat(np.atleast_2d(points))[0]

    def trusted(self, draws, gradient=False) -> abi.Compiled:
        return self._around(self.inner.density.trusted(lambda: self.x(draws()), gradient), gradient)

    def writes_gradient(self, draws) -> bool:
        return self.inner.density.writes_gradient(lambda: self.x(draws()))

    def recompile(self) -> abi.Compiled:
        return self._around(self.inner.density.recompile(), True)

    def reference(self, z, draw) -> float | None:
        x, log_j = self.parameters.flat(np.atleast_2d(z))
        found = self.inner.density.reference(x[0], draw)
        return None if found is None else found + float(log_j[0])

    def failure(self, z=None) -> BaseException | None:
        return self.inner.density.failure(None if z is None else self.x(z)[0])

    def raise_again(self, draws, first=0) -> None:
        self.inner.density.raise_again(self.x(draws), first)

    def at(self, z) -> str:
        found = self.parameters.constrain(np.atleast_2d(z))
        return ", ".join(f"{name} = {value[0]}" for name, value in found.items())

    def fingerprint(self) -> bytes:
        return self.inner.density.fingerprint() + repr(self.parameters).encode()

    def within(self, target, spaces):
        """The target with other spaces"""
        return type(target).constrained(self.inner, spaces)

    def remake(self, target) -> tuple:
        return type(target).constrained, (self.inner, self.parameters)
