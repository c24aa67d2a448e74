"""exp, log and their kin: branch-free, with explicit fma, within 4 ulp of the true value, IEEE special values kept.

Each function is written once and serves Python, Numba scalars and SIMD lanes (see ``primitive``).  Polynomials are
near-minimax fits, ``mpmath.chebyfit(f, [a, b], n)`` rounded to float64;
tests/kernels/test_elementary.py derives them again.
"""

import math

from ..jit import routine
from .primitives import absolute, bits, copysign, fma, from_bits, select, sqrt, to_float

LN2 = 0.6931471805599453
# ln 2 in two parts, the first with 32 trailing zero bits, so that n * LN2_HIGH is exact (Cody and Waite 1980)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG2_E = 1.4426950408889634
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the low bits
ROUND_BITS = bits(ROUND)
SQRT_HALF_BITS = bits(0.7071067811865476)
SMALLEST_NORMAL = 2.2250738585072014e-308

# exp(r), |r| <= ln(2)/2
EXP = (
    1.0,
    1.0,
    0.5000000000000019,
    0.1666666666666668,
    0.0416666666664881,
    0.008333333333319601,
    0.0013888888952314775,
    0.00019841269890047113,
    2.4801485482328494e-05,
    2.755724091857897e-06,
    2.763263963904103e-07,
    2.5110037605963777e-08,
)
# (exp(r) - 1 - r) / r^2: the Taylor series, accurate to 1e-18 on |r| <= ln(2)/2
EXPM1 = tuple(1.0 / math.factorial(k) for k in range(2, 14))
# (atanh(s)/s - 1) / s^2 in s^2, s = f / (2 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1]
LOG = (
    0.3333333333327646,
    0.20000000030870807,
    0.14285708010553835,
    0.11111717273758953,
    0.09060967215607607,
    0.08418829985340244,
)
# atanh(s)/s in s^2, s = t / (2 + t), 0 <= t <= 1
LOG1P_UNIT = (
    1.0,
    0.33333333333341286,
    0.199999999976438,
    0.1428571455582858,
    0.11111095430673142,
    0.09091429900236955,
    0.07681838124445817,
    0.06795652742789947,
    0.04940394524382393,
    0.08890381913056651,
)


@routine
def horner(x, coefficients):
    """sum_k coefficients[k] x^k"""
    total = coefficients[-1]
    for k in range(len(coefficients) - 2, -1, -1):
        total = fma(total, x, coefficients[k])
    return total


@routine
def power_of_two(n):
    """2^n for -1022 <= n <= 1023"""
    return from_bits((n + 1023) << 52)


@routine
def nearest_power(x):
    """(n, r) with x = n ln 2 + r, |r| <= ln(2)/2"""
    shifted = fma(x, LOG2_E, ROUND)
    whole = shifted - ROUND
    return bits(shifted) - ROUND_BITS, fma(whole, -LN2_LOW, fma(whole, -LN2_HIGH, x))


