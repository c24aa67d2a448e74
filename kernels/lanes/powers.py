"""Quotients and powers of Lanes: where one operand is shared by all draws there is a faster way to the same digits."""

import builtins
import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..arithmetic.primitives import absolute, fma, select
from ..arithmetic.traced import Traced, constant, intrinsic_call, splat, trace
from ..jit import template
from .operators import POWER_PARTIALS
from .registry import PARTIALS, call, common_lanes
from .types import SCALARS, Lanes


# ---- division: by a number that all draws share it is a product with the reciprocal, corrected to the last place
class DivisionTemplate(AbstractTemplate):
    def generic(self, args, kws):
        lanes = common_lanes(args) if len(args) == 2 and not kws else None
        if lanes is not None:
            shared = isinstance(args[0], Lanes) and isinstance(args[1], SCALARS)
            return signature(lanes, lanes, types.float64 if shared else lanes)


def lower_division(context, builder, sig, args):
    return builder.fdiv(*args)


def corrected_quotient(x, divisor, reciprocal):
    """x / divisor by Markstein's step (1990, theorem 3): q + (x - q divisor) / divisor"""
    q = x * reciprocal
    return select(absolute(q) < math.inf, fma(fma(-q, divisor, x), reciprocal, q), q)


def lower_shared_division(context, builder, sig, args):
    x, divisor = args
    vector = x.type
    size = intrinsic_call(builder, "fabs", divisor)
    # beyond, the reciprocal or the correction would leave the range of normal numbers
    ordinary = builder.and_(
        builder.fcmp_ordered(">", size, ir.Constant(divisor.type, 1e-150)),
        builder.fcmp_ordered("<", size, ir.Constant(divisor.type, 1e150)),
    )
    result = cgutils.alloca_once(builder, vector)
    with builder.if_else(ordinary, likely=True) as (then, otherwise):
        with then:
            reciprocal = builder.fdiv(ir.Constant(divisor.type, 1.0), divisor)
            pair = (splat(builder, value, vector) for value in (divisor, reciprocal))
            builder.store(trace(corrected_quotient)(builder, x, *pair), result)
        with otherwise:
            builder.store(builder.fdiv(x, splat(builder, divisor, vector)), result)
    return builder.load(result)


for division in (operator.truediv, operator.itruediv, np.divide):
    PARTIALS[division, 2] = (lambda v, x, y: 1.0 / y, lambda v, x, y: -v / y)
    template(division)(DivisionTemplate)
    lower_builtin(division, Lanes, types.Float)(lower_shared_division)
    lower_builtin(division, Lanes, Lanes)(lower_division)


# ---- powers: a literal integer exponent is repeated squaring
class PowerTemplate(AbstractTemplate):
    prefer_literal = True

    def generic(self, args, kws):
        lanes = common_lanes(args) if len(args) == 2 and not kws else None
        if lanes is not None:
            literal = isinstance(args[0], Lanes) and isinstance(args[1], types.IntegerLiteral)
            return signature(lanes, lanes, args[1] if literal else lanes)


def integer_power(builder, x, n):
    if n == 0:
        return constant(x.type, 1.0)
    power, base, k = None, x, abs(n)
    while k:
        if k & 1:
            power = base if power is None else builder.fmul(power, base)
        k >>= 1
        if k:
            base = builder.fmul(base, base)
    return builder.fdiv(constant(x.type, 1.0), power) if n < 0 else power


def integer_power_partial(n):
    """d x^n / dx for a literal n"""
    return lambda v, x, _: 0.0 if n == 0 else Traced(x.builder, integer_power(x.builder, x.value, n - 1)) * float(n)


def splat_value(vector):
    """The number that every element of a constant vector holds, or None."""
    if isinstance(vector, ir.Constant) and isinstance(vector.constant, list):
        values = {float(getattr(k, "constant", k)) for k in vector.constant}
        if len(values) == 1:
            return values.pop()
    return None


def lower_integer_power(context, builder, sig, args):
    return integer_power(builder, args[0], sig.args[1].literal_value)


def lower_power(context, builder, sig, args):
    exponent = splat_value(args[1])
    if exponent is not None and exponent == int(exponent) and abs(exponent) <= 64:
        return integer_power(builder, args[0], int(exponent))
    return call(context, builder, math.pow, sig.args, args)


for power in (operator.pow, operator.ipow, builtins.pow, np.power):
    PARTIALS[power, 2] = POWER_PARTIALS
    template(power)(PowerTemplate)
    lower_builtin(power, Lanes, types.IntegerLiteral)(lower_integer_power)
    lower_builtin(power, Lanes, Lanes)(lower_power)
