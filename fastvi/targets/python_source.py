"""A log density written in Python: compiled, and trusted once it has agreed with Python."""

import functools
import hashlib
import math
import numbers
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks
from ..kernels.density import abi, compilations
from .data import read_only
from .density import Density, agree
from .few_points import FewPoints, suits
from .ieee import by_arithmetic, left_the_reals

LOOK_SECONDS = 0.05  # a density that takes longer than this in Python is compared at one draw, not two
OPERATIONS_AN_ENTRY, OPERATIONS_A_DIMENSION = 4.0, 16.0  # of data, which a density reads once, and of z
ROUNDING_DECIDES = (
    ", as rounding decides whether it is nan (a square root or logarithm of what cancels to 0, a Cholesky factor of a "
    "singular matrix: add a jitter to its diagonal)"
)
NOT_AS_PYTHON = "the vectorised version disagrees with Python (length-1 arrays do not broadcast)"


class PythonDensity(Density):
    """``log_density(z, *data)``, with its gradient derived from the source or, if ``gradient`` is given, written."""

    source: Callable
    inputs: Any = None  # its named parameters, if it has any

    def __init__(self, log_density: Callable, dim: int, data: tuple, gradient: Callable | None, name: str) -> None:
        super().__init__(dim, name)
        self.source, self.gradient, self.data = log_density, gradient, data
        # as a Python caller would pass them: numbers that do not wrap, arrays that are not to be written
        self.python_data = tuple(read_only(v) if isinstance(v, np.ndarray) else v.item() for v in data)
        self._memory = abi.Memory(data)
        self._kinds = abi.data_types(data)
        self.operations = self.operations_of(data, dim)
        self._known: dict[bool, compilations.Known] = {}  # by whether it is the one with a gradient
        self._few = FewPoints()

    @staticmethod
    def operations_of(data: tuple, dim: int) -> float:
        """Of one draw, roughly."""
        return OPERATIONS_AN_ENTRY * sum(np.size(v) for v in data) + OPERATIONS_A_DIMENSION * dim

    def values(self) -> abi.Compiled:
        return self._current(False).compiled

    def gradients(self) -> abi.Compiled:
        return self._current(True).compiled

    def memory(self) -> abi.Memory:
        return self._memory

    def _current(self, gradient) -> compilations.Known:
        """Compiles when the function, or something it refers to, is new."""
        known = self._known.get(gradient)
        if known is None or not known.watch.unchanged():
            # the watch first: what changes while it compiles is seen the next time
            if not gradient:
                watch = compilations.Watch(self.source)
                compiled = compilations.compiled(self.source, self._kinds, None, self.inputs)
            elif self.gradient is None:
                watch = compilations.Watch(self.source)
                compiled = compilations.differentiated(self.source, self._kinds, not self.careful, self.inputs)
            else:
                watch = compilations.Watch(self.source, self.gradient)
                compiled = compilations.with_gradient(self.source, self.gradient, self._kinds)
            known = self._known[gradient] = compilations.Known(watch, compiled, False)
        return known

    def evaluate(self, points, num_threads=1, gradient=False, compiled=None, into=None):
        def usual(compiled=compiled):
            return super(PythonDensity, self).evaluate(points, num_threads, gradient, compiled, into)

        if (
            compiled is not None
            or into is not None
            or not suits(self, points)
            or gradient
            and self.gradient is not None
        ):
            return usual()
        wide = self._current(gradient).compiled
        return self._few.evaluate(self, wide, points, gradient, lambda: usual(wide)) if wide.vectorised else usual()

    def few(self, width: int, gradient: bool) -> abi.Compiled | None:
        """The function of values, or of gradients too, of ``width`` draws at a time."""
        return compilations.few(self.source, self._kinds, width, gradient, not self.careful, self.inputs)

    def alone(self) -> abi.Compiled:
        """The function of values of one draw at a time."""
        return compilations.compiled(self.source, self._kinds, NOT_AS_PYTHON, self.inputs)

    def recompile(self) -> abi.Compiled:
        self.careful = True
        self._known.pop(True, None)
        return self.gradients()

    def trusted(self, draws, gradient=False) -> abi.Compiled:
        known = self._known.get(gradient)
        if known is not None and known.trusted and known.watch.unchanged():
            return known.compiled
        points = draws()[:2]
        expected = self.looked_up(points)
        known = self._verified_gradient(points, expected) if gradient else self._verified(points, expected)
        self._known[gradient] = known._replace(trusted=True)
        return known.compiled

    def _verified(self, points, expected) -> compilations.Known:
        """The function of values, which agrees with Python; if not in lanes then draw by draw."""
        known = self._current(False)
        compiled = known.compiled
        found = self.evaluate(points, compiled=compiled)
        if compiled.vectorised and (found is None or not all(map(agree, expected, found[0]))):
            # lanes spread no arrays of length one, and what else they miss the slow way must not
            compiled = self.alone()
            found = self.evaluate(points, compiled=compiled)
        if found is None:
            self.raise_again(points)
        for z, value, other in zip(points, expected, found[0], strict=False):
            if not agree(value, other):
                raise ValueError(
                    f"log_density: {self.name} gives {value!r} in Python and {float(other)!r} compiled"
                    f"{ROUNDING_DECIDES if math.isnan(value) != math.isnan(other) else ''}, at {self.at(z)}"
                )
        return known._replace(compiled=compiled)

    def _verified_gradient(self, points, expected) -> compilations.Known:
        """The function of values and gradients, whose values agree with Python, as does a written gradient."""
        slope = None if self.gradient is None else self._written(points[0])
        found = self.evaluate(points, gradient=True)
        if found is None and self.evaluate(points) is None:
            self.raise_again(points)
        if slope is not None and found is not None and not all(map(agree, slope, found[1][0])):
            raise ValueError(f"gradient: it gives {slope} in Python and {found[1][0]} compiled, at z = {points[0]}")
        if found is None or not all(map(agree, expected, found[0])):
            self.trusted(lambda: points)  # which raises what is wrong with the density itself
            raise TypeError(
                f"log_density: {self.name} cannot be differentiated: its differentiated version gives "
                f"{'an error' if found is None else found[0]} and Python {expected}, at {self.at(points[0])}"
            )
        return self._current(True)

    def looked_up(self, points) -> list[float | None]:
        """The density at one or two points as Python computes it; one where it is slow."""
        start = time.perf_counter()
        expected = [self.reference(points[0], 0)]
        if len(points) > 1 and time.perf_counter() - start < LOOK_SECONDS:
            expected.append(self.reference(points[1], 1))
        return expected

    def reference(self, z, draw) -> float | None:
        try:
            value = self._in_python(z)
        except Exception as error:
            if by_arithmetic(error):
                return None
            tell_where(error, self._at(draw, z))
            raise
        if left_the_reals(value):
            return None
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu":
                return float(value)
            raise TypeError(
                f"log_density: {self.name} returned {checks.describe(value)} ({type(value).__name__}); expected a float"
            )
        return float(value)

    def _in_python(self, z):
        z = np.array(z)
        z.flags.writeable = False  # a density that writes into its draw would change it for everyone
        with np.errstate(all="ignore"):
            return self.source(z, *self.python_data)

    def _at(self, draw, z) -> str:
        return f"raised by the log density {self.name} at draw {draw}, {self.at(z)}"

    def raise_again(self, draws, first=0) -> None:
        for draw, z in enumerate(draws, first):
            self.reference(z, draw)
        for draw, z in enumerate(draws, first):
            if self.evaluate(z[None]) is not None:
                continue
            try:  # an integer that is divided by zero, which has no value in IEEE 754 either
                self._in_python(z)
            except Exception as error:
                tell_where(error, self._at(draw, z))
                raise
            raise OverflowError(
                f"log_density: {self.name} divides an integer by zero or makes one of more than 64 bits, at "
                f"{self.at(z)}, which compiled code refuses; write float(n)"
            )
        super().raise_again(draws, first)

    def _written(self, z) -> np.ndarray:
        """The written gradient as Python computes it, which must be complete; raises what the function raises."""
        assert self.gradient is not None
        out, name, z = np.full(self.dim, np.nan), self.gradient.__name__, z.copy()
        z.flags.writeable = False
        try:
            with np.errstate(all="ignore"):
                self.gradient(z, *self.python_data, out)
        except Exception as error:
            tell_where(error, f"raised by the gradient {name} at z = {z}")
            raise
        value = self.reference(z, 0)
        if np.isnan(out).any() and value is not None and np.isfinite(value):
            raise ValueError(
                f"gradient: {name} leaves out[{int(np.argmax(np.isnan(out)))}] unwritten or nan, at z = {z}"
            )
        return out

    def fingerprint(self) -> bytes:
        parts = [compilations.state(f) for f in (self.source, self.gradient) if f is not None]
        parts += [repr((a.shape, a.dtype.str)).encode() + a.tobytes() for a in map(np.asarray, self.data)]
        return hashlib.blake2b(b"".join(parts), digest_size=16).digest()

    def unwritten(self, target):
        """The target with the derived gradient in place of the written one"""
        return type(target)(self.source, self.dim, self.data, name=self.name)

    def remake(self, target) -> tuple:
        options = dict(gradient=self.gradient, normalized=target.normalized, name=self.name)
        kind: Any = type(target)
        return functools.partial(kind, **options), (self.source, self.dim, self.data)


def tell_where(error: Exception, where: str) -> None:
    """Add the draw to what an exception of the user's says, whose type and attributes stay."""
    error.add_note(where)
    said = error.args[0] if len(error.args) == 1 else "" if not error.args else None
    if isinstance(said, str) and "raised by the " not in said:
        error.args = (f"{said} [{where}]" if said else where,)
