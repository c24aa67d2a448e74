"""log Gamma and its derivatives, without branches, within 4 ulp for x > 0.

For x < 0, by reflection: within 4 ulp of the larger of the two terms that are subtracted.  Tables are near-minimax
fits, see ``elementary``; tests/kernels/test_special.py derives them again.
"""

import math

from ..jit import routine
from .elementary import horner, log
from .primitives import absolute, copysign, fma, select

LARGE = 8.0  # from here on by Stirling's series
# (log Gamma(2 + s)) / s, |s| <= 1/2
LGAMMA = (
    0.42278433509846713,
    0.32246703342411326,
    -0.0673523010531981,
    0.02058080842778038,
    -0.0073855510286719986,
    0.002890510331034267,
    -0.0011927539118428156,
    0.0005096695154115458,
    -0.00022315475400520507,
    9.945767355819498e-05,
    -4.49263133791557e-05,
    2.0505590755833454e-05,
    -9.438715099211532e-06,
    4.38470440459836e-06,
    -2.0439048107029907e-06,
    9.200527894968101e-07,
    -4.3252393445604814e-07,
    2.78740805211359e-07,
    -1.3219945666117874e-07,
)
# the first of them less 1: with (f - log(1 + f)), which LOG1P_REST gives, nothing cancels by x = 1
LGAMMA_LESS_ONE = -0.5772156649015329
# (atanh(s)/s - 1) / s^2 in s^2 <= 0.0401
LOG1P_REST = (
    0.3333333333333333,
    0.19999999999999954,
    0.14285714285745174,
    0.11111111103220504,
    0.09090910099293802,
    0.07692235448289166,
    0.06669696891669157,
    0.05808757665751733,
    0.06211557028039042,
)
# (log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2) x in 1/x^2, x >= 8
LGAMMA_TAIL = (
    0.08333333333333333,
    -0.0027777777777776747,
    0.0007936507935117282,
    -0.0005952380234291254,
    0.0008417325268022405,
    -0.001914965912162907,
    0.0062081367662297935,
    -0.020855820837463117,
)
HALF_LOG_TAU_LESS_HALF = 0.41893853320467274
ROOT, ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17  # of digamma, in two parts
# digamma(u + 3/2) / (u + 3/2 - ROOT), |u| <= 1/2
DIGAMMA = (
    0.951055876031833,
    -0.4236274212814605,
    0.2405424842407742,
    -0.14840492305390884,
    0.09498872445494122,
    -0.061922133273064534,
    0.04076083381242074,
    -0.02697579675613825,
    0.0179072524394512,
    -0.011908218001568644,
    0.007926944646403797,
    -0.005279964873257405,
    0.003519006401502276,
    -0.002345267632540769,
    0.0015566317474486838,
    -0.0010376374098418604,
    0.0007233266279287554,
    -0.0004821990530566789,
    0.0002272331660987376,
    -0.00015148586836773365,
    0.00025968482126430747,
    -0.00017312261802727394,
)
# (log x - 1/(2 x) - digamma(x)) x^2 in 1/x^2, x >= 8
DIGAMMA_TAIL = (
    0.08333333333333333,
    -0.008333333333331664,
    0.003968253965999701,
    -0.004166665501516725,
    0.007575459920369176,
    -0.02105106090804774,
    0.08002337465397756,
    -0.299425370626735,
)
# (trigamma(x) - 1/x - 1/(2 x^2)) x^3 in 1/x^2, x >= 8
TRIGAMMA_TAIL = (
    0.16666666666666666,
    -0.03333333333330476,
    0.023809523770911365,
    -0.03333331335581846,
    0.07575246348177586,
    -0.2523946862734603,
    1.1093601965597248,
    -4.575304142113963,
)
# sin(pi s) / s in s^2, |s| <= 1/2
SIN_PI = (
    3.141592653589793,
    -5.16771278004997,
    2.5501640398773455,
    -0.5992645293207869,
    0.08214588661099356,
    -0.007370430943702136,
    0.0004663027874593273,
    -2.1915250301851375e-05,
    7.94853903737232e-07,
    -2.228371216069697e-08,
)


