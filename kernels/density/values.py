"""How a user's log density becomes a C function that evaluates it for a tile of draws, by ``abi``."""

import warnings
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import errors

from ..jit import DENSITY_FASTMATH
from ..lanes import Lanes, LaneVector
from ..lanes.recorded_arrays import with_tables
from ..lanes.sequence import store
from ..lanes.types import pack as pack_struct
from .abi import LANE_WIDTH, RAISED, Compiled
from .error_messages import DensityError, explain_error
from .integers import ERROR_MODEL
from .python_semantics import UsersCompiler
from .references import assigns_items, with_helpers
from .tile_loop import Callee, c_function, copy_column, new_draw

# Indices are checked, in helpers too: data may be changed in place after Python has seen it, and garbage is no answer.
USERS: dict[str, Any] = dict(
    boundscheck=True, error_model=ERROR_MODEL, fastmath=DENSITY_FASTMATH, pipeline_class=UsersCompiler
)


def view_of(context, builder, kind, tile, first):
    """The draws first … first + 31 of a tile as a LaneVector."""
    return pack_struct(context, builder, kind, data=builder.gep(tile.z, [first]), stride=tile.width, size=tile.dim)


def nothing():
    """The end of a tile that leaves nothing behind."""


def checked_result(kind, *wanted):
    if not isinstance(kind, wanted):
        raise errors.NumbaTypeError(f"the log density returned {kind}, not a number")


def put_value(context, builder, density, arguments, draws, tile, first, stop, kind):
    """Call a density for some draws and store what it returns as ``kind``: Lanes, or one float64."""
    raised, value = density.call(context, builder, arguments, [draws, *tile.data])
    stop(raised, RAISED)
    value = context.cast(builder, value, density.result, kind)
    place = builder.gep(tile.log_p, [first])
    builder.store(value, place) if kind == types.float64 else store(builder, kind, value, place)


def in_lanes(function, kinds, tables=False):
    """A C function that computes 32 draws at a time.

    With ``tables`` the arrays that the density makes hold lanes.
    """
    lanes = Lanes(LANE_WIDTH)
    arguments = [LaneVector(lanes), *kinds]
    if tables:
        function = with_tables(function, lanes)

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, Lanes, types.Float, types.Integer)

        def start(context, builder, tile):
            def group(first, stop):
                view = view_of(context, builder, arguments[0], tile, first)
                put_value(context, builder, density, arguments, view, tile, first, stop, lanes)

            return group, nothing

        return start

    return c_function(prepare, kinds, LANE_WIDTH)


def draw_by_draw(function, kinds):
    """A C function that computes one draw at a time."""
    arguments = [types.Array(types.float64, 1, "C"), *kinds]

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, types.Float, types.Integer, types.Boolean)

        def start(context, builder, tile):
            draw, place = new_draw(context, builder, arguments[0], tile)

            def group(first, stop):
                copy_column(builder, tile, builder.gep(tile.z, [first]), tile.width, place, ir.IntType(64)(1))
                put_value(context, builder, density, arguments, draw, tile, first, stop, types.float64)

            return group, lambda: context.nrt.decref(builder, arguments[0], draw)

        return start

    return c_function(prepare, kinds, 1)


def compile_density(function, kinds, lanes_refused=None) -> Compiled:
    """Compile a plain Python function to lanes, or draw by draw where lanes cannot follow it."""
    reason = lanes_refused
    attempts = (in_lanes, partial(in_lanes, tables=True)) if assigns_items(function) else (in_lanes,)
    for build in attempts if reason is None else ():
        try:
            compiled = quietly(build, function, kinds)
            return Compiled(compiled.address, True, None, (compiled, function))
        except Exception as error:  # lowering can raise anything; the last attempt decides what the user sees
            refused = explain_error(error, function, " for a vector of draws")
    reason = reason or refused
    try:
        compiled = quietly(draw_by_draw, function, kinds)
    except Exception as error:
        raise DensityError(f"log_density: {explain_error(error, function)}", str(error)) from None
    return Compiled(compiled.address, False, reason, (compiled, function))


def quietly(build, function, kinds):
    """Compile without Numba's advice on contiguous arrays, which is not ours to pass on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NumbaWarning)
        return build(function, kinds)
