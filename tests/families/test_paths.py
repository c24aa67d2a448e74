"""Pathwise gradients of gamma, beta, Dirichlet and exponential factors, and what follows slopes.

Monte Carlo figures lie within 5 standard errors, a false alarm of 6e-7 each.
"""

import itertools
import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.random import quantiles, shape_derivatives

import naive

GAMMA, BETA = quantiles.LOG_GAMMA, quantiles.LOGIT_BETA
# kind, which shape, shapes, eps, d G / d shape = -(dF / d shape) / p where F(G) = Phi(eps): mpmath 1.3 with 40 digits
DERIVATIVES = [
    (GAMMA, 0, 0.3, 1.0, -3.0, 74.05715294799929),
    (GAMMA, 0, 0.3, 1.0, 1.7, 2.180605659980561),
    (GAMMA, 0, 3.0, 1.0, -0.4, 0.4206726643331055),
    (GAMMA, 0, 50.0, 1.0, -3.0, 0.02508630758425543),
    (GAMMA, 0, 50.0, 1.0, 1.7, 0.01789281058441704),
    (BETA, 0, 0.5, 2.0, -3.0, 26.71946769103915),
    (BETA, 0, 0.5, 2.0, 1.7, 1.663597124029336),
    (BETA, 1, 0.5, 2.0, -0.4, -0.5759598993212289),
    (BETA, 1, 0.5, 2.0, 1.7, -0.9132608958619641),
    (BETA, 0, 30.0, 4.0, -3.0, 0.03875193552966315),
    (BETA, 1, 30.0, 4.0, 1.7, -0.4243376184023546),
]


@pytest.mark.parametrize("kind, which, a, b, eps, exact", DERIVATIVES)
def test_how_quantiles_move_with_a_shape(kind, which, a, b, eps, exact):
    shapes = np.array([a]), np.array([b])
    table = shape_derivatives.tables(kind, which, *shapes, quantiles.tables(kind, *shapes))[0]
    assert quantiles.evaluate(table, np.array(eps)) == pytest.approx(exact, rel=2e-10)


def density(g, b, x, e, y):
    """Not of q's kind in any factor"""
    total = -np.sum((np.log(g) - 0.3) ** 2) - 0.4 * np.sum(g) + 1.2 * np.sum(np.log(b)) + 0.7 * math.log(1.0 - b[0])
    total += np.sum(np.sin(3.0 * x[0])) - 2.0 * x[1, 1] ** 2 + x[1, 0] * x[0, 2]
    return total - 0.5 * (e[0] - 1.0) ** 2 - e[1] * x[0, 0] + 0.3 * y[0] * g[1]


Q = vi.Product(
    g=vi.Gamma([0.7, 3.0], [2.0, 0.3]),
    b=vi.Beta([0.6, 2.0], [1.5, 4.0]),
    x=vi.Dirichlet([[0.8, 2.0, 3.0], [1.0, 1.5, 4.0]]),
    e=vi.Exponential([1.3, 0.4]),
    y=vi.LogNormal([0.1], [0.4]),
)
TARGET = vi.Target(density, Q.latents)


def test_pathwise_gradients_are_the_naive_ones():
    """On the draws of the sweep, whose map from normals is differenced"""
    n = 1000
    z = Q.sample(n, rng=2)
    eps = vi.MeanFieldGaussian.standard(Q.dim).sample(n, rng=2)
    terms = naive.path_terms(Q, eps, TARGET.gradient(z))
    entropy = naive.gradient(lambda v: Q.with_parameters(v).entropy(), Q.parameters)
    found = vi.elbo_gradient(TARGET, Q, n, estimator="pathwise", rng=2)
    np.testing.assert_allclose(found.gradient, terms.mean(axis=0) + entropy, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.standard_error, terms.std(axis=0, ddof=1) / math.sqrt(n), rtol=1e-6)


