"""Items of arrays elsewhere: indices, reshapes, transposes, joins.

All but the simplest are one thing: positions are moved in place of items, and ``take`` looks up where each came from.
"""

from typing import Any

import numpy as np

from .arrays import ELEMENTS, FEW, FLAT, ROWS, Array, as_array, flat, flattened, object_array, positions, unrolled
from .known import Known, Unsupported
from .nodes import Node, data, z_slice
from .pieces import MOST_UNROLLED, gather, gathered, length, single
from .simplify import op

MOST_ROWS = 32  # that are chosen from by masks


def take(a: Array, places: np.ndarray, vector: bool = False) -> Array:
    """The items at positions (by rows), in the shape of ``places``; ``vector``: as one, whatever its size."""
    shape, size = places.shape, places.size
    if size == 0:
        raise Unsupported("an empty array")
    if size == 1:
        return unrolled([a.at(int(places.flat[0]))], shape)
    few = (
        a.within_a_step()
        or a.axis is None
        and size <= max(FEW, a.size)
        or size <= ELEMENTS
        and not (is_z(a) and len(shape) == 1)
    )
    if few and not vector:
        return unrolled([a.at(int(i)) for i in places.flat], shape)
    if a.axis == FLAT and len(shape) > 1:
        return flat(row(a, places.ravel()), shape)
    axis = int(np.argmax(shape))
    moved = np.moveaxis(places, axis, -1)
    if moved.size // moved.shape[-1] > MOST_UNROLLED:
        raise Unsupported(f"an array of shape {shape}")
    out = np.empty((*moved.shape[:-1], 1), object)
    for i in np.ndindex(moved.shape[:-1]):
        out[(*i, 0)] = row(a, moved[i])
    return Array(shape, axis, np.moveaxis(out, -1, axis))


def nodes_of(a: Array):
    for x in a.items.flat:
        yield from ([x] if isinstance(x, Node) else (y for _, y in x))


def is_z(a: Array) -> bool:
    return all(x.op in ("z", "zs") for x in nodes_of(a))


def row(a: Array, places: np.ndarray):
    """Pieces of the items at positions (n,)."""
    n = len(places)
    if a.within_a_step():
        raise Unsupported("a vector within a step of a loop")
    if a.axis is None:
        return gathered(tuple((1, x) for x in a.items.flat), Known(places))
    if a.axis == FLAT:
        return gathered(a.items.flat[0], Known(places))
    where = np.unravel_index(places, a.shape)
    rows = np.ravel_multi_index([w if k != a.axis else 0 * w for k, w in enumerate(where)], a.items.shape)
    within = where[a.axis]
    if np.all(rows == rows[0]):
        return gathered(a.items.flat[rows[0]], Known(within))
    if is_z(a):
        absolute = np.array([a.at(int(i)).meta for i in places])
        return ((n, gather(z_slice(0, int(absolute.max()) + 1), Known(absolute))),)
    kinds = np.unique(rows)
    if len(kinds) <= MOST_ROWS and n > 8:
        return ((n, chosen(a, rows, within, kinds)),)
    if n > MOST_UNROLLED:
        raise Unsupported(f"{n} items of {len(kinds)} rows")
    return tuple((1, a.at(int(i))) for i in places)


def chosen(a, rows, within, kinds) -> Node:
    """One of a few rows for each place, by masks of data."""
    n = len(rows)
    out: Any = None
    for r in kinds:
        pieces = a.items.flat[r]
        # places that another row serves read this row's first there
        mine = within if np.array_equal(within, np.arange(n)) else np.where(rows == r, within, within[rows == r][0])
        if len(pieces) == 1 and pieces[0][1].n is None:
            x = pieces[0][1]
        elif np.array_equal(mine, np.arange(n)) and length(pieces) == n:
            x = single(pieces)
        else:
            x = gather(single(pieces), Known(mine))
        out = x if out is None else op("where", data(Known(rows == r)), x, out)
    return out


def transpose(a, order):
    if isinstance(a, Known):
        return a.derive(("transpose", tuple(order)), lambda v: np.transpose(v, order))
    if a.axis == FLAT:
        return take(a, np.transpose(positions(a), order))
    axis = None if a.axis is None else list(order).index(a.axis)
    return Array([a.shape[i] for i in order], axis, np.transpose(a.items, order))


