"""Matrix products: data times a vector is ``X @ v``, everything else sums of products."""

import functools
import itertools
from typing import Any

import numpy as np

from . import pieces
from .arrays import FLAT, ROWS, Array, as_array, flat, flattened, object_array, positions, unrolled
from .elementwise import map_elements
from .known import Known, contiguous
from .movement import index, shuffle, stack, take, transpose
from .nodes import Node, data, node
from .pieces import item, single
from .reductions import reduce, sum_of
from .simplify import op

FEW_COLUMNS = 3  # that are written as a sum


def data_times_vector(k: Known, vector):
    """Known (n, m) times pieces of length m: pieces of length n."""
    (n, m), at = k.shape, 0
    total: Any = None
    term: Any
    for size, x in listed(vector):
        columns = (
            k if size == m else k.derive(("columns", at, size), lambda v, a=at, s=size: contiguous(v[:, a : a + s]))
        )
        at += size
        if x.n is None:
            sums = data(columns.derive("row sums", lambda v: np.sum(v, axis=1, dtype=float)))
            term = ((n, op("mul", sums, x)),)
        elif n == 1:
            row = data(columns.derive("row", lambda v: contiguous(v[0])))
            term = ((1, sum_of(op("mul", row, x))),)
        elif size <= FEW_COLUMNS:
            term = None
            for j in range(size):
                column = data(columns.derive(("column", j), lambda v, j=j: contiguous(v[:, j])))
                one = ((n, op("mul", column, item(x, j))),)
                term = one if term is None else pieces.elementwise("add", [term, one], n)
        else:
            columns = columns.derive("float", lambda v: np.ascontiguousarray(v, dtype=float))
            term = ((n, node("matvec", (x,), n, columns)),)
        total = term if total is None else pieces.elementwise("add", [total, term], n)
    return total


def listed(vector):
    """Pieces with neighbouring numbers, where there are many, as one list."""
    out: list = []
    for is_number, run in itertools.groupby(vector, key=lambda piece: piece[1].n is None and piece[0] == 1):
        several = list(run)
        if is_number and len(several) > FEW_COLUMNS:
            out.append((len(several), node("list", [x for _, x in several], len(several))))
        else:
            out += several
    return out


def dot(a, b) -> Array:
    """Of one or two dimensions each."""
    if any(isinstance(x, Array) and x.within_a_step() for x in (a, b)):
        a, b = (as_array(x, None).unrolled() for x in (a, b))
    elif isinstance(a, Known) and a.ndim == 2 and isinstance(b, Array):
        if b.ndim == 2:
            places = positions(b)
            return stack([dot(a, take(b, places[:, j])) for j in range(b.shape[1])], 1)
        found = data_times_vector(a, b.along(0).vector())
        n = a.shape[0]
        return Array((n,), 0, object_array([found], (1,))) if n > 1 else unrolled([found[0][1]], (1,))
    elif isinstance(b, Known) and isinstance(a, Array) and b.ndim == 2:
        turned = b.derive("transposed", lambda v: np.ascontiguousarray(v.T))
        return dot(turned, a) if a.ndim == 1 else transpose(dot(turned, transpose(a, (1, 0))), (1, 0))
    a, b = as_array(a), as_array(b)
    if a.ndim == 1 and b.ndim == 1:
        return reduce("sum", map_elements("mul", [a, b]))
    if FLAT in (a.axis, b.axis):
        return by_loops(a, b)
    if a.ndim == b.ndim == 2 and a.axis == 0 and b.axis == 1 and min(a.shape[0], b.shape[1]) > ROWS:
        return by_columns(a, b)
    if b.ndim == 1:
        return reduce("sum", map_elements("mul", [a, shuffle(b, ("x", 0))]), [1])
    if a.ndim == 1:
        return reduce("sum", map_elements("mul", [shuffle(a, (0, "x")), b]), [0])
    return reduce("sum", map_elements("mul", [shuffle(a, (0, 1, "x")), shuffle(b, ("x", 0, 1))]), [1])


def by_columns(a: Array, b: Array) -> Array:
    """A tall matrix times a wide one, as X X' of a kernel: the sum of each column times a row, no row unrolled."""
    terms = [
        map_elements("mul", [shuffle(index(a, (slice(None), j)), (0, "x")), shuffle(index(b, (j,)), ("x", 0))])
        for j in range(a.shape[1])
    ]
    return functools.reduce(lambda x, y: map_elements("add", [x, y]), terms)


def by_loops(a: Array, b: Array) -> Array:
    """For matrices that are vectors of all their items."""
    (n, k), m = (a.shape if a.ndim == 2 else (1, a.size)), (b.shape[1] if b.ndim == 2 else 1)
    args = (single_vector(a), single_vector(b))
    return flat(((n * m, node("product", args, n * m, (n, k, m))),), a.shape[:-1] + b.shape[1:])


def single_vector(a: Array):
    found = flattened(a, a.shape)
    return single(((a.size, found),)) if isinstance(found, Node) else single(found)


def batched_dot(a, b) -> Array:
    """(…, n, m) times (…, m, k), the leading axes side by side."""
    a, b = as_array(a), as_array(b)
    left, right = tuple(range(a.ndim)), tuple(range(b.ndim))
    b = shuffle(b, (*right[:-2], "x", *right[-2:]))
    return reduce("sum", map_elements("mul", [shuffle(a, (*left, "x")), b]), [max(a.ndim + 1, b.ndim) - 2])
