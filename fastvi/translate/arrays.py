"""Arrays that depend on z: one axis is a vector, the others are unrolled into an object array of nodes."""

import math

import numpy as np

from .known import Known, Unsupported
from .nodes import INSIDE, Node, data, z_item, z_slice
from .pieces import MOST_UNROLLED, gathered, length, piece_item

FLAT = -1  # in place of an axis: all of them, by rows, are one vector
FEW = 24  # items that stay unrolled
ROWS = 8  # rows that are unrolled beside a vector; more make it flat
ELEMENTS = 8  # items that stay unrolled where data meet a number


def positions(a) -> np.ndarray:
    """Of the items of an array, by rows, in its shape: what moves items is run on these."""
    return np.arange(a.size).reshape(a.shape)


class Array:
    """
    Attributes
    ----------
    shape : tuple of int
    axis : int or None
        that is a vector; None where all is unrolled, ``FLAT`` where the whole array is one
    items : object array
        of nodes where ``axis`` is None; of pieces otherwise, with 1 in the place of the vector
    """

    def __init__(self, shape, axis, items) -> None:
        self.shape, self.axis, self.items = tuple(int(s) for s in shape), axis, items
        ones = [1 if axis == FLAT or k == axis else s for k, s in enumerate(self.shape)]
        if items.shape != tuple(ones):
            raise AssertionError((shape, axis, items.shape))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def within_a_step(self) -> bool:
        """Whether its items are numbers within a step of a loop."""
        return self.axis is None and any(x.n == INSIDE for x in self.items.flat)

    def number(self) -> Node:
        """The node of an array of one item."""
        if self.size != 1:
            raise AssertionError(self.shape)
        return self.at(0)

    def at(self, i: int) -> Node:
        """Item i by rows."""
        if self.axis is None:
            return self.items.flat[i]
        if self.axis == FLAT:
            return piece_item(self.items.flat[0], i)
        index = [int(k) for k in np.unravel_index(i, self.shape)]
        place, index[self.axis] = index[self.axis], 0
        return piece_item(self.items[tuple(index)], place)

    def unrolled(self) -> "Array":
        if self.axis is None:
            return self
        if self.size > MOST_UNROLLED:
            raise Unsupported(f"an array of shape {self.shape}, which would have to be unrolled")
        return unrolled([self.at(i) for i in range(self.size)], self.shape)

    def along(self, axis: int) -> "Array":
        """The same with the vector along an axis."""
        if self.axis == axis:
            return self
        if self.axis == FLAT:
            return self._rows(axis)
        if self.within_a_step():
            raise Unsupported("a vector within a step of a loop")
        moved = np.moveaxis(self.unrolled().items, axis, -1)
        out = np.empty((*moved.shape[:-1], 1), object)
        for i in np.ndindex(moved.shape[:-1]):
            row = moved[i]
            same = len(row) > 1 and all(x is row[0] for x in row)
            out[(*i, 0)] = ((len(row), row[0]),) if same else tuple((1, x) for x in row)
        return Array(self.shape, axis, np.moveaxis(out, -1, axis))

    def _rows(self, axis):
        if self.size // self.shape[axis] > MOST_UNROLLED:
            raise Unsupported(f"an array of shape {self.shape}, which would have to be unrolled")
        places = np.moveaxis(positions(self), axis, -1)
        out = np.empty((*places.shape[:-1], 1), object)
        for i in np.ndindex(places.shape[:-1]):
            out[(*i, 0)] = gathered(self.items.flat[0], Known(places[i]))
        return Array(self.shape, axis, np.moveaxis(out, -1, axis))

    def vector(self):
        """The pieces of an array of one dimension."""
        return self.along(0).items[0] if self.axis != FLAT else self.items.flat[0]


def object_array(items, shape) -> np.ndarray:
    out = np.empty(len(items), object)
    for i, x in enumerate(items):
        out[i] = x
    return out.reshape(shape)


def unrolled(items, shape) -> Array:
    return Array(shape, None, object_array(list(items), shape))


def number(a: Node) -> Array:
    return unrolled([a], ())


def flat(pieces, shape) -> Array:
    """An array of one vector, by rows."""
    if len(shape) == 1:
        return Array(shape, 0, object_array([pieces], (1,)))
    return Array(shape, FLAT, object_array([pieces], (1,) * len(shape)))


def vector_of(pieces) -> Array:
    return flat(pieces, (length(pieces),))


def of_z(dim: int) -> Array:
    """z itself."""
    return vector_of(((dim, z_slice(0, dim) if dim > 1 else z_item(0)),))


def parts(k: Known, shape, axis) -> np.ndarray:
    """A known array as object array of numbers and pieces, to be broadcast to items of ``shape`` along ``axis``."""
    if axis == FLAT:
        out = np.empty((1,) * len(shape), object)
        if k.size == 1:
            out.flat[0] = data(k.derive("number", lambda v: v.reshape(())))
        else:
            whole = data(k.derive(("flat", shape), lambda v: np.ascontiguousarray(np.broadcast_to(v, shape)).ravel()))
            out.flat[0] = ((int(np.prod(shape)), whole),)
        return out
    own = None if axis is None else axis - (len(shape) - k.ndim)
    if own is not None and (own < 0 or k.shape[own] == 1):
        own = None
    out = np.empty(tuple(1 if i == own else s for i, s in enumerate(k.shape)), object)
    for index in np.ndindex(out.shape):
        place = tuple(slice(None) if i == own else j for i, j in enumerate(index))
        key = ("part", own, index)
        part = k.derive(key, lambda v, place=place: np.ascontiguousarray(v[place]) if np.ndim(v[place]) else v[place])
        x = data(part)
        out[index] = ((k.shape[own], x),) if own is not None else x
    return out


def as_array(k, axis="auto") -> Array:
    """A known array in the form of one that depends on z."""
    if isinstance(k, Array):
        return k
    if axis == "auto":
        axis = int(np.argmax(k.shape)) if k.size > FEW else None
    items = parts(k, k.shape, axis)
    if axis is not None:
        count = k.size if axis == FLAT else k.shape[axis]
        for i in np.ndindex(items.shape):
            items[i] = ((count, items[i]),) if isinstance(items[i], Node) else items[i]
    return Array(k.shape, axis, items)


def flattened(a, shape):
    """Pieces of all items by rows, broadcast to a shape; a node where they are one number."""
    from .movement import take

    if isinstance(a, Known):
        return parts(a, shape, FLAT).flat[0]
    if a.size == 1:
        return a.at(0)
    if a.shape == tuple(shape) and (a.axis == FLAT or a.ndim == 1):
        return a.vector()
    if a.axis == 0 and a.size == a.shape[0] == math.prod(shape):
        return a.items.flat[0]
    places = np.broadcast_to(positions(a), shape)
    return take(a, places.ravel(), vector=True).vector()
