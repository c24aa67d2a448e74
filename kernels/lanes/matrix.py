"""Matrix times lanes, compiled once, kept on disk and called by address: densities with ``X @ z`` compile faster.

All addresses and strides are bytes.  Rows are taken a few at a time, so that each z[k] is loaded once for all of them.
"""

import functools

from llvmlite import ir
from numba import njit, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..arithmetic.traced import emit_fma
from ..jit import c_kernel, host_cpu, source_stamp
from .registry import splat
from .types import DOUBLE, Lanes

I64 = ir.IntType(64)
ROW_BLOCK = 64  # rows whose adjoints stay in the first cache while the columns pass


def pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@functools.cache
def access(lanes):
    """Intrinsics by address: (entry of a matrix, lanes, store lanes, ask for a cache line), zero lanes, and fma."""

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
    def add_fused(typingctx, total, factor, x):
        """total + factor * x with one rounding, for a factor that all lanes share."""

        def codegen(context, builder, sig, args):
            return emit_fma(builder, splat(builder, args[1], lanes.vector), args[2], args[0])

        return signature(lanes, lanes, types.float64, lanes), codegen

    return entry, get, put, prefetch, zero, add_fused


def many_registers(lanes) -> bool:
    """Whether four rows of lanes fit in the registers: 32 of 64 bytes with AVX-512, 16 of 32 bytes below."""
    budget = 1024 if "avx512f" in host_cpu()[1] else 256
    return 4 * 8 * lanes.width <= budget


@functools.cache
def times(width: int):
    """The compiled ``void f(x, row, column, rows, columns, z, stride, out)``: out = X z, lanes one after the other."""
    stamp, lanes = source_stamp(), Lanes(width)
    entry, get, put, prefetch, zero, _ = access(lanes)
    step, by_four = 8 * width, many_registers(lanes)

    def matrix_times(x, row, column, rows, columns, z, stride, out):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        i = 0
        while by_four and i + 4 <= rows:
            p = x + i * row
            a0 = a1 = a2 = a3 = zero()
            for k in range(columns):
                q, v = p + k * column, get(z + k * stride)
                if column == 8:  # X comes from far: ask for the next block while this one is used
                    prefetch(p + 4 * row + 32 * k)
                a0 += entry(q) * v
                a1 += entry(q + row) * v
                a2 += entry(q + 2 * row) * v
                a3 += entry(q + 3 * row) * v
            put(out + i * step, a0)
            put(out + (i + 1) * step, a1)
            put(out + (i + 2) * step, a2)
            put(out + (i + 3) * step, a3)
            i += 4
        while i < rows:
            p = x + i * row
            a = zero()
            for k in range(columns):
                a += entry(p + k * column) * get(z + k * stride)
            put(out + i * step, a)
            i += 1

    return c_kernel(types.void(*[types.int64] * 8), matrix_times)


@functools.cache
def rows_times(width: int):
    """The same for a few rows, each with the very sums of a dot product of its own, which takes its terms by fma."""
    stamp, lanes = source_stamp(), Lanes(width)
    entry, get, put, prefetch, zero, add_fused = access(lanes)
    step, by_four = 8 * width, many_registers(lanes)

    def few_rows_times(x, row, column, rows, columns, z, stride, out):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        i = 0
        while by_four and i + 4 <= rows:
            p = x + i * row
            a0 = a1 = a2 = a3 = zero()
            for k in range(columns):
                q, v = p + k * column, get(z + k * stride)
                if column == 8:
                    prefetch(p + 4 * row + 32 * k)
                a0 = add_fused(a0, entry(q), v)
                a1 = add_fused(a1, entry(q + row), v)
                a2 = add_fused(a2, entry(q + 2 * row), v)
                a3 = add_fused(a3, entry(q + 3 * row), v)
            put(out + i * step, a0)
            put(out + (i + 1) * step, a1)
            put(out + (i + 2) * step, a2)
            put(out + (i + 3) * step, a3)
            i += 4
        while i < rows:
            p = x + i * row
            a = zero()
            for k in range(columns):
                a = add_fused(a, entry(p + k * column), get(z + k * stride))
            put(out + i * step, a)
            i += 1

    return c_kernel(types.void(*[types.int64] * 8), few_rows_times)


@functools.cache
def transposed_times(width: int):
    """The same for out += X^T y, with ``step`` from row to row of y, to be inlined by the way back of ``tape``."""
    entry, get, put, *_ = access(Lanes(width))

    @njit(error_model="numpy")
    def transposed_product(y, step, rows, x, row, column, columns, out, stride):
        for start in range(0, rows, ROW_BLOCK):
            end = min(rows, start + ROW_BLOCK)
            k = 0
            while k + 4 <= columns:
                o0 = out + k * stride
                o1, o2, o3 = o0 + stride, o0 + 2 * stride, o0 + 3 * stride
                a0, a1, a2, a3 = get(o0), get(o1), get(o2), get(o3)
                for i in range(start, end):
                    g, p = get(y + i * step), x + i * row + k * column
                    a0 += entry(p) * g
                    a1 += entry(p + column) * g
                    a2 += entry(p + 2 * column) * g
                    a3 += entry(p + 3 * column) * g
                put(o0, a0)
                put(o1, a1)
                put(o2, a2)
                put(o3, a3)
                k += 4
            while k < columns:
                a = get(out + k * stride)
                for i in range(start, end):
                    a += entry(x + i * row + k * column) * get(y + i * step)
                put(out + k * stride, a)
                k += 1

    return transposed_product


def emit_times(builder, product, *words):
    """Call ``times(width)`` or ``rows_times(width)`` from IR."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 8)
    builder.call(builder.inttoptr(ir.Constant(I64, product.address), kind.as_pointer()), words)
