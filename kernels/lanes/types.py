"""Numba types of SIMD lanes and how they lie in registers and memory."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typeconv import Conversion
from numba.extending import models, register_model

SCALARS = (types.Integer, types.Float, types.Boolean)
BIT, BYTE, DOUBLE = ir.IntType(1), ir.IntType(8), ir.DoubleType()


class Lanes(types.Type):
    """``width`` float64 values, one for each draw of a group, that compute as one."""

    dtype = types.float64

    def __init__(self, width):
        self.width = width
        super().__init__(f"Lanes({width})")

    @property
    def vector(self):
        return ir.VectorType(DOUBLE, self.width)

    @property
    def mask(self):
        return LaneMask(self)

    # `total = 0.0` followed by `total += z[j]` makes `total` Lanes from the start
    def unify(self, typingctx, other):
        if isinstance(other, SCALARS):
            return self

    def can_convert_from(self, typingctx, other):
        if isinstance(other, SCALARS):
            return Conversion.safe


class LaneMask(types.Type):
    """One boolean for each draw of a group: what a comparison of Lanes gives."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(f"LaneMask({lanes})")

    def unify(self, typingctx, other):
        if isinstance(other, types.Boolean):
            return self

    def can_convert_from(self, typingctx, other):
        if isinstance(other, types.Boolean):
            return Conversion.safe


class LaneSequence(types.IterableType):
    """Anything one-dimensional whose items are Lanes, or recorded numbers of them."""

    def __init__(self, item, name):
        self.item, self.lanes = item, getattr(item, "lanes", item)
        super().__init__(name)

    @property
    def recorded(self):
        return hasattr(self.item, "recorded")

    @property
    def iterator_type(self):
        return LaneIterator(self)

    # While Numba still takes a number in an expression for a float, the result is an array, or a vector in place of a
    # table.  Such a value never exists in the end, so there is no cast; an array that depends on z in one branch only
    # is refused there.
    def unify(self, typingctx, other):
        return self if self.takes_the_place_of(other) else None

    def can_convert_from(self, typingctx, other):
        return Conversion.unsafe if self.takes_the_place_of(other) else None

    def takes_the_place_of(self, other):
        plain = isinstance(other, types.Array) and other.ndim == 1
        return plain or isinstance(other, LaneVector) and hasattr(self, "fixed")


class LaneVector(LaneSequence):
    """z itself or a slice of it: rows of a tile, seen through one group of columns."""

    def __init__(self, item):
        super().__init__(item, f"LaneVector({item})")


class LaneArray(LaneSequence):
    """An owned temporary of Lanes: the result of ``X @ z``."""

    def __init__(self, item):
        self.array = types.Array(types.float64, 2, "C")
        super().__init__(item, f"LaneArray({item})")


class LaneGather(LaneSequence):
    """``sequence[indices]`` for an integer array, lazily."""

    def __init__(self, sequence, indices):
        self.sequence, self.indices = sequence, indices
        super().__init__(sequence.item, f"LaneGather({sequence}, {indices})")


class LaneExpression(LaneSequence):
    """Lazy element-wise ``function(*operands)``; operands are sequences, 1-D arrays or scalars."""

    of: Any = None  # (typing context, function, operands) -> LaneExpression or None: ``expression.expression_type``

    def __init__(self, function, operands, item):
        self.function, self.operands = function, tuple(operands)
        home = getattr(function, "__module__", "") or ""
        super().__init__(item, f"LaneExpression({home}.{function.__name__}, {self.operands})")

    def unify(self, typingctx, other):
        """``z - s`` while Numba still takes s for a float, and when it has seen that s depends on z."""
        if not isinstance(other, LaneExpression):
            return super().unify(typingctx, other)
        if other.function is self.function and not (self.holds(other) or other.holds(self)):
            pairs = [typingctx.unify_pairs(a, b) for a, b in zip(self.operands, other.operands, strict=True)]
            return None if None in pairs else self.of(typingctx, self.function, pairs)

    def holds(self, other):
        """Whether another expression is an operand somewhere within: ``v = v * 0.5 + z`` would grow without end."""
        return any(a == other or isinstance(a, LaneExpression) and a.holds(other) for a in self.operands)

    def can_convert_to(self, typingctx, other):
        if not isinstance(other, LaneExpression) or self.holds(other) or other.holds(self):
            return None
        if other.function is self.function:
            pairs = zip(self.operands, other.operands, strict=True)
            if all(typingctx.can_convert(a, b) is not None for a, b in pairs):
                return Conversion.safe


