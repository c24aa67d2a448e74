"""Element-wise expressions of a whole parameter of two axes, for its sums: ``np.sum(B * B)``, ``np.max(np.abs(B))``.

Its items lie one after the other, so such an expression is one of a vector that only reductions may read.
"""

import itertools

from numba import types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, models, register_model

from ..jit import raise_error, template
from .expression import BINARY, UNARY, expression_type
from .lane_matrix import LaneMatrix, both, vector_at
from .recorded_types import Number
from .reduction import REDUCTIONS
from .registry import call
from .sequence import INTP, total_type
from .types import Lanes, pack, part


class LaneWhole(types.Type):
    """An element-wise expression of all items of a matrix: ``flat`` is its type as a vector."""

    ndim = 2

    def __init__(self, flat):
        self.flat, self.item, self.lanes = flat, flat.item, flat.lanes
        super().__init__(f"LaneWhole({flat})")


@register_model(LaneWhole)
class LaneWholeModel(models.StructModel):
    def __init__(self, manager, kind):
        members = [("rows", types.intp), ("columns", types.intp), ("flat", kind.flat)]
        super().__init__(manager, kind, members)


WHOLE = (LaneMatrix, LaneWhole)


def flat_type(kind):
    return kind.flat if isinstance(kind, LaneWhole) else kind.row if isinstance(kind, LaneMatrix) else kind


def flat(context, builder, kind, value):
    """All items as a vector; a number as it is."""
    if isinstance(kind, LaneMatrix):
        size = builder.mul(*both(context, builder, kind, value))
        return vector_at(context, builder, kind, value, INTP(0), INTP(1), size)
    return part(context, builder, kind, value, "flat") if isinstance(kind, LaneWhole) else value


def shape(context, builder, kind, value):
    if isinstance(kind, LaneMatrix):
        return both(context, builder, kind, value)
    return [part(context, builder, kind, value, name) for name in ("rows", "columns")]


def register(function, count):
    @template(function)
    class Template(AbstractTemplate):
        prefer_literal = True

        def generic(self, args, kws):
            if len(args) != count or kws or not any(isinstance(a, WHOLE) for a in args):
                return None
            if not all(isinstance(a, (*WHOLE, Number, Lanes, types.Number, types.Boolean)) for a in args):
                return None  # rows and columns beside a matrix would be spread
            kind = expression_type(self.context, function, [flat_type(a) for a in args])
            if kind is not None:
                given = (a if isinstance(a, WHOLE) else k for a, k in zip(args, kind.operands, strict=True))
                return signature(LaneWhole(kind), *given)

    def lower(context, builder, sig, args):
        pairs = [(k, v) for k, v in zip(sig.args, args, strict=True) if isinstance(k, WHOLE)]
        (rows, columns), *others = (shape(context, builder, k, v) for k, v in pairs)
        for other in others:
            for a, b in zip(other, (rows, columns), strict=True):
                with builder.if_then(builder.icmp_signed("!=", a, b), likely=False):
                    raise_error(context, builder, ValueError, "operands of different shapes")
        values = [flat(context, builder, k, v) for k, v in zip(sig.args, args, strict=True)]
        inner = call(context, builder, function, [flat_type(k) for k in sig.args], values)
        return pack(context, builder, sig.return_type, rows=rows, columns=columns, flat=inner)

    kinds = (*WHOLE, Number, Lanes, types.Number, types.Boolean)
    for combination in itertools.product(kinds, repeat=count):
        if any(kind in WHOLE for kind in combination):
            lower_builtin(function, *combination)(lower)


for count, table in enumerate((UNARY, BINARY), start=1):
    for function in table:
        register(function, count)

for function, _, lower_flat in REDUCTIONS:

    @template(function)
    class Reduction(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 1 and not kws and isinstance(args[0], WHOLE):
                return signature(total_type(flat_type(args[0])), *args)

    def lower(context, builder, sig, args, lower_flat=lower_flat):
        vector = flat(context, builder, sig.args[0], args[0])
        return lower_flat(context, builder, signature(sig.return_type, flat_type(sig.args[0])), [vector])

    for kind in WHOLE:
        lower_builtin(function, kind)(lower)
