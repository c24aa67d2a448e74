"""What can be done with Lanes: one entry for each operator or function, with its SIMD code and its derivative.

An entry of ``register`` is: the spellings, the number of operands, ``emit(builder, *vectors)`` and the partials, one
function for each operand: (value, *operands) -> d value / d operand, in traced values, which ``edges`` multiplies up.
To add a function, add an entry (and to ``expression`` for its lazy, element-wise form).  ``special`` has more.
"""

import builtins
import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..arithmetic import elementary, functions
from ..arithmetic.primitives import absolute, copysign, select, sqrt
from ..arithmetic.traced import intrinsic_call, negate, trace
from ..jit import template
from .registry import PARTIALS, Only, common_lanes, register, register_each_lane, register_mask, traced_each_lane
from .types import LaneMask, Lanes

LOG2_E, LOG10_E = 1.0 / math.log(2.0), 1.0 / math.log(10.0)


def instruction(name):
    """The builder's own method: it takes the fastmath flags of the function being compiled."""
    return lambda builder, *args: getattr(builder, name)(*args)


def ordered(symbol):
    return lambda builder, x, y: builder.fcmp_ordered(symbol, x, y)


def to_mask(lanes):
    return lanes.mask


ARITHMETIC: list[tuple] = [
    ((operator.add, operator.iadd, np.add), "fadd", (lambda v, x, y: 1.0, lambda v, x, y: 1.0)),
    ((operator.sub, operator.isub, np.subtract), "fsub", (lambda v, x, y: 1.0, lambda v, x, y: -1.0)),
    ((operator.mul, operator.imul, np.multiply), "fmul", (lambda v, x, y: y, lambda v, x, y: x)),
]
for spellings, method, partials in ARITHMETIC:
    register(spellings, 2, instruction(method), partials)
register([operator.neg, np.negative], 1, negate, (lambda v, x: -1.0,))
register([operator.pos, np.positive, builtins.float], 1, lambda builder, x: x, (lambda v, x: 1.0,))
COMPARISONS: list[tuple[str, tuple]] = [
    ("<", (operator.lt, np.less)),
    ("<=", (operator.le, np.less_equal)),
    (">", (operator.gt, np.greater)),
    (">=", (operator.ge, np.greater_equal)),
    ("==", (operator.eq, np.equal)),
]
for symbol, spellings in COMPARISONS:
    register(spellings, 2, ordered(symbol), result=to_mask)
register([operator.ne, np.not_equal], 2, lambda b, x, y: b.fcmp_unordered("!=", x, y), result=to_mask)
register([math.isnan, np.isnan], 1, trace(lambda x: x != x), result=to_mask)
register([math.isinf, np.isinf], 1, trace(lambda x: absolute(x) == math.inf), result=to_mask)
register([math.isfinite, np.isfinite], 1, trace(lambda x: absolute(x) < math.inf), result=to_mask)

register([math.exp, np.exp], 1, trace(elementary.exp), (lambda v, x: v,))
register([math.expm1, np.expm1], 1, trace(elementary.expm1), (lambda v, x: v + 1.0,))
register([math.log, np.log], 1, trace(elementary.log), (lambda v, x: 1.0 / x,))
register([math.log1p, np.log1p], 1, trace(elementary.log1p), (lambda v, x: 1.0 / (1.0 + x),))
register([math.sqrt, np.sqrt], 1, trace(sqrt), (lambda v, x: 0.5 / v,))
register([math.tanh, np.tanh], 1, trace(elementary.tanh), (lambda v, x: 1.0 - v * v,))
register(
    [np.logaddexp, functions.logaddexp],
    2,
    trace(elementary.logaddexp),
    (lambda v, x, y: elementary.expit(apart(x, y)), lambda v, x, y: elementary.expit(apart(y, x))),
)
register([functions.softplus], 1, trace(elementary.softplus), (lambda v, x: elementary.expit(x),))
register([functions.expit], 1, trace(elementary.expit), (lambda v, x: v * elementary.expit(-x),))
register([functions.log1mexp], 1, trace(elementary.log1mexp), (lambda v, x: -1.0 / elementary.expm1(-x),))
register(
    [functions.within],
    2,
    trace(lambda margin, x: select(margin > 0.0, x, -math.inf)),
    (lambda v, margin, x: 0.0, lambda v, margin, x: Only(margin > 0.0)),
)
register([builtins.abs, math.fabs, np.abs, np.fabs], 1, trace(absolute), (lambda v, x: sign(x),))
register([np.square], 1, lambda b, x: b.fmul(x, x), (lambda v, x: 2.0 * x,))
register([math.floor, np.floor], 1, lambda b, x: intrinsic_call(b, "floor", x))
register([math.ceil, np.ceil], 1, lambda b, x: intrinsic_call(b, "ceil", x))
register([np.sign], 1, trace(lambda x: sign(x)))
register(
    [math.hypot, np.hypot],
    2,
    trace(lambda x, y: scaled_hypot(absolute(x), absolute(y))),
    (lambda v, x, y: select(v > 0.0, x / v, 0.0), lambda v, x, y: select(v > 0.0, y / v, 0.0)),
)
register(
    [math.copysign, np.copysign],
    2,
    trace(copysign),
    (lambda v, x, y: copysign(1.0, x) * copysign(1.0, y), lambda v, x, y: 0.0),
)
LARGER = (lambda v, x, y: Only(~(y > x)), lambda v, x, y: Only(y > x))
SMALLER = (lambda v, x, y: Only(~(y < x)), lambda v, x, y: Only(y < x))
register([builtins.max], 2, trace(elementary.larger), LARGER)
register([builtins.min], 2, trace(elementary.smaller), SMALLER)
register([np.maximum], 2, trace(elementary.maximum), LARGER)
register([np.minimum], 2, trace(elementary.minimum), SMALLER)
register(
    [builtins.max],
    3,
    trace(lambda x, y, z: elementary.larger(elementary.larger(x, y), z)),
    (
        lambda v, x, y, z: Only(~(y > x) & ~(z > elementary.larger(x, y))),
        lambda v, x, y, z: Only((y > x) & ~(z > elementary.larger(x, y))),
        lambda v, x, y, z: Only(z > elementary.larger(x, y)),
    ),
)
register(
    [builtins.min],
    3,
    trace(lambda x, y, z: elementary.smaller(elementary.smaller(x, y), z)),
    (
        lambda v, x, y, z: Only(~(y < x) & ~(z < elementary.smaller(x, y))),
        lambda v, x, y, z: Only((y < x) & ~(z < elementary.smaller(x, y))),
        lambda v, x, y, z: Only(z < elementary.smaller(x, y)),
    ),
)
register(
    [np.clip],
    3,
    trace(lambda x, low, high: elementary.minimum(elementary.maximum(x, low), high)),
    (
        lambda v, x, low, high: Only((x >= low) & (x <= high)),
        lambda v, x, low, high: Only((x < low) & (low <= high)),
        lambda v, x, low, high: Only(elementary.maximum(x, low) > high),
    ),
)


