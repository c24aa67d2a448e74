"""How a user's log density becomes a C function that also gives its gradient, by ``abi``.

z goes in as recorded numbers; what they leave on the tape is carried back into the gradient.  ``scratch`` is the tape:
it is used again for each group of draws, so its size is that of the largest group.
"""

import itertools

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..lanes import Lanes, recorded_arithmetic
from ..lanes import tape as tapes
from ..lanes.partials import edges_of, value_of, where
from ..lanes.recorded_arrays import with_tables
from ..lanes.recorded_types import Leaf, Number, Recorded
from ..lanes.sequence import store
from ..lanes.tape import FLAG, LINE, SINK, STOP, TOP, WORDS, number, write
from .abi import LANE_WIDTH, NEEDS_CARE, RAISED, SCRATCH_SMALL, Compiled
from .error_messages import DensityError, explain_error
from .inputs import Flat
from .references import assigns_items, helper_may_step, plain, with_helpers
from .tile_loop import Callee, c_function
from .values import USERS, checked_result, quietly


def recorded(function, kinds, width, in_place, tables, inputs=Flat):
    """A C function that computes values and gradients of ``width`` draws at a time.

    With ``tables`` the arrays that the density makes hold recorded numbers.
    """
    lanes = Lanes(width)
    leaf = Leaf(lanes, in_place)
    arguments = [*inputs.kinds(leaf), *inputs.data_kinds(kinds)]
    back = tapes.way_back(width)
    if tables:
        function = with_tables(function, Recorded(lanes, in_place))

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, Number, Lanes, types.Float, types.Integer)

        def start(context, builder, tile):
            spacing = builder.mul(tile.width, number(8))
            draws = inputs.open_recorded(context, builder, tile, leaf)

            def group(first, stop):
                tape, fits = new_tape(builder, lanes, tile)
                stop(builder.not_(fits), SCRATCH_SMALL)
                adjoint = builder.ptrtoint(builder.gep(tile.gradient, [first]), tapes.I64)
                with cgutils.for_range(builder, tile.dim) as loop:
                    place = builder.add(adjoint, builder.mul(loop.index, spacing))
                    tapes.write_lanes(builder, ir.Constant(lanes.vector, None), place)
                given = draws.values(first, tape)
                data = inputs.data_values(context, builder, kinds, tile, first)
                raised, result = density.call(context, builder, arguments, [*given, *data])
                flag = tapes.read(builder, tape, FLAG)
                stop(builder.icmp_signed("==", flag, number(tapes.FULL)), SCRATCH_SMALL)
                stop(raised, RAISED)
                kind, value = value_of(context, builder, density.result, result)
                value = context.cast(builder, value, kind, lanes)
                value = value if draws.log_j is None else builder.fadd(value, draws.log_j)
                store(builder, lanes, value, builder.gep(tile.log_p, [first]))
                start_back(context, builder, density.result, result)
                stop(builder.icmp_signed("!=", tapes.read(builder, tape, FLAG), number(0)), NEEDS_CARE)
                address = builder.inttoptr(number(back.address), BACK.as_pointer())
                builder.call(address, [tape])
                draws.way_back(first)

            return group, draws.close

        return start

    return c_function(prepare, kinds, width), back


BACK = ir.FunctionType(ir.VoidType(), [tapes.I64])


def start_back(context, builder, kind, result):
    """Give the result of a density the adjoint 1."""
    if isinstance(kind, Number):
        edges = edges_of(context, builder, kind, result)
        with where(builder, edges.tape, edges.certain):
            edges.spend()


def new_tape(builder, lanes, tile):
    """(the address of an empty tape on the scratch, whether it has room for anything)"""
    line = builder.not_(number(LINE - 1))
    tape = builder.and_(builder.add(tile.scratch, number(LINE - 1)), line)
    end = builder.and_(builder.add(tile.scratch, tile.scratch_bytes), line)
    sink = builder.add(tape, number(2 * LINE))
    top = builder.add(sink, number(-(-tapes.lane_bytes(lanes) // LINE) * LINE))
    low = builder.sub(end, number(LINE))
    fits = builder.icmp_signed("<", top, low)
    with builder.if_then(fits):
        for place, word in ((TOP, top), (WORDS, low), (FLAG, number(0)), (SINK, sink)):
            write(builder, word, tape, place)
        write(builder, number(0), sink, -LINE // 8)
        write(builder, number(STOP), low)
        write(builder, number(0), low, 1)
    return tape, fits


def compile_gradient(function, kinds, in_place=True, inputs=None) -> Compiled:
    """Compile a plain Python function with its gradient, draw by draw where it branches on z."""
    reason = None
    tables = (False, True) if assigns_items(function) else (False,)
    for width, with_tables_ in itertools.product((LANE_WIDTH, 1), tables):

        def build(function, kinds, width=width, with_tables_=with_tables_):
            return recorded(function, kinds, width, in_place, with_tables_, inputs or Flat)

        steps = recorded_arithmetic.Steps()
        try:
            compiled, back = quietly(build, function, kinds)
            smooth, of = (False, frozenset()) if helper_may_step(function) else steps.found(plain(function).__code__)
            keep = compiled, back, function
            return Compiled(compiled.address, width > 1, reason, keep, smooth, whole=True, steps_of=of)
        except Exception as error:
            details = error
            reason = explain_error(error, function, " for a vector of draws")
    raise DensityError(
        f"log_density cannot be differentiated: {explain_error(details, function)}; score-function gradients need no "
        "derivative, and Target takes a gradient=",
        str(details),
    ) from None
