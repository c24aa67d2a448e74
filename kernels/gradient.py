"""How a user's log density becomes a C function that also gives its gradient, by the contract of ``density``.

z goes in as recorded numbers; what they leave on the tape is carried back into the gradient.  ``scratch`` is the tape:
it is used again for each group of draws, so its size is that of the largest group.
"""

import itertools

from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils, errors
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from .density import LANE_WIDTH, OPTIONS, SIGNATURE, USERS, Compiled, DensityError, explain_error, quietly, unpacker
from .helpers import assigns_items, with_helpers
from .lanes import Lanes, LaneVector, record
from .lanes import tape as tapes
from .lanes.record import edges_of, value_of
from .lanes.recorded import Leaf, Number, Recorded
from .lanes.sequence import store
from .lanes.tables import with_tables
from .lanes.tape import FLAG, LINE, SINK, STOP, TOP, WORDS, number, write
from .lanes.types import pack

SCRATCH_SMALL, NEEDS_CARE = 2, 3  # statuses beside 0 and 1; NEEDS_CARE asks for additions that are not in place


def group_view(item):
    """An intrinsic: the draws of one group as a recorded LaneVector whose adjoints are the gradient's own columns."""
    kind, lanes = LaneVector(item), item.lanes

    @intrinsic
    def view(typingctx, z, gradient, dim, width, first, tape):
        def codegen(context, builder, sig, args):
            z, gradient, dim, width, first, tape = args
            zero = ir.Constant(lanes.vector, None)
            adjoint = builder.ptrtoint(builder.gep(gradient, [first]), tapes.I64)
            spacing = builder.mul(width, number(8))
            with cgutils.for_range(builder, dim) as loop:
                tapes.write_lanes(builder, zero, builder.add(adjoint, builder.mul(loop.index, spacing)))
            data = builder.gep(z, [first])
            members = dict(data=data, stride=width, size=dim, adjoint=adjoint, spacing=spacing, tape=tape)
            return pack(context, builder, kind, **members)

        return signature(kind, z, gradient, *[types.int64] * 4), codegen

    return view


def group_finish(lanes):
    """An intrinsic: store the value of a density and start the way back from it."""

    @intrinsic
    def finish(typingctx, log_p, first, result):
        if not isinstance(result, Number | Lanes | types.Float | types.Integer):
            raise errors.NumbaTypeError(f"the log density returned {result}, not a number")

        def codegen(context, builder, sig, args):
            kind, value = value_of(context, builder, result, args[2])
            value = context.cast(builder, value, kind, lanes)
            store(builder, lanes, value, builder.gep(args[0], [args[1]]))
            if isinstance(result, Number):
                edges = edges_of(context, builder, result, args[2])
                if edges.certain:
                    edges.spend()
                else:
                    with builder.if_then(builder.icmp_signed("!=", edges.tape, number(0))):
                        edges.spend()
            return context.get_dummy_value()

        return signature(types.none, log_p, types.int64, result), codegen

    return finish


def tape_start(lanes):
    """An intrinsic: an empty tape on the scratch; its address, or 0 where it does not fit."""

    @intrinsic
    def start(typingctx, scratch, scratch_bytes):
        def codegen(context, builder, sig, args):
            scratch, size = args
            mask = builder.not_(number(LINE - 1))
            tape = builder.and_(builder.add(scratch, number(LINE - 1)), mask)
            end = builder.and_(builder.add(scratch, size), mask)
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
            return builder.select(fits, tape, number(0))

        return signature(types.int64, types.int64, types.int64), codegen

    return start


@intrinsic
def flag_of(typingctx, tape):
    def codegen(context, builder, sig, args):
        return tapes.read(builder, args[0], FLAG)

    return signature(types.int64, types.int64), codegen


@intrinsic
def run_back(typingctx, address, tape):
    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [tapes.I64])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64), codegen


def recorded_tile(function, kinds, width, in_place, tables):
    """A tile function that computes values and gradients of ``width`` draws at a time.

    With ``tables`` the arrays that it makes hold recorded numbers.
    """
    lanes = Lanes(width)
    if tables:
        function = with_tables(function, Recorded(lanes, in_place))
    density, unpack = njit(**USERS)(with_helpers(function, USERS)), unpacker(kinds)
    view, finish, start = group_view(Leaf(lanes, in_place)), group_finish(lanes), tape_start(lanes)
    back = tapes.way_back(width)
    back_address = back.address

    @njit(**OPTIONS)
    def tile(z, dim, width_, data, log_p, gradient, scratch, scratch_bytes):
        for first in range(0, width_, width):
            tape = start(scratch, scratch_bytes)
            if tape == 0:
                return SCRATCH_SMALL
            finish(log_p, first, density(view(z, gradient, dim, width_, first, tape), *unpack(data)))
            if flag_of(tape) != 0:
                return NEEDS_CARE
            run_back(back_address, tape)
        return 0

    return tile, back


def c_function(tile):
    @cfunc(SIGNATURE, error_model="numpy")
    def density(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        try:
            return tile(z, dim, width, data, log_p, gradient, scratch, scratch_bytes)
        except Exception:
            if flag_of((scratch + LINE - 1) & -LINE) == tapes.FULL:
                return SCRATCH_SMALL
            return 1

    return density


def compile_gradient(function, kinds, in_place=True) -> Compiled:
    """Compile a plain Python function with its gradient, draw by draw where it branches on z."""
    reason = None
    tables = (False, True) if assigns_items(function) else (False,)
    for width, with_tables_ in itertools.product((LANE_WIDTH, 1), tables):

        def build(function, kinds, width=width, with_tables_=with_tables_):
            tile, back = recorded_tile(function, kinds, width, in_place, with_tables_)
            return c_function(tile), back

        before = record.steps
        try:
            compiled, back = quietly(build, function, kinds)
            smooth = record.steps == before
            return Compiled(compiled.address, width > 1, reason, (compiled, back, function), smooth)
        except Exception as error:
            details = error
            reason = explain_error(error, function, " for a vector of draws")
    raise DensityError(f"log_density: {explain_error(details, function)}", str(details)) from None
