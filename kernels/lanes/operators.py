"""What can be done with Lanes: one line for each operator or function, its SIMD code traced from ``elementary``.

Typing templates and direct lowering, no overloads: nothing goes through the Numba compiler a second time.
"""

import builtins
import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, lower_cast

from .. import elementary, functions
from ..jit import template
from ..primitive import absolute, constant, intrinsic_call, select, sqrt, trace
from .types import BIT, SCALARS, LaneMask, Lanes


def splat(builder, scalar, vector):
    """A vector whose every element is ``scalar``."""
    if isinstance(scalar, ir.Constant) and not isinstance(scalar.constant, str):
        return constant(vector, scalar.constant)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


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


def register(names, count, emit, result=lambda lanes: lanes):
    """``emit(builder, *vectors)`` becomes ``function(*Lanes)`` for each function in ``names``."""
    for function in names:

        @template(function)
        class Template(AbstractTemplate):
            def generic(self, args, kws):
                lanes = common_lanes(args) if len(args) == count and not kws else None
                if lanes is not None and not all(isinstance(a, LaneMask | types.Boolean) for a in args):
                    return signature(result(lanes), *([lanes] * count))

        @lower_builtin(function, *([Lanes] * count))
        def lower(context, builder, sig, args):
            return emit(builder, *args)


def instruction(name):
    """The builder's own method: it takes the fastmath flags of the function being compiled."""
    return lambda builder, *args: getattr(builder, name)(*args)


def ordered(symbol):
    return lambda builder, x, y: builder.fcmp_ordered(symbol, x, y)


def to_mask(lanes):
    return lanes.mask


ARITHMETIC: list[tuple[tuple, str]] = [
    ((operator.add, operator.iadd, np.add), "fadd"),
    ((operator.sub, operator.isub, np.subtract), "fsub"),
    ((operator.mul, operator.imul, np.multiply), "fmul"),
]
for spellings, method in ARITHMETIC:
    register(spellings, 2, instruction(method))
register([operator.neg, np.negative], 1, instruction("fneg"))
register([operator.pos, np.positive, builtins.float], 1, lambda builder, x: x)
COMPARISONS: list[tuple[str, tuple]] = [
    ("<", (operator.lt, np.less)),
    ("<=", (operator.le, np.less_equal)),
    (">", (operator.gt, np.greater)),
    (">=", (operator.ge, np.greater_equal)),
    ("==", (operator.eq, np.equal)),
]
for symbol, spellings in COMPARISONS:
    register(spellings, 2, ordered(symbol), to_mask)
register([operator.ne, np.not_equal], 2, lambda b, x, y: b.fcmp_unordered("!=", x, y), to_mask)
register([math.isnan, np.isnan], 1, trace(lambda x: x != x), to_mask)
register([math.isinf, np.isinf], 1, trace(lambda x: absolute(x) == math.inf), to_mask)
register([math.isfinite, np.isfinite], 1, trace(lambda x: absolute(x) < math.inf), to_mask)

register([math.exp, np.exp], 1, trace(elementary.exp))
register([math.expm1, np.expm1], 1, trace(elementary.expm1))
register([math.log, np.log], 1, trace(elementary.log))
register([math.log1p, np.log1p], 1, trace(elementary.log1p))
register([math.sqrt, np.sqrt], 1, trace(sqrt))
register([math.tanh, np.tanh], 1, trace(elementary.tanh))
register([np.logaddexp, functions.logaddexp], 2, trace(elementary.logaddexp))
register([functions.softplus], 1, trace(elementary.softplus))
register([functions.expit], 1, trace(elementary.expit))
register([functions.log1mexp], 1, trace(elementary.log1mexp))
register([builtins.abs, math.fabs, np.abs, np.fabs], 1, trace(absolute))
register([np.square], 1, lambda b, x: b.fmul(x, x))
register([math.floor, np.floor], 1, lambda b, x: intrinsic_call(b, "floor", x))
register([math.ceil, np.ceil], 1, lambda b, x: intrinsic_call(b, "ceil", x))
register([np.sign], 1, trace(lambda x: select(x > 0.0, 1.0, select(x < 0.0, -1.0, x * 0.0))))
register([math.hypot, np.hypot], 2, trace(lambda x, y: scaled_hypot(absolute(x), absolute(y))))
register([math.copysign, np.copysign], 2, lambda b, x, y: intrinsic_call(b, "copysign", x, y))
register([builtins.max], 2, trace(elementary.larger))
register([builtins.min], 2, trace(elementary.smaller))
register([builtins.max], 3, trace(lambda x, y, z: elementary.larger(elementary.larger(x, y), z)))
register([builtins.min], 3, trace(lambda x, y, z: elementary.smaller(elementary.smaller(x, y), z)))
register([np.maximum], 2, trace(elementary.maximum))
register([np.minimum], 2, trace(elementary.minimum))
register([np.clip], 3, trace(lambda x, low, high: elementary.minimum(elementary.maximum(x, low), high)))