def shuffle(a, order):
    """Axes in another order; ``"x"`` is a new one of length 1, those left out have length 1."""
    order = tuple(order)
    keep = [o for o in order if o != "x"]
    new = tuple(i for i, o in enumerate(order) if o == "x")
    if isinstance(a, Known):
        return a.derive(
            ("shuffle", order),
            lambda v: np.expand_dims(
                np.transpose(v, keep + [i for i in range(v.ndim) if i not in keep]).reshape([v.shape[i] for i in keep]),
                new,
            ),
        )
    drop = [i for i in range(a.ndim) if i not in keep]
    if a.axis in drop:
        a = a.unrolled()
    if a.axis == FLAT:
        real = [i for i in keep if a.shape[i] > 1]
        if real != sorted(real):
            a = transpose(a, keep + drop)
            return shuffle(a, [o if o == "x" else keep.index(o) for o in order])
        shape = [1 if o == "x" else a.shape[o] for o in order]
        return flat(a.items.flat[0], shape)
    items = np.transpose(a.items, keep + drop).reshape([a.items.shape[i] for i in keep])
    axis = None if a.axis is None else list(order).index(a.axis)
    return Array([1 if o == "x" else a.shape[o] for o in order], axis, np.expand_dims(items, new))


def reshape(a: Array, shape) -> Array:
    shape = np.empty(a.shape).reshape([int(s) for s in shape]).shape
    if shape == a.shape:
        return a
    if a.axis == FLAT or a.ndim == 1 and a.axis == 0 and len(shape) > 1 and a.size > FEW and not is_z(a):
        return flat(a.items.flat[0], shape) if is_table(shape) else take(a, np.arange(a.size).reshape(shape))
    return take(a, np.arange(a.size).reshape(shape))


def is_table(shape) -> bool:
    """Whether a shape has more rows than are unrolled."""
    return np.prod(shape) // max(shape) > ROWS or len(shape) == 1


def index(a: Array, at: tuple) -> Array:
    """a[at] for slices and integers."""
    if a.axis is not None and a.axis != FLAT and (len(at) <= a.axis or at[a.axis] == slice(None)):
        items = a.items[at]
        items = items if isinstance(items, np.ndarray) else object_array([items], ())
        axis = a.axis - sum(isinstance(i, int) for i in at[: a.axis])
        shape = list(items.shape)
        shape[axis] = a.shape[a.axis]
        return Array(shape, axis, items)
    return take(a, np.asarray(positions(a)[at]))


def join(axis: int, arrays: list) -> Array:
    """Concatenation along an axis."""
    arrays = [a for a in arrays if a.size]
    axis %= len(arrays[0].shape)
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    if axis == 0 and len(shape) > 1 and any(isinstance(a, Array) and a.axis == FLAT for a in arrays):
        pieces = [flattened(a, a.shape) for a in arrays]
        whole = [((a.size, p),) if isinstance(p, Node) else p for a, p in zip(arrays, pieces, strict=True)]
        return flat(tuple(x for p in whole for x in p), shape)
    axes = [a.axis for a in arrays if isinstance(a, Array) and a.axis is not None and a.axis != FLAT]
    vector = max(axes, key=lambda v: shape[v]) if axes else None
    long = any(isinstance(a, Known) or a.axis == FLAT for a in arrays)
    if any(isinstance(a, Array) and a.within_a_step() for a in arrays):
        vector, long = None, False
    if vector is None and np.prod(shape) > FEW and long:
        vector = int(np.argmax(shape))
    parts = [as_array(a, None if vector is None else vector) for a in arrays]
    parts = [a.unrolled() if vector is None else a.along(vector) for a in parts]
    if vector != axis:
        return Array(shape, vector, np.concatenate([a.items for a in parts], axis))
    out = np.empty(parts[0].items.shape, object)
    for i in np.ndindex(out.shape):
        out[i] = tuple(x for a in parts for x in a.items[i])
    return Array(shape, vector, out)


def stack(arrays: list, axis: int) -> Array:
    """Along a new axis."""

    def widened(a):
        order: list = list(range(len(a.shape)))
        order.insert(axis, "x")
        return shuffle(a, order)

    return join(axis, [widened(a) for a in arrays])
