"""``X @ z`` where there is no memory for temporaries, on a GPU: each entry is computed when it is asked for."""

import operator

from numba import types
from numba.core import cgutils
from numba.core.typing import Context
from numba.extending import lower_builtin, models, register_model
from numba.np import arrayobj

from ..arithmetic.traced import emit_fma
from .registry import accumulate
from .sequence import checked_index, item, item_type, length, same_length, struct
from .types import LaneArray, LaneSequence, pack, part


class LaneProduct(LaneSequence):
    """The product of a matrix and a sequence, lazily."""

    def __init__(self, matrix, vector):
        self.matrix, self.vector = matrix, vector
        super().__init__(vector.lanes, f"LaneProduct({matrix}, {vector})")


@register_model(LaneProduct)
class LaneProductModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("size", types.intp), ("matrix", kind.matrix), ("vector", kind.vector)])


def matrix_product_type(typingctx, matrix, vector):
    """The type of ``matrix @ vector``: entries in an array of their own on a CPU, lazy elsewhere."""
    return LaneArray(vector.lanes) if isinstance(typingctx, Context) else LaneProduct(matrix, vector)


def lazy_product(context, builder, sig, args):
    (kx, kz), (x, z) = sig.args, args
    rows, columns = cgutils.unpack_tuple(builder, struct(kx)(context, builder, x).shape, 2)
    same_length(context, builder, [columns, length(context, builder, kz, z)])
    return pack(context, builder, sig.return_type, size=rows, matrix=x, vector=z)


@lower_builtin(operator.getitem, LaneProduct, types.Integer)
def get_entry(context, builder, sig, args):
    kind, (value, i) = sig.args[0], args
    i = checked_index(context, builder, i, part(context, builder, kind, value, "size"))
    vector = part(context, builder, kind, value, "vector")
    matrix = struct(kind.matrix)(context, builder, part(context, builder, kind, value, "matrix"))

    def step(k, total):
        place = cgutils.get_item_pointer(context, builder, kind.matrix, matrix, [i, k])
        entry = arrayobj.load_item(context, builder, kind.matrix, place)
        entry = context.cast(builder, entry, kind.matrix.dtype, kind.lanes)
        zk = item(context, builder, kind.vector, vector, k)
        return emit_fma(builder, entry, context.cast(builder, zk, item_type(kind.vector), kind.lanes), total)

    columns = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
    return accumulate(context, builder, kind.lanes, 0.0, columns, step)
