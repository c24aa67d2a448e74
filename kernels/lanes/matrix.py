"""Matrix times lanes, compiled once, kept on disk and called by address: densities with ``X @ z`` compile faster.

All addresses and strides are bytes.  Rows are taken a few at a time, so that each z[k] is loaded once for all of
them.  What is left of them has a loop with a counter of its own: LLVM 22 began two loops over one counter at 1 where
the first was empty (Zen 3 to 5).
"""

import functools

from llvmlite import ir
from numba import njit, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..arithmetic.traced import emit_fma, splat
from ..jit import c_kernel, has_wide_registers, named, source_stamp
from .types import DOUBLE, Lanes

I64 = ir.IntType(64)
FEW = 16  # rows that stay in the first cache while all lanes pass, a few at a time
ROW_BLOCK = 64  # rows whose adjoints stay in the first cache while the columns pass


def pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@functools.cache
def access(lanes):
    """Intrinsics by address: (entry of a matrix, lanes, store lanes, ask for a cache line), zero lanes, and the sum of
    lanes and a product, with two roundings and with one."""

    @intrinsic
    def zero(typingctx):
        return signature(lanes), lambda context, builder, sig, args: ir.Constant(lanes.vector, None)

    @intrinsic
    def entry(typingctx, address):
        def codegen(context, builder, sig, args):
            return builder.load(pointer(builder, args[0], DOUBLE))

        return signature(types.float64, types.int64), codegen

    @intrinsic
    def get(typingctx, address):
        def codegen(context, builder, sig, args):
            return builder.load(pointer(builder, args[0], lanes.vector), align=8)

        return signature(lanes, types.int64), codegen

    @intrinsic
    def put(typingctx, address, value):
        def codegen(context, builder, sig, args):
            builder.store(args[1], pointer(builder, args[0], lanes.vector), align=8)
            return context.get_dummy_value()

        return signature(types.none, types.int64, lanes), codegen

    @intrinsic
    def prefetch(typingctx, address):
        """Bring a cache line nearer; an address beyond the array does no harm."""

        def codegen(context, builder, sig, args):
            line = ir.IntType(8).as_pointer()
            flags = [ir.IntType(32)(k) for k in (0, 2, 1)]  # to read, into the second-level cache, data
            kind = ir.FunctionType(ir.VoidType(), [line] + [f.type for f in flags])
            function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
            builder.call(function, [pointer(builder, args[0], ir.IntType(8)), *flags])
            return context.get_dummy_value()

        return signature(types.none, types.int64), codegen

    @intrinsic
    def add(typingctx, total, factor, x):
        """total + factor * x, for a factor that all lanes share."""

        def codegen(context, builder, sig, args):
            return builder.fadd(args[0], builder.fmul(splat(builder, args[1], lanes.vector), args[2]))

        return signature(lanes, lanes, types.float64, lanes), codegen

    @intrinsic
    def add_fused(typingctx, total, factor, x):
        """The same with one rounding."""

        def codegen(context, builder, sig, args):
            return emit_fma(builder, splat(builder, args[1], lanes.vector), args[2], args[0])

        return signature(lanes, lanes, types.float64, lanes), codegen

    known = entry, get, put, prefetch, zero, add, add_fused
    return tuple(named(each, "access", place, lanes.width) for place, each in enumerate(known))


def part_width(width) -> int:
    """How many lanes are computed at a time, so that those of four rows fit in the registers: 32 of 64 bytes with
    AVX-512, 16 of 32 bytes below."""
    budget = 1024 if has_wide_registers() else 256
    return max(1, min(width, budget // (4 * 8)))


@functools.cache
def times(width: int):
    """The compiled ``void f(x, row, column, rows, columns, z, stride, out)``: out = X z, lanes one after the other."""
    return product_kernel(width, fused=False)


@functools.cache
def rows_times(width: int):
    """The same, each row with the very sums of a dot product of its own, which takes its terms by fma."""
    return product_kernel(width, fused=True)


def product_kernel(width, fused):
    stamp, some = source_stamp(), Lanes(part_width(width))
    entry, get, put, prefetch, zero, *sums = access(some)
    add_product = sums[fused]
    step, part_step = 8 * width, 8 * some.width

    def matrix_times(x, row, column, rows, columns, z, stride, out):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        for start in range(0, rows, FEW):
            end = min(rows, start + FEW)
            fours = end - (end - start) % 4
            for part in range(0, step, part_step):
                v0 = z + part
                for i in range(start, fours, 4):
                    p, to = x + i * row, out + i * step + part
                    a0 = a1 = a2 = a3 = zero()
                    for k in range(columns):
                        q, v = p + k * column, get(v0 + k * stride)
                        if column == 8 and part == 0:  # X comes from far: ask for the next block while this one is used
                            prefetch(p + 4 * row + 32 * k)
                        a0 = add_product(a0, entry(q), v)
                        a1 = add_product(a1, entry(q + row), v)
                        a2 = add_product(a2, entry(q + 2 * row), v)
                        a3 = add_product(a3, entry(q + 3 * row), v)
                    put(to, a0)
                    put(to + step, a1)
                    put(to + 2 * step, a2)
                    put(to + 3 * step, a3)
                for i in range(fours, end):
                    p = x + i * row
                    a = zero()
                    for k in range(columns):
                        a = add_product(a, entry(p + k * column), get(v0 + k * stride))
                    put(out + i * step + part, a)

    return c_kernel(types.void(*[types.int64] * 8), matrix_times)


@functools.cache
def transposed_times(width: int):
    """The same for out += X^T y, with ``step`` from row to row of y, to be inlined by the way back of ``tape``."""
    some = Lanes(part_width(width))
    entry, get, put, *_ = access(some)
    lane_step, part_step = 8 * width, 8 * some.width

    def transposed_product(y, step, rows, x, row, column, columns, out, stride):
        fours = columns - columns % 4
        for start in range(0, rows, ROW_BLOCK):
            end = min(rows, start + ROW_BLOCK)
            for part in range(0, lane_step, part_step):
                for k in range(0, fours, 4):
                    o0 = out + k * stride + part
                    o1, o2, o3 = o0 + stride, o0 + 2 * stride, o0 + 3 * stride
                    a0, a1, a2, a3 = get(o0), get(o1), get(o2), get(o3)
                    for i in range(start, end):
                        g, p = get(y + i * step + part), x + i * row + k * column
                        a0 += entry(p) * g
                        a1 += entry(p + column) * g
                        a2 += entry(p + 2 * column) * g
                        a3 += entry(p + 3 * column) * g
                    put(o0, a0)
                    put(o1, a1)
                    put(o2, a2)
                    put(o3, a3)
                for k in range(fours, columns):
                    to = out + k * stride + part
                    a = get(to)
                    for i in range(start, end):
                        a += entry(x + i * row + k * column) * get(y + i * step + part)
                    put(to, a)

    # Cached kernels call it by a symbol that is made of its name: of two that are equal in two files the linker takes
    # the first, and a kernel would run the product of another width.
    transposed_product.__qualname__ += f"_{width}"
    # Inlined in any case, so that a kernel from the cache is the one that ran where it was compiled
    return named(njit(error_model="numpy", forceinline=True)(transposed_product), "transposed_times", width)


def emit_times(builder, product, *words):
    """Call ``times(width)`` or ``rows_times(width)`` from IR."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 8)
    builder.call(builder.inttoptr(ir.Constant(I64, product.address), kind.as_pointer()), words)
