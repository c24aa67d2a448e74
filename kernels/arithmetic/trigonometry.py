"""sin and cos, without branches, within 2 ulp for |x| < 2^40; beyond, ``operators`` asks the library.

x - k pi/2 is exact for the first part of pi/2, as the difference needs no more than 53 bits (Cody and Waite 1980).
"""

from ..jit import routine
from .elementary import ROUND, ROUND_BITS, horner
from .primitives import bits, fma, select

FARTHEST = 1099511627776.0
TWO_OVER_PI = 0.6366197723675814
HALF_PI, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4 in r^2, |r| <= pi/4
SIN = (
    -0.16666666666666666,
    0.008333333333333331,
    -0.0001984126984126506,
    2.7557319219335453e-06,
    -2.5052106231157904e-08,
    1.605853141458901e-10,
    -7.586685070091267e-13,
)
COS = (
    0.041666666666666664,
    -0.0013888888888888887,
    2.4801587301584645e-05,
    -2.755731922140076e-07,
    2.0876755790363397e-09,
    -1.1470460773969325e-11,
    4.7458652037874553e-14,
)


@routine
def quarters(x):
    """(k, sin(r), cos(r)) with x = k pi/2 + r, |r| <= pi/4"""
    shifted = fma(x, TWO_OVER_PI, ROUND)
    whole = shifted - ROUND
    near = fma(-whole, HALF_PI, x)
    r = fma(-whole, HALF_PI_LOW, near)
    lost = fma(-whole, HALF_PI_LOW, near - r)  # what rounding took from r
    square = r * r
    sine = fma(r * square, horner(square, SIN), lost) + r
    half = 0.5 * square
    first = 1.0 - half
    cosine = first + (((1.0 - first) - half) + fma(square * square, horner(square, COS), -r * lost))
    return bits(shifted) - ROUND_BITS, sine, cosine


@routine
def sin(x):
    """Sine of |x| < 2^40"""
    k, sine, cosine = quarters(x)
    y = select((k & 1) == 0, sine, cosine)
    y = select((k & 2) == 0, y, -y)
    return select(x == 0.0, x, y)


@routine
def cos(x):
    """Cosine of |x| < 2^40"""
    k, sine, cosine = quarters(x)
    y = select((k & 1) == 0, cosine, sine)
    return select(((k + 1) & 2) == 0, y, -y)
