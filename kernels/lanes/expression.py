"""Lazy element-wise expressions: ``(z - mu) ** 2``, ``np.exp(z[1:])``, ``y * eta - np.logaddexp(0, eta)``.

An expression is computed item by item inside the reduction or loop that asks for it: no temporary is allocated, and
the code is as fast as the loop one would write.  One used three times is computed three times.
"""

import builtins
import itertools
import operator

import numpy as np
from numba import types
from numba.core import errors
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, lower_cast

from ..arithmetic import functions
from ..jit import template
from .recorded_types import Number
from .sequence import as_it_is, is_table, is_vector, item_type, keep, length, same_length
from .types import SCALARS, LaneExpression, LaneMask, Lanes, LaneSequence, LaneVector, pack, part

UNARY: list = [
    operator.neg,
    operator.pos,
    operator.invert,
    builtins.abs,
    np.abs,
    np.fabs,
    np.negative,
    np.exp,
    np.expm1,
    np.log,
    np.log1p,
    np.log2,
    np.log10,
    np.sqrt,
    np.square,
    np.tanh,
    np.sin,
    np.cos,
    np.tan,
    np.sinh,
    np.cosh,
    np.arctan,
    np.floor,
    np.ceil,
    np.sign,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.logical_not,
    functions.softplus,
    functions.expit,
    functions.log1mexp,
    functions.gammaln,
    functions.digamma,
    functions.erf,
    functions.erfc,
    functions.erfcx,
    functions.log_ndtr,
]
BINARY: list = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    operator.and_,
    operator.or_,
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.power,
    np.maximum,
    np.minimum,
    np.hypot,
    np.arctan2,
    np.logaddexp,
    np.logical_and,
    np.logical_or,
    functions.logaddexp,
    functions.within,
]
TERNARY: list = [np.where, np.clip, functions.where]


def expression_type(typingctx, function, args):
    sequence = any(isinstance(a, LaneSequence) for a in args)
    spread = any(isinstance(a, Number | Lanes | LaneMask) for a in args) and any(is_vector(a) for a in args)
    fits = all(isinstance(a, (LaneSequence, Number, Lanes, LaneMask, *SCALARS)) or is_vector(a) for a in args)
    if not fits or not (sequence or spread) or any(is_table(a) and a.ndim != 1 for a in args):
        return None
    known = typingctx.resolve_value_type(function)
    sig = known.get_call_type(typingctx, tuple(item_type(a) for a in args), {})
    if sig is None:
        return None
    # a literal power stays part of the type; everything else is a value of the run
    power = function in (operator.pow, np.power)
    kept = [types.unliteral(a) if isinstance(a, types.Literal) and not power else a for a in args]
    kept = [a.as_it_is if is_table(a) else a for a in kept]
    return LaneExpression(function, kept, sig.return_type)


LaneExpression.of = staticmethod(expression_type)


def operand_kinds(count):
    """Combinations of argument kinds with a sequence among them, or an array beside lanes."""
    kinds = (LaneSequence, types.Array, Number, Lanes, LaneMask, types.Number, types.Boolean)
    for combination in itertools.product(kinds, repeat=count):
        lanes = Number in combination or Lanes in combination or LaneMask in combination
        if LaneSequence in combination or (types.Array in combination and lanes):
            yield combination


def register(function, count):
    @template(function)
    class Template(AbstractTemplate):
        prefer_literal = True

        def generic(self, args, kws):
            if len(args) == count and not kws:
                kind = expression_type(self.context, function, args)
                if kind is not None:
                    given = (a if is_table(a) else kept for a, kept in zip(args, kind.operands, strict=True))
                    return signature(kind, *given)

    def lower(context, builder, sig, args):
        kind = sig.return_type
        sizes = [length(context, builder, a, v) for a, v in zip(sig.args, args, strict=True)]
        size = same_length(context, builder, sizes)
        captured = [(a, v, as_it_is(context, builder, a, v)) for a, v in zip(sig.args, args, strict=True)]
        operands = {f"operand{k}": taken for k, (_, _, taken) in enumerate(captured)}
        return keep(context, builder, kind, pack(context, builder, kind, size=size, **operands), captured)

    for combination in operand_kinds(count):
        lower_builtin(function, *combination)(lower)


@lower_cast(types.Array, LaneSequence)
@lower_cast(LaneVector, LaneSequence)
def no_cast(context, builder, source, target, value):
    raise errors.NumbaTypeError("an array depends on z in one branch and not in the other")


@lower_cast(LaneExpression, LaneExpression)
def widen(context, builder, source, target, value):
    """Operands of a wider type: see ``LaneExpression.unify``."""
    operands = {}
    for k, (a, b) in enumerate(zip(source.operands, target.operands, strict=True)):
        operands[f"operand{k}"] = context.cast(builder, part(context, builder, source, value, f"operand{k}"), a, b)
    return pack(context, builder, target, size=part(context, builder, source, value, "size"), **operands)


for count, table in enumerate((UNARY, BINARY, TERNARY), start=1):
    for function in table:
        register(function, count)
