"""Sums, extremes and products of sequences: ``np.sum(...)``, ``z.max()``, ``np.dot(x, z)``, ``X @ z``."""

import inspect
import math
import operator
from functools import partial

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, bound_function, infer_getattr, signature
from numba.extending import lower_builtin
from numba.np import arrayobj

from ..arithmetic import elementary, functions
from ..arithmetic.traced import Traced, constant, emit_fma, trace
from ..jit import template
from .fused_sums import can_fuse, fused_sum
from .lazy_product import LaneProduct, lazy_product, matrix_product_type
from .matrix import emit_times
from .recorded_sums import (
    is_recorded,
    product_type,
    record_matrix_times,
    recorded_dot,
    recorded_fold,
    recorded_mean,
    recorded_sum,
)
from .registry import accumulate
from .sequence import INTP, is_vector, item, item_type, length, rows_of, same_length, store, struct, total_type
from .types import LaneArray, LaneExpression, LaneMask, LaneSequence, LaneVector, pack, part

ZERO = 0.0
FACTORS = 512  # (1 + t) <= 2, so that a product of these cannot overflow


def fold(start, combine, function):
    """Lowering of a reduction that combines the items one by one."""

    def lower(context, builder, sig, args):
        kind, value = sig.args[0], args[0]
        if kind.recorded:
            return recorded_fold(context, builder, kind, value, function, start)

        def step(i, total):
            x = item(context, builder, kind, value, i)
            return combine(builder, total, builder.uitofp(x, kind.lanes.vector) if is_mask(kind) else x)

        size = length(context, builder, kind, value)
        return accumulate(context, builder, kind.lanes, start, size, step)

    return lower


def is_mask(kind):
    return isinstance(kind.item, LaneMask)


def is_mask_type(kind):
    return isinstance(kind, LaneSequence) and is_mask(kind)


sum_items = fold(ZERO, lambda builder, total, x: builder.fadd(total, x), operator.add)


def terms_of(context, builder, kind, value, sign=1):
    """An expression as (sign, kind, value) terms that add up to it: a + b, a - b and -a taken apart."""
    if isinstance(kind, LaneExpression):
        operands = [(a, part(context, builder, kind, value, f"operand{k}")) for k, a in enumerate(kind.operands)]
        signs = SIGNS.get(kind.function)
        if signs is not None and not any(isinstance(a, LaneMask) or is_mask_type(a) for a, _ in operands):
            return [
                term
                for (a, v), s in zip(operands, signs, strict=True)
                for term in terms_of(context, builder, a, v, sign * s)
            ]
    return [(sign, kind, value)]


SIGNS = {operator.add: (1, 1), np.add: (1, 1), operator.sub: (1, -1), np.subtract: (1, -1), operator.neg: (-1,)}
LOGADDEXP = (np.logaddexp, functions.logaddexp, functions.softplus)


def is_logaddexp(kind):
    return isinstance(kind, LaneExpression) and kind.function in LOGADDEXP


def lower_sum(context, builder, sig, args):
    """sum_i of an expression; log(1 + e^x) terms go through sum log(1 + t) = log prod (1 + t).

    One logarithm serves 512 terms: half the time of a logistic likelihood.  The product rounds like 1 + t itself, so
    a term loses at most 1e-16 nat.
    """
    kind, value = sig.args[0], args[0]
    if kind.recorded and can_fuse(kind):
        return fused_sum(context, builder, kind, value, plain_sum(context, builder))
    if kind.recorded:
        return recorded_sum(context, builder, kind, value)
    terms = terms_of(context, builder, kind, value)
    if not any(is_logaddexp(k) for _, k, _ in terms):
        return sum_items(context, builder, sig, args)
    lanes = kind.lanes
    vector = lanes.vector
    size = length(context, builder, kind, value)
    total, positive, negative = (cgutils.alloca_once(builder, vector) for _ in range(3))
    builder.store(constant(vector, ZERO), total)

    def one_item(i):
        known = {}
        for sign, k, v in terms:
            if is_logaddexp(k):
                operands = [part(context, builder, k, v, f"operand{n}") for n in range(len(k.operands))]
                parts = [lanes_item(a, x, i, known) for a, x in zip(k.operands, operands, strict=True)]
                pair = [constant(vector, ZERO), *parts] if len(parts) == 1 else parts
                m, d = elementary.logaddexp_parts(*(Traced(builder, x) for x in pair))
                t = elementary.exp_cut(d)
                product = positive if sign > 0 else negative
                builder.store(emit_fma(builder, builder.load(product), t.value, builder.load(product)), product)
                add(sign, m.value)
            else:
                add(sign, lanes_item(k, v, i, known))

    def lanes_item(k, v, i, known):
        return context.cast(builder, item(context, builder, k, v, i, known), item_type(k), lanes)

    def add(sign, x):
        method = builder.fadd if sign > 0 else builder.fsub
        builder.store(method(builder.load(total), x), total)

    with cgutils.for_range_slice(builder, INTP(0), size, INTP(FACTORS), intp=INTP) as (first, _):
        for product in (positive, negative):
            builder.store(constant(vector, 1.0), product)
        end = builder.add(first, INTP(FACTORS))
        end = builder.select(builder.icmp_signed("<", end, size), end, size)
        with cgutils.for_range_slice(builder, first, end, INTP(1), intp=INTP) as (i, _):
            one_item(i)
        signs = {sign for sign, k, _ in terms if is_logaddexp(k)}
        for sign, product in ((1, positive), (-1, negative)):
            if sign in signs:
                add(sign, trace(elementary.log)(builder, builder.load(product)))
    return builder.load(total)


