"""A parameter with two axes in lanes: ``B[i, j]``, its rows ``B[i]`` and columns ``B[:, j]`` as vectors."""

import builtins
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, signature
from numba.extending import lower_builtin, lower_getattr, models, register_model

from ..jit import template
from .registry import call
from .sequence import checked_index, struct
from .types import RECORDED_MEMBERS, LaneVector, pack

WORD = ir.IntType(64)


class LaneMatrix(types.Type):
    """Rows of a tile, (rows, columns) of them one after the other, seen through one group of columns of the tile."""

    ndim = 2

    def __init__(self, item):
        self.item, self.lanes = item, getattr(item, "lanes", item)
        super().__init__(f"LaneMatrix({item})")

    @property
    def recorded(self):
        return hasattr(self.item, "recorded")

    @property
    def row(self):
        return LaneVector(self.item)


@register_model(LaneMatrix)
class LaneMatrixModel(models.StructModel):
    def __init__(self, manager, kind):
        sizes = [("stride", types.intp), ("rows", types.intp), ("columns", types.intp)]
        recorded = RECORDED_MEMBERS if kind.recorded else []
        super().__init__(manager, kind, [("data", types.CPointer(kind.lanes.dtype)), *sizes, *recorded])


def is_pair(index, first, second):
    return isinstance(index, types.BaseTuple) and len(index) == 2 and all(map(isinstance, index, (first, second)))


@template(operator.getitem)
class GetItem(AbstractTemplate):
    def generic(self, args, kws):
        matrix, index = args
        if not isinstance(matrix, LaneMatrix):
            return None
        if isinstance(index, types.Integer):
            return signature(matrix.row, matrix, types.intp)
        if is_pair(index, types.Integer, types.Integer):
            return signature(matrix.item, matrix, types.UniTuple(types.intp, 2))
        if is_pair(index, types.SliceType, types.Integer) or is_pair(index, types.Integer, types.SliceType):
            return signature(matrix.row, matrix, index)


def vector_at(context, builder, kind, value, offset, step, size):
    """``size`` items from number ``offset`` on, ``step`` apart."""
    m = struct(kind)(context, builder, value)
    members = dict(
        data=builder.gep(m.data, [builder.mul(offset, m.stride)]), stride=builder.mul(m.stride, step), size=size
    )
    if kind.recorded:
        adjoint = builder.add(m.adjoint, builder.mul(offset, m.spacing))
        members.update(adjoint=adjoint, spacing=builder.mul(m.spacing, step), tape=m.tape)
    return pack(context, builder, kind.row, **members)


def row_of(context, builder, kind, value, i):
    m = struct(kind)(context, builder, value)
    i = checked_index(context, builder, i, m.rows)
    return vector_at(context, builder, kind, value, builder.mul(i, m.columns), WORD(1), m.columns)


def column_of(context, builder, kind, value, j):
    m = struct(kind)(context, builder, value)
    j = checked_index(context, builder, j, m.columns)
    return vector_at(context, builder, kind, value, j, m.columns, m.rows)


@lower_builtin(operator.getitem, LaneMatrix, types.Integer)
def get_row(context, builder, sig, args):
    return row_of(context, builder, sig.args[0], *args)


@lower_builtin(operator.getitem, LaneMatrix, types.BaseTuple)
def get_pair(context, builder, sig, args):
    kind, index = sig.args
    i, j = cgutils.unpack_tuple(builder, args[1])
    if isinstance(index[0], types.SliceType):
        j = context.cast(builder, j, index[1], types.intp)
        vector, rest, rest_kind = column_of(context, builder, kind, args[0], j), i, index[0]
    else:
        i = context.cast(builder, i, index[0], types.intp)
        vector, rest, rest_kind = row_of(context, builder, kind, args[0], i), j, index[1]
    return call(context, builder, operator.getitem, [kind.row, rest_kind], [vector, rest])


def register_shape(of, both):
    """``len``, ``.shape`` and ``.size`` of a type of matrices; ``both`` lowers the numbers of rows and columns."""

    @template(builtins.len)
    class Length(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and isinstance(args[0], of):
                return signature(types.intp, *args)

    @infer_getattr
    class MatrixAttributes(AttributeTemplate):
        key = of

        def resolve_shape(self, matrix):
            return types.UniTuple(types.intp, 2)

        def resolve_size(self, matrix):
            return types.intp

    lower_builtin(builtins.len, of)(lambda c, b, sig, args: both(c, b, sig.args[0], args[0])[0])
    lower_getattr(of, "shape")(lambda c, b, kind, value: cgutils.pack_array(b, both(c, b, kind, value)))
    lower_getattr(of, "size")(lambda c, b, kind, value: b.mul(*both(c, b, kind, value)))


def both(context, builder, kind, value):
    m = struct(kind)(context, builder, value)
    return [m.rows, m.columns]


register_shape(LaneMatrix, both)
