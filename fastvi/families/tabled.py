"""What factors have in common whose draws are read off a table of their quantile function, or a simple map of eps."""

from abc import abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.random import quantiles, shape_derivatives
from .base import exp_of, flat_parameters
from .blocks import Block
from .one_run import OneRun

LEAST_SHAPE = 0.05  # below it draws underflow to 0, whose log is -inf
MOST = 1e8  # of a shape or a rate in a fit
ROUNDED = 1e-300  # z is no smaller


def tables_of(kind: int, *shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the table of each of the shapes without repetition, flat; where that of each begins)"""
    a, b = shapes if len(shapes) == 2 else (*shapes, np.ones(len(shapes[0])))
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    flat = quantiles.tables(kind, *np.array(list(distinct)).T.copy()).ravel()
    return flat, np.array([distinct[pair] * quantiles.SIZE for pair in pairs], float)


def derivatives_of(kind: int, which: int, tables: tuple[np.ndarray, np.ndarray], *shapes: np.ndarray) -> np.ndarray:
    """How these tables move with one of the shapes, flat and in their order"""
    a, b = shapes if len(shapes) == 2 else (*shapes, np.ones(len(shapes[0])))
    flat, first = tables[0].reshape(-1, quantiles.SIZE), np.unique(tables[1], return_index=True)[1]
    return shape_derivatives.tables(kind, which, a[first], b[first], flat).ravel()


def looked_up(tables: tuple[np.ndarray, np.ndarray], eps: np.ndarray) -> np.ndarray:
    """The tables that begin at the second, one for each of the last axis of eps"""
    pieces = tables[0].reshape(-1, quantiles.SIZE)[(tables[1] / quantiles.SIZE).astype(int)]
    return np.stack([quantiles.evaluate(own, eps[..., i]) for i, own in enumerate(pieces)], axis=-1)


class TabledBlock(Block):
    """Kinds whose draws are a table of eps; the scores of the parameters are multiples of the centred statistics."""

    has_tables = True

    def valid(self, natural):
        return np.isfinite(natural).all(axis=1) & self.exists(natural) & self.bounded(natural)

    def bounded(self, natural):
        """Whether a fit may go there, of what exists"""
        return np.abs(natural).max(axis=1) < MOST

    @property
    @abstractmethod
    def units(self) -> np.ndarray:
        """d eta / d parameters of each statistic, (count, width)"""

    @property
    def score_root(self):
        return self.units[:, :, None] * self.root

    @property
    def row_roots(self):
        size = self.count * self.width
        first = np.zeros((self.count, self.width, self.count, self.width))
        own = np.arange(self.count)
        first[own, :, own, :] = np.swapaxes(np.linalg.inv(self.root), 1, 2)
        return first.reshape(size, size), np.zeros((size, size))

    def places(self, row, height):
        own = row + np.arange(self.count * self.width).reshape(self.count, self.width, 1)
        return self.flat(own[..., 0]), self.flat(self.units)

    @property
    @abstractmethod
    def arguments(self) -> tuple[np.ndarray, ...]:
        """What the constructor takes"""


class TabledPaths(TabledBlock):
    """Kinds that can be differentiated through."""

    has_paths = True

    @property
    def exponents(self) -> np.ndarray:
        """(count, width): log q is these times the statistics, less the normaliser"""
        return self.natural - 1.0

    @property
    def path_units(self) -> np.ndarray:
        """(count, width): pathwise terms of ``parameters`` are these times ``path_sums``"""
        return self.units

    @abstractmethod
    def path_sums(self, eps: np.ndarray, z: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """What kernels add up, (n, count, width)"""

    @abstractmethod
    def statistic_slopes(self, z: np.ndarray) -> np.ndarray:
        """dt / dz at z, (n, count, entries of a factor, width)"""

    def whitened_slopes(self, z):
        return np.einsum("cij,ncmj->ncmi", np.linalg.inv(self.root), self.statistic_slopes(z))

    def path_places(self, row, height):
        places, _ = self.places(row, height)
        entropy = -self.units * np.einsum("cij,cj->ci", self.fisher, self.exponents)
        return places, self.flat(self.path_units), self.flat(entropy)

    def path_terms(self, eps, z, slopes):
        return self.flat(self.path_units * self.path_sums(eps, z, slopes))


class TwoShapes(TabledPaths):
    """Kinds with two positive parameters, ``a`` and ``b``."""

    a: np.ndarray
    b: np.ndarray

    @property
    def density(self):
        return self.a, self.b

    @property
    def arguments(self):
        return self.a, self.b

    def arguments_of(self, vector):
        return exp_pair(vector)


class TabledFactors(OneRun):
    """A family of one run of such factors."""

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member with these ``parameters``"""
        flat = flat_parameters(vector, len(self.parameters))
        return self._made(self.blocks[0].arguments_of(flat), self.shapes[0])

    def with_natural(self, natural: ArrayLike) -> Self:
        """The member with these natural parameters, (factors, statistics of a factor)

        Raises
        ------
        ValueError
            where there is no such member
        """
        natural, block = self._checked_natural(natural), self.blocks[0]
        if not block.exists(natural).all():
            bad = int(np.argmin(block.exists(natural)))
            raise ValueError(f"natural: expected those of a {type(self).__name__} factor, got {natural[bad]} at {bad}")
        return self._made(block.with_natural(natural).arguments, self.shapes[0])


def positive_arrays(least: float = 0.0, **given: ArrayLike) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """(each as an array (n,), the shape as it was given) of arguments of one shape, or numbers that serve for all."""
    arrays = {name: checks.numeric(name, value) for name, value in given.items()}
    shapes = {array.shape for array in arrays.values()} - {()}
    if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
        got = ", ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{', '.join(arrays)}: expected numbers or arrays (n,) of one length, got shapes {got}")
    shape = shapes.pop() if shapes else ()
    found = []
    for name in given:
        array = checks.real_array(name, np.broadcast_to(arrays[name], shape or (1,)), 1)
        found.append(checked_least(name, array, least))
    return found, shape


def checked_least(name: str, array: np.ndarray, least: float = 0.0) -> np.ndarray:
    """An array whose values are positive, and at least so much."""
    if not (array > 0.0).all() or not (array >= least).all():
        bad = tuple(map(int, np.unravel_index(np.argmin(array), array.shape)))
        limit = f"of at least {least}, as draws of less underflow to 0" if least else "above 0"
        index = bad if len(bad) > 1 else bad[0]
        raise ValueError(f"{name}: expected values {limit}, got {array[bad]} at index {index}")
    return array


def exp_pair(vector: np.ndarray) -> tuple[np.ndarray, ...]:
    """exp of both halves"""
    return tuple(np.split(exp_of("logs", vector), 2))
