"""How a function is taught to lanes: its type, its SIMD code, its derivative.

Typing templates and direct lowering, no overloads: nothing goes through the Numba compiler a second time.  The entries
themselves are in ``operators`` and ``powers``.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, lower_cast

from ..arithmetic.traced import Traced, constant, splat
from ..jit import template
from .types import BIT, DOUBLE, SCALARS, LaneMask, Lanes


@lower_cast(types.Integer, Lanes)
@lower_cast(types.Float, Lanes)
@lower_cast(types.Boolean, Lanes)
def scalar_to_lanes(context, builder, source, target, value):
    if isinstance(source, types.Literal):
        source = source.literal_type
    return splat(builder, context.cast(builder, value, source, target.dtype), target.vector)


@lower_cast(types.Boolean, LaneMask)
def bool_to_mask(context, builder, source, target, value):
    value = builder.trunc(context.cast(builder, value, source, types.boolean), BIT)
    return splat(builder, value, ir.VectorType(BIT, target.lanes.width))


@lower_cast(LaneMask, Lanes)
def mask_to_lanes(context, builder, source, target, value):
    return builder.uitofp(value, target.vector)


def common_lanes(args):
    """The Lanes type of a call whose arguments are Lanes, masks and scalars, not all of them scalars."""
    found = None
    for a in args:
        if isinstance(a, Lanes):
            found = a
        elif isinstance(a, LaneMask):
            found = found or a.lanes
        elif not isinstance(a, SCALARS):
            return None
    return found


PARTIALS: dict[tuple, tuple] = {}  # by function and number of operands; () where the derivative is 0


class Only:
    """A partial that is 1 where the condition holds and nothing elsewhere: not even a NaN passes."""

    def __init__(self, condition):
        self.condition = condition


def register(names, count, emit, partials=(), result=lambda lanes: lanes):
    """``emit(builder, *vectors)`` becomes ``function(*Lanes)`` for each function in ``names``."""
    for function in names:
        PARTIALS[function, count] = partials

        @template(function)
        class Template(AbstractTemplate):
            def generic(self, args, kws):
                lanes = common_lanes(args) if len(args) == count and not kws else None
                if lanes is not None and not all(isinstance(a, LaneMask | types.Boolean) for a in args):
                    return signature(result(lanes), *([lanes] * count))

        @lower_builtin(function, *([Lanes] * count))
        def lower(context, builder, sig, args):
            return emit(builder, *args)


def each_lane(context, builder, function, vectors):
    """A scalar call for each lane, in a loop.  Correct, not fast."""
    kind = vectors[0].type
    memory = ir.ArrayType(DOUBLE, kind.count)
    places = [cgutils.alloca_once(builder, memory) for _ in (*vectors, None)]
    for place, vector in zip(places, vectors, strict=False):
        builder.store(vector, builder.bitcast(place, kind.as_pointer()), align=8)
    zero = ir.IntType(64)(0)
    with cgutils.for_range(builder, ir.IntType(64)(kind.count)) as loop:
        *inputs, output = (builder.gep(place, [zero, loop.index]) for place in places)
        values = [builder.load(place) for place in inputs]
        y = call(context, builder, function, [types.float64] * len(values), values)
        builder.store(y, output)
    return builder.load(builder.bitcast(places[-1], kind.as_pointer()), align=8)


def accumulate(context, builder, lanes, start, size, step):
    """Fold ``step(i, total) -> total`` over i < size."""
    total = cgutils.alloca_once(builder, lanes.vector)
    builder.store(constant(lanes.vector, start), total)
    with cgutils.for_range(builder, size) as loop:
        builder.store(step(loop.index, builder.load(total)), total)
    return builder.load(total)


def traced_each_lane(function):
    """``function`` of traced lanes."""
    return lambda *x: Traced(x[0].builder, each_lane(x[0].context, x[0].builder, function, [v.value for v in x]))


def register_each_lane(names, scalar, partials, emit=None):
    """The rest of ``math``, lane by lane unless there is an ``emit(context, builder, *vectors)``."""
    count = len(partials)
    for function in names:
        PARTIALS[function, count] = partials

        @template(function)
        class Template(AbstractTemplate):
            def generic(self, args, kws):
                lanes = common_lanes(args) if len(args) == count and not kws else None
                if lanes is not None:
                    return signature(lanes, *([lanes] * count))

        @lower_builtin(function, *([Lanes] * count))
        def lower(context, builder, sig, args):
            return emit(context, builder, *args) if emit else each_lane(context, builder, scalar, args)


def call(context, builder, function, kinds, values):
    """The compiled ``function(*values)``, as Numba resolves it for these types."""
    known = context.typing_context.resolve_value_type(function)
    sig = known.get_call_type(context.typing_context, tuple(kinds), {})
    given, left_out = sig.args[: len(kinds)], sig.args[len(kinds) :]  # as the axis of np.sum
    values = [context.cast(builder, v, k, t) for v, k, t in zip(values, kinds, given, strict=True)]
    values += [context.get_dummy_value() for _ in left_out]
    return context.get_function(known, sig)(builder, values)


def register_mask(names, emit, count=2):
    for function in names:

        @template(function)
        class Template(AbstractTemplate):
            def generic(self, args, kws):
                mask = next((a for a in args if isinstance(a, LaneMask)), None)
                if mask and len(args) == count and all(isinstance(a, LaneMask | types.Boolean) for a in args):
                    return signature(mask, *([mask] * count))

        @lower_builtin(function, *([LaneMask] * count))
        def lower(context, builder, sig, args):
            return emit(builder, *args)
