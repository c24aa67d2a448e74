"""``print`` in a density, with which people look for mistakes: of one draw as in Python, of many draws not at all.

Many draws at once have no text; a density that prints is compiled draw by draw, and then does.
"""

from llvmlite import ir
from numba import types
from numba.core import errors, typing
from numba.extending import lower_builtin

from .partials import value_of
from .recorded_types import Number
from .types import LaneMask, Lanes, LaneSequence

TOGETHER = "cannot print {} draws at a time"
ARRAY = "cannot print an array of a density with its gradient; print its items"


@lower_builtin("print_item", Lanes)
@lower_builtin("print_item", LaneMask)
@lower_builtin("print_item", LaneSequence)
def print_lanes(context, builder, sig, args):
    (kind,) = sig.args
    width = getattr(kind, "lanes", kind).width
    if width > 1:
        raise errors.LoweringError(TOGETHER.format(width))
    if isinstance(kind, LaneSequence):
        raise errors.LoweringError(ARRAY)
    one = builder.extract_element(args[0], ir.IntType(32)(0))
    shown = types.float64 if isinstance(kind, Lanes) else types.boolean
    if shown is types.boolean:
        one = builder.zext(one, context.get_value_type(types.boolean))
    return context.get_function("print_item", typing.signature(types.none, shown))(builder, [one])


@lower_builtin("print_item", Number)
def print_recorded(context, builder, sig, args):
    lanes, value = value_of(context, builder, sig.args[0], args[0])
    return print_lanes(context, builder, typing.signature(types.none, lanes), [value])
