"""Sums, products, extremes, running sums, softmax."""

import math

import numpy as np

from . import pieces
from .arrays import FEW, FLAT, ROWS, Array, flat, object_array, positions, vector_of
from .elementwise import map_elements
from .known import Unsupported
from .movement import shuffle, take, transpose
from .nodes import ZERO, Node, data, literal, node, value_of
from .pieces import MOST_UNROLLED, single
from .simplify import op
from .written import FOLDS

PAIRS = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "all": "and", "any": "or", "logsumexp": "logaddexp"}
WRITTEN_OUT = 64  # items of a softmax that are unrolled beside a vector


def reduce(name: str, a: Array, axes=None) -> Array:
    """Sum, product, extreme, "all" or "any" over axes (all of them by default)."""
    axes = sorted(ax % a.ndim for ax in (range(a.ndim) if axes is None else axes))
    if not axes:
        return a
    if a.axis == FLAT:
        if len(axes) == a.ndim:
            return Array((), None, object_array([fold(name, a.items.flat[0])], ()))
        if all(a.shape[i] == 1 for i in axes):
            return shuffle(a, [i for i in range(a.ndim) if i not in axes])
        kept = [i for i in range(a.ndim) if i not in axes]
        if name in FOLDS and math.prod(a.shape[i] for i in axes) > ROWS:
            return by_rows(name, a, kept, axes)
        a = a.along(max(kept, key=lambda i: a.shape[i]))
    items, shape, axis = a.items, a.shape, a.axis
    others = [ax for ax in axes if ax != axis]
    if others:  # the unrolled axes first: then one sum over the vector
        keep = [i for i in range(a.ndim) if i not in others]
        moved = np.transpose(items, keep + others).reshape([items.shape[i] for i in keep] + [-1])
        length = None if axis is None else shape[axis]
        out = np.empty(moved.shape[:-1], object)
        for index in np.ndindex(out.shape):
            out[index] = chain(name, list(moved[index]), length)
        items, shape = out, tuple(shape[i] for i in keep)
        axis = None if axis is None else keep.index(axis)
    if axis is not None and a.axis in axes:
        moved = np.moveaxis(items, axis, -1)[..., 0]
        out = np.empty(moved.shape, object)
        for index in np.ndindex(moved.shape):
            out[index] = fold(name, moved[index])
        items, shape, axis = out, shape[:axis] + shape[axis + 1 :], None
    return Array(shape, axis, items)


