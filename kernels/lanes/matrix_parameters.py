"""Products with a parameter of two axes, ``L @ eta`` and ``v @ B``: rows or columns times a vector, into an array."""

import operator

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing import Context
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..jit import template
from .lane_matrix import LaneMatrix, both, column_of, row_of
from .products import dot_vectors
from .recorded_arrays import Table, address_of, new_table, store_item
from .recorded_sums import is_recorded, product_type
from .sequence import is_vector, length, same_length
from .settled import kept, kept_type
from .types import LaneExpression, LaneSequence


def vector_type(typingctx, kind):
    """The type that the vector is taken as: an expression is computed once, not for each row."""
    if isinstance(kind, LaneExpression):
        return kept_type(typingctx, kind)
    return kind if isinstance(kind, LaneSequence) or is_vector(kind) else None


def lower_product(context, builder, sig, args):
    rowwise = isinstance(sig.args[0], LaneMatrix)
    result = sig.return_type
    (matrix, vector), (m, v) = (pair if rowwise else pair[::-1] for pair in (sig.args, args))
    counts = both(context, builder, matrix, m)
    count, across = counts if rowwise else counts[::-1]
    same_length(context, builder, [across, length(context, builder, vector, v)])
    taken = vector_type(context.typing_context, vector)
    once = v if taken is vector else kept(context, builder, signature(taken, vector), [v], running=False)
    line, table = row_of if rowwise else column_of, new_table(context, builder, result, [count])
    recorded = is_recorded(matrix.row, taken)
    entry = product_type(matrix.row, taken) if recorded else matrix.lanes
    with cgutils.for_range(builder, count) as loop:
        pair = [line(context, builder, matrix, m, loop.index), once]
        x = dot_vectors(context, builder, signature(entry, matrix.row, taken), pair)
        place = address_of(context, builder, result, table, loop.index)
        store_item(context, builder, result, place, context.cast(builder, x, entry, result.item))
    if once is not v:
        context.nrt.decref(builder, taken, once)
    return impl_ret_new_ref(context, builder, result, table)


for function in (operator.matmul, np.dot):

    @template(function)
    class Product(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or kws or sum(isinstance(a, LaneMatrix) for a in args) != 1:
                return None
            matrix, vector = args if isinstance(args[0], LaneMatrix) else args[::-1]
            # on a GPU there is no memory for the entries
            if isinstance(self.context, Context) and vector_type(self.context, vector) is not None:
                item = matrix.item.recorded if matrix.recorded else matrix.lanes
                return signature(Table(item, 1, fixed=True), *args)

    for pair in ((LaneMatrix, LaneSequence), (LaneMatrix, types.Array)):
        lower_builtin(function, *pair)(lower_product)
        lower_builtin(function, *pair[::-1])(lower_product)
