"""Standard normals in single precision: four from each Philox block, where ``normal`` makes two.

A 32-bit word for each radius and each angle, float32 polynomials and explicit fma: |eps| <= 6.66, the tail beyond has a
probability of 3e-11, and eps is within 3e-7 of what exact arithmetic makes of its words, relatively.  Everything that
is computed from eps stays in float64.  Draws have the same bits on every machine, GPUs included.
"""

import numpy as np
from llvmlite import ir
from numba import types

from ..arithmetic.elementary import LN2, horner
from ..arithmetic.primitives import bits, fma, from_bits, select, sqrt, to_float
from ..arithmetic.traced import DOUBLE, HALF_WORD, Exact, trace
from ..jit import primitive, routine, widest_vectors
from .normal import fill_words, words

# sin(2 pi t)/t and cos(2 pi t) in t^2, |t| <= 1/8; (log(1 + f) - f + f^2/2) / f^3, f in [sqrt(1/2) - 1, sqrt(2) - 1]
SIN = (6.2831853071524, -41.341702153394905, 81.60520471104576, -76.6978663502028, 41.47283323950919)
COS = (0.9999999999524894, -19.739208650130596, 64.93931613570905, -85.44284467308167, 59.2201689582961)
LOG = (
    0.33333330728190674,
    -0.25000306422569796,
    0.2000104509416068,
    -0.16641281463106394,
    0.14214495923947962,
    -0.1299818376365153,
    0.12622319849228378,
    -0.0790274377239344,
)
SQRT_HALF_BITS = int(bits(np.float32(0.7071067811865476)))
BLOCK = 4  # normals of one Philox block
UNIT, HALF_UNIT, LARGEST = 2.0**-31, 2.0**-32, 2**31 - 1


def radius(n):
    """sqrt(-2 log u), u = (n + 1/2) / 2^31 for 0 <= n < 2^31"""
    u = fma(to_float(n), UNIT, HALF_UNIT)
    rest = fma(to_float(n ^ LARGEST), UNIT, HALF_UNIT)  # 1 - u, which keeps its digits where u is near 1
    k = (bits(u) - SQRT_HALF_BITS) >> 23
    f = select(k == 0, -rest, from_bits(bits(u) - (k << 23)) - 1.0)
    square = f * f
    tail = f * square * horner(f, LOG)
    return sqrt(-2.0 * fma(to_float(k), LN2, f + fma(square, -0.5, tail)))


def turn(a):
    """The angle of a word within its quadrant, in turns from the middle: [-1/8, 1/8)"""
    return to_float((a & 0x3FFFFFFF) - 0x20000000) * 2.0**-32


def sine(t):
    """sin(2 pi t)"""
    return t * horner(t * t, SIN)


def cosine(t):
    """cos(2 pi t)"""
    return horner(t * t, COS)


def across(n, a):
    """The normal of the cosine."""
    t = turn(a)
    sign = ((a >> 30) ^ (a >> 31)) << 31
    return radius(n) * from_bits(bits(select((a >> 30) & 1 == 0, cosine(t), sine(t))) ^ sign)


def along(n, a):
    """The normal of the sine."""
    t = turn(a)
    sign = (a >> 31) << 31
    return radius(n) * from_bits(bits(select((a >> 30) & 1 == 0, sine(t), cosine(t))) ^ sign)


def in_double(function):
    """``function(word)`` of a 64-bit word, radius below and angle above, as Python, and as LLVM in compiled code."""

    def of_word(word):
        low, high = np.array([word], dtype=np.uint64).view(np.int32)
        with np.errstate(over="ignore"):  # shifts into the sign
            return float(function(low & np.int32(LARGEST), high))

    def emit(builder, word):
        low = builder.and_(builder.trunc(word, HALF_WORD), ir.Constant(HALF_WORD, LARGEST))
        high = builder.trunc(builder.lshr(word, ir.Constant(word.type, 32)), HALF_WORD)
        return builder.fpext(trace(function, Exact)(builder, low, high), DOUBLE)

    primitive(of_word, types.float64, emit, (types.uint64,))
    return of_word


first_normal, second_normal = in_double(across), in_double(along)


@routine
def fill_block(eps, draw, four, stream, key):
    """As ``normal.fill_block``, for the dimensions 4 four … 4 four + 3."""
    low, high = words(np.uint64(draw), np.uint64(four), stream, key)
    eps[0, 0], eps[1, 0] = first_normal(low), second_normal(low)
    eps[2, 0], eps[3, 0] = first_normal(high), second_normal(high)


@routine
def fill_draw(eps, dim, draw, stream, key):
    """As ``normal.fill_draw``."""
    for i in range(len(eps)):
        eps[i, 0] = 0.0
    for four in range(dim // 4):
        fill_block(eps[4 * four :], draw, four, stream, key)
    low, high = words(np.uint64(draw), np.uint64(dim // 4), stream, key)
    for i in range(dim // 4 * 4, dim):
        word = high if i % 4 > 1 else low
        eps[i, 0] = second_normal(word) if i % 2 == 1 else first_normal(word)


@routine
def fill_rows(eps, i, dim, words_):
    """The normals of dimensions i and i + 1 from a row of words."""
    if i + 1 < dim:
        for j in range(len(words_)):
            eps[i, j], eps[i + 1, j] = first_normal(words_[j]), second_normal(words_[j])
    elif i < dim:
        for j in range(len(words_)):
            eps[i, j] = first_normal(words_[j])


@routine
def fill(eps, dim, first, stream, key, scratch):
    """As ``normal.fill``."""
    widest_vectors()
    height, width = eps.shape
    for four in range((dim + 3) // 4):
        fill_words(scratch, width, first, four, stream, key)
        fill_rows(eps, 4 * four, dim, scratch[0, :width])
        fill_rows(eps, 4 * four + 2, dim, scratch[1, :width])
    for i in range(dim, height):
        for j in range(width):
            eps[i, j] = 0.0