def plain_sum(context, builder):
    return lambda kind, value: lower_sum(context, builder, signature(kind.lanes, kind), [value])


def lower_mean(context, builder, sig, args):
    if sig.args[0].recorded:
        return recorded_mean(context, builder, sig.args[0], args[0], lower_sum)
    size = builder.sitofp(length(context, builder, sig.args[0], args[0]), ir.DoubleType())
    total = lower_sum(context, builder, sig, args)
    return builder.fdiv(total, context.cast(builder, size, types.float64, sig.args[0].lanes))


REDUCTIONS = [
    (np.sum, "lanes.sum", lower_sum),
    (np.mean, "lanes.mean", lower_mean),
    (np.max, "lanes.max", fold(-math.inf, trace(elementary.maximum), np.maximum)),
    (np.min, "lanes.min", fold(math.inf, trace(elementary.minimum), np.minimum)),
    (np.prod, "lanes.prod", fold(1.0, lambda builder, total, x: builder.fmul(total, x), operator.mul)),
]
for function, method, lower in REDUCTIONS:

    @template(function)
    class Reduction(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and not kws and isinstance(args[0], LaneSequence):
                return signature(total_type(args[0]), *args)

    lower_builtin(function, LaneSequence)(lower)
    lower_builtin(method, LaneSequence)(lower)


@template(np.sum)
class SumOverAxis(AbstractTemplate):
    """``np.sum(z, axis=0)``, of the one axis that there is."""

    prefer_literal = True

    def generic(self, args, kws):
        given = [*args[1:], *kws.values()]
        one_axis = len(given) == 1 and set(kws) <= {"axis"} and getattr(given[0], "literal_value", None) in (0, -1)
        if one_axis and args and isinstance(args[0], LaneSequence):
            return signature(total_type(args[0]), args[0], given[0]).replace(pysig=WITH_AXIS)


WITH_AXIS = inspect.signature(lambda a, axis: None)


@lower_builtin(np.sum, LaneSequence, types.IntegerLiteral)
def lower_sum_over_axis(context, builder, sig, args):
    return lower_sum(context, builder, signature(sig.return_type, sig.args[0]), args[:1])


def dot_vectors(context, builder, sig, args):
    """sum_i a[i] b[i] for two sequences, or a sequence and an array"""
    if is_recorded(*sig.args):
        return recorded_dot(context, builder, sig, args, plain_dot(context, builder), lower_sum)
    (ka, kb), (a, b), lanes = sig.args, args, sig.return_type
    size = same_length(context, builder, [length(context, builder, ka, a), length(context, builder, kb, b)])

    def step(i, total):
        x = context.cast(builder, item(context, builder, ka, a, i), item_type(ka), lanes)
        y = context.cast(builder, item(context, builder, kb, b, i), item_type(kb), lanes)
        return emit_fma(builder, x, y, total)

    return accumulate(context, builder, lanes, ZERO, size, step)


def matrix_times(context, builder, sig, args):
    """X @ z, its entries in an array of their own"""
    if is_recorded(*sig.args):
        into = partial(rows_times, context, builder)
        row_times = partial(dot_vectors, context, builder)
        return record_matrix_times(context, builder, sig, args, into, row_times)
    (kx, kz), (x, z), lanes = sig.args, args, sig.return_type.lanes
    rows, columns = cgutils.unpack_tuple(builder, struct(kx)(context, builder, x).shape, 2)
    same_length(context, builder, [columns, length(context, builder, kz, z)])
    out = arrayobj._empty_nd_impl(context, builder, sig.return_type.array, [rows, INTP(lanes.width)])
    if isinstance(kz, LaneExpression):  # computed once, not for each block of rows
        once = arrayobj._empty_nd_impl(context, builder, sig.return_type.array, [columns, INTP(lanes.width)])
        with cgutils.for_range(builder, columns) as loop:
            zk = context.cast(builder, item(context, builder, kz, z, loop.index), item_type(kz), lanes)
            store(builder, lanes, zk, builder.gep(once.data, [builder.mul(loop.index, INTP(lanes.width))]))
        settled = LaneArray(lanes)
        vector = pack(context, builder, settled, size=columns, array=once._getvalue())
        rows_times(context, builder, (kx, settled), (x, vector), out.data)
        context.nrt.decref(builder, settled.array, once._getvalue())
    else:
        rows_times(context, builder, (kx, kz), (x, z), out.data)
    result = pack(context, builder, sig.return_type, size=rows, array=out._getvalue())
    return impl_ret_new_ref(context, builder, sig.return_type, result)


def rows_times(context, builder, kinds, values, out):
    """Write X @ z to ``out``."""
    (kx, kz), (x, z) = kinds, values
    lanes = kz.lanes
    matrix = struct(kx)(context, builder, x)
    rows, columns = cgutils.unpack_tuple(builder, matrix.shape, 2)
    if kx.dtype == types.float64 and isinstance(kz, LaneVector | LaneArray):
        data, stride = rows_of(context, builder, kz, z)
        addresses = [builder.ptrtoint(p, INTP(0).type) for p in (matrix.data, data, out)]
        stride = builder.mul(stride, INTP(8))
        steps = cgutils.unpack_tuple(builder, matrix.strides, 2)
        emit_times(builder, lanes.width, addresses[0], *steps, rows, columns, addresses[1], stride, addresses[2])
        return
    with cgutils.for_range(builder, rows) as i:

        def step(k, total):
            pointer = cgutils.get_item_pointer(context, builder, kx, matrix, [i.index, k])
            entry = context.cast(builder, arrayobj.load_item(context, builder, kx, pointer), kx.dtype, lanes)
            zk = context.cast(builder, item(context, builder, kz, z, k), item_type(kz), lanes)
            return emit_fma(builder, entry, zk, total)

        total = accumulate(context, builder, lanes, ZERO, columns, step)
        store(builder, lanes, total, builder.gep(out, [builder.mul(i.index, INTP(lanes.width))]))


def transposed(kind):
    """The type of ``X.T``."""
    return kind.copy(layout={"C": "F", "F": "C"}.get(kind.layout, kind.layout))


def times_matrix(context, builder, sig, args):
    """z @ X, which is X.T @ z"""
    (kz, kx), (z, x) = sig.args, args
    matrix, kind = struct(kx)(context, builder, x), transposed(kx)
    turned = struct(kind)(context, builder)
    arrayobj.populate_array(
        turned,
        data=matrix.data,
        shape=cgutils.unpack_tuple(builder, matrix.shape)[::-1],
        strides=cgutils.unpack_tuple(builder, matrix.strides)[::-1],
        itemsize=matrix.itemsize,
        meminfo=matrix.meminfo,
    )
    return lower_array_first(context, builder, signature(sig.return_type, kind, kz), [turned._getvalue(), z])


def plain_dot(context, builder):
    def dot(kinds, values):
        return dot_vectors(context, builder, signature(kinds[1].lanes, *kinds), values)

    return dot


def lower_array_first(context, builder, sig, args):
    if isinstance(sig.return_type, LaneProduct):
        return lazy_product(context, builder, sig, args)
    return (dot_vectors if sig.args[0].ndim == 1 else matrix_times)(context, builder, sig, args)


def lower_array_last(context, builder, sig, args):
    return (dot_vectors if sig.args[1].ndim == 1 else times_matrix)(context, builder, sig, args)


def is_matrix(kind):
    return isinstance(kind, types.Array) and kind.ndim == 2


def matrix_type(typingctx, matrix, vector):
    """The type of ``matrix @ vector``."""
    if is_recorded(vector):
        return product_type(matrix, vector)
    return matrix_product_type(typingctx, matrix, vector)


for function in (operator.matmul, np.dot):

    @template(function)
    class Product(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or kws or not any(isinstance(a, LaneSequence) for a in args):
                return None
            a, b = args
            if all(isinstance(t, LaneSequence) or is_vector(t) for t in args):
                lanes = (a if isinstance(a, LaneSequence) else b).lanes
                return signature(product_type(a, b) if is_recorded(a, b) else lanes, a, b)
            if is_matrix(a):
                return signature(matrix_type(self.context, a, b), a, b)
            if is_matrix(b):
                return signature(matrix_type(self.context, transposed(b), a), a, b)

    lower_builtin(function, types.Array, LaneSequence)(lower_array_first)
    lower_builtin(function, LaneSequence, types.Array)(lower_array_last)
    lower_builtin(function, LaneSequence, LaneSequence)(dot_vectors)


@infer_getattr
class DotMethod(AttributeTemplate):
    key = LaneSequence

    @bound_function("lanes.dot")
    def resolve_dot(self, sequence, args, kws):
        if len(args) != 1 or kws:
            return None
        if is_matrix(args[0]):
            return signature(matrix_type(self.context, transposed(args[0]), sequence), args[0], recvr=sequence)
        if isinstance(args[0], LaneSequence) or is_vector(args[0]):
            recorded = is_recorded(sequence, args[0])
            result = product_type(sequence, args[0]) if recorded else sequence.lanes
            return signature(result, args[0], recvr=sequence)


@lower_builtin("lanes.dot", LaneSequence, types.Any)
def lower_dot_method(context, builder, sig, args):
    return (times_matrix if is_matrix(sig.args[1]) else dot_vectors)(context, builder, sig, args)
