"""A log density that is a sum over rows of its data, and a log prior that is added once."""

import functools
import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks
from ..kernels.density import abi, row_blocks
from .data import python_function
from .density import Density
from .named import NamedDensity
from .python_source import PythonDensity

BLOCK = 512  # rows at a time: what a density makes of them stays in the second cache


def no_density():
    """Of no parameters: all that is left of it is log |J| of a target's spaces."""
    return 0.0


class RowsDensity(Density):
    """``weight`` times the sum of log_density over rows, plus log_prior(z), plus a ``line`` in z.

    ``inner`` is the density of the first block of rows: it is what is compiled, and compared with Python; ``once`` has
    the densities that are added once, each with a factor.
    """

    what = "sum over rows"

    def __init__(self, make: Callable[..., PythonDensity], data: tuple, rows: tuple[int, ...], prior=None) -> None:
        self.rows, self.prior = rows_of(rows, data), None
        self.make = make
        self.inner = make(data=self._block(data, 0))
        super().__init__(self.inner.dim, self.inner.name)
        self.parameters = self.inner.parameters
        self.weight, self.volume = 1.0, None
        self._line: row_blocks.Line | None = None
        if prior is not None:
            self.prior = beside(self.inner, python_function("log_prior", prior), "log_prior")
            every_argument_used(self.inner, self.prior)
        if self.inner.inputs is not None and self.inner.parameters.inputs([]).stage.rows:
            self.volume = beside(self.inner, no_density, "log |J|")
        self._functions: dict[bool, tuple[int, ...]] = {False: (), True: ()}
        self._packed: tuple[Any, abi.Memory] | None = None
        self._take(data)

    def _take(self, data):
        self.data = data
        self.count = len(data[self.rows[0]]) if self.rows else 1
        self.operations = PythonDensity.operations_of(data, self.dim)
        self._memory = abi.Memory(data)

    def subset(self, index: np.ndarray, weight: float) -> "RowsDensity":
        """The density of some rows, each counted ``weight`` times, without compiling anything."""
        found = type(self).__new__(type(self))
        found.__dict__.update(self.__dict__)
        found.rates, found._line, found._packed = {}, None, None
        found._take(tuple(v[index] if i in self.rows else v for i, v in enumerate(self.data)))
        found.weight = self.weight * weight
        return found

    @property
    def line(self) -> row_blocks.Line | None:
        """What is added to the sum, linear in z."""
        return self._line

    @line.setter
    def line(self, line: row_blocks.Line) -> None:
        self._line, self._packed = line, None

    def _block(self, data, first):
        return tuple(v[first : first + BLOCK] if i in self.rows else v for i, v in enumerate(data))

    def _blocks(self):
        """The density of each block of rows."""
        return (self.make(data=self._block(self.data, first)) for first in range(0, self.count, BLOCK))

    @property
    def careful(self) -> bool:  # type: ignore[override]
        return self.inner.careful

    @property
    def text(self) -> str | None:
        return self.inner.text

    @property
    def terms(self) -> list[tuple[PythonDensity, float]]:
        """Densities that are added once, each with its factor."""
        found = [] if self.prior is None else [(self.prior, 1.0)]
        if self.volume is not None:  # log |J| comes with every block and with the prior, and is wanted once
            factor = 1.0 - len(found) - self.weight * -(-self.count // BLOCK)
            found += [(self.volume, factor)] if factor else []
        return found

    def _of(self, gradient, compiled: list[abi.Compiled]) -> abi.Compiled:
        """All of it from its compiled parts."""
        first, function = compiled[0], row_blocks.over_rows()
        self._functions[gradient] = tuple(c.address for c in compiled)
        padded = any(c.vectorised or c.padded for c in compiled)
        smooth = all(c.smooth for c in compiled)
        return abi.Compiled(function.address, first.vectorised, first.reason, (*compiled, function), smooth, padded)

    def values(self) -> abi.Compiled:
        return self._of(False, [d.values() for d in self._parts])

    def gradients(self) -> abi.Compiled:
        return self._of(True, [d.gradients() for d in self._parts])

    @property
    def _parts(self):
        return [d for d in (self.inner, self.prior, self.volume) if d is not None]

    def memory(self) -> abi.Memory:
        addresses = self._functions[False], self._functions[True]
        if self._packed is None or self._packed[0] != addresses:
            values, gradients = (a or (0,) * len(self._parts) for a in addresses)
            places = {id(d): k for k, d in enumerate(self._parts)}
            terms = tuple(
                row_blocks.Term(values[places[id(d)]], gradients[places[id(d)]], d.memory(), factor)
                for d, factor in self.terms
            )
            functions = values[0], gradients[0]
            packed = row_blocks.packed(functions, self._memory, self.rows, BLOCK, self.weight, terms, self.line)
            self._packed = addresses, packed
        return self._packed[1]

    def trusted(self, draws, gradient=False) -> abi.Compiled:
        return self._of(gradient, [d.trusted(draws, gradient) for d in self._parts])

    def recompile(self) -> abi.Compiled:
        for density in self._parts:
            density.recompile()
        return self.gradients()

    def reference(self, z, draw) -> float | None:
        """By Python, block by block."""
        line = 0.0 if self.line is None else self.line.offset + float(self.line.slope @ z)
        total, factors = 0.0, [(density, self.weight) for density in self._blocks()] + self.terms
        for density, factor in factors:
            value = density.reference(z, draw)
            if value is None:
                return None
            total += factor * value
        return total + line

    def raise_again(self, draws, first=0) -> None:
        for density in itertools.chain(self._blocks(), self._parts):
            if density.evaluate(draws) is None:
                density.raise_again(draws, first)
        super().raise_again(draws, first)

    def at(self, z) -> str:
        return self.inner.at(z)

    def fingerprint(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for density in self._parts:
            digest.update(density.fingerprint())
        digest.update(repr((self.rows, self.weight)).encode())
        for value in map(np.ascontiguousarray, self.data):
            digest.update(repr((value.shape, value.dtype.str)).encode())
            digest.update(value.reshape(-1).data)
        return digest.digest()

    def within(self, target, spaces):
        """The target with other spaces"""
        return type(target)(self.inner.source, spaces, self.data, **self._options(target))

    @property
    def gradient(self):
        """The written one of the sum, if there is one."""
        return self.inner.gradient

    def unwritten(self, target):
        """The target with the derived gradient in place of the written one"""
        return type(target)(self.inner.source, self.dim, self.data, **self._options(target))

    def _options(self, target):
        prior = None if self.prior is None else self.prior.source
        return dict(rows=self.rows, log_prior=prior, normalized=target.normalized, name=self.name)

    def remake(self, target) -> tuple:
        given = self.dim if self.parameters is None else self.parameters
        options = self._options(target) | dict(gradient=self.inner.gradient)
        kind: Any = type(target)
        return functools.partial(kind, **options), (self.inner.source, given, self.data)


def beside(inner: PythonDensity, function, what: str) -> PythonDensity:
    """A density of the same z, without data."""
    if isinstance(inner, NamedDensity):
        return NamedDensity(function, inner.parameters, (), f"{what} of {inner.name}", what, True)
    return PythonDensity(function, inner.dim, (), None, f"{what} of {inner.name}")


def every_argument_used(inner: PythonDensity, prior: PythonDensity) -> None:
    """No parameter is left out by both."""
    used = {inner.parameters.split(a)[1] for d in (inner, prior) for a in getattr(d, "arguments", ())}
    for name in inner.parameters or ():
        if name not in used:
            raise TypeError(f"log_density, log_prior: {name} is declared, but an argument of neither")


def numbers_of_items(what: str, given: Any, data: tuple) -> tuple[int, ...]:
    """Numbers of items of data, all of them different."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = (given,)
    if not isinstance(given, tuple | list):
        raise TypeError(f"{what}: expected numbers of items of data, such as (0, 1), got {checks.describe(given)}")
    found = tuple(checks.count(what, i, 0) for i in given)
    for i in found:
        if i >= len(data):
            raise ValueError(f"{what}: expected numbers of the {len(data)} items of data, got {i}")
    if len(set(found)) < len(found):
        raise ValueError(f"{what}: expected different items, got {found}")
    return found


def rows_of(rows: Any, data: tuple) -> tuple[int, ...]:
    """Numbers of items of data that have a row each for the same rows."""
    found = numbers_of_items("rows", rows, data)
    for i in found:
        if not isinstance(data[i], np.ndarray) or len(data[i]) == 0:
            raise ValueError(f"rows: data[{i}] has no rows; expected an array of at least one, got {data[i]!r}")
    if len({len(data[i]) for i in found}) > 1:
        shown = ", ".join(f"data[{i}] has {len(data[i])}" for i in found)
        raise ValueError(f"rows: expected items with as many rows each; {shown}")
    return found
