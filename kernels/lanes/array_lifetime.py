"""Arrays that a record on the tape points at: data stay where they are, temporaries are copied."""

from numba import types
from numba.core import cgutils
from numba.np import arrayobj

from . import tape as tapes
from .sequence import struct
from .tape import number


def lasting(kind):
    """Whether an array may still be there on the way back: data cannot be written to, see also ``borrowed``."""
    return isinstance(kind, types.Array) and not kind.mutable


def borrowed(builder, array):
    """Whether an array is data or a view of it, at run time: a temporary has memory information, data have none."""
    return builder.icmp_unsigned("==", builder.ptrtoint(array.meminfo, tapes.I64), number(0))


def lasting_copy(context, builder, kind, value, tape):
    """The array itself where it is data, or else a copy of it on the tape, of the same type."""
    array = struct(kind)(context, builder, value)
    place = cgutils.alloca_once_value(builder, value)
    with builder.if_then(builder.not_(borrowed(builder, array)), likely=False):
        shape = cgutils.unpack_tuple(builder, array.shape, kind.ndim)
        width = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        total, strides = number(width), []
        for extent in reversed(shape):
            strides.insert(0, total)
            total = builder.mul(total, extent)
        size = builder.and_(builder.add(total, number(tapes.LINE - 1)), number(-tapes.LINE))
        top, _ = tapes.reserve(context, builder, tape, size, number(0))
        tapes.write(builder, builder.add(top, size), tape, tapes.TOP)
        copy = struct(kind)(context, builder)
        arrayobj.populate_array(
            copy,
            data=builder.inttoptr(top, array.data.type),
            shape=shape,
            strides=strides,
            itemsize=number(width),
            meminfo=None,
        )
        with cgutils.loop_nest(builder, shape, tapes.I64) as indices:
            old = arrayobj.load_item(
                context, builder, kind, cgutils.get_item_pointer(context, builder, kind, array, indices)
            )
            to = cgutils.get_item_pointer(context, builder, kind, copy, indices)
            arrayobj.store_item(context, builder, kind, old, to)
        builder.store(copy._getvalue(), place)
    return builder.load(place)


def address_of(context, builder, kind, value, tape):
    """(data, row stride, column stride) of a matrix; of a temporary one, a copy on the tape."""
    if lasting(kind) and kind.dtype == types.float64:
        matrix = struct(kind)(context, builder, lasting_copy(context, builder, kind, value, tape))
        row, column = cgutils.unpack_tuple(builder, matrix.strides, 2)
        return builder.ptrtoint(matrix.data, tapes.I64), row, column
    matrix = struct(kind)(context, builder, value)
    rows, columns = cgutils.unpack_tuple(builder, matrix.shape, 2)
    size = builder.mul(builder.mul(rows, columns), number(8))
    top, _ = tapes.reserve(context, builder, tape, size, number(0))
    place = cgutils.alloca_once_value(builder, top)
    with cgutils.for_range(builder, rows) as i, cgutils.for_range(builder, columns) as j:
        where = cgutils.get_item_pointer(context, builder, kind, matrix, [i.index, j.index])
        entry = context.cast(builder, arrayobj.load_item(context, builder, kind, where), kind.dtype, types.float64)
        tapes.write(builder, entry, builder.load(place))
        builder.store(builder.add(builder.load(place), number(8)), place)
    line = number(tapes.LINE - 1)
    end = builder.and_(builder.add(builder.load(place), line), builder.not_(line))
    tapes.write(builder, end, tape, tapes.TOP)
    return top, builder.mul(columns, number(8)), number(8)
