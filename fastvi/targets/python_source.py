"""A log density compiled, and trusted once it has agreed with Python."""

import hashlib
import numbers
import time
from collections.abc import Callable

import numpy as np

from .. import checks
from ..kernels.density import abi, compilations
from . import derivatives
from .derivatives import agree
from .external import Foreign

LOOK_SECONDS = 0.05  # a density that takes longer than this in Python is compared at one draw, not two
NOT_AS_PYTHON = "in lanes it does not do what it does in Python (arrays of length one are not spread)"


class LogDensity:
    """What a :class:`Target` is to the sweeps: addresses, data, and Python's own answer."""

    name: str
    dim: int
    log_density: Callable
    written_gradient: Callable | None
    data: tuple
    python_data: list | tuple
    memory: abi.Memory
    foreign: Foreign | None
    _known: compilations.Known | None
    _looked_at: bool

    def renew(self, memory: abi.Memory | None) -> None:
        """Take other data from now on; whoever holds the old keeps it alive."""
        if memory is not None:
            self.memory = memory

    def raise_failure(self) -> None:
        """Raise what a density that is not compiled from Python has kept for us, if anything."""
        failure = None if self.foreign is None else self.foreign.failure()
        if failure is not None:
            raise failure

    def state(self) -> bytes:
        """What decides its numbers now, source and data, as bytes that mean the same in another process."""
        if self.foreign is not None:
            self.renew(self.foreign.memory())
            parts = [compilations.state(f) for f in self.foreign.functions()]
        else:
            functions = (self.log_density, self.written_gradient)
            parts = [compilations.state(f) for f in functions if f is not None]
        parts += [repr((a.shape, a.dtype.str)).encode() + a.tobytes() for a in map(np.asarray, self.memory.data)]
        return hashlib.blake2b(b"".join(parts), digest_size=16).digest()

    @property
    def compiled(self) -> abi.Compiled:
        """The compiled density; compiles when the function, or something it refers to, is new."""
        if self.foreign is not None:
            self.renew(self.foreign.memory())
            return self.foreign.values()
        return self._current().compiled

    def _current(self) -> compilations.Known:
        known = self._known
        if known is None or not known.watch.unchanged():
            watch = compilations.Watch(self.log_density)  # first: what changes while it compiles is seen the next time
            compiled = compilations.compiled(self.log_density, abi.data_types(self.data))
            known = self._known = compilations.Known(watch, compiled, False)
        return known

    def trusted(self, draws: Callable[[], np.ndarray]) -> abi.Compiled:
        """``compiled``, after it has once agreed with Python at the first two of ``draws()``, (n, dim)."""
        if self.foreign is not None:
            if not self._looked_at:
                self._looked_at = self.foreign.check(draws()[:2])
            return self.compiled
        known = self._known
        if known is not None and known.trusted and known.watch.unchanged():
            return known.compiled
        points = draws()[:2]
        expected = self.looked_up(points)
        known = self._current()
        compiled = known.compiled
        found = self._evaluate(compiled, points)
        if compiled.vectorised and (found is None or not all(map(agree, expected, found))):
            # lanes spread no arrays of length one, and what else they miss the slow way must not
            compiled = compilations.compiled(self.log_density, abi.data_types(self.data), NOT_AS_PYTHON)
            found = self._evaluate(compiled, points)
        if found is None:
            raise RuntimeError(f"log_density: {self.name} raises when compiled, at z = {points[0]}, and not in Python")
        for z, value, other in zip(points, expected, found, strict=False):
            if not agree(value, other):
                raise ValueError(
                    f"log_density: {self.name} gives {value!r} in Python and {float(other)!r} compiled, at z = {z}; "
                    "compiled integers wrap at 64 bits and are divided by zero without an error"
                )
        self._known = compilations.Known(known.watch, compiled, True)
        return compiled

    def looked_up(self, points) -> list[float]:
        """The density at one or two points as Python computes it; one where it is slow."""
        start = time.perf_counter()
        expected = [self.in_python(points[0], 0)]
        if len(points) > 1 and time.perf_counter() - start < LOOK_SECONDS:
            expected.append(self.in_python(points[1], 1))
        return expected

    def _evaluate(self, compiled, points, num_threads=1):
        """The compiled density at some points (n, dim), or None where it raised."""
        log_p = np.empty(len(points))
        none = np.empty((0, self.dim))
        return None if derivatives.over_points(compiled, self, points, log_p, none, num_threads) else log_p

    def in_python(self, z, draw) -> float:
        """The log density at z as Python computes it: raises what the function raises."""
        if self.foreign is not None:
            found = self._evaluate(self.compiled, np.array(z)[None])
            if found is None:
                raise self.foreign.failure(z) or RuntimeError(
                    f"{self.name}: the {self.foreign.what} reports an error at draw {draw}, z = {z}"
                )
            return float(found[0])
        z = np.array(z)
        z.flags.writeable = False  # a density that writes into its draw would change it for everyone
        try:
            with np.errstate(all="ignore"):
                value = self.log_density(z, *self.python_data)
        except Exception as error:
            error.add_note(f"raised by the log density {self.name} at draw {draw}, z = {z}")
            raise
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu":
                return float(value)
            raise TypeError(
                f"log_density: {self.name} returned {checks.describe(value)} ({type(value).__name__}); expected a float"
            )
        return float(value)
