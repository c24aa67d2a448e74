"""Arithmetic of recorded numbers: every function that lanes know, typed as an expression and lowered by its values."""

import builtins
import itertools
import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..arithmetic import functions
from ..arithmetic.traced import DOUBLE
from ..jit import template
from . import special  # noqa: F401  (its entries are recorded too)
from .operators import BRANCH
from .partials import add_in_place, value_of
from .recorded_types import MAX_LEAVES, Expression, Number
from .registry import PARTIALS, call
from .types import SCALARS, LaneMask, Lanes, pack


def operand_type(a, function, place):
    """The type an operand is kept as, or None where it cannot be one."""
    if isinstance(a, types.IntegerLiteral) and place == 1 and function in POWERS:
        return a
    if isinstance(a, (Number, Lanes, LaneMask)):
        return a
    return types.float64 if isinstance(a, SCALARS) else None


JUMPS = (math.copysign, np.copysign, math.atan2, np.arctan2)  # differentiable and yet not continuous
POWERS = (operator.pow, operator.ipow, builtins.pow, np.power)
WHERE = (np.where, functions.where)


def record_type(function, args):
    """The signature of ``function`` on these operands, a recorded number among them."""
    kinds = [operand_type(a, function, place) for place, a in enumerate(args)]
    if None in kinds or not any(isinstance(k, Number) for k in kinds):
        return None
    if function in WHERE:
        if isinstance(args[0], types.Boolean):
            kinds[0] = next(k for k in kinds if isinstance(k, Number)).mask
        elif not isinstance(args[0], LaneMask):
            return None
    # the largest operands go to the tape first
    while sum(k.leaves for k in kinds if isinstance(k, Number)) > MAX_LEAVES:
        largest = max((k for k in kinds if isinstance(k, Number)), key=lambda k: k.leaves)
        kinds[kinds.index(largest)] = largest.recorded
    return signature(Expression(function, kinds), *kinds)


def register_record(function, count):
    rules = PARTIALS[function, count]

    @template(function)
    class Template(AbstractTemplate):
        prefer_literal = function in POWERS

        def generic(self, args, kws):
            if len(args) != count or kws or not any(isinstance(a, Number) for a in args):
                return None
            if not rules:
                return plain_type(self.context, function, args)
            return record_type(function, args)

    def lower(context, builder, sig, args):
        kinds, values = zip(
            *(value_of(context, builder, k, v) for k, v in zip(sig.args, args, strict=True)), strict=True
        )
        value = call(context, builder, function, kinds, values)
        if not rules or function in JUMPS:
            count_step()
        if not rules:
            return value
        kept = {f"operand{i}": v for i, v in enumerate(args) if not isinstance(sig.args[i], types.Literal)}
        return pack(context, builder, sig.return_type, value=value, **kept)

    for combination in itertools.product((Number, types.Number, Lanes, LaneMask), repeat=count):
        if Number in combination:
            lower_builtin(function, *combination)(lower)


steps = 0  # how many calls of such a function have been compiled; a density with one may be discontinuous
guards = 0  # how many of them cut the support of a density and do nothing else
told: list[tuple] = []  # of others (code, arguments): which arguments of which function they look at


def count_step():
    global steps
    steps += 1


def count_guards(number):
    global guards
    guards += number


class Steps:
    """Those that are compiled from here on."""

    def __init__(self):
        self.before, self.known = steps - guards, len(told)

    def found(self, code):
        """(whether there are none but guards, the arguments of the function of that code that all of them look at;
        none where that is not known)"""
        count, known = steps - guards - self.before, told[self.known :]
        told_all = count == len(known) and all(whose is code for whose, _ in known)
        return count == 0, frozenset().union(*(names for _, names in known)) if told_all else frozenset()


def plain_type(typingctx, function, args):
    """The signature of a function without a derivative: a comparison, a floor."""
    kinds = [a if isinstance(a, Number) else types.float64 if isinstance(a, SCALARS) else a for a in args]
    values = tuple(k.lanes if isinstance(k, Number) else k for k in kinds)
    found = typingctx.resolve_value_type(function).get_call_type(typingctx, values, {})
    return found and signature(found.return_type, *kinds)


IN_PLACE = {operator.iadd: (operator.add, 1), operator.isub: (operator.sub, -1)}
for function, count in list(PARTIALS):
    if function not in IN_PLACE:
        register_record(function, count)


class InPlace(AbstractTemplate):
    """``total += term`` where ``total`` is a variable; ``+`` otherwise."""

    def generic(self, args, kws):
        numbers = [a for a in args if isinstance(a, Number)]
        if len(args) != 2 or kws or not numbers:
            return None
        total, term = args
        if total.mutable and numbers[0].in_place:
            term = operand_type(term, self.key, 1)
            return term and signature(total, total, term)
        return record_type(IN_PLACE[self.key][0], args)


def in_place(function, sign):
    def lower(context, builder, sig, args):
        if sig.return_type == sig.args[0]:
            return add_in_place(context, builder, sig.args[0], args[0], sign, sig.args[1], args[1])
        return call(context, builder, function, sig.args, args)

    return lower


for function, plainly in IN_PLACE.items():
    template(function)(InPlace)
    for combination in itertools.product((Number, types.Number, Lanes), repeat=2):
        if Number in combination:
            lower_builtin(function, *combination)(in_place(*plainly))


@template(bool)
@template(operator.truth)
@template(operator.not_)
class Truth(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], Number):
            if args[0].lanes.width > 1:
                raise errors.NumbaTypeError(BRANCH)
            return signature(types.boolean, *args)


def truth(symbol):
    def lower(context, builder, sig, args):
        count_step()
        _, value = value_of(context, builder, sig.args[0], args[0])
        one = builder.extract_element(value, ir.IntType(32)(0))
        return builder.fcmp_unordered(symbol, one, ir.Constant(DOUBLE, 0.0))

    return lower


lower_builtin(bool, Number)(truth("!="))
lower_builtin(operator.truth, Number)(truth("!="))
lower_builtin(operator.not_, Number)(truth("=="))
