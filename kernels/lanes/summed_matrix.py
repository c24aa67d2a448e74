"""A matrix of numbers that all lanes share, whose gradient is wanted summed over them: the parameters of a decoder.

``W @ v`` and ``v @ W`` cost what products with data do.  On the way back each entry of W grows by the sum over lanes of
weight x adjoint x v, one number for all of them: a gradient by thousands of entries takes no lanes of their own.
Nothing else is known of such a matrix, so a density that does more with it is compiled with lanes for each entry.
"""

import operator
from functools import partial

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing import Context
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, models, register_model

from ..jit import template
from . import tape as tapes
from .lane_matrix import register_shape
from .outer_sums import outer_sums
from .products import dot_vectors, rows_times, transposed, turned
from .recorded_sums import certain, record_matrix_times, settled
from .sequence import rows_of, struct
from .tape import number
from .types import LaneSequence, LaneVector, part


class SummedMatrix(types.Type):
    """The numbers, a float64 array of two axes, with the addresses of their sums, in C order, and of the weights."""

    ndim = 2

    def __init__(self, array):
        self.array = array
        super().__init__(f"SummedMatrix({array})")


@register_model(SummedMatrix)
class SummedMatrixModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("array", kind.array), ("sums", types.int64), ("weights", types.int64)])


def shape_of(context, builder, kind, value):
    array = struct(kind.array)(context, builder, part(context, builder, kind, value, "array"))
    return cgutils.unpack_tuple(builder, array.shape, 2)


def lower_product(context, builder, sig, args):
    rowwise = isinstance(sig.args[0], SummedMatrix)
    (kind, vector), (w, v) = (pair if rowwise else pair[::-1] for pair in (sig.args, args))
    across = shape_of(context, builder, kind, w)[1]
    steps = builder.mul(across, number(8)), number(8)
    array_kind, array = kind.array, part(context, builder, kind, w, "array")
    if not rowwise:
        array_kind, array, steps = transposed(array_kind), turned(context, builder, array_kind, array), steps[::-1]
    vector, v = settled(context, builder, vector, v)
    pair = signature(sig.return_type, array_kind, vector), [array, v]
    into, row_times = partial(rows_times, context, builder), partial(dot_vectors, context, builder)
    result = record_matrix_times(context, builder, *pair, into, row_times)
    data, stride = rows_of(context, builder, vector, v)
    size = part(context, builder, sig.return_type, result, "size")
    columns = part(context, builder, vector, v, "size")
    words = [size, columns, builder.ptrtoint(data, tapes.I64), builder.mul(stride, number(8))]
    words += [part(context, builder, kind, w, "sums"), *steps, part(context, builder, kind, w, "weights")]
    adjoint, tape = (
        part(context, builder, k, x, n) for k, x, n in ((sig.return_type, result, "adjoint"), (vector, v, "tape"))
    )
    function = number(outer_sums(sig.return_type.lanes.width).address)
    place = tapes.push_sum(context, builder, tape, adjoint, function, len(words))
    for k, word in enumerate(words):
        builder.store(word, builder.gep(place, [number(k)]))
    return result


for function in (operator.matmul, np.dot):

    @template(function)
    class Product(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or kws or sum(isinstance(a, SummedMatrix) for a in args) != 1:
                return None
            vector = args[1] if isinstance(args[0], SummedMatrix) else args[0]
            known = isinstance(vector, LaneSequence) and vector.recorded and certain(vector)
            if known and isinstance(self.context, Context):
                return signature(LaneVector(vector.item.leaf), *args)

    lower_builtin(function, SummedMatrix, LaneSequence)(lower_product)
    lower_builtin(function, LaneSequence, SummedMatrix)(lower_product)


register_shape(SummedMatrix, shape_of)
