"""Sums, extremes and products of items: ``np.sum(...)``, ``z.max()``, ``np.prod(z)``."""

import inspect
import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..arithmetic import elementary, functions
from ..arithmetic.traced import Traced, constant, emit_fma, trace
from ..jit import template
from .fused_sums import can_fuse, fused_sum
from .recorded_sums import (
    recorded_fold,
    recorded_mean,
    recorded_sum,
)
from .registry import accumulate
from .sequence import INTP, item, item_type, length, total_type
from .types import LaneExpression, LaneMask, LaneSequence, part

ZERO = 0.0
FACTORS = 512  # (1 + t) <= 2, so that a product of these cannot overflow


def fold(start, combine, function):
    """Lowering of a reduction that combines the items one by one."""

    def lower(context, builder, sig, args):
        kind, value = sig.args[0], args[0]
        if kind.recorded:
            return recorded_fold(context, builder, kind, value, function, start)

        def step(i, total):
            x = item(context, builder, kind, value, i)
            return combine(builder, total, builder.uitofp(x, kind.lanes.vector) if is_mask(kind) else x)

        size = length(context, builder, kind, value)
        return accumulate(context, builder, kind.lanes, start, size, step)

    return lower


def is_mask(kind):
    return isinstance(kind.item, LaneMask)


def is_mask_type(kind):
    return isinstance(kind, LaneSequence) and is_mask(kind)


sum_items = fold(ZERO, lambda builder, total, x: builder.fadd(total, x), operator.add)


def terms_of(context, builder, kind, value, sign=1):
    """An expression as (sign, kind, value) terms that add up to it: a + b, a - b and -a taken apart."""
    if isinstance(kind, LaneExpression):
        operands = [(a, part(context, builder, kind, value, f"operand{k}")) for k, a in enumerate(kind.operands)]
        signs = SIGNS.get(kind.function)
        if signs is not None and not any(isinstance(a, LaneMask) or is_mask_type(a) for a, _ in operands):
            return [
                term
                for (a, v), s in zip(operands, signs, strict=True)
                for term in terms_of(context, builder, a, v, sign * s)
            ]
    return [(sign, kind, value)]


SIGNS = {operator.add: (1, 1), np.add: (1, 1), operator.sub: (1, -1), np.subtract: (1, -1), operator.neg: (-1,)}
LOGADDEXP = (np.logaddexp, functions.logaddexp, functions.softplus)


def is_logaddexp(kind):
    return isinstance(kind, LaneExpression) and kind.function in LOGADDEXP


def lower_sum(context, builder, sig, args):
    """sum_i of an expression; log(1 + e^x) terms go through sum log(1 + t) = log prod (1 + t).

    One logarithm serves 512 terms: half the time of a logistic likelihood.  The product rounds like 1 + t itself, so
    a term loses at most 1e-16 nat.
    """
    kind, value = sig.args[0], args[0]
    if kind.recorded and can_fuse(kind):
        return fused_sum(context, builder, kind, value, plain_sum(context, builder))
    if kind.recorded:
        return recorded_sum(context, builder, kind, value)
    terms = terms_of(context, builder, kind, value)
    if not any(is_logaddexp(k) for _, k, _ in terms):
        return sum_items(context, builder, sig, args)
    lanes = kind.lanes
    vector = lanes.vector
    size = length(context, builder, kind, value)
    total, positive, negative = (cgutils.alloca_once(builder, vector) for _ in range(3))
    builder.store(constant(vector, ZERO), total)

    def one_item(i):
        known = {}
        for sign, k, v in terms:
            if is_logaddexp(k):
                operands = [part(context, builder, k, v, f"operand{n}") for n in range(len(k.operands))]
                parts = [lanes_item(a, x, i, known) for a, x in zip(k.operands, operands, strict=True)]
                pair = [constant(vector, ZERO), *parts] if len(parts) == 1 else parts
                m, d = elementary.logaddexp_parts(*(Traced(builder, x) for x in pair))
                t = elementary.exp_cut(d)
                product = positive if sign > 0 else negative
                builder.store(emit_fma(builder, builder.load(product), t.value, builder.load(product)), product)
                add(sign, m.value)
            else:
                add(sign, lanes_item(k, v, i, known))

    def lanes_item(k, v, i, known):
        return context.cast(builder, item(context, builder, k, v, i, known), item_type(k), lanes)

    def add(sign, x):
        method = builder.fadd if sign > 0 else builder.fsub
        builder.store(method(builder.load(total), x), total)

    with cgutils.for_range_slice(builder, INTP(0), size, INTP(FACTORS), intp=INTP) as (first, _):
        for product in (positive, negative):
            builder.store(constant(vector, 1.0), product)
        end = builder.add(first, INTP(FACTORS))
        end = builder.select(builder.icmp_signed("<", end, size), end, size)
        with cgutils.for_range_slice(builder, first, end, INTP(1), intp=INTP) as (i, _):
            one_item(i)
        signs = {sign for sign, k, _ in terms if is_logaddexp(k)}
        for sign, product in ((1, positive), (-1, negative)):
            if sign in signs:
                add(sign, trace(elementary.log)(builder, builder.load(product)))
    return builder.load(total)


def plain_sum(context, builder):
    return lambda kind, value: lower_sum(context, builder, signature(kind.lanes, kind), [value])


def lower_mean(context, builder, sig, args):
    if sig.args[0].recorded:
        return recorded_mean(context, builder, sig.args[0], args[0], lower_sum)
    size = builder.sitofp(length(context, builder, sig.args[0], args[0]), ir.DoubleType())
    total = lower_sum(context, builder, sig, args)
    return builder.fdiv(total, context.cast(builder, size, types.float64, sig.args[0].lanes))


REDUCTIONS = [
    (np.sum, "lanes.sum", lower_sum),
    (np.mean, "lanes.mean", lower_mean),
    (np.max, "lanes.max", fold(-math.inf, trace(elementary.maximum), np.maximum)),
    (np.min, "lanes.min", fold(math.inf, trace(elementary.minimum), np.minimum)),
    (np.prod, "lanes.prod", fold(1.0, lambda builder, total, x: builder.fmul(total, x), operator.mul)),
]
for function, method, lower in REDUCTIONS:

    @template(function)
    class Reduction(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and not kws and isinstance(args[0], LaneSequence):
                return signature(total_type(args[0]), *args)

    lower_builtin(function, LaneSequence)(lower)
    lower_builtin(method, LaneSequence)(lower)


@template(np.sum)
class SumOverAxis(AbstractTemplate):
    """``np.sum(z, axis=0)``, of the one axis that there is."""

    prefer_literal = True

    def generic(self, args, kws):
        given = [*args[1:], *kws.values()]
        one_axis = len(given) == 1 and set(kws) <= {"axis"} and getattr(given[0], "literal_value", None) in (0, -1)
        if one_axis and args and isinstance(args[0], LaneSequence):
            return signature(total_type(args[0]), args[0], given[0]).replace(pysig=WITH_AXIS)


WITH_AXIS = inspect.signature(lambda a, axis: None)


@lower_builtin(np.sum, LaneSequence, types.IntegerLiteral)
def lower_sum_over_axis(context, builder, sig, args):
    return lower_sum(context, builder, signature(sig.return_type, sig.args[0]), args[:1])
