"""Sums, extremes and products of recorded sequences: few statements on the tape for many operations."""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing.templates import signature
from numba.np import arrayobj

from ..arithmetic.traced import constant
from . import tape as tapes
from .array_lifetime import address_of, lasting, lasting_copy
from .partials import edges_of, value_of, where
from .recorded_arrays import Table, new_table, store_item
from .recorded_types import Expression, Leaf, Number, Recorded
from .registry import call
from .sequence import INTP, is_table, item, item_type, length, rows_of, same_length, store, struct, total_type
from .tape import number
from .types import LaneExpression, LaneGather, LaneSequence, LaneVector, pack, part


def tape_of(context, builder, kind, value):
    """(tape, whether it is certainly there) of a recorded sequence or number."""
    if isinstance(kind, LaneVector):
        return part(context, builder, kind, value, "tape"), True
    if is_table(kind):
        return any_tape(context, builder, kind, value), False
    if isinstance(kind, LaneGather):
        return tape_of(context, builder, kind.sequence, part(context, builder, kind, value, "sequence"))
    if isinstance(kind, Number):
        edges = edges_of(context, builder, kind, value)
        return edges.tape, edges.certain
    found = [
        tape_of(context, builder, a, part(context, builder, kind, value, f"operand{k}"))
        for k, a in enumerate(kind.operands)
        if isinstance(a, Number) or isinstance(a, LaneSequence) and a.recorded
    ]
    for tape, certain in found:
        if certain:
            return tape, True
    tape = found[0][0]
    for other, _ in found[1:]:
        tape = builder.or_(tape, other)
    return tape, False


def any_tape(context, builder, kind, value):
    """The tape of whichever item of a table has one, or 0."""
    tape = cgutils.alloca_once_value(builder, number(0))
    with cgutils.for_range(builder, length(context, builder, kind, value)) as loop:
        x = item(context, builder, kind, value, loop.index)
        builder.store(builder.or_(builder.load(tape), part(context, builder, kind.item, x, "tape")), tape)
    return builder.load(tape)


def recorded_sum(context, builder, kind, value):
    """sum_i of the items: one variable, all terms in one run where nothing else is recorded between them."""
    lanes = kind.lanes
    tape, certain = tape_of(context, builder, kind, value)
    adjoint = cgutils.alloca_once_value(builder, number(0))
    with where(builder, tape, certain):
        builder.store(tapes.new_adjoint(context, builder, lanes, tape), adjoint)
    total = cgutils.alloca_once(builder, lanes.vector)
    builder.store(constant(lanes.vector, 0.0), total)
    with cgutils.for_range(builder, length(context, builder, kind, value)) as loop:
        x = item(context, builder, kind, value, loop.index)
        _, lane = value_of(context, builder, kind.item, x)
        builder.store(builder.fadd(builder.load(total), lane), total)
        edges = edges_of(context, builder, kind.item, x)
        edges.tape = tape
        with where(builder, tape, certain):
            edges.push(builder.load(adjoint), fresh=False)
    return pack(
        context,
        builder,
        total_type(kind),
        value=builder.load(total),
        adjoint=builder.load(adjoint),
        tape=tape,
        version=number(0),
    )


def recorded_mean(context, builder, kind, value, sum_):
    """sum / n, as a variable; ``sum_`` lowers the sum"""
    variable = total_type(kind)
    size = builder.sitofp(length(context, builder, kind, value), ir.DoubleType())
    pair = [sum_(context, builder, signature(variable, kind), [value]), size]
    known = context.typing_context.resolve_value_type(operator.truediv)
    result = known.get_call_type(context.typing_context, (variable, types.float64), {}).return_type
    mean = call(context, builder, operator.truediv, (variable, types.float64), pair)
    return context.cast(builder, mean, result, variable)


