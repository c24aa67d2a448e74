"""Products, Cholesky factors and triangular systems of a jaxpr."""

import numpy as np

from ..translate.arrays import positions
from ..translate.elementwise import map_elements
from ..translate.known import Known, Unsupported
from ..translate.movement import join, reshape, shuffle, take, transpose
from ..translate.products import batched_dot, dot
from ..translate.triangular import cholesky, solve_triangular


def dot_general(equation, inputs):
    (ca, cb), (ba, bb) = equation.params["dimension_numbers"]
    a, b = inputs
    na, nb = len(a.shape), len(b.shape)
    left = [i for i in range(na) if i not in (*ca, *ba)]
    right = [i for i in range(nb) if i not in (*cb, *bb)]
    if len(ca) == 1 and not ba and len(left) <= 1 and len(right) <= 1:
        return dot(transpose(a, [*left, *ca]), transpose(b, [*cb, *right]))
    if len(ca) != 1 or len(left) > 1 or len(right) > 1:
        return by_merged_axes(transpose(a, [*ba, *left, *ca]), transpose(b, [*bb, *cb, *right]), len(ba), len(ca))
    a = shuffle(a, [*ba, left[0] if left else "x", *ca])
    b = shuffle(b, [*bb, *cb, right[0] if right else "x"])
    out = batched_dot(a, b)
    k = len(ba)
    kept = [*range(k), *([k] if left else []), *([k + 1] if right else [])]
    return shuffle(out, kept)


def by_merged_axes(a, b, batch: int, summed: int):
    """A product over several axes, or none, as one of matrices: a (batch, left, summed), b (batch, summed, right)."""
    whole, rows, columns = a.shape[:batch], a.shape[batch : len(a.shape) - summed], b.shape[batch + summed :]
    left, right, inner = (int(np.prod(s)) for s in (rows, columns, b.shape[batch : batch + summed]))
    a, b = reshaped(a, (*whole, left, inner)), reshaped(b, (*whole, inner, right))
    if inner == 1:
        out = map_elements("mul", [a, b])
    else:
        out = batched_dot(a, b) if batch else dot(a, b)
    return reshaped(out, (*whole, *rows, *columns))


def reshaped(a, shape):
    if isinstance(a, Known):
        return a.derive(("reshape", shape), lambda v: v.reshape(shape))
    return reshape(a, shape)


def factor(equation, inputs):
    return per_batch(lambda a: cholesky(a), inputs, [2])


def triangular(equation, inputs):
    p = equation.params
    lower, turned = p["lower"], p["transpose_a"]

    def solve(L, b):
        if not p["left_side"]:  # x L = b is L' x' = b'
            out = solve_one(transpose(L, (1, 0)), transpose(b, (1, 0)), not lower, turned)
            return transpose(out, (1, 0))
        return solve_one(L, b, lower, turned)

    def solve_one(L, b, low, turn):
        L, low = (transpose(L, (1, 0)), not low) if turn else (L, low)
        return solve_triangular(L, b, low, p["unit_diagonal"])

    return per_batch(solve, inputs, [2, 2])


def linear_solve(equation, inputs, evaluated):
    """By the code that JAX solves it with, whose derivatives are right without its rule."""
    p = equation.params
    counts = [getattr(p["const_lengths"], name) for name in ("matvec", "vecmat", "solve")]
    own = inputs[sum(counts[:2]) : sum(counts)]
    at = sum(counts) + p["const_lengths"].transpose_solve
    return evaluated(p["jaxprs"].solve, [*own, *inputs[at:]])


def per_batch(function, inputs, axes):
    """A function of matrices, of each of a batch."""
    batch = inputs[0].shape[: len(inputs[0].shape) - axes[0]]
    if int(np.prod(batch)) > 16:
        raise Unsupported(f"linear algebra over a batch of {batch}")
    out = []
    for index in np.ndindex(batch):
        here = [matrix_at(a, index) for a in inputs]
        found = function(*here)
        out.append(shuffle(found, ["x", *range(found.ndim)]))
    whole = join(0, out) if len(out) > 1 else out[0]
    shape = (*batch, *whole.shape[1:])
    return whole if whole.shape == shape else take(whole, np.arange(whole.size).reshape(shape))


def matrix_at(a, index):
    if isinstance(a, Known):
        return a.derive(("at", index), lambda v: v[index])
    return take(a, positions(a)[index]) if index else a
