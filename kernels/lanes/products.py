"""Products: ``np.dot(x, z)``, ``z.dot(z)``, ``X @ z`` and ``z @ X``."""

import operator
from functools import partial

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, bound_function, infer_getattr, signature
from numba.extending import lower_builtin
from numba.np import arrayobj

from ..arithmetic.traced import emit_fma
from ..jit import template
from .lazy_product import LaneProduct, lazy_product, matrix_product_type
from .matrix import emit_times, times
from .recorded_sums import is_recorded, product_type, record_matrix_times, recorded_dot
from .reduction import ZERO, lower_sum
from .registry import accumulate
from .sequence import INTP, is_vector, item, item_type, length, rows_of, same_length, store, struct
from .types import LaneArray, LaneExpression, LaneSequence, LaneVector, pack


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
        emit_times(builder, times(lanes.width), addresses[0], *steps, rows, columns, addresses[1], stride, addresses[2])
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


def turned(context, builder, kind, value):
    """``X.T``"""
    matrix, out = struct(kind)(context, builder, value), struct(transposed(kind))(context, builder)
    arrayobj.populate_array(
        out,
        data=matrix.data,
        shape=cgutils.unpack_tuple(builder, matrix.shape)[::-1],
        strides=cgutils.unpack_tuple(builder, matrix.strides)[::-1],
        itemsize=matrix.itemsize,
        meminfo=matrix.meminfo,
    )
    return out._getvalue()


def times_matrix(context, builder, sig, args):
    """z @ X, which is X.T @ z"""
    (kz, kx), (z, x) = sig.args, args
    sig = signature(sig.return_type, transposed(kx), kz)
    return lower_array_first(context, builder, sig, [turned(context, builder, kx, x), z])


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
