"""Compiled code computes what Python computes, or is refused with the place and the spelling that works."""

import math

import numpy as np
import pytest

import fastvi as vi

Q = vi.MeanFieldGaussian([0.0, 0.0], [1.0, 1.0])


def python_bools(z):
    return (math.exp(z[0]) > 5) + (math.exp(z[1]) > 5) - 0.5 * np.dot(z, z)


def numpy_bools(z):
    if z[0] > 9:
        return 0.0
    return ((z[0] > 1.6) + (z[1] > 1.6)) - 0.5 * np.dot(z, z)


def added_in_place(z):
    count = z[0] > 1.6
    count += z[1] > 1.6
    return count - 0.5 * np.dot(z, z)


def inverted(z):
    return ~(z[0] > 1.6) - 0.5 * np.dot(z, z)


def in_a_helper(z):
    return python_bools(z)


@pytest.mark.parametrize("f", [python_bools, numpy_bools, added_in_place, inverted, in_a_helper])
def test_comparisons_as_numbers_are_refused(f):
    """Both are true at rare draws only, which a comparison with Python before first use does not meet."""
    with pytest.raises(
        TypeError, match=r"cannot compile (a sum of two comparisons|~ of a comparison).*write.*\.py:\d+"
    ):
        vi.elbo(vi.Target(f, 2), Q, 100, rng=0)


def test_a_product_of_comparisons_is_refused():
    with pytest.raises(TypeError, match="dot"):
        vi.Target(lambda z: np.dot(z > 1.0, z > 1.0) - 0.5 * np.dot(z, z), 2).value([2.0, 2.0])


def negative_power(z):
    k = 3
    if z[0] > 1.6:
        return 2 ** (1 - k) - 0.5 * np.dot(z, z)
    return -0.5 * np.dot(z, z)


def test_an_integer_to_a_variable_power_is_refused():
    with pytest.raises(TypeError, match=r"integer to a variable integer power.*write float\(a\) \*\* b"):
        vi.Target(negative_power, 2).value([0.1, 0.2])


def spelled_as_told(z, n):
    count = 1.0 if z[0] > 1.6 and not z[1] < 0.0 else 0.0
    return count + float(2) ** (1 - n) + n**2 + 2**3 + np.sum(np.where(z > 1.0, 1.0, 0.0)) + (1 if z[1] > 3 else 0)


def test_the_spellings_that_are_named_work():
    target = vi.Target(spelled_as_told, 2, (3,))
    for z in ([0.1, 0.2], [2.0, 2.0], [2.0, -1.0], [0.0, 4.0]):
        assert target.value(z) == spelled_as_told(np.array(z), 3)


# ---- IEEE 754 in the reference too


MATH = [
    ("overflow", lambda z: -math.exp(z[0]), lambda z: -np.exp(z[0]), 800.0, -math.inf),
    ("log of zero", lambda z: math.log(z[0] - z[0]), lambda z: np.log(z[0] - z[0]), 1.0, -math.inf),
    ("log of less", lambda z: math.log(-z[0]), lambda z: np.log(-z[0]), 1.0, math.nan),
    ("root", lambda z: math.sqrt(-z[0]), lambda z: np.sqrt(-z[0]), 1.0, math.nan),
    ("quotient", lambda z: -1.0 / math.floor(z[0] - 1.0), lambda z: -1.0 / np.floor(z[0] - 1.0), 1.5, -math.inf),
    ("power", lambda z: (-abs(float(z[0]))) ** 0.5, lambda z: (-np.abs(z[0])) ** 0.5, 1.0, math.nan),
]


@pytest.mark.parametrize("name, of_math, of_numpy, at, value", MATH, ids=[case[0] for case in MATH])
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_math_and_numpy_have_one_outcome(name, of_math, of_numpy, at, value):
    for f in (of_math, of_numpy):
        np.testing.assert_equal(vi.Target(f, 1).value([at]), value)


@pytest.mark.parametrize("exp", [math.exp, np.exp])
def test_an_overflow_is_a_legal_minus_infinity(exp):
    """z - exp(z), of which a very wide q has draws beyond the range of exp."""
    target = vi.Target(lambda z: z[0] - exp(z[0]), 1)
    found = vi.elbo(target, vi.MeanFieldGaussian([0.0], [1000.0]), 10_000, rng=0)
    assert found.value == -math.inf and found.num_neginf == 2388
    assert vi.elbo(target, vi.MeanFieldGaussian([-0.5], [1.0]), 200_000, rng=0).value == pytest.approx(
        -0.0811, abs=1e-3
    )


@pytest.mark.parametrize("error", [ValueError, OverflowError, ZeroDivisionError])
def test_what_the_user_raises_surfaces_with_the_draw(error):
    """Of the types that arithmetic raises, but raised on purpose."""
    scope = {}
    exec(
        f"def f(z):\n    if z[0] > 1.0:\n        raise {error.__name__}('math domain error')\n    return -z[0]**2",
        scope,
    )
    target = vi.Target(scope["f"], 2)
    with pytest.raises(error, match=r"math domain error \[raised by the log density f at draw \d+, z = \["):
        vi.elbo(target, Q, 1000, rng=0)
    with pytest.raises(error, match="math domain error"):
        target.value([2.0, 0.0])


# ---- integers


def divided_in_a_rare_branch(z, n):
    if z[0] > 2.5:
        return 7 // (n - 3) - z[0] ** 2
    return -(z[0] ** 2)


def remainder_in_a_rare_branch(z, n):
    if z[0] > 2.5:
        return 7 % (n - 3) - z[0] ** 2
    return -(z[0] ** 2)


@pytest.mark.parametrize("f", [divided_in_a_rare_branch, remainder_in_a_rare_branch])
def test_an_integer_divided_by_zero_raises_what_python_raises(f):
    target = vi.Target(f, 2, (3,))
    assert target.value([1.0, 0.0]) == -1.0
    with pytest.raises(ZeroDivisionError, match=r"integer .*\[raised by the log density \w+ at draw \d+, z = \["):
        vi.elbo(target, Q, 10_000, rng=0)
    with pytest.raises(ZeroDivisionError, match="integer"):
        target.gradient([3.0, 0.0])
    assert vi.Target(f, 2, (5,)).value([3.0, 0.0]) == f([3.0, 0.0], 5)


def factorial(z, n):
    product = 1
    if z[0] > 2.5:
        for i in range(2, n + 1):
            product *= i
    return -math.log(product) - 0.5 * np.dot(z, z)


def test_an_integer_of_more_than_64_bits_is_an_error_and_no_other_number():
    """20! has 62 bits and 21! has 66; Python's own go on."""
    assert vi.Target(factorial, 2, (20,)).value([3.0, 0.0]) == pytest.approx(-42.335616460753485 - 4.5, rel=1e-14)
    with pytest.raises(OverflowError, match=r"factorial .*more than 64 bits, at z = .*write float\(n\)"):
        vi.elbo(vi.Target(factorial, 2, (21,)), Q, 10_000, rng=0)
    with pytest.raises(OverflowError, match="more than 64 bits"):
        vi.Target(factorial, 2, (21,)).gradient([3.0, 0.0])
