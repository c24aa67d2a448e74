"""What compiled code computes otherwise than Python is refused, or mended, where the types of a density are known.

The two draws that are compared before first use do not meet a rare branch, so these are looked for in the code itself.
"""

import operator

import numpy as np
from numba.core import errors, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NopythonTypeInference

from ..lanes import LaneMask, recorded_arithmetic
from .guards import Uses, guards
from .integers import check_integers
from .row_loops import block_rows
from .step_sources import steps_by_argument

ADDITIONS = {operator.add, operator.iadd}
POWERS = {operator.pow, operator.ipow, pow}
PRODUCTS = {np.dot, np.vdot, np.inner, operator.matmul, operator.imatmul}


def is_mask(kind) -> bool:
    """Whether values of a type are comparisons."""
    return isinstance(kind, types.Boolean | LaneMask)


def is_mask_array(kind) -> bool:
    """Whether a type is that of an array of comparisons."""
    return is_mask(getattr(kind, "dtype", None)) or is_mask(getattr(kind, "item", None))


def negative_power(kind) -> bool:
    """Whether an integer power may be negative, as far as its type tells."""
    value = getattr(kind, "literal_value", None)
    return isinstance(kind, types.Integer) and not (isinstance(value, int) and value >= 0)


def refusal(function, kinds) -> str | None:
    """Why a call of a function on arguments of these types is refused, or None."""
    if function in ADDITIONS and all(map(is_mask, kinds)):
        return (
            "a sum of two comparisons, which is 2 for Python's bools and True for NumPy's; "
            "write (1.0 if a else 0.0), vi.where(a, 1.0, 0.0), or `a or b`"
        )
    if function is operator.invert and is_mask(kinds[0]):
        return "~ of a comparison, which is -2 for Python's True and False for NumPy's; write `not a`"
    if function in PRODUCTS and all(map(is_mask_array, kinds)):
        return (
            "a product of arrays of comparisons, which NumPy reduces by `or`; write np.sum(np.where(a & b, 1.0, 0.0))"
        )
    if function in POWERS and isinstance(kinds[0], types.Integer) and negative_power(kinds[1]):
        return "an integer to a variable integer power, which is 0 where the power is negative; write float(a) ** b"
    return None


def calls(state):
    """(instruction, function, types of its arguments) of everything that a typed function computes."""
    for expression in state.calltypes:
        op = getattr(expression, "op", None)
        if op in ("binop", "inplace_binop"):
            yield expression, expression.fn, (expression.lhs, expression.rhs)
        elif op == "unary":
            yield expression, expression.fn, (expression.value,)
        elif op == "call" and not expression.kws:
            yield expression, getattr(state.typemap[expression.func.name], "typing_key", None), tuple(expression.args)


@register_pass(mutates_CFG=False, analysis_only=False)
class PythonSemantics(FunctionPass):
    """Raise for what Python would compute otherwise, and let no integer wrap."""

    _name = "fastvi_python_semantics"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        for expression, function, variables in calls(state):
            if len(variables) in (1, 2):
                why = refusal(function, [state.typemap[v.name] for v in variables])
                if why:
                    raise errors.TypingError(f"cannot compile {why}", loc=expression.loc)
        uses, code = Uses(state.func_ir), state.func_id.func.__code__
        recorded_arithmetic.count_guards(guards(uses, state.typemap))
        recorded_arithmetic.told.extend((code, names) for names in steps_by_argument(uses, state.typemap))
        for expression, found in state.calltypes.items():
            if getattr(expression, "op", None) in ("binop", "inplace_binop"):
                check_integers(expression, found, [state.typemap[v.name] for v in (expression.lhs, expression.rhs)])
        block_rows(state)
        return True


class UsersCompiler(CompilerBase):
    """Numba's own pipeline with that look at the types."""

    def define_pipelines(self):
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.add_pass_after(PythonSemantics, NopythonTypeInference)
        pipeline.finalize()
        return [pipeline]
