"""Sequences computed at once and kept: ``np.cumsum(x)``, and ``x.copy()`` for what is used twice and costly."""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing import Context
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, bound_function, infer_getattr, signature
from numba.extending import lower_builtin
from numba.np import arrayobj

from ..arithmetic.traced import constant
from ..jit import template
from . import tape as tapes
from .partials import edges_of, value_of
from .recorded_arrays import Table, address_of, new_table, store_item
from .recorded_sums import certain, new_vector, settled, tape_of
from .registry import call
from .sequence import INTP, item, item_type, length, store
from .tape import number
from .types import LaneArray, LaneMask, LaneSequence, LaneVector, pack, part


def kept_type(typingctx, kind):
    """The type of the kept items of a sequence; None on a GPU, where there is no memory for them."""
    if not isinstance(typingctx, Context) or isinstance(kind.item, LaneMask) or getattr(kind, "ndim", 1) != 1:
        return None
    if not kind.recorded:
        return LaneArray(kind.lanes)
    return LaneVector(kind.item.leaf) if certain(kind) else Table(kind.item.recorded, 1, fixed=True)


def kept(context, builder, sig, args, running):
    """Each item, or each sum of the items so far where ``running``."""
    kind, result = sig.args[0], sig.return_type
    size = length(context, builder, kind, args[0])
    if isinstance(result, LaneArray):
        return kept_lanes(context, builder, kind, args[0], size, result, running)
    if isinstance(result, Table):
        return kept_variables(context, builder, kind, args[0], size, result, running)
    return (
        running_sums(context, builder, kind, args[0], size) if running else settled(context, builder, kind, args[0])[1]
    )


def kept_lanes(context, builder, kind, value, size, result, running):
    lanes = result.lanes
    out = arrayobj._empty_nd_impl(context, builder, result.array, [size, INTP(lanes.width)])
    total = cgutils.alloca_once(builder, lanes.vector)
    builder.store(constant(lanes.vector, 0.0), total)
    with cgutils.for_range(builder, size) as loop:
        x = context.cast(builder, item(context, builder, kind, value, loop.index), item_type(kind), lanes)
        if running:
            x = builder.fadd(builder.load(total), x)
            builder.store(x, total)
        store(builder, lanes, x, builder.gep(out.data, [builder.mul(loop.index, INTP(lanes.width))]))
    members = dict(size=size, array=out._getvalue())
    return impl_ret_new_ref(context, builder, result, pack(context, builder, result, **members))


def kept_variables(context, builder, kind, value, size, result, running):
    """In a table: a variable may be a constant."""
    variable, out = result.item, new_table(context, builder, result, [size])
    zero = context.cast(builder, ir.Constant(ir.DoubleType(), 0.0), types.float64, variable)
    total = cgutils.alloca_once_value(builder, zero)
    known = context.typing_context.resolve_value_type(operator.add)
    with cgutils.for_range(builder, size) as loop:
        x, x_kind = item(context, builder, kind, value, loop.index), kind.item
        if running:
            kinds = (variable, x_kind)
            x = call(context, builder, operator.add, kinds, [builder.load(total), x])
            x_kind = known.get_call_type(context.typing_context, kinds, {}).return_type
        x = context.cast(builder, x, x_kind, variable)
        builder.store(x, total)
        store_item(context, builder, result, address_of(context, builder, result, out, loop.index), x)
    return impl_ret_new_ref(context, builder, result, out)


def running_sums(context, builder, kind, value, size):
    """On the tape: the adjoint of each sum goes to its item and to the sum before it."""
    lanes = kind.lanes
    tape, _ = tape_of(context, builder, kind, value)
    result, vector, place = new_vector(context, builder, kind.item.leaf, tape, size)
    adjoints = part(context, builder, result, vector, "adjoint")
    total = cgutils.alloca_once(builder, lanes.vector)
    builder.store(constant(lanes.vector, 0.0), total)
    step = number(tapes.lane_bytes(lanes))
    with cgutils.for_range(builder, size) as loop:
        x = item(context, builder, kind, value, loop.index)
        now = builder.fadd(builder.load(total), value_of(context, builder, kind.item, x)[1])
        builder.store(now, total)
        store(builder, lanes, now, builder.gep(place, [builder.mul(loop.index, INTP(lanes.width))]))
        adjoint = builder.add(adjoints, builder.mul(loop.index, step))
        edges_of(context, builder, kind.item, x).push(adjoint, fresh=True)
        with builder.if_then(builder.icmp_signed(">", loop.index, INTP(0))):
            before = [(builder.sub(adjoint, step), ir.Constant(ir.DoubleType(), 1.0))]
            tapes.push_run(context, builder, lanes, tape, adjoint, before, fresh=False)
    return vector


def register(function, method, running):
    @template(function)
    class Kept(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and not kws and isinstance(args[0], LaneSequence):
                kind = kept_type(self.context, args[0])
                return kind and signature(kind, *args)

    def lower(context, builder, sig, args):
        return kept(context, builder, sig, args, running)

    lower_builtin(function, LaneSequence)(lower)
    lower_builtin(method, LaneSequence)(lower)


register(np.cumsum, "lanes.cumsum", True)
register(np.copy, "lanes.copy", False)


@infer_getattr
class KeptMethods(AttributeTemplate):
    key = LaneSequence

    @bound_function("lanes.cumsum")
    def resolve_cumsum(self, sequence, args, kws):
        return self.method(sequence, args, kws)

    @bound_function("lanes.copy")
    def resolve_copy(self, sequence, args, kws):
        return self.method(sequence, args, kws)

    def method(self, sequence, args, kws):
        kind = None if args or kws else kept_type(self.context, sequence)
        return kind and signature(kind, recvr=sequence)
