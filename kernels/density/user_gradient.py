"""How a log density and a gradient that the user wrote become one C function, by ``abi``.

``gradient(z, *data, out)`` writes into ``out``, which here is a vector of lanes that can be written to.
"""

import math
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.cpython import slicing
from numba.extending import lower_builtin, register_model

from ..arithmetic.traced import constant
from ..jit import template
from ..lanes import Lanes, LaneVector
from ..lanes.registry import call
from ..lanes.sequence import checked_index, is_vector, item, item_type, length, same_length, store, struct
from ..lanes.types import SCALARS, LaneSequence, LaneVectorModel, pack
from .abi import LANE_WIDTH, RAISED, Compiled
from .error_messages import DensityError, explain_error
from .inputs import view_of
from .references import assigns_items, with_helpers
from .tile_loop import WORD, Callee, c_function, copy_column, new_draw
from .values import USERS, checked_result, nothing, put_value, quietly


class LaneOut(LaneVector):
    """A LaneVector that can be written to: the gradient of one group of draws."""

    mutable = True  # so that Numba compiles ``out += x`` as itself

    def __init__(self, item):
        LaneSequence.__init__(self, item, f"LaneOut({item})")


register_model(LaneOut)(LaneVectorModel)


@template(operator.setitem)
class SetItem(AbstractTemplate):
    def generic(self, args, kws):
        out, index, value = args
        if not isinstance(out, LaneOut):
            return None
        if isinstance(index, types.Integer) and isinstance(value, (Lanes, *SCALARS)):
            return signature(types.none, out, types.intp, out.lanes)
        if isinstance(index, types.SliceType):
            if isinstance(value, Lanes | LaneSequence) or is_vector(value):
                return signature(types.none, out, index, value)
            if isinstance(value, SCALARS):
                return signature(types.none, out, index, out.lanes)


@lower_builtin(operator.setitem, LaneOut, types.Integer, Lanes)
def set_item(context, builder, sig, args):
    view = struct(sig.args[0])(context, builder, args[0])
    i = checked_index(context, builder, args[1], view.size)
    store(builder, sig.args[2], args[2], builder.gep(view.data, [builder.mul(i, view.stride)]))
    return context.get_dummy_value()


@lower_builtin(operator.setitem, LaneOut, types.SliceType, types.Any)
def set_slice(context, builder, sig, args):
    kind, lanes = sig.args[2], sig.args[0].lanes
    view = struct(sig.args[0])(context, builder, args[0])
    cut = context.make_helper(builder, sig.args[1], args[1])
    slicing.guard_invalid_slice(context, builder, sig.args[1], cut)
    slicing.fix_slice(builder, cut, view.size)
    size = slicing.get_slice_length(builder, cut)
    same_length(context, builder, [size, length(context, builder, kind, args[2])])
    with cgutils.for_range(builder, size) as loop:
        value = item(context, builder, kind, args[2], loop.index)
        value = context.cast(builder, value, item_type(kind), lanes)
        row = builder.add(cut.start, builder.mul(loop.index, cut.step))
        store(builder, lanes, value, builder.gep(view.data, [builder.mul(row, view.stride)]))
    return context.get_dummy_value()


IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def register_in_place(function, plain):
    """``out += x`` and ``out[1:] += x``: item by item, into ``out`` itself."""

    @template(function)
    class InPlace(AbstractTemplate):
        def generic(self, args, kws):
            out, x = args
            if isinstance(out, LaneOut) and (isinstance(x, (LaneSequence, Lanes, *SCALARS)) or is_vector(x)):
                return signature(out, out, types.float64 if isinstance(x, SCALARS) else x)

    @lower_builtin(function, LaneOut, types.Array)
    @lower_builtin(function, LaneOut, types.Number)
    @lower_builtin(function, LaneOut, Lanes)
    @lower_builtin(function, LaneOut, LaneSequence)
    def lower(context, builder, sig, args):
        out, x = sig.args
        view = struct(out)(context, builder, args[0])
        same_length(context, builder, [view.size, length(context, builder, x, args[1])])
        with cgutils.for_range(builder, view.size) as loop:
            pair = [item(context, builder, kind, value, loop.index) for kind, value in zip(sig.args, args, strict=True)]
            value = call(context, builder, plain, [out.lanes, item_type(x)], pair)
            store(builder, out.lanes, value, builder.gep(view.data, [builder.mul(loop.index, view.stride)]))
        return args[0]


