"""lgamma and its derivatives, erf and its kin, sin and cos: entries like those of ``operators``.

Negative arguments of lgamma and huge ones of sin need more work, which a group of lanes without any does not do.
"""

import math

import numpy as np
from llvmlite import ir

from ..arithmetic import elementary, error_function, functions, gamma, trigonometry
from ..arithmetic.primitives import absolute
from ..arithmetic.traced import Traced, trace
from .registry import each_lane, register, register_each_lane


def any_lane(builder, mask):
    """Whether a condition holds in any lane."""
    if mask.type.count == 1:
        return builder.extract_element(mask, ir.IntType(32)(0))
    bits = ir.IntType(mask.type.count)
    return builder.icmp_unsigned("!=", builder.bitcast(mask, bits), bits(0))


def rarely(builder, mask, value, other):
    """``value``, but ``other()`` where the condition holds, computed only if it does somewhere."""
    before = builder.basic_block
    with builder.if_then(any_lane(builder, mask), likely=False):
        mixed = builder.select(mask, other(), value)
        inside = builder.basic_block
    result = builder.phi(value.type)
    result.add_incoming(value, before)
    result.add_incoming(mixed, inside)
    return result


def split(usual, everywhere, condition):
    """An emitter of ``usual``, and of ``everywhere`` for a group of lanes in which the condition holds anywhere."""
    usual, everywhere, condition = trace(usual), trace(everywhere), trace(condition)

    def emit(builder, x):
        return rarely(builder, condition(builder, x), usual(builder, x), lambda: everywhere(builder, x))

    return emit


def traced(emit):
    """An emitter as a function of traced lanes."""
    return lambda x: Traced(x.builder, emit(x.builder, x.value), x.context)


lgamma = split(gamma.lgamma_positive, gamma.lgamma, lambda x: x < 0.0)
digamma = split(gamma.digamma_positive, gamma.digamma, lambda x: x <= 0.0)
trigamma = split(gamma.trigamma_positive, gamma.trigamma, lambda x: x <= 0.0)


def bell(x):
    """The derivative of erf"""
    return error_function.TWO_OVER_ROOT_PI * elementary.exp(-(x * x))


register([math.lgamma, functions.gammaln], 1, lgamma, (lambda v, x: traced(digamma)(x),))
register([functions.digamma], 1, digamma, (lambda v, x: traced(trigamma)(x),))
register_each_lane([math.gamma], math.gamma, (lambda v, x: v * traced(digamma)(x),))
register([math.erf, functions.erf], 1, trace(error_function.erf), (lambda v, x: bell(x),))
register([math.erfc, functions.erfc], 1, trace(error_function.erfc), (lambda v, x: -bell(x),))
register([functions.erfcx], 1, trace(error_function.erfcx), (lambda v, x: error_function.erfcx_slope(x, v),))
register([functions.log_ndtr], 1, trace(error_function.log_ndtr), (lambda v, x: error_function.log_ndtr_slope(x),))


def of_an_angle(usual, scalar):
    """(near, everywhere) of sin or cos: SIMD code for all but huge arguments, and the library's for those."""
    usual = trace(usual)
    huge = trace(lambda x: ~(absolute(x) < trigonometry.FARTHEST))

    def emit(context, builder, x):
        by_library = lambda: each_lane(context, builder, scalar, [x])  # noqa: E731
        return rarely(builder, huge(builder, x), usual(builder, x), by_library)

    return emit


sin, cos = of_an_angle(trigonometry.sin, math.sin), of_an_angle(trigonometry.cos, math.cos)


def traced_angle(emit):
    return lambda x: Traced(x.builder, emit(x.context, x.builder, x.value), x.context)


register_each_lane([math.sin, np.sin], math.sin, (lambda v, x: traced_angle(cos)(x),), sin)
register_each_lane([math.cos, np.cos], math.cos, (lambda v, x: -traced_angle(sin)(x),), cos)
