"""Values that write LLVM IR as they are computed with, so that one Python source serves scalars and SIMD lanes."""

import functools

from llvmlite import ir

from ..jit import on_gpu

DOUBLE, WORD = ir.DoubleType(), ir.IntType(64)
SINGLE, HALF_WORD = ir.FloatType(), ir.IntType(32)
AS_WORD, AS_FLOAT = {DOUBLE: WORD, SINGLE: HALF_WORD}, {WORD: DOUBLE, HALF_WORD: SINGLE}


def like(kind, element):
    """The scalar or vector type with ``element`` in place of the element of ``kind``."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def constant(kind, value):
    """A scalar, or a vector of the same scalars."""
    if value != value or not isinstance(value, float | int):
        return ir.Constant(kind, value)
    return _constant(kind, value.hex() if isinstance(value, float) else value, value)


@functools.lru_cache(4096)
def _constant(kind, spelled, value):
    """Kept, as LLVM reads them as text, 32 numbers long; ``spelled`` tells -0.0 from 0.0."""
    return ir.Constant(kind, value)


def splat(builder, scalar, vector):
    """A vector whose every element is ``scalar``."""
    if isinstance(scalar, ir.Constant) and not isinstance(scalar.constant, str):
        return constant(vector, scalar.constant)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def intrinsic_call(builder, name, *values, **options):
    kind = values[0].type
    if isinstance(kind, ir.VectorType) and kind.count == 1:  # CUDA has them for scalars only
        first = ir.IntType(32)(0)
        scalar = intrinsic_call(builder, name, *(builder.extract_element(v, first) for v in values), **options)
        return builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, first)
    if name == "fabs" and on_gpu(builder):
        return emit_from_bits(builder, builder.and_(emit_bits(builder, values[0]), constant(WORD, 2**63 - 1)))
    precision = "f32" if element(kind) == SINGLE else "f64"
    suffix = f"v{kind.count}{precision}" if isinstance(kind, ir.VectorType) else precision
    function = builder.module.declare_intrinsic(
        f"llvm.{name}.{suffix}", (), ir.FunctionType(kind, [kind] * len(values))
    )
    return builder.call(function, values, **options)


def negate(builder, x, flags=()):
    """-x, in an instruction that CUDA's LLVM has too."""
    return builder.fsub(constant(x.type, -0.0), x, flags=flags)


def element(kind):
    return kind.element if isinstance(kind, ir.VectorType) else kind


class Traced:
    """A float, integer or boolean LLVM value, scalar or vector, that Python operators compute with.

    Float operations carry an explicit ``contract``: Numba gives a user's fastmath flags only to instructions that
    have none, and a ``reassoc`` would undo the compensated steps of log1p and expm1.
    """

    FLAGS: tuple[str, ...] = ("contract",)

    def __init__(self, builder, value, context=None):
        self.builder, self.value, self.context = builder, value, context

    def _new(self, value):
        return type(self)(self.builder, value, self.context)

    @property
    def _floating(self):
        return element(self.value.type) in AS_WORD

    def _lift(self, other):
        if isinstance(other, Traced):
            return other.value
        floating = self._floating
        return constant(self.value.type, float(other) if floating else int(other))

    def _arithmetic(self, other, floating, integer, swap=False):
        pair = [self.value, self._lift(other)]
        if swap:
            pair.reverse()
        if self._floating:
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
        if self._floating:
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

    def __xor__(self, other):
        return self._new(self.builder.xor(self.value, self._lift(other)))

    def __invert__(self):
        return self._new(self.builder.not_(self.value))

    def _compare(self, symbol, other):
        other = self._lift(other)
        if self._floating:
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


class Exact(Traced):
    """A traced value whose products are never fused with sums unless by ``fma``: the same bits on every machine."""

    FLAGS = ()


class Unsigned(Exact):
    """A traced unsigned word: its shifts bring in zeros, and as a float it is exact."""

    def __rshift__(self, count):
        return self._new(self.builder.lshr(self.value, self._lift(count)))


def trace(function, kind=Traced):
    """Turn a routine into an emitter: ``emit(builder, *llvm values)`` -> llvm value."""

    def emit(builder, *values):
        return function(*(kind(builder, v) for v in values)).value

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
    return builder.bitcast(x, like(x.type, AS_WORD[element(x.type)]))


def emit_from_bits(builder, n):
    return builder.bitcast(n, like(n.type, AS_FLOAT[element(n.type)]))


def emit_to_float(builder, n):
    return builder.sitofp(n, like(n.type, AS_FLOAT[element(n.type)]))


def traced(emit, *values):
    first = next(v for v in values if isinstance(v, Traced))
    model = next((v for v in values if isinstance(v, Traced) and element(v.value.type) != ir.IntType(1)), first)
    value = emit(first.builder, *(model._lift(v) for v in values))
    kind = Exact if isinstance(first, Unsigned) and element(value.type) in AS_WORD else type(first)
    return kind(first.builder, value, first.context)
