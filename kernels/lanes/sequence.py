"""Sequences of Lanes: items, slices, gathers, length, iteration."""

import builtins
import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import RefType, impl_ret_borrowed, iternext_impl
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, bound_function, infer_getattr, signature
from numba.cpython import slicing
from numba.extending import lower_builtin, lower_getattr
from numba.np import arrayobj

from ..jit import raise_error, template
from .registry import call
from .shared_items import one_leaf
from .types import SCALARS, LaneArray, LaneExpression, LaneGather, LaneIterator, LaneSequence, LaneVector, pack, part

struct = cgutils.create_struct_proxy
INTP = ir.IntType(64)


def is_table(kind):
    """Whether a sequence reads and writes its own items."""
    return hasattr(kind, "step")


def is_vector(kind):
    """Whether a type is an ordinary one-dimensional array of numbers."""
    return isinstance(kind, types.Array) and kind.ndim == 1 and isinstance(kind.dtype, SCALARS)


def total_type(sequence):
    """The type of a sum of items."""
    return sequence.item.recorded if sequence.recorded else sequence.lanes


def item_type(kind):
    """The type of one item of something that can take part in an element-wise expression."""
    if isinstance(kind, LaneSequence):
        return kind.item
    return kind.dtype if is_vector(kind) else kind


def item(context, builder, kind, value, i, known=None):
    """Item number i, of type ``item_type(kind)``; a scalar is its own every item.

    ``known`` keeps what one expression asks for twice: z * z has one item, not two.
    """
    known = {} if known is None else known

    def get(name):
        return part(context, builder, kind, value, name)

    if isinstance(kind, LaneVector | LaneArray):
        data, stride = rows_of(context, builder, kind, value)
        lanes = load(builder, kind.lanes, builder.gep(data, [builder.mul(i, stride)]))
        if not kind.recorded:
            return lanes
        adjoint = builder.add(get("adjoint"), builder.mul(i, get("spacing")))
        return pack(context, builder, kind.item, value=lanes, adjoint=adjoint, tape=get("tape"))
    if isinstance(kind, LaneGather):
        j = array_item(context, builder, kind.indices, get("indices"), i)
        j = context.cast(builder, j, kind.indices.dtype, types.intp)
        j = checked_index(context, builder, j, length(context, builder, kind.sequence, get("sequence")))
        return item(context, builder, kind.sequence, get("sequence"), j)
    if isinstance(kind, LaneExpression):
        values = []
        for k, a in enumerate(kind.operands):
            operand = get(f"operand{k}")
            if id(operand) not in known:
                known[id(operand)] = operand, item(context, builder, a, operand, i, None if kind.recorded else known)
            values.append(known[id(operand)][1])
        return call(context, builder, kind.function, [item_type(a) for a in kind.operands], values)
    if isinstance(kind, LaneSequence):  # a table, which reads its own items
        return call(context, builder, operator.getitem, [kind, types.intp], [value, i])
    if is_vector(kind):
        return array_item(context, builder, kind, value, i)
    return value


def rows_of(context, builder, kind, value):
    """Where the items of a LaneVector or LaneArray lie: the first, and the float64s from one to the next."""
    if isinstance(kind, LaneVector):
        return part(context, builder, kind, value, "data"), part(context, builder, kind, value, "stride")
    owned = part(context, builder, kind.array, part(context, builder, kind, value, "array"), "data")
    return owned, INTP(kind.lanes.width)


def array_item(context, builder, kind, value, i):
    array = struct(kind)(context, builder, value)
    return arrayobj.load_item(context, builder, kind, cgutils.get_item_pointer(context, builder, kind, array, [i]))


def checked_index(context, builder, i, size):
    """Python's meaning of an index: negative ones count from the end, and one out of range raises."""
    i = builder.select(builder.icmp_signed("<", i, INTP(0)), builder.add(i, size), i)
    with builder.if_then(builder.icmp_unsigned(">=", i, size), likely=False):
        raise_error(context, builder, IndexError, "index out of range")
    return i


def length(context, builder, kind, value):
    """The length of a sequence or vector, None for a scalar."""
    if isinstance(kind, LaneSequence):
        return part(context, builder, kind, value, "size")
    if is_vector(kind):
        return cgutils.unpack_tuple(builder, struct(kind)(context, builder, value).shape)[0]
    return None


def same_length(context, builder, lengths):
    """The common length; ValueError where Numba's own arrays would raise it, as reading on would be silent."""
    lengths = [n for n in lengths if n is not None]
    for n in lengths[1:]:
        with builder.if_then(builder.icmp_signed("!=", n, lengths[0]), likely=False):
            raise_error(context, builder, ValueError, "operands of different lengths")
    return lengths[0]


def load(builder, lanes, pointer):
    return builder.load(builder.bitcast(pointer, lanes.vector.as_pointer()), align=8)


def store(builder, lanes, value, pointer):
    builder.store(value, builder.bitcast(pointer, lanes.vector.as_pointer()), align=8)


@template(operator.getitem)
class GetItem(AbstractTemplate):
    def generic(self, args, kws):
        sequence, index = args
        if isinstance(sequence, LaneSequence) and not is_table(sequence):
            if isinstance(index, types.Integer):
                return signature(sequence.item, sequence, types.intp)
            if isinstance(index, types.SliceType) and isinstance(sequence, LaneVector):
                return signature(sequence, sequence, index)
            if is_vector(index) and isinstance(index.dtype, types.Integer):
                return signature(LaneGather(sequence, index), sequence, index)


