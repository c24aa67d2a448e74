"""lgamma, digamma, erf and its kin, sin and cos against mpmath: units in the last place, limits, derivatives."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special
from accuracy import fit, over, ulps

import fastvi as vi
from fastvi.kernels.arithmetic import error_function, gamma, trigonometry

RNG = np.random.default_rng(12)


def uniform(*intervals, count=400):
    return np.concatenate([RNG.uniform(low, high, count) for low, high in intervals])


def logarithmic(low, high, count=300):
    return np.exp(RNG.uniform(math.log(low), math.log(high), count))


def upper_log(x):
    tail = mpmath.erfc(abs(x) / mpmath.sqrt(2)) / 2
    return mpmath.log1p(-tail) if x > 0 else mpmath.log(tail)


ROOTS = np.concatenate([c + RNG.uniform(-1e-3, 1e-3, 200) for c in (1.0, 2.0, 1.4616321449683622)])
POSITIVE = np.concatenate([logarithmic(1e-300, 0.5), uniform((0.0, 3.0), (3.0, 9.0)), ROOTS, logarithmic(9.0, 1e300)])
ANGLES = np.concatenate([uniform((-4.0, 4.0), (-1e5, 1e5), (-1e5, 1e5), (-1e12, 1e12)), logarithmic(1e-300, 1.0)])
CASES = {
    "lgamma": (gamma.lgamma, mpmath.loggamma, POSITIVE, 4),
    "digamma": (gamma.digamma, mpmath.digamma, POSITIVE, 4),
    "trigamma": (gamma.trigamma, lambda x: mpmath.psi(1, x), POSITIVE[POSITIVE > 1e-150], 5),
    "erf": (error_function.erf, mpmath.erf, np.r_[uniform((-1.0, 1.0), (1.0, 6.0)), logarithmic(1e-300, 0.1)], 4),
    "erfc": (error_function.erfc, mpmath.erfc, uniform((-6.0, 0.0), (0.0, 1.0), (1.0, 6.0), (6.0, 26.5)), 4),
    "erfcx": (
        error_function.erfcx,
        lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
        np.r_[uniform((-26.6, 0.0), (0.0, 3.0), (3.0, 60.0)), logarithmic(60.0, 1e3)],
        4,
    ),
    "log_ndtr": (error_function.log_ndtr, upper_log, uniform((-40.0, -1.0), (-1.0, 1.15), (2.0, 37.0)), 4),
    "log_ndtr between": (error_function.log_ndtr, upper_log, uniform((1.15, 2.0)), 5),
    "sin": (trigonometry.sin, mpmath.sin, ANGLES, 2),
    "cos": (trigonometry.cos, mpmath.cos, ANGLES, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_units_in_the_last_place(name):
    function, exact, x, limit = CASES[name]
    out = np.empty_like(x)
    over(function)(x, out)
    with mpmath.workdps(60):
        assert ulps(out, x, lambda t: mpmath.re(exact(t))) <= limit
    few = slice(None, None, 40)
    np.testing.assert_array_equal([function(float(t)) for t in x[few]], out[few])


@pytest.mark.slow
def test_negative_arguments_by_reflection():
    """To 4 units of the larger of the two terms: by their zeros no more can be had."""
    x = np.concatenate([-logarithmic(1e-12, 0.5, 40), uniform((-30.0, 0.0), count=60), [-0.5, -170.3, -1e6 - 0.25]])
    for function, exact, term in (
        (gamma.lgamma, lambda t: mpmath.log(abs(mpmath.gamma(t))), mpmath.loggamma),
        (gamma.digamma, mpmath.digamma, mpmath.digamma),
        (gamma.trigamma, lambda t: mpmath.psi(1, t), lambda t: mpmath.psi(1, t)),
    ):
        out = np.empty_like(x)
        over(function)(x, out)
        with mpmath.workdps(60):
            for found, t in zip(out, map(mpmath.mpf, map(float, x)), strict=True):
                right, other = exact(t), term(1 - t)
                allowed = 4 * 2.3e-16 * (abs(other) + abs(right) + abs(other - right))
                assert abs(found - right) <= allowed + 1e-15 * abs(mpmath.pi / mpmath.sinpi(t)), (function, t)


SPECIAL = np.array([0.0, -0.0, math.inf, math.nan, 1e-300, 1e308, -1.0, -2.0, -40.0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gammaln", "digamma", "erf", "erfc", "erfcx", "log_ndtr"])
def test_limits_are_scipys(name):
    """In lanes and one by one."""
    function, x = getattr(vi, name), np.r_[SPECIAL, 26.5, 27.3, 40.0]
    with np.errstate(all="ignore"):
        expected = getattr(scipy.special, name)(x)
    x, expected = (x[2:], expected[2:]) if name == "digamma" else (x, expected)
    single = np.empty_like(x)
    over(function)(x, single)
    lanes = vi.Target(lambda z: function(z[0]), 1)
    assert lanes.density.values().vectorised
    in_lanes = lanes.density.evaluate(x[:, None])[0]
    for found in (single, in_lanes):
        np.testing.assert_allclose(found, expected, rtol=3e-13)


SLOPES = {
    "gammaln": (mpmath.digamma, uniform((0.01, 12.0), (-3.9, -3.1), count=40)),
    "digamma": (lambda x: mpmath.psi(1, x), uniform((0.01, 12.0), (-3.9, -3.1), count=40)),
    "erf": (lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), uniform((-4.0, 4.0), count=40)),
    "erfc": (lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), uniform((-4.0, 4.0), count=40)),
    "erfcx": (
        lambda x: 2 * x * mpmath.exp(x * x) * mpmath.erfc(x) - 2 / mpmath.sqrt(mpmath.pi),
        uniform((-5.0, 5.0), (5.0, 90.0), count=40),
    ),
    "log_ndtr": (
        lambda x: mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi) / mpmath.exp(upper_log(x)),
        uniform((-30.0, 30.0), count=60),
    ),
    "sin": (mpmath.cos, uniform((-1e5, 1e5), count=40)),
    "cos": (lambda x: -mpmath.sin(x), uniform((-1e5, 1e5), count=40)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOPES)
def test_derivatives(name):
    """Of z[0] as a number and of z[1] in an array, whose sum is recorded as a whole."""
    function, (slope, x) = getattr(vi, name, None) or getattr(np, name), SLOPES[name]
    with mpmath.workdps(60):
        expected = np.array([float(mpmath.re(slope(mpmath.mpf(float(t))))) for t in x])
    points = np.stack([x, x[::-1]], axis=1)
    gradient = vi.Target(lambda z: function(z[0]) + np.sum(function(z[1:])), 2).gradient(points)
    np.testing.assert_allclose(gradient, np.stack([expected, expected[::-1]], axis=1), rtol=1e-12)


def test_angles_beyond_the_reduction_are_the_librarys():
    x = np.array([1e13, -3e15, 1e300, 0.5, -0.0, math.inf])
    target = vi.Target(lambda z: np.sin(z[0]) + math.cos(z[0]), 1)
    assert target.density.values().vectorised
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(target.density.evaluate(x[:, None])[0], np.sin(x) + np.cos(x), rtol=1e-14)


@pytest.mark.slow
def test_the_tables_can_be_derived_again():
    tiny = mpmath.mpf(10) ** -12
    with mpmath.workdps(50):
        pi, root = mpmath.pi, mpmath.sqrt
        eighth, zero = mpmath.mpf(1) / 64, mpmath.findroot(mpmath.digamma, 1.46163)
        assert gamma.ROOT == float(zero) and gamma.ROOT_LOW == float(zero - gamma.ROOT)

        def lgamma(s):
            return mpmath.loggamma(2 + s) / s if abs(s) > tiny else mpmath.digamma(2) + s * mpmath.psi(1, 2) / 2

        def digamma(u):
            t = u + mpmath.mpf(3) / 2
            return mpmath.digamma(t) / (t - zero) if abs(t - zero) > tiny else mpmath.psi(1, zero)

        def tail(first, second, function):
            return lambda w: function(1 / root(w)) if w > tiny else first + second * w

        def stirling(x):
            return (mpmath.loggamma(x) - (x - mpmath.mpf(1) / 2) * mpmath.log(x) + x - mpmath.log(2 * pi) / 2) * x

        def erfcx(t):
            x = error_function.CENTRE * (1 + t) / (1 - t)
            if x > 1e6:
                return (1 + 2 * x) / (x * root(pi)) * (1 - 1 / (2 * x * x))
            return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)

        sixth, far = mpmath.mpf(1) / 6, mpmath.mpf(1) - mpmath.mpf(10) ** -9
        quarter = (pi / 4 * mpmath.mpf("1.0001")) ** 2
        trigamma = tail(sixth, -sixth / 5, lambda x: (mpmath.psi(1, x) - 1 / x - 1 / (2 * x * x)) * x**3)
        digamma_tail = tail(sixth / 2, -sixth / 20, lambda x: (mpmath.log(x) - 1 / (2 * x) - mpmath.digamma(x)) * x * x)
        tables = [
            (gamma.LGAMMA, fit(lgamma, -0.5, 0.5, 19)),
            (gamma.LGAMMA_TAIL, fit(tail(sixth / 2, -sixth / 60, stirling), 0, eighth, 8)),
            (gamma.DIGAMMA, fit(digamma, -0.5, 0.5, 22)),
            (gamma.DIGAMMA_TAIL, fit(digamma_tail, 0, eighth, 8)),
            (gamma.TRIGAMMA_TAIL, fit(trigamma, 0, eighth, 8)),
            (gamma.SIN_PI, fit(lambda w: mpmath.sin(pi * root(w)) / root(w) if w else pi, 0, mpmath.mpf(1) / 4, 10)),
            (error_function.ERFCX, fit(erfcx, -1, far, 26)),
            (error_function.ERF, fit(lambda w: mpmath.erf(root(w)) / root(w) if w else 2 / root(pi), 0, 1, 13)),
            (
                trigonometry.SIN,
                fit(lambda w: (mpmath.sin(root(w)) / root(w) - 1) / w if w > tiny else -sixth, 0, quarter, 7),
            ),
            (
                trigonometry.COS,
                fit(lambda w: (mpmath.cos(root(w)) - 1 + w / 2) / w**2 if w > tiny else sixth / 4, 0, quarter, 7),
            ),
        ]
        for table, derived in tables:
            np.testing.assert_allclose(table, derived, rtol=1e-3, atol=1e-17)
            np.testing.assert_allclose(table[: len(table) // 2], derived[: len(table) // 2], rtol=1e-9)
