"""Log densities that are not written in Python for Numba: C functions, by the contract of ``kernels.density.abi``."""

import hashlib
from collections.abc import Callable

import numpy as np

from .. import checks
from ..kernels.density import abi, compilations
from .density import Density


class ExternalDensity(Density):
    """The base of such densities.

    Parameters
    ----------
    cost : float, optional
        operations of log p at a draw, :attr:`operations`

    Attributes
    ----------
    keep : tuple
        what must outlive the addresses
    """

    what = "C function"
    keep: tuple = ()

    def __init__(self, dim: int, name: str, data: tuple = (), cost: float | None = None) -> None:
        super().__init__(dim, name)
        if cost is not None:
            self.operations = checks.positive("cost", cost)
        self._memory, self._checked, self._writes = abi.Memory(data), False, False

    def gradients(self) -> abi.Compiled:
        return self.values()

    def memory(self) -> abi.Memory:
        return self._memory

    def trusted(self, draws, gradient=False) -> abi.Compiled:
        if not self._checked:
            self._checked = self.check(draws()[:2])
        return self.gradients() if gradient else self.values()

    def writes_gradient(self, draws) -> bool:
        if not self._writes:
            found = self.evaluate(draws()[:2], gradient=True)
            self._writes = found is not None and bool(np.isfinite(found[1]).any())
        return self._writes

    def check(self, points: np.ndarray) -> bool:
        """Validate before first use, at points (n, dim); True if it need not be repeated.  Raises what is wrong."""
        return True

    def reference(self, z, draw) -> float:
        found = self.evaluate(np.array(z)[None])
        if found is None:
            raise self.failure(z) or RuntimeError(
                f"{self.name}: the {self.what} reports an error at draw {draw}, z = {z}"
            )
        return float(found[0][0])

    def functions(self) -> list[Callable]:
        """Python functions that decide its numbers."""
        return []

    def fingerprint(self) -> bytes:
        parts = [compilations.state(f) for f in self.functions()]
        parts += [repr((a.shape, a.dtype.str)).encode() + a.tobytes() for a in map(np.asarray, self.memory().data)]
        return hashlib.blake2b(b"".join(parts), digest_size=16).digest()

    def remake(self, target) -> tuple:
        raise TypeError(
            f"{target.name}: a target from an address cannot be pickled; Target.from_factory(make, ...) has it made "
            "anew where it arrives"
        )


class Address(ExternalDensity):
    """A C function that somebody else keeps alive, or :attr:`keep`."""

    def __init__(self, address: int, dim: int, name: str, data: tuple = (), cost: float | None = None) -> None:
        super().__init__(dim, name, data, cost)
        self.compiled = abi.Compiled(address, False, "it is a C function", (), smooth=True)

    def values(self) -> abi.Compiled:
        return self.compiled
