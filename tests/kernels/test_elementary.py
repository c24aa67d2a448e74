"""The elementary functions against mpmath: at most 4 units in the last place, and IEEE special values."""

import math

import mpmath
import numpy as np
import pytest
from accuracy import fit, over, ulps
from numba import njit

from fastvi.kernels.arithmetic import elementary, functions, primitives
from fastvi.kernels.random import normal

RNG = np.random.default_rng(11)


def points(low, high, count=1500):
    return np.concatenate([RNG.uniform(low, high, count), np.linspace(low, high, 101)])


def wide(count=1500):
    largest = [1.27e308, 1.3e308, np.finfo(float).max]
    return np.concatenate([10.0 ** RNG.uniform(-300, 300, count), 2.0 ** np.arange(-1074.0, 1023.0, 7.0), largest])


small = 10.0 ** RNG.uniform(-320, 0, 1000)
near_one = 1.0 + np.concatenate([RNG.normal(0, 0.3, 1500).clip(-0.9, 3), RNG.normal(0, 1e-9, 200)])
CASES = {
    "exp": (mpmath.exp, points(-745.0, 709.7)),
    "expm1": (mpmath.expm1, np.concatenate([points(-40.0, 709.7), points(-1.0, 1.0), small, -small])),
    "log": (mpmath.log, np.concatenate([wide(), near_one])),
    "log1p": (mpmath.log1p, np.concatenate([small, -small * 0.999, wide(), near_one - 1.0])),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), points(-700.0, 700.0)),
    "expit": (lambda x: 1 / (1 + mpmath.exp(-x)), points(-700.0, 40.0)),
    "log1mexp": (lambda x: mpmath.log(-mpmath.expm1(x)), np.concatenate([-points(1e-8, 30.0), -small])),
    "tanh": (mpmath.tanh, np.concatenate([points(-20.0, 20.0), small, -small])),
}


@pytest.mark.parametrize("name", CASES)
def test_within_four_ulp(name):
    exact, x = CASES[name]
    out = np.empty_like(x)
    over(getattr(elementary, name))(x, out)
    with mpmath.workdps(60):
        assert ulps(out, x, exact) <= 4.0
    few = slice(None, None, 40)  # Python's fma is exact and slow
    np.testing.assert_array_equal([getattr(elementary, name)(float(t)) for t in x[few]], out[few])


def test_logaddexp():
    x, y = points(-800.0, 800.0), points(-800.0, 800.0)[::-1].copy()
    out = np.array([elementary.logaddexp(float(a), float(b)) for a, b in zip(x[::20], y[::20], strict=True)])
    np.testing.assert_allclose(out, np.logaddexp(x, y)[::20], rtol=1e-15)


SPECIAL = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e-310, 1e308, -1e308, 710.0, -746.0, -1.0, 1.0])


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "tanh"])
def test_special_values_are_numpys(name):
    out = np.empty_like(SPECIAL)
    over(getattr(elementary, name))(SPECIAL, out)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(SPECIAL)
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    assert np.array_equal(np.signbit(out[:2]), np.signbit(expected[:2]))


def test_fma_rounds_once():
    assert primitives.fma(1.0 + 2.0**-30, 1.0 - 2.0**-30, -1.0) == -(2.0**-60)
    assert math.isnan(primitives.fma(math.inf, 0.0, 1.0)) and primitives.fma(1e308, 10.0, 0.0) == math.inf


def atanh_ratio(x):
    return mpmath.atanh(mpmath.sqrt(x)) / mpmath.sqrt(x) if x else mpmath.mpf(1)


def test_the_tables_can_be_derived_again():
    with mpmath.workdps(50):
        half_ln2, root = mpmath.log(2) / 2, mpmath.sqrt(2)
        log_range = ((root - 1) / (root + 1)) ** 2
        tau = 2 * mpmath.pi
        tables = [
            (elementary.EXP, fit(mpmath.exp, -half_ln2, half_ln2, 12)),
            (elementary.LOG1P_UNIT, fit(atanh_ratio, mpmath.mpf(10) ** -40, mpmath.mpf(1) / 9, 10)),
            (normal.LOG, fit(atanh_ratio, mpmath.mpf(10) ** -40, log_range, 7)),
            (normal.COS, fit(lambda x: mpmath.cos(tau * mpmath.sqrt(x)), 0, mpmath.mpf(1) / 64, 7)),
            (
                normal.SIN,
                fit(
                    lambda x: mpmath.sin(tau * mpmath.sqrt(x)) / mpmath.sqrt(x) if x else tau, 0, mpmath.mpf(1) / 64, 7
                ),
            ),
        ]
    for table, derived in tables:
        np.testing.assert_allclose(table, derived, rtol=1e-9)
    assert elementary.LOG == normal.LOG[1:]


@pytest.mark.parametrize("name", ["softplus", "expit", "log1mexp"])
def test_public_functions_in_python_and_compiled(name):
    x = -np.array([0.01, 0.5, 3.0, 40.0, 700.0])
    public = getattr(functions, name)
    out = np.empty_like(x)
    over(public)(x, out)
    np.testing.assert_allclose(public(x), out, rtol=1e-14)
    assert public(float(x[1])) == pytest.approx(out[1], rel=1e-14)


def test_where_in_python_and_compiled():
    compiled = njit(lambda x: functions.where(x > 0, x, -1))
    assert compiled(2.0) == functions.where(True, 2.0, -1) == 2.0
    assert compiled(-2.0) == functions.where(False, -2.0, -1) == -1.0
    assert isinstance(functions.where(True, 2.0, 1.0), float)
