"""The sums over lanes of weight x adjoint x v, for each entry of a matrix of which W @ v was taken.

Lanes are added eight at a time and those eight in halves, whatever the width of the registers, so that all CPUs agree
to the bit.
"""

import functools

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..arithmetic.traced import constant, emit_fma
from ..jit import c_kernel, named, source_stamp
from .matrix import access, pointer
from .tape import read
from .types import DOUBLE, Lanes

EIGHT = 8  # lanes at a time, at most


@functools.cache
def _access(lanes):
    """Intrinsics: (a word of a record, weight x adjoint, 0 where one of them is 0, x y + z, v where there is something
    to multiply it with, whether lanes are finite, add the sum of lanes to a number at an address)."""

    def both(builder, a, b):
        zero = constant(lanes.vector, 0.0)
        return builder.and_(*(builder.fcmp_unordered("!=", x, zero) for x in (a, b)))

    @intrinsic
    def word(typingctx, address):
        return signature(types.int64, types.int64), lambda context, builder, sig, args: read(builder, args[0])

    @intrinsic
    def weigh(typingctx, weight, adjoint):
        def codegen(context, builder, sig, args):
            zero = constant(lanes.vector, 0.0)
            return builder.select(both(builder, *args), builder.fmul(*args), zero)

        return signature(lanes, lanes, lanes), codegen

    @intrinsic
    def fma(typingctx, x, y, z):
        return signature(lanes, *[lanes] * 3), lambda context, builder, sig, args: emit_fma(builder, *args)

    @intrinsic
    def kept(typingctx, v, adjoint):
        def codegen(context, builder, sig, args):
            zero = constant(lanes.vector, 0.0)
            return builder.select(builder.fcmp_unordered("!=", args[1], zero), args[0], zero)

        return signature(lanes, lanes, lanes), codegen

    @intrinsic
    def add_sum(typingctx, address, x):
        def codegen(context, builder, sig, args):
            total, width = args[1], lanes.width
            while width > 1:
                width //= 2
                halves = (range(width), range(width, 2 * width))
                low, high = (
                    builder.shuffle_vector(total, total, constant(ir.VectorType(ir.IntType(32), width), list(half)))
                    for half in halves
                )
                total = builder.fadd(low, high)
            place = pointer(builder, args[0], DOUBLE)
            sum_ = builder.extract_element(total, ir.IntType(32)(0))
            builder.store(builder.fadd(builder.load(place), sum_), place)
            return context.get_dummy_value()

        return signature(types.none, types.int64, lanes), codegen

    known = word, weigh, fma, kept, add_sum
    return tuple(named(each, "outer_sums", place, lanes.width) for place, each in enumerate(known))


@functools.cache
def outer_sums(width: int):
    """The compiled ``void f(record, adjoint)`` of products W @ v.

    The record has rows, columns, the address and stride of v, the address of the sums, their strides from row to row
    and from column to column, and the address of the weights.
    """
    stamp, lanes = source_stamp(), Lanes(min(width, EIGHT))
    word, weigh, fma, kept, add_sum = _access(lanes)
    _, get, _, _, zero, *_ = access(lanes)
    step, part = 8 * width, 8 * lanes.width
    parts = width // lanes.width
    whole = parts == 4  # whose weighted adjoints stay in registers

    def outer(record, adjoint):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        rows, columns, v, stride = word(record), word(record + 8), word(record + 16), word(record + 24)
        sums, row, column, weights = word(record + 32), word(record + 40), word(record + 48), word(record + 56)
        for i in range(rows):
            g, to = adjoint + i * step, sums + i * row
            if whole:
                a0, a1 = weigh(get(weights), get(g)), weigh(get(weights + part), get(g + part))
                a2 = weigh(get(weights + 2 * part), get(g + 2 * part))
                a3 = weigh(get(weights + 3 * part), get(g + 3 * part))
                for k in range(columns):
                    x = v + k * stride
                    total = fma(a0, kept(get(x), a0), zero())
                    total = fma(a1, kept(get(x + part), a1), total)
                    total = fma(a2, kept(get(x + 2 * part), a2), total)
                    add_sum(to + k * column, fma(a3, kept(get(x + 3 * part), a3), total))
            else:
                for k in range(columns):
                    total = zero()
                    for p in range(0, step, part):
                        a = weigh(get(weights + p), get(g + p))
                        total = fma(a, kept(get(v + k * stride + p), a), total)
                    add_sum(to + k * column, total)

    return c_kernel(types.void(types.int64, types.int64), outer)