def by_rows(name, a: Array, kept, axes) -> Array:
    """Over axes of an array that is one vector: a loop over rows, of which nothing is unrolled."""
    shape, order = tuple(a.shape[i] for i in kept), [*kept, *axes]
    a = a if order == sorted(order) else transpose(a, order)
    count, vector = math.prod(shape), a.items.flat[0]
    if count == 1:
        return Array(shape, None, object_array([fold(name, vector)], shape))
    return flat(((count, node("rows", (single(vector),), count, (name, a.size // count))),), shape)


def chain(name, terms: list, length=None):
    """Of numbers, or of pieces of one length, by pairs."""
    pair = PAIRS[name]
    while len(terms) > 1:
        both = zip(terms[::2], terms[1::2], strict=False)
        paired = [op(pair, x, y) if length is None else pieces.elementwise(pair, [x, y], length) for x, y in both]
        terms = paired + ([terms[-1]] if len(terms) % 2 else [])
    x = terms[0]
    return op("tofloat", x) if name == "sum" and isinstance(x, Node) and x.is_bool else x


def fold(name: str, vector) -> Node:
    """Of all items of pieces."""
    parts = []
    for k, x in vector:
        if x.n is None:
            x = op("tofloat", x) if name in ("sum", "prod") else x
            times = {"sum": lambda x, k: op("mul", literal(k), x), "prod": lambda x, k: op("pow", x, literal(k))}
            parts.append(times[name](x, k) if k > 1 and name in times else x)
        elif name == "sum":
            parts.append(sum_of(op("tofloat", x)))
        elif name in ("all", "any"):
            parts.append(node(name, (x if x.is_bool else op("ne", x, ZERO),), is_bool=True))
        elif name == "logsumexp":
            raise Unsupported("logsumexp of a vector")
        else:
            parts.append(node("l" + name, (x,)))
    return chain(name, parts)


def terms_of(x, factor, numbers, vectors):
    """x times a number, as numbers that are added to each item and vectors with factors."""
    if x.op in ("add", "sub") and x.n is not None:
        terms_of(x.args[0], factor, numbers, vectors)
        terms_of(x.args[1], factor if x.op == "add" else op("neg", factor), numbers, vectors)
    elif x.op == "neg" and x.n is not None:
        terms_of(x.args[0], op("neg", factor), numbers, vectors)
    elif x.n is None:
        numbers.append(op("mul", factor, x))
    elif x.op == "mul" and value_of(x.args[0]) is not None:
        terms_of(x.args[1], op("mul", factor, x.args[0]), numbers, vectors)
    elif x.op == "mul" and value_of(x.args[1]) is not None:
        terms_of(x.args[0], op("mul", factor, x.args[1]), numbers, vectors)
    else:
        vectors.append((factor, x))


def sum_of(x: Node) -> Node:
    """The sum of a vector: its numbers times the length, data summed now, and one sum of the rest."""
    if x.n is None:
        raise AssertionError(x)
    if x.op == "rows" and x.meta[0] == "sum":
        return sum_of(x.args[0])
    numbers: list[Node] = []
    vectors: list[tuple[Node, Node]] = []
    terms_of(x, literal(1.0), numbers, vectors)
    total = ZERO
    for t in numbers:
        total = op("add", total, t)
    out, rest = op("mul", literal(x.n), total), None
    for factor, v in vectors:
        if v.op == "data":
            known = v.meta.derive("sum", lambda w: np.asarray(np.sum(w), dtype=float))
            out = op("add", out, op("mul", factor, data(known)))
            continue
        sign = value_of(factor)
        if v.op == "mul" and sign is None:
            v, sign = op("mul", factor, v), 1.0
        elif v.op == "mul" and v.args[0].n is None and len(vectors) == 1:
            out = op("add", out, op("mul", op("mul", factor, v.args[0]), sum_of(v.args[1])))
            continue
        term, minus = (v, sign < 0) if sign in (1.0, -1.0) else (op("mul", factor, v), False)
        if rest is None:
            rest = op("neg", term) if minus else term
        else:
            rest = op("sub" if minus else "add", rest, term)
    return out if rest is None else op("add", out, node("sum", (rest,)))


def keep_axis(a: Array, axis: int) -> Array:
    order: list = list(range(a.ndim))
    order.insert(axis, "x")
    return shuffle(a, order)


def softmax(a: Array, axis, log: bool) -> Array:
    if axis is None:
        raise Unsupported("softmax over all axes")
    axis %= a.ndim
    if a.axis == FLAT and a.shape[axis] <= ROWS:
        a = a.along(max((i for i in range(a.ndim) if i != axis), key=lambda i: a.shape[i]))
    if a.axis == axis and a.ndim > 1 and a.shape[axis] <= WRITTEN_OUT:
        a = a.unrolled()
    away = map_elements("sub", [a, keep_axis(reduce("max", a, [axis]), axis)])
    each = map_elements("exp", [away])
    total = keep_axis(reduce("sum", each, [axis]), axis)
    return map_elements("sub", [away, map_elements("log", [total])]) if log else map_elements("div", [each, total])


def log_sum_exp(x: Array, axis: int) -> Array:
    """Seen whole: a chain of ``logaddexp`` for a few terms, the shifted sum for more."""
    few = x.shape[axis] <= ROWS
    if x.axis == FLAT and few:
        x = x.along(max((i for i in range(x.ndim) if i != axis), key=lambda i: x.shape[i]))
    elif x.axis == FLAT and x.size // x.shape[axis] <= ROWS:
        x = x.along(axis)
    elif x.axis == FLAT:  # its items are read twice
        x = flat(((x.size, node("kept", (single(x.items.flat[0]),), x.size)),), x.shape)
    if x.axis == axis and few and x.size <= MOST_UNROLLED:
        x = x.unrolled()
    if x.axis != axis and few:
        return reduce("logsumexp", x, [axis])
    top = map_elements(lambda a: op("where", op("isinf", a), ZERO, a), [reduce("max", x, [axis])])
    each = map_elements("exp", [map_elements("sub", [x, keep_axis(top, axis)])])
    return map_elements("add", [top, map_elements("log", [reduce("sum", each, [axis])])])


def cumulate(a: Array, axis, product: bool, backwards: bool = False) -> Array:
    """Running sums or products along an axis (of all items by rows where it is None)."""
    if axis is None:
        a, axis = take(a, np.arange(a.size)), 0
    axis %= a.ndim
    if backwards:
        back = np.flip(positions(a), axis)
        found = cumulate(take(a, back), axis, product)
        return take(found, back)
    if a.axis == FLAT:
        a = a.along(max((i for i in range(a.ndim) if i != axis), key=lambda i: a.shape[i]))
    if a.axis == axis and (a.size <= FEW or a.ndim > 1):
        a = a.unrolled()
    if a.axis == axis:
        if product:
            raise Unsupported("a running product of a long vector")
        return vector_of(((a.size, node("cumsum", (single(a.vector()),), a.size)),))
    out = np.moveaxis(a.items.copy(), axis, 0)
    pair = "mul" if product else "add"
    for k in range(1, out.shape[0]):
        for i in np.ndindex(out.shape[1:]):
            before, here = out[(k - 1, *i)], out[(k, *i)]
            out[(k, *i)] = (
                op(pair, before, here) if a.axis is None else pieces.elementwise(pair, [before, here], a.shape[a.axis])
            )
    return Array(a.shape, a.axis, np.moveaxis(out, 0, axis))
