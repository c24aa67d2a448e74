"""Expressions of z as nodes of a directed acyclic graph: equal expressions are one object.

A node is a number (``n`` is None) or a vector of n numbers; whatever else an array has of axes is unrolled, see
``arrays``.
"""

import itertools
import weakref

import numpy as np

from .known import Known

# the length of all vectors over the steps of a scan, which none outside of it has: the two never meet
INSIDE = 1 << 40


class Node:
    """An operation and its operands.

    Attributes
    ----------
    op : str
        "z" (item ``meta`` of z), "zs" (a slice, ``meta`` its start and step), "data" (a known value), "lit" (a number),
        a name of ``operations``, or one of the vectors that are written to memory, see ``written``
    args : tuple of Node
    n : int or None
        length of a vector
    meta : object
        what else there is to know of it
    is_bool : bool
    """

    __slots__ = ("__weakref__", "args", "facts", "is_bool", "meta", "n", "op", "uid")

    def __init__(self, op, args, n, meta, is_bool):
        self.op, self.args, self.n, self.meta, self.is_bool = op, args, n, meta, is_bool
        self.uid = next(_counter)
        self.facts: dict = {}

    def __repr__(self):
        return f"{self.op}({', '.join(map(repr, self.args)) or self.meta}){'' if self.n is None else f'[{self.n}]'}"


_counter = itertools.count()
_table: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


def node(op: str, args=(), n: int | None = None, meta=None, is_bool: bool = False) -> Node:
    """The node of an operation as it stands."""
    args = tuple(args)
    key = (op, tuple(a.uid for a in args), n, ("known", meta.uid) if isinstance(meta, Known) else meta, is_bool)
    found = _table.get(key)
    if found is None:
        found = _table[key] = Node(op, args, n, meta, is_bool)
    return found


def literal(x) -> Node:
    """A number or a truth value."""
    if isinstance(x, bool | np.bool_):
        return node("lit", meta=("b", bool(x)), is_bool=True)
    return node("lit", meta=("f", repr(float(x))))


TRUE, FALSE, ZERO, ONE = literal(True), literal(False), literal(0.0), literal(1.0)


def value_of(a: Node):
    """What a literal is; None of anything else."""
    if a.op != "lit":
        return None
    return a.meta[1] if a.meta[0] == "b" else float(a.meta[1])


def z_item(i: int) -> Node:
    return node("z", meta=int(i))


def z_slice(start: int, n: int, step: int = 1) -> Node:
    return node("zs", n=int(n), meta=(int(start), int(step)))


def data(known: Known) -> Node:
    """A known number or vector; a literal where it is the same everywhere and always."""
    value = known.value
    if value.dtype.kind in "fiu" and value.dtype not in (np.float64, np.int64):
        known = known.derive("wide", lambda v: np.asarray(v, np.float64 if v.dtype.kind == "f" else np.int64))
        value = known.value
    if value.dtype.kind not in "fiub":
        raise TypeError(f"data of type {value.dtype}")
    if value.shape == (1,):  # a vector of one item is a number everywhere else
        known = known.derive("only item", lambda v: np.asarray(v[0]))
        value = known.value
    if known.constant and value.size and np.all(value == value.flat[0]):
        return literal(value.flat[0].item())
    return node("data", n=None if value.ndim == 0 else len(value), meta=known, is_bool=value.dtype.kind == "b")
