"""A density of one row of data and of model parameters: both are coordinates of it, beside z."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.density import abi
from .constraints import real
from .named import NamedDensity
from .parameters import Parameters
from .rows import numbers_of_items
from .target import Target

ENOUGH_ROWS = abi.LANE_WIDTH // 2 + 1  # for every lane to be worth a row
UNSEEN = "_weights", "_sums"  # arguments beyond those of the user's function


def items(what: str, given, data: tuple) -> tuple[int, ...]:
    """Numbers of items of data."""
    found = numbers_of_items(what, given, data)
    for i in found:
        if what == "rows" and not isinstance(data[i], np.ndarray):
            raise ValueError(f"rows: data[{i}] has no rows; expected an array, got {data[i]!r}")
        if np.ndim(data[i]) > (3 if what == "rows" else 2):
            raise ValueError(f"{what}: data[{i}] has {np.ndim(data[i])} dimensions, more than compiled code follows")
    return found


def local_density(target: Target, rows, parameters, data, number: int) -> "LocalDensity":
    """The density of a target for these items and a number of rows; made once for their shapes.

    Where there are rows for all lanes, the gradient by matrices is summed over them by the density itself, if all that
    it does with them is to multiply them with vectors."""
    both = set(rows) & set(parameters)
    if both:
        raise ValueError(f"parameters: data[{both.pop()}] has rows, so it is no parameter of all of them")
    shapes = tuple(np.shape(v)[1:] if i in rows else np.shape(v) for i, v in enumerate(data))
    summed = tuple(i for i in parameters if len(shapes[i]) == 2) if number >= ENOUGH_ROWS else ()
    known = vars(target).setdefault("_batches", {})
    key = rows, parameters, shapes, tuple(np.asarray(v).dtype.kind for v in data), summed
    if key not in known:
        known[key] = LocalDensity(target, rows, parameters, shapes, data, summed)
        if summed and not known[key].compiles:
            known[key] = known[key].by_coordinates(data)
    return known[key]


class LocalDensity:
    """A density of ``[z; items of a row; theta]`` with the rest of its data.

    Parameters that are ``summed`` are data too, followed by the weights of lanes and the sums."""

    def __init__(self, target: Target, rows, parameters, shapes, data, summed=()) -> None:
        self.target, self.rows, self.parameters, self.shapes, self.summed = target, rows, parameters, shapes, summed
        source = target.density.source
        assert source is not None
        every = list(inspect.signature(source).parameters)
        own = len(every) - len(data)
        z, names = every[:own], every[own:]
        if target.parameters is None and own != 1:
            raise TypeError(f"log_density: expected {1 + len(data)} arguments, z and data, got ({', '.join(every)})")
        spaces = {z[0]: real(target.dim)} if target.parameters is None else dict(target.parameters)
        self.coordinates = [i for i in parameters if i not in summed]
        self.entries = sum(math.prod(shapes[i]) for i in summed)
        spaces |= {names[i]: real(shapes[i]) for i in (*rows, *self.coordinates)}
        self.rest = [i for i in range(len(data)) if i not in rows and i not in parameters]
        wanted = [*z, *(names[i] for i in (*rows, *self.coordinates, *self.rest, *summed))]
        function = in_order(source, every, [*wanted, *(UNSEEN if summed else ())])
        self.density = NamedDensity(function, Parameters(spaces), self.packed(data), target.name)
        self.density.inputs = self.density.inputs._replace(summed=len(summed))

    def packed(self, data: tuple) -> tuple:
        """What the density has as data"""
        rest = tuple(data[i] for i in self.rest)
        if not self.summed:
            return rest
        matrices = [np.ascontiguousarray(data[i], dtype=float) for i in self.summed]
        return *rest, *matrices, np.ones(abi.LANE_WIDTH), np.zeros(self.entries)

    @property
    def compiles(self) -> bool:
        """In lanes, with its gradient"""
        try:
            return self.density.gradients().vectorised
        except TypeError:
            return False

    def by_coordinates(self, data: tuple) -> "LocalDensity":
        """The same with lanes for every parameter"""
        return local_density(self.target, self.rows, self.parameters, data, 0)

    def split(self, data: tuple, number: int) -> tuple[np.ndarray, np.ndarray, abi.Memory]:
        """(items of each row (N, P), coordinates of theta (Q,), the rest)"""
        for i in self.rows:
            if len(data[i]) != number:
                raise ValueError(f"rows: expected {number} rows, as loc has, but data[{i}] has {len(data[i])}")
        local = [np.asarray(data[i], float).reshape(number, -1) for i in self.rows]
        theta = [np.asarray(data[i], float).reshape(-1) for i in self.coordinates]
        return (
            np.ascontiguousarray(np.concatenate(local, axis=1)) if local else np.empty((number, 0)),
            np.concatenate(theta) if theta else np.empty(0),
            abi.Memory(self.packed(data)),
        )

    def shaped(self, flat: np.ndarray, data: tuple) -> tuple[np.ndarray, ...]:
        """Theta by its items."""
        order = [*self.coordinates, *self.summed]
        ends = np.cumsum([np.size(data[i]) for i in order])
        parts = dict(zip(order, np.split(flat, ends[:-1]) if len(ends) else [], strict=True))
        return tuple(parts[i].reshape(np.shape(data[i])) for i in self.parameters)

    def points(self, given, most: int = 2) -> np.ndarray:
        """[z; items; theta] of the first rows, at their locations."""
        locs, _, local, theta, _ = given
        n = min(most, len(locs))
        return np.concatenate([locs[:n], local[:n], np.broadcast_to(theta, (n, len(theta)))], axis=1)


def in_order(source: Callable, names: list[str], wanted: list[str]) -> Callable:
    """``source`` as a function of its arguments in another order."""
    if wanted == names:
        return source
    scope: dict[str, Any] = {"source": source}
    exec(f"def reordered({', '.join(wanted)}):\n    return source({', '.join(names)})\n", scope)  # noqa: S102
    return scope["reordered"]