for function, plain in IN_PLACE.items():
    register_in_place(function, plain)


def both(typingctx, functions, arguments, out):
    """The log density and the gradient as callees, their results checked."""
    density, gradient = (with_helpers(f, USERS) for f in functions)
    return Callee(typingctx, density, arguments, USERS), Callee(typingctx, gradient, [*arguments, out], USERS)


def asked(builder, tile):
    """Whether the caller wants the gradient."""
    return builder.icmp_unsigned("!=", builder.ptrtoint(tile.gradient, WORD), WORD(0))


def in_lanes(functions, kinds):
    """A C function that computes 32 draws at a time."""
    if assigns_items(functions[0]):
        raise errors.NumbaTypeError("an assignment to an item, which a lazy expression of draws may still have to read")
    lanes = Lanes(LANE_WIDTH)
    arguments, out = [LaneVector(lanes), *kinds], LaneOut(lanes)

    def prepare(typingctx):
        density, gradient = both(typingctx, functions, arguments, out)
        checked_result(density.result, Lanes, types.Float, types.Integer)

        def start(context, builder, tile):
            def group(first, stop):
                view = view_of(context, builder, arguments[0], tile, first)
                put_value(context, builder, density, arguments, [view], tile, first, stop, lanes)
                with builder.if_then(asked(builder, tile)):
                    place = builder.gep(tile.gradient, [first])
                    slope = pack(context, builder, out, data=place, stride=tile.width, size=tile.dim)
                    with cgutils.for_range(builder, tile.dim) as loop:  # what is not written is not a number
                        row = builder.gep(place, [builder.mul(loop.index, tile.width)])
                        store(builder, lanes, constant(lanes.vector, math.nan), row)
                    raised, _ = gradient.call(context, builder, [*arguments, out], [view, *tile.data, slope])
                    stop(raised, RAISED)

            return group, nothing

        return start

    return c_function(prepare, kinds, LANE_WIDTH)


def draw_by_draw(functions, kinds):
    """A C function that computes one draw at a time."""
    draw_kind = types.Array(types.float64, 1, "C")
    arguments = [draw_kind, *kinds]

    def prepare(typingctx):
        density, gradient = both(typingctx, functions, arguments, draw_kind)
        checked_result(density.result, types.Float, types.Integer, types.Boolean)

        def start(context, builder, tile):
            draw, place = new_draw(context, builder, draw_kind, tile)
            slope, slope_place = new_draw(context, builder, draw_kind, tile)

            def group(first, stop):
                copy_column(builder, tile, builder.gep(tile.z, [first]), tile.width, place, WORD(1))
                put_value(context, builder, density, arguments, [draw], tile, first, stop, types.float64)
                with builder.if_then(asked(builder, tile)):
                    with cgutils.for_range(builder, tile.dim) as loop:
                        builder.store(ir.Constant(ir.DoubleType(), math.nan), builder.gep(slope_place, [loop.index]))
                    raised, _ = gradient.call(context, builder, [*arguments, draw_kind], [draw, *tile.data, slope])
                    stop(raised, RAISED)
                    copy_column(builder, tile, slope_place, WORD(1), builder.gep(tile.gradient, [first]), tile.width)

            def end():
                for array in (draw, slope):
                    context.nrt.decref(builder, draw_kind, array)

            return group, end

        return start

    return c_function(prepare, kinds, 1)


def compile_written(function, gradient, kinds) -> Compiled:
    """Compile a log density together with its written gradient: both in lanes, or both draw by draw."""
    reason = None
    for build in (in_lanes, draw_by_draw):
        try:
            compiled = quietly(build, (function, gradient), kinds)
            return Compiled(compiled.address, build is in_lanes, reason, (compiled, function, gradient), smooth=True)
        except Exception as error:
            details = error
            reason = explain_error(error, gradient, " for a vector of draws")
    raise DensityError(f"gradient: {explain_error(details, gradient)}", str(details)) from None
