"""Which arguments of a density its comparisons and indices look at: ``mu[int(c[i])]`` has steps in c and none in mu.

Looked for backwards from each step in Numba's own representation of a function, once its types are known.  Numbers
never change once they are made, so that all that one is made of lies in its definitions; arrays may, so that nothing is
said where the function assigns to items.
"""

from numba.core import ir, types

from ..lanes import LaneMatrix
from ..lanes.recorded_types import Number
from ..lanes.types import LaneSequence
from .guards import COMPARISONS, Uses

MADE_OF_OPERANDS = {"binop", "inplace_binop", "unary", "call", "cast", "getitem", "static_getitem", "getattr"}
MADE_OF_OPERANDS |= {"getiter", "iternext", "pair_first", "exhaust_iter"}
WITHOUT_NUMBERS = types.Callable | types.Module | types.NoneType
CHANGES = ir.SetItem | ir.StaticSetItem | ir.DelItem | ir.SetAttr


def is_recorded(kind) -> bool:
    """Whether a type is that of a recorded number, or of an array of them."""
    return isinstance(kind, Number) or isinstance(kind, LaneSequence | LaneMatrix) and isinstance(kind.item, Number)


class Sources:
    """What the variables of a typed function are made of."""

    def __init__(self, uses: Uses, typemap):
        self.uses, self.typemap = uses, typemap
        self.changes = any(isinstance(each, CHANGES) for block in uses.blocks.values() for each in block.body)

    def operands(self, value) -> list[str] | None:
        """The variables with numbers that an expression is made of; None where that is not known"""
        if isinstance(value, ir.Const | ir.Global | ir.FreeVar):
            return []
        if isinstance(value, ir.Var):
            return [value.name]
        if not isinstance(value, ir.Expr) or value.op not in MADE_OF_OPERANDS | {"phi"}:
            return None
        names = [v.name for v in value.list_vars()]
        return [name for name in names if not isinstance(self.typemap.get(name), WITHOUT_NUMBERS)]

    def of(self, step) -> frozenset | None:
        """The arguments that an expression is made of; None where that is not known."""
        waiting, seen, found = self.operands(step), set(), set()
        if waiting is None or self.changes:
            return None
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for value in self.uses.defined.get(name, (None,)):
                if isinstance(value, ir.Arg):
                    found.add(value.name)
                    continue
                operands = self.operands(value)
                if operands is None:
                    return None
                waiting += operands
        return frozenset(found)

    def is_step(self, name, value) -> bool:
        """Whether a definition of a variable compares recorded numbers, and is no guard, or makes one an index."""
        if not isinstance(value, ir.Expr):
            return False
        if value.op == "binop" and value.fn in COMPARISONS:
            recorded = any(is_recorded(self.typemap.get(v.name)) for v in (value.lhs, value.rhs))
            return recorded and not self.uses.guards(name)
        if value.op != "call" or self.uses.constant(value.func.name) is not int or len(value.args) != 1:
            return False
        return isinstance(self.typemap.get(value.args[0].name), Number)


def steps_by_argument(uses: Uses, typemap) -> list[frozenset]:
    """Of each step the arguments that it looks at; those of which they are not known are left out."""
    sources = Sources(uses, typemap)
    steps = [v for name, values in uses.defined.items() for v in values if sources.is_step(name, v)]
    return [found for found in map(sources.of, steps) if found is not None]