class LaneIterator(types.IteratorType):
    def __init__(self, sequence):
        self.sequence = sequence
        super().__init__(f"LaneIterator({sequence})")

    @property
    def yield_type(self):
        return self.sequence.item

    @property
    def iterator_type(self):
        return self


class VectorModel(models.PrimitiveModel):
    """A register while it is a value, a plain array in memory.

    Lists and other containers live on a heap that is only 16-byte aligned, and a 64-byte aligned vector load from
    there is a segmentation fault.
    """

    def _stored(self):
        element = self.get_value_type().element
        return BYTE if element == BIT else element

    def get_data_type(self):
        return ir.ArrayType(self._stored(), self.get_value_type().count)

    def as_data(self, builder, value):
        out = ir.Constant(self.get_data_type(), ir.Undefined)
        for i in range(value.type.count):
            x = builder.extract_element(value, ir.IntType(32)(i))
            out = builder.insert_value(out, builder.zext(x, BYTE) if x.type == BIT else x, i)
        return out

    def from_data(self, builder, data):
        vector = self.get_value_type()
        out = ir.Constant(vector, ir.Undefined)
        for i in range(vector.count):
            x = builder.extract_value(data, i)
            x = builder.trunc(x, BIT) if vector.element == BIT else x
            out = builder.insert_element(out, x, ir.IntType(32)(i))
        return out

    def load_from_data_pointer(self, builder, ptr, align=None):
        return self.from_data(builder, builder.load(ptr, align=align))


@register_model(Lanes)
class LanesModel(VectorModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


@register_model(LaneMask)
class LaneMaskModel(VectorModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(BIT, kind.lanes.width))


# of recorded vectors: the address of the first adjoint, bytes to the next, the tape
RECORDED_MEMBERS = [("adjoint", types.int64), ("spacing", types.int64), ("tape", types.int64)]


@register_model(LaneVector)
class LaneVectorModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(
            manager,
            kind,
            [
                ("data", types.CPointer(kind.lanes.dtype)),  # row 0 of this group of columns
                ("stride", types.intp),  # float64s from row to row
                ("size", types.intp),
                *(RECORDED_MEMBERS if kind.recorded else ()),
            ],
        )


@register_model(LaneArray)
class LaneArrayModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("size", types.intp), ("array", kind.array)])


@register_model(LaneGather)
class LaneGatherModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("size", types.intp), ("sequence", kind.sequence), ("indices", kind.indices)])


@register_model(LaneExpression)
class LaneExpressionModel(models.StructModel):
    def __init__(self, manager, kind):
        operands = [(f"operand{i}", a) for i, a in enumerate(kind.operands)]
        super().__init__(manager, kind, [("size", types.intp), *operands])


@register_model(LaneIterator)
class LaneIteratorModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("index", types.EphemeralPointer(types.intp)), ("sequence", kind.sequence)])


def part(context, builder, kind, value, name):
    """A member of a struct value: the very LLVM value that was put in where that is known.

    So one z[j] used twice in an expression is seen to be one leaf, and less code is left to optimise.
    """
    place = context.data_model_manager[kind].get_field_position(name)
    while isinstance(value, ir.instructions.InsertValue) and len(value.indices) == 1:
        if value.indices[0] == place:
            return value.operands[1]
        value = value.operands[0]
    return builder.extract_value(value, place)


def pack(context, builder, kind, **members):
    """A struct value from its members."""
    model = context.data_model_manager[kind]
    value = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for name, member in members.items():
        value = builder.insert_value(value, member, model.get_field_position(name))
    return value