@lower_builtin(operator.getitem, LaneSequence, types.Integer)
def get_item(context, builder, sig, args):
    kind, (value, i) = sig.args[0], args

    def load_it():
        place = checked_index(context, builder, i, length(context, builder, kind, value))
        return item(context, builder, kind, value, place)

    return one_leaf(builder, value, i, load_it) if kind.recorded else load_it()


@lower_builtin(operator.getitem, LaneVector, types.SliceType)
def get_slice(context, builder, sig, args):
    view = struct(sig.args[0])(context, builder, args[0])
    cut = context.make_helper(builder, sig.args[1], args[1])
    slicing.guard_invalid_slice(context, builder, sig.args[1], cut)
    slicing.fix_slice(builder, cut, view.size)
    kind = sig.args[0]
    members = dict(
        data=builder.gep(view.data, [builder.mul(cut.start, view.stride)]),
        stride=builder.mul(view.stride, cut.step),
        size=slicing.get_slice_length(builder, cut),
    )
    if kind.recorded:
        members.update(
            adjoint=builder.add(view.adjoint, builder.mul(cut.start, view.spacing)),
            spacing=builder.mul(view.spacing, cut.step),
            tape=view.tape,
        )
    return pack(context, builder, kind, **members)


@lower_builtin(operator.getitem, LaneSequence, types.Array)
def get_gather(context, builder, sig, args):
    size = length(context, builder, sig.args[1], args[1])
    indices = as_it_is(context, builder, sig.args[1], args[1])
    out = pack(context, builder, sig.return_type, size=size, sequence=args[0], indices=indices)
    return keep(context, builder, sig.return_type, out, [(sig.args[1], args[1], indices)])


copies: dict[type, Callable] = {}  # of sequences that can be written to: the lowering of a copy


def as_it_is(context, builder, kind, value):
    """An array as it is now, for a lazy expression to read later: data as they are, anything else as a copy."""
    if type(kind) in copies and not kind.fixed:
        return copies[type(kind)](context, builder, kind, value)
    if not isinstance(kind, types.Array) or not kind.mutable:
        return value
    array = struct(kind)(context, builder, value)
    size = cgutils.unpack_tuple(builder, array.shape)[0]
    fresh = types.Array(kind.dtype, 1, "C")
    copy = arrayobj._empty_nd_impl(context, builder, fresh, [size])
    with cgutils.for_range(builder, size) as loop:
        old = array_item(context, builder, kind, value, loop.index)
        to = cgutils.get_item_pointer(context, builder, fresh, copy, [loop.index])
        arrayobj.store_item(context, builder, fresh, old, to)
    out = struct(kind)(context, builder)
    for name in ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides"):
        setattr(out, name, getattr(copy, name))
    return out._getvalue()


def keep(context, builder, kind, value, captured):
    """A lazy value as the result of a lowering: it owns its operands, of which copies are its alone."""
    value = impl_ret_borrowed(context, builder, kind, value)
    for array_kind, given, taken in captured:
        if taken is not given:
            context.nrt.decref(builder, array_kind, taken)
    return value


@template(builtins.len)
class Length(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], LaneSequence):
            return signature(types.intp, *args)


@lower_builtin(builtins.len, LaneSequence)
def lower_length(context, builder, sig, args):
    return length(context, builder, sig.args[0], args[0])


@infer_getattr
class SequenceAttributes(AttributeTemplate):
    key = LaneSequence

    def resolve_size(self, sequence):
        return types.intp

    def resolve_ndim(self, sequence):
        return types.intp

    def resolve_shape(self, sequence):
        return types.UniTuple(types.intp, 1)

    @bound_function("lanes.sum")
    def resolve_sum(self, sequence, args, kws):
        return _method(sequence, args, kws)

    @bound_function("lanes.mean")
    def resolve_mean(self, sequence, args, kws):
        return _method(sequence, args, kws)

    @bound_function("lanes.max")
    def resolve_max(self, sequence, args, kws):
        return _method(sequence, args, kws)

    @bound_function("lanes.min")
    def resolve_min(self, sequence, args, kws):
        return _method(sequence, args, kws)


def _method(sequence, args, kws):
    if not args and not kws:
        return signature(total_type(sequence), recvr=sequence)


lower_getattr(LaneSequence, "size")(lambda context, builder, kind, value: length(context, builder, kind, value))
lower_getattr(LaneSequence, "ndim")(lambda context, builder, kind, value: INTP(1))
lower_getattr(LaneSequence, "shape")(
    lambda context, builder, kind, value: cgutils.pack_array(builder, [length(context, builder, kind, value)])
)


@lower_builtin("getiter", LaneSequence)
def get_iterator(context, builder, sig, args):
    iterator = struct(sig.return_type)(context, builder)
    iterator.index = cgutils.alloca_once_value(builder, INTP(0))
    iterator.sequence = args[0]
    return impl_ret_borrowed(context, builder, sig.return_type, iterator._getvalue())


@lower_builtin("iternext", LaneIterator)
@iternext_impl(RefType.BORROWED)
def next_item(context, builder, sig, args, result):
    kind = sig.args[0].sequence
    iterator = struct(sig.args[0])(context, builder, args[0])
    i = builder.load(iterator.index)
    more = builder.icmp_signed("<", i, length(context, builder, kind, iterator.sequence))
    result.set_valid(more)
    with builder.if_then(more):
        result.yield_(item(context, builder, kind, iterator.sequence, i))
        builder.store(builder.add(i, INTP(1)), iterator.index)
