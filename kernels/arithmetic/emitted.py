"""Routines in two forms that mean the same: Python, which runs uncompiled and on a GPU, and LLVM code for CPUs.

The code is a function of its own in the kernel's module, as LLVM takes long over one large function, and what several
places call is compiled once.
"""

import hashlib

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, overload

from ..jit import source_stamp, template, use_widest
from .traced import DOUBLE, WORD
from .vector_code import TILE, Array, Code


def emitted(write, results=0, on_gpu=None):
    """Compiled for a CPU, the routine is what ``write(code, *arguments)`` writes: arrays arrive as ``Array``, numbers
    as LLVM values.  It returns so many ``results``, float64 whose values ``write`` returns.

    For a GPU ``on_gpu(*types)`` may give another function than the decorated one.  Code that is being written writes
    that of another routine by its ``write``.
    """
    found = {0: types.none, 1: types.float64}.get(results) or types.UniTuple(types.float64, results)

    def lower(context, builder, sig, args, function):
        given = [
            word for kind, value in zip(sig.args, args, strict=True) for word in words(context, builder, kind, value)
        ]
        value = builder.call(written(context, builder.module, function, sig.args, given, write, results), given)
        if results == 0:
            return context.get_dummy_value()
        if results == 1:
            return value
        return context.make_tuple(builder, found, [builder.extract_value(value, k) for k in range(results)])

    def decorate(function):
        lowered(function, found, lower)
        function.write = write
        how = overload(function, jit_options={"error_model": "numpy"}, strict=False, target="cuda")
        how(on_gpu or (lambda *kinds: function))
        return function

    return decorate


def emitted_tile(write, kind=TILE):
    """The same for a routine that makes a tile: written where it is called, as ``write(code, *values)`` of the values
    that Numba has for the arguments, which returns the tile's struct."""

    def decorate(function):
        lowered(function, kind, lambda context, builder, sig, args, function: write(Code(builder, context), *args))
        return function

    return decorate


def lowered(function, found, lower):
    """Let compiled code on a CPU call a function of any arguments by what ``lower`` writes."""

    @template(function, targets=["cpu"])
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            return None if kws else signature(found, *args)

    @lower_builtin(function, types.VarArg(types.Any))
    def lower_call(context, builder, sig, args):
        return lower(context, builder, sig, args, function)


def words(context, builder, kind, value):
    """An argument as words: of an array its address and shape."""
    if not isinstance(kind, types.Array):
        return [value]
    if kind.layout != "C" or kind.dtype.bitwidth != 64:
        raise TypeError(f"expected an array of 64-bit items in C order, got {kind}")
    array = context.make_array(kind)(context, builder, value)
    return [builder.ptrtoint(array.data, WORD), *cgutils.unpack_tuple(builder, array.shape, kind.ndim)]


def written(context, module, function, kinds, given, write, results):
    """The function of a module for arguments of these types, written once; equal names mean equal code, as a linker
    takes one for all."""
    source = getattr(function, "formula", function).__code__
    about = (
        function.__module__,
        function.__qualname__,
        source.co_firstlineno,
        source.co_code.hex(),
        repr(source.co_consts),
    )
    digest = hashlib.blake2b(repr((about, results)).encode(), digest_size=8).hexdigest()
    name = ".".join(["fastvi", function.__qualname__, str(source_stamp()), digest, *map(str, kinds)])
    if name in module.globals:
        return module.globals[name]
    result = [ir.VoidType(), DOUBLE][results] if results < 2 else ir.LiteralStructType([DOUBLE] * results)
    own = ir.Function(module, ir.FunctionType(result, [word.type for word in given]), name)
    own.linkage = "linkonce_odr"
    own.attributes.add("noinline")
    builder = ir.IRBuilder(own.append_basic_block("entry"))
    use_widest(builder)
    code, left = Code(builder, context), iter(own.args)
    values = write(code, *(operand(code, kind, left) for kind in kinds))
    if results == 0:
        builder.ret_void()
    elif results == 1:
        builder.ret(values[0])
    else:
        builder.ret(code.struct(values))
    return own


def operand(code, kind, left):
    """An argument from the next of the words that are left."""
    if not isinstance(kind, types.Array):
        return next(left)
    data, *shape = (next(left) for _ in range(1 + kind.ndim))
    return Array(code, data, shape)
