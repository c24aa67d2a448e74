"""erf, erfc, erfcx and the logarithm of the normal distribution function, without branches, within 4 ulp.

Tables are near-minimax fits, see ``elementary``; tests/kernels/test_special.py derives them again.
"""

import math

from ..jit import routine
from .elementary import EXP, exp, horner, log_parts, nearest_power, power_of_two
from .primitives import absolute, copysign, fma, select

CENTRE = 3.75
ROOT_HALF, ROOT_HALF_LOW = 0.7071067811865476, -4.833646656726457e-17
TWO_OVER_ROOT_PI, ROOT_TWO_OVER_PI = 1.1283791670955126, 0.7978845608028654
# (1 + 2 x) e^(x^2) erfc(x) in (x - CENTRE) / (x + CENTRE), x >= 0
ERFCX = (
    1.2375126308378275,
    -0.14024059858554702,
    0.0035854154854644583,
    0.08227673849015109,
    -0.10880393014175023,
    0.09230432116019638,
    -0.05869339858961116,
    0.02836227742154398,
    -0.009746579558275152,
    0.001755625832191536,
    0.00029371366698461253,
    -0.0002901539781378403,
    5.164909388582375e-05,
    2.238390827660683e-05,
    -1.1444134389663585e-05,
    -9.728413451961504e-07,
    1.7516189407028567e-06,
    -5.827501860521487e-08,
    -2.586489910811272e-07,
    2.4301839461502582e-08,
    3.866242066927904e-08,
    -4.396921901725259e-09,
    -5.169080647375267e-09,
    5.485084463290858e-10,
    4.2433038295512394e-10,
    -3.798064629344031e-11,
)
# erf(x) / x in x^2, 0 <= x <= 1
ERF = (
    1.1283791670955126,
    -0.3761263890318375,
    0.11283791670954879,
    -0.026866170645076792,
    0.0052239776248180145,
    -0.000854832698083379,
    0.0001205533111164271,
    -1.4925595266831182e-05,
    1.6461000484121368e-06,
    -1.6350312701054695e-07,
    1.4659775274047436e-08,
    -1.1372848856791674e-09,
    5.957176147748911e-11,
)


@routine
def erfcx_positive(x):
    """e^(x^2) erfc(x) for x >= 0"""
    finite = select(x > 1e300, 1e300, x)
    low = finite < CENTRE  # (x - CENTRE) / (x + CENTRE) from the end that it is near
    t = select(low, 2.0 * finite, -2.0 * CENTRE) / (finite + CENTRE) + select(low, -1.0, 1.0)
    y = horner(t, ERFCX) / fma(2.0, finite, 1.0)
    return select(x > 1e300, 0.5641895835477563 / x, y)


@routine
def exp_of_negative(x):
    """e^x for x <= 0, and what rounding takes from it"""
    n, r = nearest_power(select(x < -746.0, -746.0, x))
    slope = horner(r, EXP[1:])
    y = fma(slope, r, 1.0)
    lost = fma(slope, r, 1.0 - y)
    half = n >> 1
    first, second = power_of_two(half), power_of_two(n - half)
    return y * first * second, lost * first * second


@routine
def exp_minus_square(x):
    """e^(-x^2), what rounding takes from the square put back"""
    square = x * x
    e, lost = exp_of_negative(-square)
    return e + fma(fma(-x, x, square), e, lost)


@routine
def erf(x):
    """The error function"""
    a = absolute(x)
    c = select(a > 6.0, 6.0, a)
    y = 1.0 - exp_minus_square(c) * erfcx_positive(c)
    return select(a < 1.0, x * horner(x * x, ERF), copysign(y, x))


@routine
def erfc(x):
    """1 - erf(x) without cancellation"""
    a = absolute(x)
    a = select(a > 27.3, 27.3, a)
    y = exp_minus_square(a) * erfcx_positive(a)
    small = fma(-x, horner(x * x, ERF), 1.0)
    return select(absolute(x) < 0.5, small, select(x < 0.0, 2.0 - y, y))


@routine
def erfcx(x):
    """e^(x^2) erfc(x)"""
    a = absolute(x)
    y = erfcx_positive(a)
    c = select(a > 27.0, 27.0, a)
    square = c * c
    e = exp(square)
    mirrored = 2.0 * fma(fma(c, c, -square), e, e) - y
    return select(x < 0.0, select(x < -26.7, math.inf, mirrored), y)


@routine
def erfcx_slope(x, y):
    """The derivative 2 x y - 2 / sqrt(pi) of y = erfcx(x), by its asymptotic series where the two cancel"""
    far = x > 20.0
    t = 0.5 / select(far, x * x, 1.0)
    series = horner(t, (1.0, -3.0, 15.0, -105.0, 945.0, -10395.0))
    return select(far, -TWO_OVER_ROOT_PI * t * series, fma(2.0 * x, y, -TWO_OVER_ROOT_PI))


@routine
def lower_tail(x):
    """(argument, what rounding took from it, y, e, tail, what rounding took from it)

    The argument is |x| / sqrt 2, y = erfcx(argument), e = exp(-x^2 / 2), and the tail Phi(-|x|) = e y / 2.
    """
    a = absolute(x)
    a = select(a > 1e200, 1e200, a)
    argument = a * ROOT_HALF
    lost = fma(a, ROOT_HALF_LOW, fma(a, ROOT_HALF, -argument))
    y = erfcx_positive(argument)
    more = lost * fma(2.0 * argument, y, -TWO_OVER_ROOT_PI)
    divisor = fma(2.0, argument, 1.0)
    more = fma(-y, fma(2.0, argument, 1.0 - divisor) / divisor, more)
    c = select(a > 40.0, 40.0, a)
    square = c * c
    e, in_e = exp_of_negative(-0.5 * square)
    in_e = fma(0.5 * fma(-c, c, square), e, in_e)
    product = e * y
    rest = fma(in_e, y, fma(e, more, fma(e, y, -product)))
    return argument, lost, y + more, e + in_e, 0.5 * product, 0.5 * rest


@routine
def log_ndtr(x):
    """log Phi(x), Phi the distribution function of the standard normal"""
    argument, in_argument, y, _, tail, in_tail = lower_tail(x)
    # erf(argument) / 2, and what rounding takes from it
    first = 0.5 * ERF[0] * argument
    square = argument * argument
    more = fma(0.5 * ERF[0], argument, -first) + argument * (0.5 * square * horner(square, ERF[1:]))
    more = fma(0.5 * ERF[0], in_argument, more)
    half = first + more
    in_half = (first - half) + more
    # up to 1.15 as 1/2 + half, beyond as 1 - tail
    near = argument < 0.813
    one, other, rest = select(near, 0.5, 1.0), select(near, half, -tail), select(near, in_half, -in_tail)
    u = one + other
    lost = ((one - u) + other) + rest
    negative = x < 0.0
    logarithm = log_parts(select(negative, 0.5 * y, u), select(negative, 0.0, lost))
    upper = select(tail < 5.551115123125783e-17, -tail - in_tail, logarithm)
    return select(negative, fma(-0.5 * x, x, logarithm), upper)


@routine
def log_ndtr_slope(x):
    """The derivative phi(x) / Phi(x) of log_ndtr"""
    _, _, y, e, tail, _ = lower_tail(x)
    far = select(x < -1e200, -x, ROOT_TWO_OVER_PI / y)
    return select(x < 0.0, far, 0.5 * ROOT_TWO_OVER_PI * e / (1.0 - tail))
