"""The few operations a routine may use beyond + - * /, each in three forms that mean the same.

* on Python floats and ints, for reading, testing and the CUDA simulator;
* in Numba, on float64 and int64 scalars, as single LLVM instructions;
* on :class:`Traced` values, which write LLVM IR as they are computed with.  So one Python source of ``exp`` serves
  scalars and SIMD lanes alike, and no formula is written twice.
"""

import math
import struct
from fractions import Fraction

import numpy as np
from numba import types

from ..jit import primitive
from .traced import (
    DOUBLE,
    Traced,
    Unsigned,
    constant,
    emit_absolute,
    emit_bits,
    emit_copysign,
    emit_fma,
    emit_from_bits,
    emit_sqrt,
    emit_to_float,
    like,
    traced,
)


def fma(a, b, c):
    """a * b + c with one rounding."""
    if isinstance(a, Traced) or isinstance(b, Traced) or isinstance(c, Traced):
        return traced(emit_fma, a, b, c)
    single = any(isinstance(v, np.float32) for v in (a, b, c))
    if single:
        a, b, c = np.float32(a), np.float32(b), np.float32(c)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if not exact:
        return a * b + c
    try:
        nearest = float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    return nearest_single(nearest, exact) if single else nearest


def nearest_single(x, exact):
    """The float32 nearest to ``exact``, of which x is the nearest float64: rounded twice it may be its neighbour."""
    near = np.float32(x)
    both = (near, *(np.nextafter(near, np.float32(s)) for s in (-np.inf, np.inf)))
    return min(both, key=lambda v: abs(Fraction(float(v)) - exact))


def sqrt(x):
    """Square root; NaN below zero, and of a NaN that same one."""
    if isinstance(x, Traced):
        return traced(emit_sqrt, x)
    if isinstance(x, np.float32):
        return np.sqrt(x)
    return math.nan if x < 0.0 else math.sqrt(x)


def absolute(x):
    """|x|"""
    return traced(emit_absolute, x) if isinstance(x, Traced) else abs(float(x))


def copysign(x, sign):
    """|x| with the sign of ``sign``."""
    if isinstance(x, Traced) or isinstance(sign, Traced):
        return traced(emit_copysign, x, sign)
    return math.copysign(x, sign)


def bits(x):
    """The bits of a float64 or float32, as a signed integer."""
    if isinstance(x, np.float32):
        return x.view(np.int32)
    return traced(emit_bits, x) if isinstance(x, Traced) else struct.unpack("<q", struct.pack("<d", x))[0]


def word(x):
    """The 64 bits of a float64, as an unsigned integer."""
    if isinstance(x, Traced):
        return Unsigned(x.builder, emit_bits(x.builder, x.value))
    return np.uint64(bits(x) & 0xFFFFFFFFFFFFFFFF)


def from_bits(n):
    """The float64 or float32 with these bits."""
    if isinstance(n, Traced):
        return traced(emit_from_bits, n)
    if isinstance(n, np.int32):
        return n.view(np.float32)
    return struct.unpack("<d", struct.pack("<Q", int(n) & 0xFFFFFFFFFFFFFFFF))[0]


def to_float(n):
    """The float nearest to a signed integer: float64 for 64 bits, float32 for 32."""
    if isinstance(n, np.int32):
        return np.float32(n)
    return traced(emit_to_float, n) if isinstance(n, Traced) else float(n)


def select(condition, a, b):
    """``a`` where the condition holds, else ``b``; both are computed, no branch is taken."""
    if isinstance(condition, Traced):
        model = a if isinstance(a, Traced) else b
        if not isinstance(model, Traced):  # two constants: their kind follows the condition's
            kind = like(condition.value.type, DOUBLE)
            model = type(condition)(condition.builder, constant(kind, 0.0))
        value = condition.builder.select(condition.value, model._lift(a), model._lift(b))
        return type(model)(condition.builder, value, condition.context)
    return a if condition else b


F8, I8, U8 = types.float64, types.int64, types.uint64
primitive(fma, F8, emit_fma, (F8, F8, F8))
primitive(sqrt, F8, emit_sqrt, (F8,))
primitive(absolute, F8, emit_absolute, (F8,))
primitive(copysign, F8, emit_copysign, (F8, F8))
primitive(bits, I8, emit_bits, (F8,))
primitive(word, U8, emit_bits, (F8,))
primitive(from_bits, F8, emit_from_bits, (I8,))
primitive(from_bits, F8, emit_from_bits, (U8,))
primitive(to_float, F8, emit_to_float, (I8,))
primitive(select, F8, lambda builder, c, a, b: builder.select(c, a, b), (types.boolean, F8, F8))
