"""Vectors as pieces: (length, node) one after the other, where a number stands for as many equal ones.

So nothing is ever concatenated: element-wise operations refine the cuts, sums add over the pieces.
"""

import numpy as np

from .known import Known, Unsupported, combined, contiguous
from .nodes import Node, data, literal, node, z_item, z_slice
from .operations import COSTLY, ELEMENTWISE, WRITTEN
from .simplify import op

MOST_UNROLLED = 4096  # scalar nodes of one array
Pieces = tuple[tuple[int, Node], ...]


def length(pieces: Pieces) -> int:
    return sum(k for k, _ in pieces)


def again(a: Node, key: tuple, change) -> Node:
    """The same element-wise operation of changed operands; once for each ``key``, as operands are shared."""
    if key not in a.facts:
        a.facts[key] = op(a.op, *map(change, a.args), meta=a.meta)
    return a.facts[key]


def cut(a: Node, start: int, stop: int, step: int = 1) -> Node:
    """a[start:stop:step] of a vector; a number is its own cut."""
    if a.n is None:
        return a
    n = len(range(start, stop, step))
    if n == a.n and step == 1:
        return a
    if n == 1:
        return item(a, start)
    if a.op == "zs":
        return z_slice(a.meta[0] + a.meta[1] * start, n, a.meta[1] * step)
    taken = slice(start, stop if stop >= 0 else None, step)
    if a.op in ("data", "gather"):
        part = a.meta.derive(("cut", start, stop, step), lambda v: contiguous(v[taken]))
        return data(part) if a.op == "data" else gather(a.args[0], part)
    if a.op in ELEMENTWISE:
        return again(a, ("cut", start, stop, step), lambda x: cut(x, start, stop, step))
    return gather(a, Known(np.arange(start, stop, step)))


def item(a: Node, i: int) -> Node:
    """a[i], or the number itself."""
    i = int(i)
    if a.n is None:
        return a
    if a.op == "zs":
        return z_item(a.meta[0] + a.meta[1] * i)
    if a.op == "data":
        return data(a.meta.derive(("item", i), lambda v: v[i]))
    if a.op == "gather" and a.meta.constant:
        return item(a.args[0], int(a.meta.value[i]) % a.args[0].n)
    if a.op == "list":
        return a.args[i]
    if a.op in ELEMENTWISE:
        return again(a, ("item", i), lambda x: item(x, i))
    return node("item", (a,), None, i, a.is_bool)


def gather(a: Node, places: Known) -> Node:
    """a[places], lazily; functions that are costly and read more often than they are long are written down first."""
    if a.n is None:
        return a
    count = len(places.value)
    if places.constant:
        at = np.where(places.value < 0, places.value + a.n, places.value)
        if count == 1:
            return item(a, at[0])
        found = regular(a, at)
        if found is not None:
            return found
        if a.op == "gather" and a.meta.constant:
            return gather(a.args[0], Known(a.meta.value[at]))
    if a.op == "gather":
        return gather(a.args[0], combined(lambda v, i: v[i], [a.meta, places]))
    if a.op == "data":
        key = ("gather", places.uid)
        if key not in a.meta.derived:
            a.meta.derived[key] = combined(lambda v, i: contiguous(v[i]), [a.meta, places])
        return data(a.meta.derived[key])
    if a.op in ELEMENTWISE and (a.is_bool or not (costly(a) and 2 * a.n < count)):
        return again(a, ("gather", places.uid), lambda x: gather(x, places))
    if a.op not in WRITTEN | {"zs", "matvec", "carry", "at_step"}:
        a = node("kept", (a,), a.n, is_bool=a.is_bool)
    return node("gather", (a,), count, places, a.is_bool)


def regular(a, at) -> Node | None:
    """Places that follow one another at equal steps are a slice."""
    steps = np.diff(at)
    if steps[0] == 0 or not np.all(steps == steps[0]):
        return None
    start, step = int(at[0]), int(steps[0])
    if step == 1 and start == 0 and len(at) == a.n:
        return a
    if a.op == "zs":
        return z_slice(a.meta[0] + a.meta[1] * start, len(at), a.meta[1] * step)
    return cut(a, start, int(at[-1]) + step, step) if a.op in ELEMENTWISE and step > 0 else None


def costly(a: Node) -> bool:
    if "costly" not in a.facts:
        leaf = a.n is None or a.op not in ELEMENTWISE
        a.facts["costly"] = not leaf and (a.op in COSTLY or any(map(costly, a.args)))
    return a.facts["costly"]


def apply(function, operands: list[Node], meta=None) -> Node:
    """An operation by name, or a function of nodes."""
    return function(*operands) if callable(function) else op(function, *operands, meta=meta)


def elementwise(function, operands: list, total: int, meta=None) -> Pieces:
    """Element by element over numbers and pieces of one length."""
    ends = {0, total}
    for o in operands:
        if not isinstance(o, Node):
            ends.update(np.cumsum([k for k, _ in o]).tolist())
    edges = sorted(ends)
    out = []
    for start, stop in zip(edges, edges[1:], strict=False):
        here = [o if isinstance(o, Node) else between(o, start, stop)[0][1] for o in operands]
        out.append((stop - start, apply(function, here, meta)))
    return tuple(out)


def between(pieces: Pieces, start: int, stop: int) -> Pieces:
    """pieces[start:stop]"""
    out, at = [], 0
    for k, x in pieces:
        a, b = max(start, at), min(stop, at + k)
        if a < b:
            out.append((b - a, cut(x, a - at, b - at)))
        at += k
    return tuple(out)


def piece_item(pieces: Pieces, i: int) -> Node:
    for k, x in pieces:
        if i < k:
            return item(x, i)
        i -= k
    raise IndexError(i)


def single(pieces: Pieces) -> Node:
    """One vector: the piece itself, or a list of numbers."""
    if len(pieces) == 1 and pieces[0][1].n is not None:
        return pieces[0][1]
    n = length(pieces)
    if n > MOST_UNROLLED:
        raise Unsupported(f"a concatenation of {n} items that is read at places")
    items = [piece_item(pieces, i) for i in range(n)]
    if any(x.is_bool for x in items):  # memory holds numbers
        return op("gt", node("list", [op("tofloat", x) for x in items], n), literal(0.5))
    return node("list", items, n)


def gathered(pieces: Pieces, places: Known) -> Pieces:
    """pieces[places]"""
    count = len(places.value)
    if len(pieces) == 1 and pieces[0][1].n is None:
        return ((count, pieces[0][1]),)
    if places.constant and count > 1 and np.all(np.diff(places.value) == 1) and places.value[0] >= 0:
        return between(pieces, int(places.value[0]), int(places.value[-1]) + 1)
    if places.constant and all(x.op == "data" for _, x in pieces) and len(pieces) > 1:
        whole = combined(lambda *v: np.concatenate(v), [x.meta for _, x in pieces])
        return ((count, gather(data(whole), places)),)
    return ((count, gather(single(pieces), places)),)
