"""A C function of one draw at a time as one of a tile, by the contract of ``density``.

    int64 f(int64 dim, const double* x, double* gradient, double* log_p, void* user_data)

It returns 0, or anything else where it has no answer.
"""

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from .driver import FINE, RAISED, SIGNATURE, WORD, is_null


@intrinsic
def call_one(typingctx, address, dim, x, gradient, log_p, user_data):
    """Call it by its address; the arrays by theirs."""

    def codegen(context, builder, sig, args):
        function, *words = args
        kind = ir.FunctionType(WORD, [WORD] * len(words))
        return builder.call(builder.inttoptr(function, kind.as_pointer()), words)

    return signature(types.int64, *[types.int64] * 6), codegen


def tile_function(address: int, user_data: int):
    """The compiled C function of a tile; a copy of each draw, and a call."""

    @cfunc(SIGNATURE, error_model="numpy")
    def tile(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        x, slope, value = np.empty(dim), np.empty(dim), np.empty(1)
        draws, values = carray(z, (dim, width)), carray(log_p, width)
        wanted = not is_null(gradient)
        for j in range(width):
            for i in range(dim):
                x[i], slope[i] = draws[i, j], np.nan  # what it leaves out is not a number
            status = call_one(address, dim, x.ctypes.data, slope.ctypes.data, value.ctypes.data, user_data)
            if status != 0:
                return RAISED
            values[j] = value[0]
            if wanted:
                slopes = carray(gradient, (dim, width))
                for i in range(dim):
                    slopes[i, j] = slope[i]
        return FINE

    return tile
