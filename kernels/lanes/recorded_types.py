"""Types of recorded numbers: lanes that remember how they came about, for reverse-mode derivatives.

A density compiled with z of these types computes its value as before and leaves on a ``tape`` what the way back needs.

Leaf         z[j], or an entry of ``X @ z``: lanes with the address of their adjoint
Expression   the result of arithmetic, not on the tape yet: its type is its syntax tree, its value holds the operands
Recorded     a variable: what an expression becomes where control flow meets, with an adjoint of its own on the tape

Expressions follow Hogan (2014, ACM TOMS 40(4), article 26): one entry on the tape for a whole statement, whose partial
derivatives are multiplied up in registers.
"""

from numba import types
from numba.core.typeconv import Conversion
from numba.extending import models, register_model

from .types import SCALARS, LaneMask, Lanes

MAX_LEAVES = 8  # of one expression; a larger one goes to the tape in parts
WORD = types.int64


class Number(types.Type):
    """A recorded number: ``lanes`` wide; ``in_place`` lets ``total += x`` reuse the adjoint of ``total``."""

    leaves = 1

    def __init__(self, lanes, in_place, name):
        self.lanes, self.in_place = lanes, in_place
        super().__init__(f"{name}({lanes}, {in_place})")

    @property
    def recorded(self):
        return Recorded(self.lanes, self.in_place)

    @property
    def leaf(self):
        return Leaf(self.lanes, self.in_place)

    @property
    def mask(self):
        return LaneMask(self.lanes)

    def unify(self, typingctx, other):
        if isinstance(other, (Number, Lanes, *SCALARS)):
            return self.recorded

    def can_convert_to(self, typingctx, other):
        if other == self.recorded:
            return Conversion.safe


class Leaf(Number):
    def __init__(self, lanes, in_place):
        super().__init__(lanes, in_place, "Leaf")


class Recorded(Number):
    mutable = True  # so that Numba compiles ``+=`` as itself

    def __init__(self, lanes, in_place):
        super().__init__(lanes, in_place, "Recorded")

    def can_convert_from(self, typingctx, other):
        if isinstance(other, (Lanes, *SCALARS)):
            return Conversion.safe


_expressions: dict[tuple, int] = {}


class Expression(Number):
    """``function(*operands)``; operands are numbers, plain Lanes, masks and scalars."""

    def __init__(self, function, operands):
        self.function, self.operands = function, tuple(operands)
        first = next(a for a in operands if isinstance(a, Number))
        self.leaves = sum(a.leaves for a in operands if isinstance(a, Number))
        # names of nested types would grow without bound, so each gets a number
        number = _expressions.setdefault((function, self.operands), len(_expressions))
        super().__init__(first.lanes, first.in_place, f"Expression{number}")


@register_model(Leaf)
class LeafModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("value", kind.lanes), ("adjoint", WORD), ("tape", WORD)])


@register_model(Recorded)
class RecordedModel(models.StructModel):
    """No adjoint and no tape (0) for a constant.  ``version`` counts the in-place additions this value has seen."""

    def __init__(self, manager, kind):
        members = [("value", kind.lanes), ("adjoint", WORD), ("tape", WORD), ("version", WORD)]
        super().__init__(manager, kind, members)


@register_model(Expression)
class ExpressionModel(models.StructModel):
    def __init__(self, manager, kind):
        operands = [(f"operand{i}", a) for i, a in enumerate(kind.operands) if not isinstance(a, types.Literal)]
        super().__init__(manager, kind, [("value", kind.lanes), *operands])