def scaled_hypot(x, y):
    """sqrt(x^2 + y^2) for x, y >= 0 without overflow"""
    big, small = select(y > x, y, x), select(y > x, x, y)
    ratio = select(small == big, select(big == 0.0, 0.0, 1.0), small / big)
    infinite = select(x == math.inf, x, select(y == math.inf, y, 0.0))
    return select(infinite > 0.0, math.inf, big * sqrt(ratio * ratio + 1.0))


def register_each_lane(names, scalar, count=1):
    """The rest of ``math``: a scalar call for each lane.  Correct, not fast."""
    for function in names:

        @template(function)
        class Template(AbstractTemplate):
            def generic(self, args, kws):
                lanes = common_lanes(args) if len(args) == count and not kws else None
                if lanes is not None:
                    return signature(lanes, *([lanes] * count))

        @lower_builtin(function, *([Lanes] * count))
        def lower(context, builder, sig, args):
            out = ir.Constant(args[0].type, ir.Undefined)
            for i in range(sig.return_type.width):
                k = ir.IntType(32)(i)
                values = [builder.extract_element(a, k) for a in args]
                y = call(context, builder, scalar, [types.float64] * count, values)
                out = builder.insert_element(out, y, k)
            return out


def call(context, builder, function, kinds, values):
    """The compiled ``function(*values)``, as Numba resolves it for these types."""
    known = context.typing_context.resolve_value_type(function)
    sig = known.get_call_type(context.typing_context, tuple(kinds), {})
    values = [context.cast(builder, v, k, t) for v, k, t in zip(values, kinds, sig.args, strict=True)]
    return context.get_function(known, sig)(builder, values)


for name in "sin cos tan sinh cosh asin acos atan asinh acosh atanh log2 log10".split():
    numpy_name = name.replace("a", "arc", 1) if name.startswith("a") else name
    register_each_lane([getattr(math, name), getattr(np, numpy_name)], getattr(math, name))
for name in "lgamma gamma erf erfc".split():
    register_each_lane([getattr(math, name)], getattr(math, name))
register_each_lane([math.atan2, np.arctan2], math.atan2, 2)
register_each_lane([math.pow], math.pow, 2)


# ---- masks
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


# NumPy's sum of two booleans is their "or", their product their "and"
register_mask([operator.and_, operator.iand, np.logical_and, operator.mul, np.multiply], instruction("and_"))
register_mask([operator.or_, operator.ior, np.logical_or, operator.add, np.add], instruction("or_"))
register_mask([operator.xor, operator.ixor, np.logical_xor], instruction("xor"))
register_mask([operator.invert, np.logical_not], instruction("not_"), 1)


@template(np.where)
@template(functions.where)
class Where(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) != 3 or kws:
            return None
        lanes = common_lanes(args)
        if lanes is not None and isinstance(args[0], LaneMask | types.Boolean):
            return signature(lanes, lanes.mask, lanes, lanes)


def lower_where(context, builder, sig, args):
    return builder.select(*args)


lower_builtin(np.where, LaneMask, Lanes, Lanes)(lower_where)
lower_builtin(functions.where, LaneMask, Lanes, Lanes)(lower_where)

BRANCH = (
    "this `if`, `while`, `and`, `or` or conditional expression depends on a value of z, so the draws of one SIMD "
    "group would take different branches; fastvi.where(cond, a, b), min(), max(), & and | stay vectorised"
)


class NoBranch(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], Lanes | LaneMask):
            raise errors.NumbaTypeError(BRANCH)


for truth in (bool, operator.truth, operator.not_):
    template(truth)(NoBranch)
