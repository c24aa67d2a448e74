"""A comparison that cuts the support and nothing else leaves a density smooth; any other is a step."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.estimators.derivative import continuous

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


def by_index(c, mu):
    total = -0.5 * np.sum(mu**2)
    for i in range(len(c)):
        total += mu[int(c[i])] + (0.5 if c[i] == 1.0 else 0.0)
    return total


def by_masks(c, mu):
    return np.sum(np.where(c > 0.5, mu[0], mu[1]) + (c == 1.0) * mu[1]) - mu[0] ** 2


def by_way_of_a_loop(c, mu):
    a, b = mu[0], c[0]
    for _ in range(3):
        a, b = b, a
    return (1.0 if a > 0.5 else 0.0) - mu[0] ** 2  # a may be either


def by_way_of_an_array(c, mu):
    kept = np.zeros(2)
    kept[0] = mu[0]
    return (1.0 if kept[0] > 0.5 else 0.0) + (1.0 if c[0] > 0.5 else 0.0)


def in_both(c, mu):
    return (1.0 if c[0] > 0.5 else 0.0) + (1.0 if mu[0] > 0.5 else 0.0)


def step_of(x):
    return 1.0 if x > 0.5 else 0.0


def in_a_called_one(c, mu):
    return step_of(c[0]) + step_of(mu[0]) + mu[1]


@pytest.mark.parametrize("f", [by_index, by_masks])
def test_steps_of_discrete_factors_are_told_apart(f):
    target = vi.Target(f, dict(c=(4,), mu=(2,)))
    compiled = target.density.gradients()
    assert not compiled.smooth and compiled.steps_of == {"c"}
    gaussian = vi.MeanFieldGaussian([0.2, 0.9], [1.0, 0.5])
    for c, paths in ((vi.Bernoulli(logits=np.zeros(4)), True), (vi.Delta(np.full(4, 0.7)), False)):
        q = vi.Product(c=c, mu=gaussian)
        assert continuous(target, q, vi.rng.key_from(0)) == paths
    other = vi.Product(b=vi.Bernoulli(logits=np.zeros(4)), mu=gaussian)
    assert not continuous(vi.Target(f, dict(c=(4,), mu=(2,))), other, vi.rng.key_from(0))


@pytest.mark.parametrize("f", [by_way_of_a_loop, by_way_of_an_array, in_both, in_a_called_one])
def test_a_step_that_may_be_of_a_continuous_factor_counts_as_one(f):
    compiled = vi.Target(f, dict(c=(4,), mu=(2,))).density.gradients()
    assert not compiled.smooth and compiled.steps_of in (frozenset(), {"c", "mu"})


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
