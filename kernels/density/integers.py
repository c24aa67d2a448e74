"""Integers of densities: Python's do not end at 64 bits and are not divided by zero, so neither happens in silence.

Arithmetic of whole numbers, such as indices and counts, is a small part of a density; each operation here carries a
look at one flag of the processor.
"""

import operator

from numba import types
from numba.core import callconv
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..jit import raise_error, template

TOO_LARGE = "an integer beyond 64 bits"


class IntegerErrors(callconv.NumpyErrorModel):
    """IEEE 754 for floats and Python's error for integers that are divided by zero."""

    def fp_zero_division(self, builder, exc_args=None, loc=None):
        if exc_args and exc_args[0].startswith("integer"):
            self.call_conv.return_user_exc(builder, ZeroDivisionError, exc_args, loc)
            return True
        return super().fp_zero_division(builder, exc_args, loc)


ERROR_MODEL = "integer errors"
callconv.error_models[ERROR_MODEL] = IntegerErrors

SIGNED = types.int64
CHECKED = {}  # of Python's operator, the one that takes its place


def exact(function, method):
    """``function`` of two signed integers, which raises where the result has no 64 bits."""

    def checked(a, b):
        return function(a, b)

    @template(checked)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            return signature(SIGNED, SIGNED, SIGNED)

    @lower_builtin(checked, types.Integer, types.Integer)
    def lower(context, builder, sig, args):
        pair = getattr(builder, method)(*args)
        with builder.if_then(builder.extract_value(pair, 1), likely=False):
            raise_error(context, builder, OverflowError, TOO_LARGE)
        return builder.extract_value(pair, 0)

    CHECKED[function] = checked


exact(operator.add, "sadd_with_overflow")
exact(operator.sub, "ssub_with_overflow")
exact(operator.mul, "smul_with_overflow")


def check_integers(expression, found, kinds) -> None:
    """Put the checked operator in the place of the one of an expression, typed with the signature ``found``.

    ``kinds`` are the types of its operands.  A constant is added as ever: what ``i + 1`` would take beyond 64 bits had
    to be made by a product or a sum before, and indices stay as fast as they were.
    """
    if found is None or (*found.args, found.return_type) != (SIGNED,) * 3:
        return
    in_place = expression.op == "inplace_binop"
    function = expression.immutable_fn if in_place else expression.fn
    if function is not operator.mul and any(isinstance(kind, types.IntegerLiteral) for kind in kinds):
        return
    setattr(expression, "immutable_fn" if in_place else "fn", CHECKED.get(function, function))
