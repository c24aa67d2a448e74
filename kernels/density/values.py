"""How a user's log density becomes a C function that evaluates it for a tile of draws, by ``abi``."""

import warnings
from functools import partial
from typing import Any

from numba import types
from numba.core import errors

from ..jit import DENSITY_FASTMATH
from ..lanes import Lanes
from ..lanes.recorded_arrays import with_tables
from ..lanes.sequence import store
from .abi import LANE_WIDTH, RAISED, Compiled
from .error_messages import DensityError, explain_error
from .inputs import Flat
from .integers import ERROR_MODEL
from .python_semantics import UsersCompiler
from .references import assigns_items, with_helpers
from .tile_loop import Callee, c_function

# Indices are checked, in helpers too: data may be changed in place after Python has seen it, and garbage is no answer.
# Only compiled code calls them, so the ways in from Python and C are not compiled.
USERS: dict[str, Any] = dict(
    boundscheck=True,
    error_model=ERROR_MODEL,
    fastmath=DENSITY_FASTMATH,
    pipeline_class=UsersCompiler,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


def nothing():
    """The end of a tile that leaves nothing behind."""


def checked_result(kind, *wanted):
    if not isinstance(kind, wanted):
        raise errors.NumbaTypeError(f"the log density returned {kind}, not a number")


def put_value(context, builder, density, arguments, given, tile, first, stop, kind, log_j=None):
    """Call a density for some draws and store what it returns, and log |J|, as ``kind``: Lanes, or one float64."""
    raised, value = density.call(context, builder, arguments, [*given, *tile.data])
    stop(raised, RAISED)
    value = context.cast(builder, value, density.result, kind)
    value = value if log_j is None else builder.fadd(value, log_j)
    place = builder.gep(tile.log_p, [first])
    builder.store(value, place) if kind == types.float64 else store(builder, kind, value, place)


def in_lanes(function, kinds, inputs=Flat, tables=False, width=LANE_WIDTH):
    """A C function that computes ``width`` draws at a time.

    With ``tables`` the arrays that the density makes hold lanes.
    """
    lanes = Lanes(width)
    arguments = [*inputs.kinds(lanes), *kinds]
    if tables:
        function = with_tables(function, lanes)

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, Lanes, types.Float, types.Integer)

        def start(context, builder, tile):
            draws = inputs.open(context, builder, tile, lanes)

            def group(first, stop):
                given = draws.values(first)
                put_value(context, builder, density, arguments, given, tile, first, stop, lanes, draws.log_j)

            return group, draws.close

        return start

    return c_function(prepare, kinds, width)


def draw_by_draw(function, kinds, inputs=Flat):
    """A C function that computes one draw at a time."""
    arguments = [*inputs.kinds_of_one(), *kinds]

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, types.Float, types.Integer, types.Boolean)

        def start(context, builder, tile):
            draw = inputs.open_one(context, builder, tile)

            def group(first, stop):
                given = draw.values(first)
                put_value(context, builder, density, arguments, given, tile, first, stop, types.float64, draw.log_j)

            return group, draw.close

        return start

    return c_function(prepare, kinds, 1)


def compile_density(function, kinds, lanes_refused=None, inputs=None) -> Compiled:
    """Compile a plain Python function to lanes, or draw by draw where lanes cannot follow it."""
    inputs = inputs or Flat
    reason = lanes_refused
    attempts = (in_lanes, partial(in_lanes, tables=True)) if assigns_items(function) else (in_lanes,)
    for build in attempts if reason is None else ():
        try:
            compiled = quietly(build, function, kinds, inputs)
            return Compiled(compiled.address, True, None, (compiled, function))
        except Exception as error:  # lowering can raise anything; the last attempt decides what the user sees
            refused = explain_error(error, function, " for a vector of draws")
    reason = reason or refused
    try:
        compiled = quietly(draw_by_draw, function, kinds, inputs)
    except Exception as error:
        raise DensityError(f"log_density: {explain_error(error, function)}", str(error)) from None
    return Compiled(compiled.address, False, reason, (compiled, function))


def quietly(build, function, kinds, *more):
    """Compile without Numba's advice on contiguous arrays, which is not ours to pass on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NumbaWarning)
        return build(function, kinds, *more)
