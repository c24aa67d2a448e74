"""Comparisons of z that only cut the support of a density: ``if abs(z[0]) > 1000.0: return -math.inf``.

Wherever such a comparison decides, one side is -inf and the other the density as if nothing had been compared.  At
draws within the support the density is as smooth as without it, and one outside makes the whole ELBO -inf, so gradients
through the draws stay right.  Looked for in Numba's own representation of a function, once its types are known.
"""

import math
import operator

import numpy as np
from numba.core import ir

from ..arithmetic import functions
from ..lanes.recorded_types import Number

COMPARISONS = {operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne}
JOINED = {operator.and_, operator.or_}
WHERE = {np.where, functions.where}


class Uses:
    """The definitions and the uses of each variable of a function."""

    def __init__(self, func_ir):
        self.blocks, self.defined, self.used = func_ir.blocks, {}, {}
        for block in func_ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self.defined.setdefault(statement.target.name, []).append(statement.value)
                if not isinstance(statement, ir.Del):
                    for variable in statement.list_vars():
                        if not (isinstance(statement, ir.Assign) and variable.name == statement.target.name):
                            self.used.setdefault(variable.name, []).append(statement)

    def constant(self, name):
        """The number that a variable always is, or None."""
        definitions = self.defined.get(name, ())
        if len(definitions) != 1:
            return None
        value = definitions[0]
        if isinstance(value, ir.Const | ir.Global | ir.FreeVar):
            return value.value
        if isinstance(value, ir.Var):
            return self.constant(value.name)
        if not isinstance(value, ir.Expr):
            return None
        if value.op == "cast":
            return self.constant(value.value.name)
        if value.op == "getattr":
            return getattr(self.constant(value.value.name), value.attr, None)
        if value.op == "unary" and value.fn is operator.neg:
            inner = self.constant(value.value.name)
            return -inner if isinstance(inner, float) else None
        if value.op == "call" and self.constant(value.func.name) is float and len(value.args) == 1:
            try:
                return float(self.constant(value.args[0].name))
            except (TypeError, ValueError):
                return None
        return None

    def excludes(self, name) -> bool:
        return self.constant(name) == -math.inf

    def returns_nothing_else(self, label) -> bool:
        """Whether what begins with a block does nothing but return -inf."""
        for statement in self.blocks[label].body:
            if isinstance(statement, ir.Return):
                return self.excludes(statement.value.name)
            if isinstance(statement, ir.Jump):
                return self.returns_nothing_else(statement.target)
            if isinstance(statement, ir.Branch):
                return False
            if isinstance(statement, ir.Assign) and self.constant(statement.target.name) is None:
                return False
        return False

    def guards(self, name) -> bool:
        """Whether a variable, a comparison or several joined, decides about -inf alone."""
        uses = self.used.get(name, [])
        return bool(uses) and all(self.is_guard(use, name) for use in uses)

    def is_guard(self, use, name) -> bool:
        if isinstance(use, ir.Branch):
            return any(self.returns_nothing_else(label) for label in (use.truebr, use.falsebr))
        if not isinstance(use, ir.Assign):
            return False
        value = use.value
        if isinstance(value, ir.Var) or value.op == "binop" and value.fn in JOINED or value.op in ("unary", "cast"):
            return self.guards(use.target.name)
        if value.op != "call":
            return False
        function = self.constant(value.func.name)
        if function is bool:
            return self.guards(use.target.name)
        sides = [a.name for a in value.args[1:]]
        return function in WHERE and value.args[0].name == name and len(sides) == 2 and any(map(self.excludes, sides))


def guards(uses: Uses, typemap) -> int:
    """How many comparisons of recorded numbers are guards."""
    count = 0
    for name, definitions in uses.defined.items():
        for value in definitions:
            if isinstance(value, ir.Expr) and value.op == "binop" and value.fn in COMPARISONS:
                of_z = any(isinstance(typemap.get(v.name), Number) for v in (value.lhs, value.rhs))
                count += of_z and uses.guards(name)
    return count
