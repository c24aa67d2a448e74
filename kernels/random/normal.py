"""Standard normals addressed by (key, stream, draw, dimension): Philox words through the Box-Muller map.

One Philox block makes two normals, the dimensions 2p and 2p + 1 of one draw, so a draw does not depend on the number
of dimensions, on the tile it was computed in or on the thread.  Box and Muller (1958), equation 2.
"""

import numpy as np

from ..arithmetic import elementary
from ..arithmetic.elementary import LN2, SQRT_HALF_BITS, horner
from ..arithmetic.emitted import emitted
from ..arithmetic.primitives import bits, fma, from_bits, select, sqrt, to_float, word
from ..jit import routine
from .philox import HALF, LOW_WORD, philox4x32
from .tile_normals import normals_by, write_words

# sin(2 pi t)/t and cos(2 pi t) in t^2, |t| <= 1/8, and atanh(s)/s in s^2, s = f/(2 + f), f in [sqrt(1/2)-1, sqrt(2)-1]
SIN = (
    6.283185307179586,
    -41.341702240399634,
    81.60524927594804,
    -76.70585970427454,
    42.058685020160894,
    -15.093804209987114,
    3.7808689593022957,
)
COS = (
    1.0,
    -19.73920880217842,
    64.93939402236538,
    -85.45681709034115,
    60.24462008593029,
    -26.42425703488269,
    7.810290968144191,
)
LOG = (1.0000000000000002, *elementary.LOG)
ONE_BITS = np.uint64(0x3FF0000000000000)
BLOCK = 2  # normals of one Philox block
TWELVE, TWO, ONE, TOP = np.uint64(12), np.uint64(2), np.uint64(1), np.uint64(63)


@routine
def log_unit(u):
    """log(u) for 2^-53 <= u < 1"""
    n = (bits(u) - SQRT_HALF_BITS) >> 52
    f = from_bits(bits(u) - (n << 52)) - 1.0
    s = f / (2.0 + f)
    return fma(to_float(n), LN2, 2.0 * s * horner(s * s, LOG))


@routine
def flip(x, sign):
    """x with its sign bit changed where the top bit of ``sign`` is set."""
    return from_bits(word(x) ^ sign)


@routine
def box_muller(radius_word, angle_word):
    """Two independent standard normals from two random 64-bit words: r cos(a) and r sin(a)."""
    # 52 random bits and a half: u lies in (0, 1), never on 0, so |normal| <= 8.57
    u = from_bits((radius_word >> TWELVE) | ONE_BITS) - 0.9999999999999999
    radius = sqrt(-2.0 * log_unit(u))
    # the top two bits name a quadrant, the rest an angle in [-1/8, 1/8) turns about its middle
    quadrant = angle_word >> np.uint64(62)
    turn = (from_bits(((angle_word << TWO) >> TWELVE) | ONE_BITS) - 1.5) * 0.25
    square = turn * turn
    sine = turn * horner(square, SIN)
    cosine = horner(square, COS)
    odd = (quadrant & ONE) != np.uint64(0)
    x_sign = ((quadrant ^ (quadrant >> ONE)) & ONE) << TOP
    y_sign = (quadrant >> ONE) << TOP
    return radius * flip(select(odd, sine, cosine), x_sign), radius * flip(select(odd, cosine, sine), y_sign)


@routine
def words(draw, pair, stream, key):
    """The two 64-bit random words of one pair of dimensions of one draw."""
    counter = (draw & LOW_WORD, draw >> HALF, pair, stream)
    w0, w1, w2, w3 = philox4x32(counter, (key & LOW_WORD, key >> HALF), 10)
    return np.uint64(w0) | (np.uint64(w1) << HALF), np.uint64(w2) | (np.uint64(w3) << HALF)


@routine
def fill_block(eps, draw, pair, stream, key):
    """The normals of one block of random words, the dimensions 2 pair and 2 pair + 1 of a draw, into a column."""
    radius, angle = words(np.uint64(draw), np.uint64(pair), stream, key)
    eps[0, 0], eps[1, 0] = box_muller(radius, angle)


@routine
def fill_draw(eps, dim, draw, stream, key):
    """Standard normals of one draw: eps[i, 0] is dimension i < dim, and 0 from there on."""
    for i in range(len(eps)):
        eps[i, 0] = 0.0
    for pair in range(dim // 2):
        fill_block(eps[2 * pair :], draw, pair, stream, key)
    if dim % 2 == 1:
        radius, angle = words(np.uint64(draw), np.uint64(dim // 2), stream, key)
        eps[dim - 1, 0], _ = box_muller(radius, angle)


@emitted(write_words)
def fill_words(scratch, width, first, pair, stream, key):
    """The random words of one pair of dimensions for ``width`` draws."""
    for j in range(width):
        scratch[0, j], scratch[1, j] = words(np.uint64(first + j), np.uint64(pair), stream, key)


@emitted(normals_by(box_muller))
def fill(eps, dim, first, stream, key, scratch):
    """Standard normals for a tile: eps[i, j] is dimension i < dim of draw first + j.

    Rows from dim on are zero.

    ``scratch`` is a uint64 array (2, width).  Two loops over it are a fifth faster than one: the integer and the
    float half each keep their constants in registers.
    """
    height, width = eps.shape
    for pair in range(dim // 2):
        fill_words(scratch, width, first, pair, stream, key)
        for j in range(width):
            eps[2 * pair, j], eps[2 * pair + 1, j] = box_muller(scratch[0, j], scratch[1, j])
    if dim % 2 == 1:
        fill_words(scratch, width, first, dim // 2, stream, key)
        for j in range(width):
            eps[dim - 1, j], _ = box_muller(scratch[0, j], scratch[1, j])
    for i in range(dim, height):
        for j in range(width):
            eps[i, j] = 0.0
