"""A comparison that cuts the support and nothing else leaves a density smooth; any other is a step."""

import math

import numpy as np
import pytest

import fastvi as vi

Q = vi.MeanFieldGaussian([0.3, 0.0], [1.0, 0.8])
EXCLUDED = -math.inf


def smooth(z):
    return -0.5 * np.dot(z, z)


def box(z):
    if abs(z[0]) > 1000.0:
        return -math.inf
    return smooth(z)


def either(z):
    if z[0] < -50.0 or z[0] > 50:
        return -np.inf
    return smooth(z)


def between(z):
    if not (-50 < z[0] < 50):
        return float("-inf")
    return smooth(z)


def masked(z):
    return vi.where((z[0] > -50) & (z[0] < 50), smooth(z), EXCLUDED)


def helper(x):
    return vi.where(x > -90.0, 0.0, -np.inf)


def in_a_helper(z):
    return helper(z[0]) + smooth(z)


def in_a_loop(z):
    total = 0.0
    for i in range(2):
        if z[i] < -60.0:
            return -np.inf
        total -= 0.5 * z[i] ** 2
    return total


def kinked(z):
    return -abs(z[0]) - max(z[1], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("f", [box, either, between, masked, in_a_helper, in_a_loop, kinked])
def test_a_guard_is_not_a_step(f):
    """The gradient is that of the density without its guard, from draws that do not meet it."""
    found = vi.elbo_gradient(vi.Target(f, 2), Q, 1000, rng=0)
    assert found.method in ("sticking_the_landing", "pathwise_quadratic")
    if f is not kinked:
        exact = [-0.3, 0.0, 0.0, 1.0 - 0.64]  # -loc and 1 - scale^2
        assert np.all(np.abs(found.gradient - exact) < 5 * found.standard_error + 1e-12)


def stepped(z):
    if z[0] > 1.0:
        return smooth(z) - 1.0
    return smooth(z)


def both(z):
    if z[0] > 90.0:
        return -np.inf
    return vi.where(z[0] > 0, smooth(z), smooth(z) - 1.0)


def used_twice(z):
    outside = z[0] > 90.0
    return vi.where(outside, -np.inf, 0.0) + vi.where(outside, 1.0, 0.0) + smooth(z)


def another_number(z):
    return vi.where(z[0] > 0, smooth(z), -10.0)


@pytest.mark.parametrize("f", [stepped, both, used_twice, another_number])
def test_a_step_is_none(f):
    assert vi.elbo_gradient(vi.Target(f, 2), Q, 1000, rng=0).method == "leave_one_out"


def test_a_guard_that_draws_meet_makes_the_elbo_minus_infinity():
    found = vi.elbo_gradient(vi.Target(masked, 2), vi.MeanFieldGaussian([49.0, 0.0], [1.0, 1.0]), 1000, rng=0)
    assert found.elbo.value == -math.inf and found.elbo.num_neginf > 100 and np.isnan(found.gradient).all()