def recorded_fold(context, builder, kind, value, function, start):
    """function(… function(function(start, item 0), item 1) …)"""
    variable = total_type(kind)
    first = context.cast(builder, ir.Constant(ir.DoubleType(), start), types.float64, variable)
    total = cgutils.alloca_once_value(builder, first)
    known = context.typing_context.resolve_value_type(function)
    with cgutils.for_range(builder, length(context, builder, kind, value)) as loop:
        pair = [builder.load(total), item(context, builder, kind, value, loop.index)]
        kinds = (variable, kind.item)
        result = known.get_call_type(context.typing_context, kinds, {}).return_type
        combined = call(context, builder, function, kinds, pair)
        builder.store(context.cast(builder, combined, result, variable), total)
    return builder.load(total)


def certain(kind):
    """Whether a recorded sequence or number has a tape whatever happens; variables and tables may hold constants."""
    if isinstance(kind, Expression | LaneExpression):
        return any(certain(a) for a in kind.operands)
    if isinstance(kind, LaneGather):
        return certain(kind.sequence)
    return isinstance(kind, Leaf) or isinstance(kind, LaneVector) and kind.recorded


def product_type(a, b):
    """The type of ``a @ b`` with a recorded sequence among them."""
    sequence = b if isinstance(b, LaneSequence) and b.recorded else a
    if isinstance(a, types.Array) and a.ndim == 2:
        return LaneVector(sequence.item.leaf) if certain(b) else Table(sequence.item.recorded, 1, fixed=True)
    settled = [isinstance(t, LaneVector) for t in (a, b)]
    if any(settled) and any(lasting(t) and t.dtype == types.float64 for t in (a, b)):
        return sequence.item.leaf
    return sequence.item.recorded


def recorded_dot(context, builder, sig, args, plain, sum_):
    """sum_i a[i] b[i]; ``plain(kinds, values)`` is the same for lanes that are not recorded."""
    if isinstance(sig.return_type, Recorded):
        items = [item_type(k) for k in sig.args]
        known = context.typing_context.resolve_value_type(operator.mul)
        result = known.get_call_type(context.typing_context, tuple(items), {}).return_type
        kind = LaneExpression(operator.mul, sig.args, result)
        sizes = [length(context, builder, k, v) for k, v in zip(sig.args, args, strict=True)]
        size = same_length(context, builder, sizes)
        lazy = pack(context, builder, kind, size=size, operand0=args[0], operand1=args[1])
        return sum_(context, builder, signature(sig.return_type, kind), [lazy])
    (ka, kv), (a, v) = sig.args, args
    if isinstance(ka, LaneSequence):
        ka, kv, a, v = kv, ka, v, a
    value = plain((ka, LaneVector(kv.lanes)), (a, unrecorded(context, builder, kv, v)))
    tape = part(context, builder, kv, v, "tape")
    array = struct(ka)(context, builder, lasting_copy(context, builder, ka, a, tape))
    stride = cgutils.unpack_tuple(builder, array.strides, 1)[0]
    adjoint = tapes.new_adjoints(context, builder, kv.lanes, tape, number(1))
    data = builder.ptrtoint(array.data, tapes.I64)
    push(context, builder, kv, v, adjoint, number(1), data, number(0), stride, array_size(builder, array))
    return pack(context, builder, sig.return_type, value=value, adjoint=adjoint, tape=tape)


def array_size(builder, array):
    return cgutils.unpack_tuple(builder, array.shape)[-1]


def push(context, builder, kind, vector, adjoint, rows, data, row_stride, column_stride, columns):
    """Record the product of a matrix at ``data`` with a recorded vector."""
    to, spacing, tape = (part(context, builder, kind, vector, name) for name in ("adjoint", "spacing", "tape"))
    tapes.push_product(context, builder, tape, adjoint, rows, data, row_stride, column_stride, columns, to, spacing)


def unrecorded(context, builder, kind, value):
    """The values of a recorded LaneVector, as one that is not recorded."""
    data, stride = rows_of(context, builder, kind, value)
    size = part(context, builder, kind, value, "size")
    return pack(context, builder, LaneVector(kind.lanes), data=data, stride=stride, size=size)


