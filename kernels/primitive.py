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
from llvmlite import ir
from numba import types

from .jit import on_gpu, primitive

DOUBLE, WORD = ir.DoubleType(), ir.IntType(64)


def like(kind, element):
    """The scalar or vector type with ``element`` in place of the element of ``kind``."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def constant(kind, value):
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def intrinsic_call(builder, name, *values, **options):
    kind = values[0].type
    if isinstance(kind, ir.VectorType) and kind.count == 1:  # CUDA has them for scalars only
        first = ir.IntType(32)(0)
        scalar = intrinsic_call(builder, name, *(builder.extract_element(v, first) for v in values), **options)
        return builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, first)
    if name == "fabs" and on_gpu(builder):
        return emit_from_bits(builder, builder.and_(emit_bits(builder, values[0]), constant(WORD, 2**63 - 1)))
    suffix = f"v{kind.count}f64" if isinstance(kind, ir.VectorType) else "f64"
    function = builder.module.declare_intrinsic(
        f"llvm.{name}.{suffix}", (), ir.FunctionType(kind, [kind] * len(values))
    )
    return builder.call(function, values, **options)


def negate(builder, x, flags=()):
    """-x, in an instruction that CUDA's LLVM has too."""
    return builder.fsub(constant(x.type, -0.0), x, flags=flags)


def _element(kind):
    return kind.element if isinstance(kind, ir.VectorType) else kind


class Traced:
    """A float64, int64 or boolean LLVM value, scalar or vector, that Python operators compute with.

    Float operations carry an explicit ``contract``: Numba gives a user's fastmath flags only to instructions that
    have none, and a ``reassoc`` would undo the compensated steps of log1p and expm1.
    """

    FLAGS = ("contract",)

    def __init__(self, builder, value, context=None):
        self.builder, self.value, self.context = builder, value, context

    def _new(self, value):
        return Traced(self.builder, value, self.context)

    def _lift(self, other):
        if isinstance(other, Traced):
            return other.value
        floating = _element(self.value.type) == DOUBLE
        return constant(self.value.type, float(other) if floating else int(other))

    def _arithmetic(self, other, floating, integer, swap=False):
        pair = [self.value, self._lift(other)]
        if swap:
            pair.reverse()
        if _element(pair[0].type) == DOUBLE:
            return self._new(getattr(self.builder, floating)(*pair, flags=self.FLAGS))
        return self._new(getattr(self.builder, integer)(*pair))

    def __add__(self, other):
        return self._arithmetic(other, "fadd", "add")

    def __sub__(self, other):
        return self._arithmetic(other, "fsub", "sub")

    def __rsub__(self, other):
        return self._arithmetic(other, "fsub", "sub", swap=True)

    def __mul__(self, other):
        return self._arithmetic(other, "fmul", "mul")

    def __truediv__(self, other):
        return self._arithmetic(other, "fdiv", "sdiv")

    def __rtruediv__(self, other):
        return self._arithmetic(other, "fdiv", "sdiv", swap=True)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        if _element(self.value.type) == DOUBLE:
            return self._new(negate(self.builder, self.value, self.FLAGS))
        return self._new(self.builder.neg(self.value))

    def __lshift__(self, count):
        return self._new(self.builder.shl(self.value, self._lift(count)))

    def __rshift__(self, count):
        return self._new(self.builder.ashr(self.value, self._lift(count)))

    def __and__(self, other):
        return self._new(self.builder.and_(self.value, self._lift(other)))

    def __or__(self, other):
        return self._new(self.builder.or_(self.value, self._lift(other)))

    def __invert__(self):
        return self._new(self.builder.not_(self.value))

    def _compare(self, symbol, other):
        other = self._lift(other)
        if _element(self.value.type) == DOUBLE:
            ordered = self.builder.fcmp_unordered if symbol == "!=" else self.builder.fcmp_ordered
            return self._new(ordered(symbol, self.value, other, flags=self.FLAGS))
        return self._new(self.builder.icmp_signed(symbol, self.value, other))

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def __eq__(self, other):
        return self._compare("==", other)

    def __ne__(self, other):
        return self._compare("!=", other)

    __hash__ = None  # type: ignore[assignment]


def trace(function):
    """Turn a routine into an emitter: ``emit(builder, *llvm values)`` -> llvm value."""

    def emit(builder, *values):
        return function(*(Traced(builder, v) for v in values)).value

    return emit


# ---- the emitters, shared by Numba scalars and traced values
def emit_fma(builder, a, b, c):
    return intrinsic_call(builder, "fma", a, b, c)


def emit_sqrt(builder, x):
    return intrinsic_call(builder, "sqrt", x)


def emit_absolute(builder, x):
    return intrinsic_call(builder, "fabs", x)


def emit_copysign(builder, x, sign):
    return intrinsic_call(builder, "copysign", x, sign)


def emit_bits(builder, x):
    return builder.bitcast(x, like(x.type, WORD))


def emit_from_bits(builder, n):
    return builder.bitcast(n, like(n.type, DOUBLE))


def emit_to_float(builder, n):
    return builder.sitofp(n, like(n.type, DOUBLE))


def _traced(emit, *values):
    first = next(v for v in values if isinstance(v, Traced))
    model = next((v for v in values if isinstance(v, Traced) and _element(v.value.type) != ir.IntType(1)), first)
    return Traced(first.builder, emit(first.builder, *(model._lift(v) for v in values)), first.context)


# ---- the primitives, as Python functions
def fma(a, b, c):
    """a * b + c with one rounding."""
    if isinstance(a, Traced) or isinstance(b, Traced) or isinstance(c, Traced):
        return _traced(emit_fma, a, b, c)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact) if exact else a * b + c
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def sqrt(x):
    """Square root; NaN below zero."""
    if isinstance(x, Traced):
        return _traced(emit_sqrt, x)
    return math.sqrt(x) if x >= 0.0 else math.nan


def absolute(x):
    """|x|"""
    return _traced(emit_absolute, x) if isinstance(x, Traced) else abs(float(x))


def copysign(x, sign):
    """|x| with the sign of ``sign``."""
    if isinstance(x, Traced):
        return _traced(emit_copysign, x, sign)
    return math.copysign(x, sign)


def bits(x):
    """The 64 bits of a float64, as a signed integer."""
    return _traced(emit_bits, x) if isinstance(x, Traced) else struct.unpack("<q", struct.pack("<d", x))[0]


def word(x):
    """The 64 bits of a float64, as an unsigned integer."""
    return np.uint64(bits(x) & 0xFFFFFFFFFFFFFFFF)


def from_bits(n):
    """The float64 with these 64 bits."""
    if isinstance(n, Traced):
        return _traced(emit_from_bits, n)
    return struct.unpack("<d", struct.pack("<Q", int(n) & 0xFFFFFFFFFFFFFFFF))[0]


def to_float(n):
    """The float64 nearest to a signed integer."""
    return _traced(emit_to_float, n) if isinstance(n, Traced) else float(n)


def select(condition, a, b):
    """``a`` where the condition holds, else ``b``; both are computed, no branch is taken."""
    if isinstance(condition, Traced):
        model = a if isinstance(a, Traced) else b
        if not isinstance(model, Traced):  # two constants: their kind follows the condition's
            kind = like(condition.value.type, DOUBLE)
            model = Traced(condition.builder, constant(kind, 0.0))
        value = condition.builder.select(condition.value, model._lift(a), model._lift(b))
        return Traced(condition.builder, value, condition.context)
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
