"""A function that somebody else has jitted for one draw, as a C function of a tile by ``abi``.

``f(x, *data) -> (log p,)`` or ``(log p, gradient)``, arrays of no and of one dimension: PyTensor's.
"""

from numba import from_dtype, types
from numba.extending import is_jitted

from .abi import Compiled
from .tile_loop import WORD, Callee, c_function, copy_column, new_draw
from .values import put_value, quietly

DRAW = types.Array(types.float64, 1, "C")
OPTIONS = dict(error_model="numpy")


def array_types(arrays):
    """The Numba types of arrays of any dtype, C-contiguous; those that Numba does not know raise."""
    return tuple(types.Array(from_dtype(a.dtype), a.ndim, "C") for a in arrays)


def compile_jitted(function, kinds, reads, gradient: bool) -> Compiled:
    """The C function of a jitted one.

    ``kinds`` are the types of all data of the target, ``reads`` the places of those that this function takes.
    """
    if not is_jitted(function):
        raise TypeError(f"expected a jitted function, got {type(function).__name__}")
    taken = types.Tuple([kinds[i] for i in reads])

    def value(x, data):
        return function(x, *data)[0][()]

    def value_and_gradient(x, data, out):
        log_p, slope = function(x, *data)
        out[:] = slope
        return log_p[()]

    def prepare(typingctx):
        arguments = [DRAW, taken, DRAW] if gradient else [DRAW, taken]
        density = Callee(typingctx, value_and_gradient if gradient else value, arguments, OPTIONS)

        def start(context, builder, tile):
            draw, place = new_draw(context, builder, DRAW, tile)
            slope, slope_place = new_draw(context, builder, DRAW, tile) if gradient else (None, None)
            data = context.make_tuple(builder, taken, [tile.data[i] for i in reads])
            tile.data = [data, slope] if gradient else [data]

            def group(first, stop):
                copy_column(builder, tile, builder.gep(tile.z, [first]), tile.width, place, WORD(1))
                put_value(context, builder, density, arguments, [draw], tile, first, stop, types.float64)
                if gradient:
                    copy_column(builder, tile, slope_place, WORD(1), builder.gep(tile.gradient, [first]), tile.width)

            def end():
                for array in (draw, slope) if gradient else (draw,):
                    context.nrt.decref(builder, DRAW, array)

            return group, end

        return start

    compiled = quietly(lambda f, k: c_function(prepare, k, 1), function, kinds)
    return Compiled(compiled.address, False, "it is compiled by others", (compiled, function), smooth=True)