@routine
def clamp(x, low, high):
    """x limited to [low, high]; NaN stays NaN."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


@routine
def exp(x):
    """e^x"""
    n, r = nearest_power(clamp(x, -746.0, 710.0))
    half = n >> 1  # two factors: 2^1024 overflows to inf and 2^-1074 is reached
    return horner(r, EXP) * power_of_two(half) * power_of_two(n - half)


@routine
def exp_cut(x):
    """e^x for x <= 0, but not below e^-708: for where the result is added to 1"""
    n, r = nearest_power(select(x < -708.0, -708.0, x))
    return from_bits(bits(horner(r, EXP)) + (n << 52))


@routine
def expm1(x):
    """e^x - 1 without cancellation near 0"""
    n, r = nearest_power(clamp(x, -50.0, 710.0))
    small = fma(r * r, horner(r, EXPM1), r)
    half = n >> 1
    inverse = select(n < 1023, power_of_two(0 - n), 0.0)
    y = (small + (1.0 - inverse)) * power_of_two(half) * power_of_two(n - half)
    return select(x == 0.0, x, y)


@routine
def split(u):
    """(n, f) with u = 2^n (1 + f) and 1 + f between sqrt(1/2) and sqrt(2), for a normal u > 0"""
    n = (bits(u) - SQRT_HALF_BITS) >> 52
    return n, from_bits(bits(u) - (n << 52)) - 1.0


@routine
def log_of_parts(n, f):
    """log(2^n (1 + f))"""
    s = f / (2.0 + f)
    square = s * s
    # log(1 + f) = f - s (f - 2 s^2 Q(s^2)): the leading f carries no rounding error
    tail = s * (2.0 * square * horner(square, LOG) - f)
    whole = to_float(n)
    return fma(whole, LN2_HIGH, f + fma(whole, LN2_LOW, tail))


@routine
def log_parts(u, correction):
    """log(u + correction) for a normal u > 0 and a correction below its last bit"""
    n, f = split(u)
    return log_of_parts(n, f + correction * select(n < 1024, power_of_two(0 - n), 0.0))


@routine
def log_limits(x, pole, y):
    """y, but inf at inf, -inf at the pole and NaN below it"""
    y = select(x == math.inf, x, y)
    y = select(x == pole, -math.inf, y)
    return select(x >= pole, y, math.nan)


@routine
def log(x):
    """Natural logarithm"""
    tiny = x < SMALLEST_NORMAL
    n, f = split(select(tiny, x * 18014398509481984.0, x))  # 2^54
    y = log_of_parts(n, f)
    return log_limits(x, 0.0, y - select(tiny, 54 * LN2, 0.0))


@routine
def log1p(x):
    """log(1 + x) without cancellation near 0"""
    u = 1.0 + x
    lost = select(x > 1.0, 1.0 - (u - x), x - (u - 1.0))
    y = log_parts(u, lost)
    return log_limits(x, -1.0, select(absolute(x) < 5.551115123125783e-17, x, y))  # 2^-54


@routine
def log1p_unit(t):
    """log(1 + t) for 0 <= t <= 1"""
    s = t / (2.0 + t)
    return 2.0 * s * horner(s * s, LOG1P_UNIT)


@routine
def larger(x, y):
    """Python's max(x, y), which keeps x unless y is greater"""
    return select(y > x, y, x)


@routine
def smaller(x, y):
    """Python's min(x, y)"""
    return select(y < x, y, x)


@routine
def maximum(x, y):
    """NumPy's maximum: a NaN wins"""
    return select(x != x, x, select(y <= x, x, y))


@routine
def minimum(x, y):
    """NumPy's minimum: a NaN wins"""
    return select(x != x, x, select(y >= x, x, y))


@routine
def softplus(x):
    """log(1 + e^x)"""
    return select(x < 0.0, 0.0, x) + log1p_unit(exp(-absolute(x)))


@routine
def logaddexp_parts(x, y):
    """(m, d) with log(e^x + e^y) = m + log(1 + e^d), d <= 0"""
    difference = select(x == y, 0.0, x - y)  # also inf and inf, whose difference is NaN
    return select(difference == difference, larger(x, y), difference), -absolute(difference)


@routine
def logaddexp(x, y):
    """log(e^x + e^y)"""
    m, d = logaddexp_parts(x, y)
    return m + log1p_unit(exp(d))


@routine
def log1mexp(x):
    """log(1 - e^x) for x <= 0 (Maechler 2012, equation 7); NaN for x > 0"""
    y = select(x > -LN2, log(-expm1(x)), log1p(-exp(x)))
    return select(x <= 0.0, y, math.nan)


@routine
def expit(x):
    """1 / (1 + e^-x)"""
    t = exp(-absolute(x))
    y = 1.0 / (1.0 + t)
    return select(x < 0.0, t * y, y)


@routine
def tanh(x):
    """Hyperbolic tangent"""
    t = expm1(-2.0 * absolute(x))
    return copysign(-t / (t + 2.0), x)


__all__ = ["exp", "expm1", "log", "log1p", "softplus", "logaddexp", "log1mexp", "expit", "tanh", "sqrt"]