def test_every_estimator_has_the_gradient_of_a_divergence():
    """-KL(q || p) of factors of the kinds of q, in closed form, and its gradient by differences"""
    p = vi.Product(
        g=vi.Gamma([1.0, 2.5], [2.0, 0.5]),
        b=vi.Beta([1.0, 3.0], [1.5, 3.0]),
        x=vi.Dirichlet([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]),
        e=vi.Exponential([1.0, 0.5]),
        y=vi.LogNormal([0.3], [0.6]),
    )
    exact = naive.gradient(lambda v: -vi.kl_divergence(Q.with_parameters(v), p).value, Q.parameters)
    plain = vi.elbo_gradient(p.target, Q, 60_000, estimator="leave_one_out", rng=1)
    every = [dict(estimator=name) for name in ("leave_one_out", "pathwise", "mixed")]
    every += [dict(draws=kind, estimator="pathwise") for kind in ("antithetic", "sobol")]
    for options in every:
        found = vi.elbo_gradient(p.target, Q, 16_384, rng=3, **options)
        within = 9 if options.get("draws") == "sobol" else 5  # of 3.5 degrees of freedom
        assert np.all(found.standard_error > 0.0), options
        assert np.all(np.abs(found.gradient - exact) < within * found.standard_error + 1e-9), options
    paths = vi.elbo_gradient(p.target, Q, 60_000, estimator="pathwise", rng=1)
    assert np.sum(plain.standard_error**2) > 8.0 * np.sum(paths.standard_error**2)


def net(h, bias, weights, visible):
    """A sigmoid belief net of one layer, whose biases are model parameters: slopes are affine in h but for logistics"""
    total = 0.0
    for i in range(weights.shape[0]):
        activity = bias[i]
        for k in range(weights.shape[1]):
            activity += weights[i, k] * h[k]
        total += visible[i] * activity - np.logaddexp(0.0, activity)
    return total - 0.7 * np.sum(h)


def test_slopes_of_a_model_are_followed():
    """Against the sum over all states, and with the variance that regression on the scores leaves of slopes"""
    rng = np.random.default_rng(4)
    weights, visible = rng.normal(size=(8, 6)), (rng.random(8) < 0.5).astype(float)
    bias, logits = 0.3 * rng.normal(size=8), rng.normal(size=6)
    q = vi.Product(h=vi.Bernoulli(logits=logits), bias=vi.Delta(bias))
    target = vi.Target(net, q.latents, (weights, visible))
    states = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    on = 1.0 / (1.0 + np.exp(-logits))
    chance = np.prod(np.where(states > 0.0, on, 1.0 - on), axis=1)
    slopes = target.gradient(np.column_stack([states, np.tile(bias, (len(states), 1))]))[:, 6:]
    exact = chance @ slopes
    whitened = (states - on) / np.sqrt(on * (1.0 - on))
    i, j = np.tril_indices(6, -1)
    known = dict(leave_one_out=np.ones((64, 1)), linear=np.column_stack([np.ones(64), whitened]))
    known["quadratic"] = np.column_stack([known["linear"], whitened[:, i] * whitened[:, j]])
    spread, n = {}, 50_000
    for name, basis in known.items():
        found = vi.elbo_gradient(target, q, n, estimator=name, rng=5)
        gradient, error = found.by_name["bias"], found.standard_error[6:]
        assert found.method == name and np.all(np.abs(gradient - exact) < 5 * error)
        root = np.sqrt(chance)[:, None]
        left = root * slopes - root * basis @ np.linalg.lstsq(root * basis, root * slopes, rcond=None)[0]
        spread[name] = np.sum(error**2) * n
        assert 0.9 < spread[name] / np.sum(left**2) < 1.3  # more is what the coefficients' noise adds
    assert spread["leave_one_out"] > 20.0 * spread["linear"] > 60.0 * spread["quadratic"]


def test_slopes_that_scores_follow_exactly_have_no_error():
    q = vi.Product(s=vi.Bernoulli(logits=[0.3, -0.5, 1.0]), theta=vi.Delta([0.7, -0.2]))

    def pairs(s, theta):
        return theta[0] * s[0] * s[1] + theta[1] ** 2 * (s[2] - s[0]) - np.sum(theta**2) + s[1]

    p = q["s"].probabilities
    found = vi.elbo_gradient(vi.Target(pairs, q.latents), q, 2000, estimator="quadratic", rng=0)
    exact = [p[0] * p[1] - 1.4, -0.4 * (p[2] - p[0]) + 0.4]
    np.testing.assert_allclose(found.by_name["theta"], exact, atol=1e-12)
    assert np.all(found.standard_error[3:] < 1e-12) and np.all(found.standard_error[3:] > 0.0)


def test_point_masses_in_a_space_that_runs_backwards_have_positive_errors():
    q = vi.Product(z=vi.MeanFieldGaussian([0.0], [1.0]), top=vi.Delta(-0.5, vi.less_than(1.0)))
    found = vi.elbo_gradient(vi.Target(lambda z, top: -((z[0] - top) ** 2), q.latents), q, 1000, rng=0)
    assert np.all(found.standard_error >= 0.0)
