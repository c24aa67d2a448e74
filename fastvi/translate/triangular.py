"""Cholesky factors and triangular systems: unrolled for a few rows, by loops for more."""

import numpy as np

from . import pieces
from .arrays import FLAT, Array, as_array, flat, flattened, object_array
from .known import Known, Unsupported
from .movement import take, transpose
from .nodes import ZERO, Node, node, value_of
from .pieces import single
from .simplify import op

UNROLLED_ROWS = 5  # of a matrix whose factor is written out
MOST_ROWS = 64


def checked_rows(a) -> int:
    n = a.shape[-1]
    if n > MOST_ROWS:
        raise Unsupported(f"linear algebra of {n} rows, more than {MOST_ROWS}")
    return n


def whole(a) -> Node:
    """A matrix or vector by rows as one vector node."""
    found = flattened(a, a.shape)
    if isinstance(found, Node):
        raise Unsupported("linear algebra of a matrix of equal items")
    return single(found)


def cholesky(a, lower: bool = True) -> Array:
    """L with L L' = a; its upper half is 0."""
    n = checked_rows(a)
    if n > UNROLLED_ROWS:
        out = flat(((n * n, node("cholesky", (whole(a),), n * n, n)),), (n, n))
        return out if lower else transpose(out, (1, 0))
    rows = as_array(a).unrolled().items
    L = np.full((n, n), ZERO, object)
    for i in range(n):
        for j in range(i + 1):
            s = rows[i, j]
            for k in range(j):
                s = op("sub", s, op("mul", L[i, k], L[j, k]))
            L[i, j] = op("sqrt", s) if i == j else op("div", s, L[j, j])
    return Array((n, n), None, L if lower else L.T)


def solve_triangular(L, b, lower: bool = True, unit: bool = False) -> Array:
    """x with L x = b for b (n,) or (n, …)."""
    n = checked_rows(L)
    if n <= UNROLLED_ROWS:
        return substituted(as_array(L).unrolled().items, as_array(b), lower, unit)
    if unit:
        raise Unsupported("a large triangular system with a diagonal of ones")
    count = int(np.prod(b.shape[1:]))
    meta = (n, count, lower)
    return flat(((n * count, node("solve", (whole(L), whole(b)), n * count, meta)),), b.shape)


def substituted(L, b: Array, lower, unit) -> Array:
    """Row by row; a row of b may be a vector."""
    n = len(L)
    if b.axis == FLAT:
        b = b.along(max(range(1, b.ndim), key=lambda i: b.shape[i]))
    if b.axis == 0:
        b = b.unrolled()
    length = None if b.axis is None else b.shape[b.axis]

    def apply(name, x, y):
        return op(name, x, y) if length is None else pieces.elementwise(name, [x, y], length)

    rows: dict[int, np.ndarray] = {}
    for i in range(n) if lower else range(n - 1, -1, -1):
        row = b.items[i] if isinstance(b.items[i], np.ndarray) else object_array([b.items[i]], ())
        row = row.copy()
        for at in np.ndindex(row.shape):
            s = row[at]
            for k in rows:
                if value_of(L[i, k]) != 0.0:
                    s = apply("sub", s, apply("mul", rows[k][at], L[i, k]))
            row[at] = s if unit else apply("div", s, L[i, i])
        rows[i] = row
    out = np.empty(b.items.shape, object)
    for i in range(n):
        out[i] = rows[i] if rows[i].ndim else rows[i].item()
    return Array(b.shape, b.axis, out)


def solve_last_axes(L, b, lower: bool, columns: bool, unit: bool = False) -> Array:
    """The same for b (…, n), or (…, n, m) where ``columns``."""
    b = as_array(b)
    place = b.ndim - (2 if columns else 1)
    order = [place, *(i for i in range(b.ndim) if i != place)]
    return transpose(solve_triangular(L, transpose(b, order), lower, unit), np.argsort(order).tolist())


def known_or_take(a, places):
    """Items of a known array, or of one that depends on z."""
    if isinstance(a, Known):
        return a.derive(("take", places.tobytes(), places.shape), lambda v: v.ravel()[places])
    return take(a, places)
