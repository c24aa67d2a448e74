"""What a target's log density is to everything above it: compiled functions, data, and a reference that checks them."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import kept_memory
from ..kernels.cpu import pool
from ..kernels.cpu.points import evaluate
from ..kernels.density import abi, tape_memory

BLOCK, LEAST_BLOCK = 960, 32  # points that a thread takes at a time: whole tiles, or groups of dear draws
DEAR = 2.0**20  # operations a draw
AGREE = 1e-6


class Density(ABC):
    """A log density and, where there is one, its gradient, as C functions of a tile of draws (``kernels.density.abi``).

    Attributes
    ----------
    name, what : str
        for messages: of the target, and what kind of function it is
    batch_size : int or None
        draws that it wants at a time, a power of two; None for what suits the caches
    opaque : bool
        whether changes can be detected only by comparing pickles
    doubtful : bool
        whether its comparisons of z, written by a library, may decide between formulas that meet
    jumps : bool or None
        whether such a density has steps, once that has been looked for
    careful : bool
        whether the gradient is compiled without accumulation in place
    parameters : Parameters or None
        names and spaces
    source : callable or None
        the Python function that can be compiled for a GPU too
    rates : dict
        measured seconds a draw, which decide where work runs and never what its result is
    operations : float
        that log p at a draw takes, roughly: a committed number, as estimators are chosen by it
    """

    what = "Python function"
    batch_size: int | None = None
    opaque = False
    careful = False
    doubtful = False
    jumps: bool | None = None
    source: Callable | None = None
    parameters: Any = None
    operations = 2.0**14  # of a function that is not ours to look into

    def __init__(self, dim: int, name: str) -> None:
        self.dim, self.name = dim, name
        self.rates: dict[tuple, float] = {}

    @abstractmethod
    def values(self) -> abi.Compiled:
        """The function of values alone, as the density means now."""

    @abstractmethod
    def gradients(self) -> abi.Compiled:
        """The function of values and gradients; raises TypeError where there is none."""

    @abstractmethod
    def trusted(self, draws: Callable[[], np.ndarray], gradient: bool = False) -> abi.Compiled:
        """One of the two, after it has once agreed with the reference at the first two of ``draws()``, (n, dim)."""

    def writes_gradient(self, draws: Callable[[], np.ndarray]) -> bool:
        """Whether the function of gradients gives any, which a foreign one may leave out."""
        return True

    @abstractmethod
    def memory(self) -> abi.Memory:
        """The data as they are now, which whoever holds this keeps alive."""

    @abstractmethod
    def reference(self, z: np.ndarray, draw: int) -> float | None:
        """log p at a draw by a way of its own; raises what the density raises.

        None where that has no value and IEEE 754 has one: see :mod:`fastvi.targets.ieee`."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """What decides its numbers now, code and data, as bytes that mean the same in another process."""

    def data_state(self) -> bytes:
        """Tells data apart that somebody else may set anew; empty where nobody can."""
        return b""

    @abstractmethod
    def remake(self, target) -> tuple:
        """(function, arguments) that make the target again in another process."""

    def within(self, target: Any, spaces: Any) -> Any:
        """The target with other spaces for its parameters"""
        raise ValueError(f"q: {self.name} is a {self.what}, whose parameters stay in their spaces; pass a Gaussian q")

    def recompile(self) -> abi.Compiled:
        """The gradient without accumulation in place, after a value was used that ``total += x`` had replaced."""
        raise RuntimeError(f"{self.name}: the {self.what} returned {abi.NEEDS_CARE}, which has no meaning")

    @property
    def text(self) -> str | None:
        """The source, where there is one to show."""
        try:
            return None if self.source is None else inspect.getsource(self.source)
        except OSError:
            return None

    def failure(self, z: np.ndarray | None = None) -> BaseException | None:
        """What the last call, or one at a draw z, raised, where that is known; told once."""
        return None

    def constrained(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Points (n, dim) by the names of parameters, (n, *shape) each."""
        return dict(z=points) if self.parameters is None else self.parameters.constrain(points)

    def unconstrained(self, values: Any, what: str = "values", partly: bool = False) -> np.ndarray:
        """z of values by name; those that are left out, where that is allowed, at z = 0."""
        if self.parameters is None:
            raise ValueError(f"{what}: {self.name} has no named parameters; declare them by parameters=")
        return self.parameters.unconstrain(values, what, partly)

    def labels(self) -> dict[tuple[int, int], str]:
        """(start, length) in z of each parameter, and its name; empty of a flat z."""
        places = {} if self.parameters is None else self.parameters.places
        return {(p.start, p.stop - p.start): name for name, p in places.items()}

    def coords(self) -> dict[str, list]:
        """Labels of the first axis of parameters, where somebody has named them."""
        return {}

    def coordinates(self) -> list[str]:
        """(dim,) names of the items of z: ``mu``, ``eta[3]``, or ``z[3]`` of a flat one."""
        found = [f"z[{i}]" for i in range(self.dim)]
        for (start, count), name in self.labels().items():
            found[start : start + count] = [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
        return found

    def at(self, z) -> str:
        """A draw, for messages."""
        return f"z = {z}"

    def raise_again(self, draws: np.ndarray, first: int = 0) -> None:
        """The compiled density raised at one of these draws (n, dim): raise the same."""
        failure = self.failure()
        if failure is not None:
            raise failure
        for draw, z in enumerate(draws, first):
            self.reference(z, draw)
        last = first + len(draws) - 1
        raise RuntimeError(
            f"the compiled log density {self.name} raised between the draws {first} and {last}, where Python does not"
        )

    def evaluate(self, points, num_threads=1, gradient=False, compiled=None, into=None):
        """(log p, gradients) at points (n, dim): (n,), and (n, dim) or no rows; None where the density raised.

        ``into`` is a pair of arrays to write to."""
        if compiled is None:
            compiled = self.gradients() if gradient else self.values()
        log_p, slopes = self.room(points, gradient) if into is None else into
        block = BLOCK if self.operations < DEAR else LEAST_BLOCK
        status = over_points(compiled, self.memory(), points, log_p, slopes, num_threads, block)
        if status == abi.NEEDS_CARE:
            return self.evaluate(points, num_threads, gradient, self.recompile(), into)
        return None if status else (log_p, slopes)

    def room(self, points, gradient: bool) -> tuple[np.ndarray, np.ndarray]:
        """For values, and gradients or none, of points."""
        return kept_memory.empty((len(points),)), kept_memory.empty((len(points) if gradient else 0, self.dim))


def over_points(compiled, memory, points, log_p, gradient, num_threads, block=BLOCK) -> int:
    """Evaluate a compiled density at points (n, dim), the gradient too unless it has no rows; the worst status."""
    kernel, stop, found = evaluate(), np.zeros(1, np.int64), []
    points = np.ascontiguousarray(points).view()
    points.flags.writeable = False

    def call(first, last):
        last = min(len(points), last * block)

        def points_from(first, room):
            where = compiled.address, memory.address, stop
            return kernel(points, first, last, *where, log_p, gradient, not compiled.whole, room)

        status, _ = tape_memory.with_room(points_from, first * block, abi.SCRATCH_SMALL)
        if status:
            found.append(status)
        return bool(status)

    blocks = -(-len(points) // block)
    pool.run(blocks, call, stop, num_threads, 0.0 if num_threads == 1 or blocks == 1 else None, None)
    return max(found, default=0)


def agree(value, other) -> bool:
    """Whether the reference and the compiled density say the same; nothing is said against one without a reference."""
    if value is None:
        return True
    if value == other or (value != value and other != other):
        return True
    return abs(value - other) <= AGREE * max(1.0, abs(value), abs(other))
