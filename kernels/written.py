"""How a log density and a gradient that the user wrote become one C function, by the contract of ``density``.

``gradient(z, *data, out)`` writes into ``out``, which here is a vector of lanes that can be written to.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils, errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.cpython import slicing
from numba.extending import intrinsic, lower_builtin, register_model

from .density import (
    LANE_WIDTH,
    OPTIONS,
    SIGNATURE,
    USERS,
    Compiled,
    DensityError,
    explain_error,
    get_one,
    lane_view,
    put,
    put_one,
    quietly,
    unpacker,
)
from .helpers import assigns_items, with_helpers
from .jit import template
from .lanes import Lanes, LaneVector
from .lanes.sequence import checked_index, is_vector, item, item_type, length, same_length, store, struct
from .lanes.types import SCALARS, LaneSequence, LaneVectorModel


class LaneOut(LaneVector):
    """A LaneVector that can be written to: the gradient of one group of draws."""

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


@intrinsic
def out_view(typingctx, gradient, dim, width, first):
    """The columns first … first + 31 of a gradient as a LaneOut."""
    kind = LaneOut(Lanes(LANE_WIDTH))

    def codegen(context, builder, sig, args):
        view = struct(kind)(context, builder)
        view.data = builder.gep(args[0], [args[3]])
        view.size, view.stride = args[1], args[2]
        return view._getvalue()

    return signature(kind, gradient, types.int64, types.int64, types.int64), codegen


@intrinsic
def is_null(typingctx, pointer):
    def codegen(context, builder, sig, args):
        return builder.icmp_unsigned("==", builder.ptrtoint(args[0], ir.IntType(64)), ir.IntType(64)(0))

    return signature(types.boolean, pointer), codegen


def in_lanes(functions, kinds):
    """A tile function that computes 32 draws at a time."""
    if assigns_items(functions[0]):
        raise errors.NumbaTypeError("an assignment to an item, which a lazy expression of draws may still have to read")
    density, gradient = (njit(**USERS)(with_helpers(f, USERS)) for f in functions)
    unpack = unpacker(kinds)

    @njit(**OPTIONS)
    def tile(z, dim, width, data, log_p, out):
        for first in range(0, width, LANE_WIDTH):
            view = lane_view(z, dim, width, first)
            put(log_p, first, density(view, *unpack(data)))
            if not is_null(out):
                gradient(view, *(unpack(data) + (out_view(out, dim, width, first),)))

    return tile


def draw_by_draw(functions, kinds):
    """A tile function that computes one draw at a time."""
    density, gradient = (njit(**USERS)(with_helpers(f, USERS)) for f in functions)
    unpack = unpacker(kinds)

    @njit(**OPTIONS)
    def tile(z, dim, width, data, log_p, out):
        draw, slope = np.empty(dim), np.empty(dim)
        for j in range(width):
            for i in range(dim):
                draw[i] = get_one(z, i * width + j)
            put_one(log_p, j, density(draw, *unpack(data)))
            if not is_null(out):
                slope[:] = np.nan
                gradient(draw, *(unpack(data) + (slope,)))
                for i in range(dim):
                    put_one(out, i * width + j, slope[i])

    return tile


def c_function(tile):
    @cfunc(SIGNATURE, error_model="numpy")
    def density(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        try:
            tile(z, dim, width, data, log_p, gradient)
        except Exception:
            return 1
        return 0

    return density


def compile_written(function, gradient, kinds) -> Compiled:
    """Compile a log density together with its written gradient: both in lanes, or both draw by draw."""
    reason = None
    for build in (in_lanes, draw_by_draw):
        try:
            compiled = quietly(
                lambda functions, kinds, build=build: c_function(build(functions, kinds)), (function, gradient), kinds
            )
            return Compiled(compiled.address, build is in_lanes, reason, (compiled, function, gradient), smooth=True)
        except Exception as error:
            details = error
            reason = explain_error(error, gradient, " for a vector of draws")
    raise DensityError(f"gradient: {explain_error(details, gradient)}", str(details)) from None