def sign(x):
    """1, -1, or 0 at 0; NaN stays NaN"""
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, x * 0.0))


def apart(x, y):
    """x - y, and 0 for equal infinities"""
    return select(x == y, 0.0, x - y)


def scaled_hypot(x, y):
    """sqrt(x^2 + y^2) for x, y >= 0 without overflow"""
    big, small = select(y > x, y, x), select(y > x, x, y)
    ratio = select(small == big, select(big == 0.0, 0.0, 1.0), small / big)
    infinite = select(x == math.inf, x, select(y == math.inf, y, 0.0))
    return select(infinite > 0.0, math.inf, big * sqrt(ratio * ratio + 1.0))


sinh, cosh, log, pow_ = (traced_each_lane(f) for f in (math.sinh, math.cosh, math.log, math.pow))
EACH_LANE: list[tuple] = [
    ("tan", lambda v, x: 1.0 + v * v),
    ("sinh", lambda v, x: cosh(x)),
    ("cosh", lambda v, x: sinh(x)),
    ("asin", lambda v, x: 1.0 / sqrt(1.0 - x * x)),
    ("acos", lambda v, x: -1.0 / sqrt(1.0 - x * x)),
    ("atan", lambda v, x: 1.0 / (1.0 + x * x)),
    ("asinh", lambda v, x: 1.0 / sqrt(1.0 + x * x)),
    ("acosh", lambda v, x: 1.0 / sqrt(x * x - 1.0)),
    ("atanh", lambda v, x: 1.0 / (1.0 - x * x)),
    ("log2", lambda v, x: LOG2_E / x),
    ("log10", lambda v, x: LOG10_E / x),
]
for name, partial in EACH_LANE:
    numpy_name = name.replace("a", "arc", 1) if name.startswith("a") else name
    register_each_lane([getattr(math, name), getattr(np, numpy_name)], getattr(math, name), (partial,))
register_each_lane(
    [math.atan2, np.arctan2], math.atan2, (lambda v, y, x: x / (x * x + y * y), lambda v, y, x: -y / (x * x + y * y))
)
POWER_PARTIALS = (
    lambda v, x, n: n * pow_(x, select(n == 0.0, 1.0, n - 1.0)),
    lambda v, x, n: select(x == 0.0, 0.0, v * log(x)),
)
register_each_lane([math.pow], math.pow, POWER_PARTIALS)


# ---- masks
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


for function in (np.where, functions.where):
    lower_builtin(function, LaneMask, Lanes, Lanes)(lower_where)
    PARTIALS[function, 3] = (None, lambda v, c, x, y: Only(c), lambda v, c, x, y: Only(~c))

BRANCH = (
    "this `if`, `while`, `and`, `or` or conditional expression depends on a value of z, so the draws of one SIMD "
    "group would take different branches; fastvi.where(cond, a, b), min(), max(), & and | stay vectorised"
)


class Branch(AbstractTemplate):
    """Many draws cannot take one branch; a single one can."""

    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], LaneMask) and args[0].lanes.width == 1:
            return signature(types.boolean, *args)
        if len(args) == 1 and isinstance(args[0], Lanes | LaneMask):
            raise errors.NumbaTypeError(BRANCH)


def lower_truth(context, builder, sig, args):
    return builder.extract_element(args[0], ir.IntType(32)(0))


for truth in (bool, operator.truth, operator.not_):
    template(truth)(Branch)
lower_builtin(bool, LaneMask)(lower_truth)
lower_builtin(operator.truth, LaneMask)(lower_truth)
lower_builtin(operator.not_, LaneMask)(
    lambda context, builder, sig, args: builder.not_(lower_truth(context, builder, sig, args))
)
