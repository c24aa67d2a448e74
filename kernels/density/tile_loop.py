"""The C function around a compiled density: a loop over groups of draws, written as LLVM IR.

Numba could compile the same loop from Python, with its ``try``; it takes 0.3 seconds longer for each density.
"""

from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils, errors
from numba.core.typing.templates import signature
from numba.extending import intrinsic
from numba.np import arrayobj

from .abi import FINE

REAL = types.CPointer(types.float64)
SIGNATURE = types.int64(REAL, types.int64, types.int64, types.int64, REAL, REAL, types.int64, types.int64)
WORD = ir.IntType(64)


@intrinsic
def is_null(typingctx, pointer):
    """Whether a C pointer is null, for functions by ``SIGNATURE`` that are written in Numba."""

    def codegen(context, builder, sig, args):
        return builder.icmp_unsigned("==", builder.ptrtoint(args[0], WORD), WORD(0))

    return signature(types.boolean, pointer), codegen


def all_given(sig, kinds):
    """No parameter of a density is left to its default, which its data would have to hold."""
    if len(sig.args) != len(kinds):
        raise errors.NumbaTypeError("a default argument has no meaning in a density: pass it as data, or close over it")


class Callee:
    """A function of the user's, compiled for some argument types and ready to be called from IR."""

    def __init__(self, typingctx, function, kinds, options):
        self.dispatcher = njit(**options)(function)
        self.signature = types.Dispatcher(self.dispatcher).get_call_type(typingctx, tuple(kinds), {})
        all_given(self.signature, kinds)

    @property
    def result(self):
        return self.signature.return_type

    def call(self, context, builder, kinds, values):
        """(whether it raised, its result)"""
        compiled = self.dispatcher.overloads[tuple(self.signature.args)]
        pairs = zip(values, kinds, self.signature.args, strict=True)
        values = [context.cast(builder, v, k, t) for v, k, t in pairs]
        # by its address: linked, it would be optimised and compiled to machine code a second time
        described = compiled.fndesc
        address = compiled.library.get_pointer_to_function(described.llvm_func_name)
        convention = context.call_conv
        kind = convention.get_function_type(described.restype, described.argtypes)
        function = builder.inttoptr(WORD(address), kind.as_pointer())
        status, result = convention.call_function(builder, function, described.restype, described.argtypes, values)
        return status.is_error, result


def unpack(context, builder, kinds, address):
    """The data from the address of its packed words.

    The arrays are borrowed (no memory info): Numba would otherwise release a reference with every call.
    """
    words = builder.inttoptr(address, WORD.as_pointer())
    place = 0

    def next_word():
        nonlocal place
        place += 1
        return builder.load(builder.gep(words, [WORD(place - 1)]))

    values = []
    for kind in kinds:
        if not isinstance(kind, types.Array):
            read = builder.trunc if kind == types.boolean else builder.bitcast
            values.append(read(next_word(), context.get_value_type(kind)))
            continue
        size = 1 if kind.dtype == types.boolean else kind.dtype.bitwidth // 8
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(next_word(), array.data.type)
        shape = [next_word() for _ in range(kind.ndim)]
        strides = [WORD(size)] if shape else []
        for extent in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], extent))
        arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        values.append(array._getvalue())
    return values


def c_function(prepare, kinds, step):
    """A C function by ``contract`` that runs ``group`` for each ``step`` draws.

    ``prepare(typingctx)`` compiles what is needed and returns ``start(context, builder, tile)``, which returns
    ``group(first, stop)`` and ``end()``.  ``group`` writes the code for the draws from ``first`` on, and ends the loop
    with a status by ``stop(condition, status)``.  ``tile`` has the arguments by name, and the unpacked data.
    """

    starts: list = []
    refused: list = []

    @intrinsic
    def run(typingctx, z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        if refused:  # Numba asks again, without literal types, which changes nothing here
            raise refused[0]
        try:
            start = prepare(typingctx)
        except Exception as error:
            refused.append(error)
            raise
        starts.append(start)

        def codegen(context, builder, sig, args):
            tile = Tile(*args, unpack(context, builder, kinds, args[3]))
            status = cgutils.alloca_once_value(builder, WORD(FINE))
            group, end = start(context, builder, tile)
            count = builder.sdiv(builder.add(tile.width, WORD(step - 1)), WORD(step))
            with cgutils.for_range(builder, count) as loop:

                def stop(condition, code):
                    with builder.if_then(condition, likely=False):
                        builder.store(code if isinstance(code, ir.Value) else WORD(code), status)
                        loop.do_break()

                group(builder.mul(loop.index, WORD(step)), stop)
            end()
            return builder.load(status)

        return signature(types.int64, *SIGNATURE.args), codegen

    @cfunc(SIGNATURE, error_model="numpy")
    def density(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        return run(z, dim, width, data, log_p, gradient, scratch, scratch_bytes)

    density.starts = starts  # and with them the compiled functions, which are called by address
    return density


class Tile:
    """The arguments of a C function, as LLVM values."""

    def __init__(self, z, dim, width, words, log_p, gradient, scratch, scratch_bytes, data):
        self.z, self.dim, self.width, self.log_p, self.gradient = z, dim, width, log_p, gradient
        self.words = words
        self.scratch, self.scratch_bytes, self.data = scratch, scratch_bytes, data


def new_draw(context, builder, kind, tile):
    """An array for one draw, as (value, pointer to its first place)."""
    array = arrayobj._empty_nd_impl(context, builder, kind, [tile.dim])
    return array._getvalue(), array.data


def copy_column(builder, tile, source, source_step, target, target_step):
    """target[i * target_step] = source[i * source_step] for i < dim."""
    with cgutils.for_range(builder, tile.dim) as loop:
        value = builder.load(builder.gep(source, [builder.mul(loop.index, source_step)]))
        builder.store(value, builder.gep(target, [builder.mul(loop.index, target_step)]))