@routine
def lgamma_positive(x):
    """log Gamma(x) for x >= 0"""
    product, t, up = 1.0, x, x < 1.5
    for k in range(1, 7):  # Gamma(x) = (x - 1) ... (x - k) Gamma(x - k), with x - k in [3/2, 5/2)
        y = x - k
        use = y >= 1.5
        product = select(use, product * y, product)
        t = select(use, y, t)
    tiny = x < 0.5
    product = select(up, select(tiny, x * (x + 1.0), x), product)
    s = select(up, select(tiny, x, x - 1.0), t - 2.0)
    large = x >= LARGE
    logarithm = log(select(large, x, product))
    f = x - 1.0
    v = f / (2.0 + f)
    w = v * v
    rest = v * (f - 2.0 * w * horner(w, LOG1P_REST))  # f - log(1 + f)
    by_one = (x > 0.7071067811865476) & up
    other = select(by_one, rest, select(up, -logarithm, logarithm))
    small = fma(s, fma(s, horner(s, LGAMMA[1:]), select(by_one, LGAMMA_LESS_ONE, LGAMMA[0])), other)
    r = 1.0 / x
    stirling = fma(x - 0.5, logarithm - 1.0, fma(r, horner(r * r, LGAMMA_TAIL), HALF_LOG_TAU_LESS_HALF))
    return select(x == math.inf, x, select(large, stirling, small))


@routine
def to_nearest_integer(x):
    """x less the nearest integer, exactly: in [-1/2, 1/2]"""
    shifted = select(absolute(x) < 4503599627370496.0, x, 0.0)  # 2^52: beyond there are only integers
    return shifted - ((shifted + 6755399441055744.0) - 6755399441055744.0)


@routine
def sin_pi(s):
    """sin(pi s) for |s| <= 1/2"""
    return s * horner(s * s, SIN_PI)


@routine
def lgamma(x):
    """log |Gamma(x)|; inf at 0, -1, -2, ... (Abramowitz and Stegun 1964, 6.1.17)"""
    negative = x < 0.0
    y = lgamma_positive(select(negative, 1.0 - x, x))
    sine = absolute(sin_pi(to_nearest_integer(x)))
    reflected = log(math.pi / select(sine == 0.0, 1.0, sine)) - y
    reflected = select(x > -1e-10, fma(LGAMMA_LESS_ONE, x, -log(-x)), select(sine == 0.0, math.inf, reflected))
    return select(negative, reflected, y)


@routine
def digamma_positive(x):
    """The derivative of log Gamma for x > 0"""
    n, d, t = 0.0, 1.0, x
    for k in range(1, 7):  # digamma(x) = 1 / (x - 1) + ... + 1 / (x - k) + digamma(x - k), with x - k in [1, 2)
        y = x - k
        use = y >= 1.0
        n = select(use, fma(n, y, d), n)
        d = select(use, d * y, d)
        t = select(use, y, t)
    up = x < 1.0
    t, n, d = select(up, x + 1.0, t), select(up, -1.0, n), select(up, x, d)
    small = fma((t - ROOT) - ROOT_LOW, horner(t - 1.5, DIGAMMA), n / d)
    r = 1.0 / x
    square = r * r
    large = log(x) - fma(square, horner(square, DIGAMMA_TAIL), 0.5 * r)
    return select(x >= LARGE, large, small)


@routine
def digamma(x):
    """The derivative of log |Gamma(x)|; NaN at -1, -2, ... (Abramowitz and Stegun 1964, 6.3.7)"""
    negative = x <= 0.0
    y = digamma_positive(select(negative, 1.0 - x, x))
    s = to_nearest_integer(x)
    sine = sin_pi(s)
    cosine = sin_pi(0.5 - absolute(s))
    pole = sine == 0.0
    reflected = y - math.pi * cosine / select(pole, math.nan, sine)
    return select(negative, select(x == 0.0, copysign(math.inf, -x), reflected), y)


@routine
def trigamma_positive(x):
    """The second derivative of log Gamma for x > 0"""
    n, d = 0.0, 1.0
    for k in range(8):
        y = (x + k) * (x + k)
        n, d = fma(n, y, d), d * y
    large = x >= LARGE
    t = select(large, x, x + 8.0)
    r = 1.0 / t
    square = r * r
    tail = fma(square * r, horner(square, TRIGAMMA_TAIL), fma(0.5, square, r))
    return select(large, tail, n / d + tail)


@routine
def trigamma(x):
    """The derivative of digamma; inf at 0, -1, -2, ... (Abramowitz and Stegun 1964, 6.4.7)"""
    negative = x <= 0.0
    y = trigamma_positive(select(negative, 1.0 - x, x))
    sine = sin_pi(to_nearest_integer(x))
    ratio = math.pi / select(sine == 0.0, 1.0, sine)
    return select(negative, select(sine == 0.0, math.inf, ratio * ratio - y), y)
