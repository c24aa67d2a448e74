"""C functions of one draw at a time as one of a tile, by ``abi``."""

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from .abi import FINE, RAISED
from .tile_loop import SIGNATURE, WORD, is_null


def caller(bits):
    """A function that calls another by its address with a tuple of words, for a status of so many bits."""

    @intrinsic
    def call(typingctx, address, words):
        def codegen(context, builder, sig, args):
            values = cgutils.unpack_tuple(builder, args[1], sig.args[1].count)
            kind = ir.FunctionType(ir.IntType(bits), [WORD] * len(values))
            status = builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
            return builder.sext(status, WORD) if bits < 64 else status

        return signature(types.int64, types.int64, words), codegen

    return call


call_int, call_int64 = caller(32), caller(64)


def of_nutpie(address: int, user_data: int):
    """Of the signature ``int64 f(int64 dim, const double* x, double* gradient, double* log_p, void* user_data)``, which
    returns 0, or anything else where it has no answer."""

    @njit
    def evaluate(x, gradient, log_p, wanted):
        words = len(x), x.ctypes.data, gradient.ctypes.data, log_p.ctypes.data, user_data
        return call_int64(address, words)

    return tile_function(evaluate)


def of_stan(model: int, log_density: int, log_density_gradient: int):
    """Of a Stan model by the functions ``bs_log_density`` and ``bs_log_density_gradient`` of BridgeStan, with all
    constants and Jacobians."""

    @njit
    def evaluate(x, gradient, log_p, wanted):
        start = model, 0, 1, x.ctypes.data, log_p.ctypes.data
        if wanted:
            return call_int(log_density_gradient, (*start, gradient.ctypes.data, 0))
        return call_int(log_density, (*start, 0))

    return tile_function(evaluate)


def tile_function(evaluate):
    """The compiled C function of a tile: a copy of each draw, and ``evaluate(x, gradient, log_p, wanted)``."""

    @cfunc(SIGNATURE, error_model="numpy")
    def tile(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        x, slope, value = np.empty(dim), np.empty(dim), np.empty(1)
        draws, values = carray(z, (dim, width)), carray(log_p, width)
        wanted = not is_null(gradient)
        for j in range(width):
            for i in range(dim):
                x[i], slope[i] = draws[i, j], np.nan  # what it leaves out is not a number
            if evaluate(x, slope, value, wanted) != 0:
                return RAISED
            values[j] = value[0]
            if wanted:
                slopes = carray(gradient, (dim, width))
                for i in range(dim):
                    slopes[i, j] = slope[i]
        return FINE

    return tile
