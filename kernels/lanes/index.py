"""``int(z[i])``, an index of each draw's own: see ``indexed_items`` for what it reads.

An index is checked and may be negative, as in Python; where one is out of range for some draw, the call raises, and
Python says at which.  It is for reading: what computes with it runs draw by draw.  No derivative sees it, and ``int``
counts as a step.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, register_model

from ..arithmetic.traced import splat
from ..jit import raise_error, template
from . import recorded_arithmetic
from .partials import value_of
from .recorded_types import Number
from .types import DOUBLE, Lanes, VectorModel

WORD, LANE = ir.IntType(64), ir.IntType(32)
FAR = 2.0**53  # what is larger is no index, nor is a NaN


class LaneIndex(types.Type):
    """One integer for each draw of a group: int of Lanes."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(f"LaneIndex({lanes})")

    @property
    def vector(self):
        return ir.VectorType(WORD, self.lanes.width)


@register_model(LaneIndex)
class LaneIndexModel(VectorModel):
    """In a register."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


@template(int)
class IntOfLanes(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) != 1 or kws:
            return None
        if isinstance(args[0], Number):
            one = args[0].lanes.width == 1
            return signature(types.int64 if one else LaneIndex(args[0].lanes), args[0])
        if type(args[0]) is Lanes:
            return signature(LaneIndex(args[0]), args[0])


@lower_builtin(int, Lanes)
def int_of_lanes(context, builder, sig, args):
    """Towards zero; what is no index becomes one that is out of every range."""
    return as_index(builder, sig.args[0], args[0])


@lower_builtin(int, Number)
def int_of_recorded(context, builder, sig, args):
    """The same of a recorded number, which jumps there; of one draw an integer, as Python's."""
    recorded_arithmetic.count_step()
    kind, value = value_of(context, builder, sig.args[0], args[0])
    index = as_index(builder, kind, value)
    if sig.return_type != types.int64:
        return index
    number = builder.extract_element(index, LANE(0))
    with builder.if_then(builder.icmp_signed("==", number, WORD(int(FAR))), likely=False):
        raise_error(context, builder, ValueError, "int of what is no whole number of 53 bits")
    return number


def as_index(builder, lanes, value):
    """Lanes as an index"""
    vector, limit = lanes.vector, splat(builder, DOUBLE(FAR), lanes.vector)
    inside = builder.and_(
        builder.fcmp_ordered("<", value, limit), builder.fcmp_ordered(">", value, builder.fneg(limit))
    )
    return builder.fptosi(builder.select(inside, value, limit), ir.VectorType(WORD, vector.count))


def parts_of(index):
    """The types of an index's entries."""
    return index.types if isinstance(index, types.BaseTuple) else (index,)


def entries(context, builder, kind, value):
    """(type, value) of each entry of an index."""
    if isinstance(kind, types.BaseTuple):
        return list(zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True))
    return [(kind, value)]


def checked(context, builder, kind, value, size, vector):
    """An entry as a vector, from the front, in range for every draw."""
    if not isinstance(kind, LaneIndex):
        value = splat(builder, context.cast(builder, value, kind, types.int64), vector)
    size = splat(builder, size, vector)
    negative = builder.icmp_signed("<", value, ir.Constant(vector, None))
    value = builder.select(negative, builder.add(value, size), value)
    outside = builder.bitcast(builder.icmp_unsigned(">=", value, size), ir.IntType(vector.count))
    with builder.if_then(builder.icmp_unsigned("!=", outside, ir.Constant(outside.type, 0)), likely=False):
        raise_error(context, builder, IndexError, "index out of range")
    return value


def gathered(builder, lanes, address):
    """What lies at an address for each draw."""
    out = ir.Constant(lanes.vector, ir.Undefined)
    for k in range(lanes.width):
        pointer = builder.inttoptr(builder.extract_element(address, LANE(k)), DOUBLE.as_pointer())
        out = builder.insert_element(out, builder.load(pointer, align=8), LANE(k))
    return out