def settled(context, builder, kind, value):
    """(kind, value) of a recorded sequence as a LaneVector: computed once, with an adjoint for each item."""
    if isinstance(kind, LaneVector):
        return kind, value
    lanes = kind.lanes
    size = length(context, builder, kind, value)
    tape, _ = tape_of(context, builder, kind, value)
    result, vector, place = new_vector(context, builder, kind.item.leaf, tape, size)
    adjoints = part(context, builder, result, vector, "adjoint")
    with cgutils.for_range(builder, size) as loop:
        x = item(context, builder, kind, value, loop.index)
        row = builder.gep(place, [builder.mul(loop.index, INTP(lanes.width))])
        store(builder, lanes, value_of(context, builder, kind.item, x)[1], row)
        offset = builder.mul(loop.index, number(tapes.lane_bytes(lanes)))
        edges_of(context, builder, kind.item, x).push(builder.add(adjoints, offset), fresh=True)
    return result, vector


def new_vector(context, builder, leaf, tape, size):
    """(kind, value, data) of a LaneVector on the tape: room for values, and zero adjoints."""
    lanes, kind = leaf.lanes, LaneVector(leaf)
    place = tapes.pointer(builder, tapes.new_lanes(context, builder, lanes, tape, size), ir.DoubleType())
    adjoints = tapes.new_adjoints(context, builder, lanes, tape, size)
    spacing = number(tapes.lane_bytes(lanes))
    members = dict(data=place, stride=INTP(lanes.width), size=size, adjoint=adjoints, spacing=spacing, tape=tape)
    return kind, pack(context, builder, kind, **members), place


def table_matrix_times(context, builder, sig, args, row_times):
    """X @ v for a v that may be constant, row by row into a table; ``row_times(sig, args)`` is a dot product."""
    (kx, kv), (x, v), kind = sig.args, args, sig.return_type
    matrix = struct(kx)(context, builder, x)
    rows, columns = cgutils.unpack_tuple(builder, matrix.shape, 2)
    same_length(context, builder, [columns, length(context, builder, kv, v)])
    row_step, step = cgutils.unpack_tuple(builder, matrix.strides, 2)
    table = new_table(context, builder, kind, [rows])
    row_kind = types.Array(kx.dtype, 1, "A", readonly=not kx.mutable)
    with cgutils.for_range(builder, rows) as loop:
        row = struct(row_kind)(context, builder)
        start = builder.add(builder.ptrtoint(matrix.data, tapes.I64), builder.mul(loop.index, row_step))
        arrayobj.populate_array(
            row,
            data=builder.inttoptr(start, matrix.data.type),
            shape=[columns],
            strides=[step],
            itemsize=matrix.itemsize,
            meminfo=matrix.meminfo,
        )
        entry = row_times(signature(kind.item, row_kind, kv), [row._getvalue(), v])
        place = builder.add(part(context, builder, kind, table, "data"), builder.mul(loop.index, number(kind.step)))
        store_item(context, builder, kind, place, entry)
    return impl_ret_new_ref(context, builder, kind, table)


def record_matrix_times(context, builder, sig, args, rows_times, row_times):
    """X @ z as one record; ``rows_times(kinds, values, out)`` computes its values into memory."""
    if isinstance(sig.return_type, Table):
        return table_matrix_times(context, builder, sig, args, row_times)
    (kx, x), (kz, z) = zip(sig.args, args, strict=True)
    kz, z = settled(context, builder, kz, z)
    tape = part(context, builder, kz, z, "tape")
    matrix = struct(kx)(context, builder, x)
    size, columns = cgutils.unpack_tuple(builder, matrix.shape, 2)
    same_length(context, builder, [columns, length(context, builder, kz, z)])
    kind, result, place = new_vector(context, builder, sig.return_type.item, tape, size)
    rows_times((kx, LaneVector(kz.lanes)), (x, unrecorded(context, builder, kz, z)), place)
    data, row, column = address_of(context, builder, kx, x, tape)
    push(context, builder, kz, z, part(context, builder, kind, result, "adjoint"), size, data, row, column, columns)
    return result


def is_recorded(*kinds):
    return any(isinstance(k, LaneSequence) and k.recorded for k in kinds)
