"""A log density of named parameters, each in a space of its own."""

import hashlib
import numbers
from collections.abc import Callable

import numpy as np

from .parameters import Parameters
from .python_source import PythonDensity


class NamedDensity(PythonDensity):
    """``log_density(*parameters, *data)`` as one of z: spaces are applied and log |J| is added by compiled code."""

    def __init__(
        self,
        log_density: Callable,
        parameters: Parameters,
        data: tuple,
        name: str,
        what: str = "log_density",
        partly: bool = False,
    ) -> None:
        self.parameters = parameters
        self.arguments = parameters.arguments_of(log_density, len(data), what, partly)
        super().__init__(log_density, parameters.dim, data, None, name)
        self.inputs = parameters.inputs(self.arguments)

    def in_python(self, z: np.ndarray) -> tuple[dict, float]:
        """(the arguments by name, log |J|) of a draw, with the bits that compiled code has.

        Rounding decides whether log1p(-p) is -40 or -inf, so a reference must not make an x of its own."""
        found, log_j = self.inputs.in_python([float(v) for v in z])
        return {
            name: np.array(value).reshape(place.shape) if place.shape else value
            for name, value, place in zip(self.arguments, found, self.inputs.separate, strict=True)
        }, log_j

    def _in_python(self, z):
        values, log_j = self.in_python(z)
        for value in values.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        with np.errstate(all="ignore"):
            found = self.source(*values.values(), *self.python_data)
        if isinstance(found, np.ndarray) and found.ndim == 0 and found.dtype.kind in "fiu":
            found = found[()]
        is_number = isinstance(found, numbers.Real) and not isinstance(found, bool | np.bool_)
        return float(found) + log_j if is_number else found

    def at(self, z) -> str:
        return ", ".join(f"{name} = {shown(value)}" for name, value in self.in_python(z)[0].items())

    def fingerprint(self) -> bytes:
        return hashlib.blake2b(super().fingerprint() + repr(self.parameters).encode(), digest_size=16).digest()

    def within(self, target, spaces):
        """The target with other spaces"""
        return type(target)(self.source, spaces, self.data, normalized=target.normalized, name=self.name)

    def remake(self, target) -> tuple:
        from .target import named

        return named, (self.source, self.parameters, self.data, target.normalized, self.name)


def shown(value) -> str:
    """A number to six digits, an array as NumPy shows it."""
    return f"{value:.6g}" if isinstance(value, float) else np.array2string(value, precision=6, threshold=8)
