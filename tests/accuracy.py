"""How exact a function of one number is, in units of the last place, and how the tables of polynomials were made."""

import math
import warnings

import mpmath
from numba import njit


def ulps(found, x, exact):
    """The worst error in units of the last place of the true value."""
    worst = mpmath.mpf(0)
    for y, t in zip(found, x, strict=True):
        true = exact(mpmath.mpf(float(t)))
        unit = math.ulp(float(true))
        worst = max(worst, abs(mpmath.mpf(float(y)) - true) / unit)
    return float(worst)


def over(function):
    @njit
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


def fit(function, low, high, terms):
    """Near-minimax coefficients, lowest power first: what the tables were made by."""
    with warnings.catch_warnings():  # newer mpmath announces another order of the result
        warnings.simplefilter("ignore", DeprecationWarning)
        fitted = mpmath.chebyfit(function, [low, high], terms)
    inside = low + (high - low) * mpmath.mpf("0.7")
    lowest_first = abs(sum(c * inside**k for k, c in enumerate(fitted)) - function(inside)) < 1e-6
    return [float(c) for c in (fitted if lowest_first else fitted[::-1])]
