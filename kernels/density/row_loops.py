"""Products of a row of data with z within a loop, ``np.dot(X[i], z)`` or ``X[i] @ z``, as ``lanes.rows_in_order``.

Numba's own representation of a function is rewritten once its types are known; no type changes by it.
"""

import operator

import numpy as np
from numba import types
from numba.core import ir
from numba.core.analysis import compute_cfg_from_blocks

from ..lanes.rows_in_order import row_dot, takes
from .guards import Uses


def block_rows(state) -> None:
    """Put ``row_dot`` in the place of each such product."""
    loops = compute_cfg_from_blocks(state.func_ir.blocks).loops().values()
    inside = set().union(*(loop.body for loop in loops)) if loops else set()
    if not inside:
        return
    uses = Uses(state.func_ir)
    for label in inside:
        block = state.func_ir.blocks[label]
        for statement in list(block.body):
            pair = factors(statement, uses)
            found = pair and row_of(block, uses, statement, pair, state.typemap)
            if found:
                replace(state, block, statement, *found)


def factors(statement, uses):
    """The two operands of a product, or None."""
    value = getattr(statement, "value", None)
    if not isinstance(statement, ir.Assign) or not isinstance(value, ir.Expr):
        return None
    if value.op == "binop" and value.fn is operator.matmul:
        return value.lhs, value.rhs
    if value.op == "call" and len(value.args) == 2 and not value.kws and uses.constant(value.func.name) is np.dot:
        return tuple(value.args)
    return None


def row_of(block, uses, product, pair, typemap):
    """(matrix, index, vector, the statement that takes the row) of a product in this block, or None."""
    for row, vector in (pair, pair[::-1]):
        definitions = uses.defined.get(row.name, ())
        if len(definitions) != 1 or getattr(definitions[0], "op", "") != "getitem":
            continue
        matrix, index = definitions[0].value, definitions[0].index
        index = first_index(uses, index, typemap)
        if index is None or not takes(typemap[matrix.name], typemap[vector.name]):
            continue
        if len(uses.defined.get(matrix.name, ())) != 1 or not is_argument(uses, matrix.name):
            continue
        between = statements_between(block, definitions[0], product)
        if between is None or any(isinstance(s, ir.Assign) and s.target.name == index.name for s in between[1:]):
            continue
        return matrix, index, vector, between[0] if len(uses.used.get(row.name, ())) == 1 else None
    return None


def first_index(uses, index, typemap):
    """The variable i of X[i] and X[i, :], or None."""
    kind = typemap[index.name]
    if isinstance(kind, types.Integer):
        return index
    made = uses.defined.get(index.name, ())
    if len(made) != 1 or getattr(made[0], "op", "") != "build_tuple" or len(made[0].items) != 2:
        return None
    i, rest = made[0].items
    whole = uses.defined.get(rest.name, ())
    everything = (
        len(whole) == 1
        and getattr(whole[0], "op", "") == "call"
        and uses.constant(whole[0].func.name) is slice
        and all(isinstance(typemap[a.name], types.NoneType) for a in whole[0].args)
    )
    return i if everything and isinstance(typemap[i.name], types.Integer) else None


def is_argument(uses, name):
    """Whether a variable is an argument of the function, by whatever name: the same matrix all through the call."""
    definitions = uses.defined.get(name, ())
    if len(definitions) != 1:
        return False
    if isinstance(definitions[0], ir.Var):
        return is_argument(uses, definitions[0].name)
    return isinstance(definitions[0], ir.Arg | ir.Global | ir.FreeVar)


def statements_between(block, definition, product):
    """The statements from that of a definition up to the product; None where they are not in one block."""
    starts = [n for n, s in enumerate(block.body) if isinstance(s, ir.Assign) and s.value is definition]
    end = place_of(block, product)
    return block.body[starts[0] : end] if starts and starts[0] < end else None


def place_of(block, statement):
    return next(n for n, s in enumerate(block.body) if s is statement)


def replace(state, block, product, matrix, index, vector, taking):
    kinds = tuple(state.typemap[v.name] for v in (matrix, index, vector))
    function = state.typingctx.resolve_value_type(row_dot)
    found = function.get_call_type(state.typingctx, kinds, {})
    if found is None or found.return_type != state.calltypes[product.value].return_type:
        return
    loc, scope = product.loc, product.target.scope
    name = scope.redefine("$row_dot", loc)
    state.typemap[name.name] = function
    place = place_of(block, product)
    call = ir.Expr.call(name, [matrix, index, vector], (), loc)
    state.calltypes[call] = found
    block.body[place : place + 1] = [
        ir.Assign(ir.Global("row_dot", row_dot, loc), name, loc),
        ir.Assign(call, product.target, loc),
    ]
    if taking is not None:
        del block.body[place_of(block, taking)]
