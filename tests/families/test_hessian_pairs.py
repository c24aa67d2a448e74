"""Pairs of scores from slopes of log p, where there are too many for least squares.  Monte Carlo figures lie within 5
standard errors, a false alarm of 6e-7 each."""

import math

import numpy as np
import pytest
from scipy import special

import fastvi as vi
from fastvi import hessian_pairs
from fastvi.score_surrogates import owners

SIDE = 12
RNG = np.random.default_rng(5)
FIELD = 0.3 * RNG.normal(size=SIDE * SIDE)
COUPLING = np.zeros((SIDE * SIDE,) * 2)
for row in range(SIDE):
    for column in range(SIDE):
        for other in ((row + 1) % SIDE * SIDE + column, row * SIDE + (column + 1) % SIDE):
            COUPLING[row * SIDE + column, other] += 0.8
            COUPLING[other, row * SIDE + column] += 0.8


def boltzmann(z, field, coupling):
    return np.sum(field * z) + 0.5 * np.dot(z, coupling @ z)


def net(h, bias, weights, offsets, visible):
    """A sigmoid belief net of one layer"""
    activity = weights @ h + offsets
    return np.sum(bias * h) + np.sum(visible * activity - np.logaddexp(0.0, activity))


def test_a_machine_with_ten_thousand_pairs_is_exact():
    """144 units: log p is a polynomial of second order, and nothing is left of it"""
    q = vi.Bernoulli(logits=RNG.normal(size=SIDE * SIDE))
    target = vi.Target(boltzmann, q.dim, (FIELD, COUPLING))
    p = q.probabilities
    elbo = FIELD @ p + 0.5 * p @ COUPLING @ p + q.entropy()
    value, found = vi.elbo(target, q, 100_000, rng=0), vi.elbo_gradient(target, q, 100_000, rng=0)
    assert value.method == found.method == "quadratic_hessian"
    assert value.value == pytest.approx(elbo, abs=1e-9) and 1e-14 < value.standard_error < 1e-9
    logits = np.log(p) - np.log1p(-p)
    exact = p * (1.0 - p) * (FIELD + COUPLING @ p - logits)
    np.testing.assert_allclose(found.gradient, exact, atol=1e-10)
    best = vi.fit(target, q, rng=0)
    p = best.q.probabilities
    field = FIELD + COUPLING @ p
    np.testing.assert_allclose(p, 1.0 / (1.0 + np.exp(-field)), atol=1e-6)  # the fixed point of mean field
    assert best.converged and best.num_samples < 20_000


def test_a_net_of_200_units_has_a_hundredth_of_the_variance():
    bias, offsets = RNG.normal(size=200) - 1.0, RNG.normal(size=64)
    weights, visible = 0.2 * RNG.normal(size=(64, 200)), (RNG.random(64) < 0.5).astype(float)
    q = vi.Bernoulli(logits=RNG.normal(size=200))
    target = vi.Target(net, q.dim, (bias, weights, offsets, visible))
    plain = vi.elbo_gradient(target, q, 50_000, estimator="leave_one_out", rng=1)
    found = vi.elbo_gradient(target, q, 50_000, rng=2)
    error = np.hypot(plain.standard_error, found.standard_error)
    assert found.method == "quadratic_hessian" and np.all(np.abs(found.gradient - plain.gradient) < 5 * error)
    assert np.sum(plain.standard_error**2) > 100.0 * np.sum(found.standard_error**2)
    by_name = vi.elbo_gradient(target, q, 50_000, estimator="quadratic", rng=2)
    assert by_name.method == "quadratic_hessian" and np.array_equal(by_name.gradient, found.gradient)


def test_slopes_beside_other_factors():
    """Pairs of Bernoulli, Gaussian, full-rank and Poisson factors are told, scores of gamma factors are linear terms;
    nothing is left of those here"""
    count = 60

    def density(s, x, n, g, t, coupling):
        z = s + 0.3 * x
        total = 0.5 * np.dot(z, coupling @ z) - 0.5 * np.sum(x * x) + 0.05 * np.dot(n, s) - g[0]
        total += 0.3 * np.dot(t, x[:2]) - 0.2 * t[0] * s[5] - 0.5 * np.sum(t * t)
        for i in range(len(n)):
            total -= math.lgamma(n[i] + 1.0)
        return total

    q = vi.Product(
        s=vi.Bernoulli(logits=RNG.normal(size=count)),
        x=vi.MeanFieldGaussian(np.zeros(count), np.ones(count)),
        n=vi.Poisson(np.full(count, 2.0)),
        g=vi.Gamma([2.0], [1.0]),
        t=vi.FullRankGaussian([0.3, -0.2], [[0.9, 0.0], [0.5, 0.6]]),
    )
    coupling = 0.05 * RNG.normal(size=(count, count))
    target = vi.Target(density, q.latents, (coupling + coupling.T,))
    plain = vi.elbo_gradient(target, q, 50_000, estimator="leave_one_out", rng=1)
    found = vi.elbo_gradient(target, q, 50_000, estimator="quadratic", rng=2)
    error = np.hypot(plain.standard_error, found.standard_error)
    assert found.method == "quadratic_hessian" and np.all(np.abs(found.gradient - plain.gradient) < 5 * error)
    where = np.r_[q.parameter_spots[0], q.parameter_spots[1], q.parameter_spots[4]]
    assert np.all(found.standard_error[where] < 1e-3 * plain.standard_error[where])


def mixture(c, mu, pi, tau, x):
    """Three Gaussians, the assignments c among the latents"""
    total = 2.0 * np.sum(np.log(pi)) + 0.7 * math.log(tau) - tau - 0.02 * np.sum(mu**2)
    for i in range(len(x)):
        k = int(c[i])
        total += math.log(pi[k]) + 0.5 * math.log(tau) - 0.5 * (x[i] - mu[k]) ** 2
    return total


def mixture_q(x, rng):
    return vi.Product(
        c=vi.Categorical(logits=rng.normal(size=(len(x), 3))),
        mu=vi.MeanFieldGaussian([-2.0, 0.5, 3.0], [0.5, 0.7, 0.6]),
        pi=vi.Dirichlet([3.0, 4.0, 5.0]),
        tau=vi.Gamma(3.0, 2.0),
    )


def test_pairs_of_states_are_those_of_the_integrals():
    """E[log p w w'] of assignments and means or weights: sum_k q(c = k) w(k) times the integral over the other, which
    for -(x - mu_k)^2 / 2 in the scores of mu_k is ((x - m) s, -s^2 / sqrt 2), and for log pi_k the row k of L,
    F = L L'"""
    rng = np.random.default_rng(7)
    x = rng.normal(size=40) * 3.0
    q = mixture_q(x, rng)
    z = q.sample(hessian_pairs.DRAWS, rng=1)
    found = hessian_pairs.pairs(q, z, vi.Target(mixture, q.latents, (x,)).gradient)
    c, mu, pi = q["c"], q["mu"], q["pi"]
    values, p = c.blocks[0].states
    weights = p[:, :, None] * c.blocks[0].whitened(values)  # (k, assignments, scores)
    of_mu = np.stack([(x[:, None] - mu.loc) * mu.scale, np.broadcast_to(-(mu.scale**2) / np.sqrt(2.0), (40, 3))], -1)
    scores = q.score_spots
    exact = np.einsum("kis,ikt->iskt", weights, of_mu).reshape(80, 6)
    np.testing.assert_allclose(found[scores[0], scores[1]], exact, atol=1e-9)
    exact = np.einsum("kis,kt->ist", weights, pi.blocks[0].root[0]).reshape(80, 3)
    np.testing.assert_allclose(found[scores[0], scores[2]], exact, atol=1e-9)
    np.testing.assert_array_equal(found, found.T)
    assert not found[owners(q)[0][:, None] == owners(q)[0]].any() and not found[scores[0], scores[0]].any()


def test_a_mixture_of_a_hundred_assignments_is_exact():
    """log p is a polynomial of second order in the factors' scores: the ELBO of coordinate ascent by hand (Bishop
    2006, equations 10.46 to 10.61 with a known precision), in few draws"""
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(centre, 1.0, 33) for centre in (-4.0, 0.0, 4.0)])
    q = mixture_q(x, rng)
    target = vi.Target(mixture, q.latents, (x,))
    found = vi.elbo_gradient(target, q, 50_000, rng=0)
    plain = vi.elbo_gradient(target, q, 50_000, estimator="leave_one_out", rng=1)
    assert "quadratic_hessian" in found.method
    assert np.all(np.abs(found.gradient - plain.gradient) < 5.0 * np.hypot(found.standard_error, plain.standard_error))
    assert np.max(found.standard_error / plain.standard_error) < 1e-6
    best = vi.fit(target, q, rng=0)
    r = best.q["c"].probabilities
    for _ in range(200):
        counts = r.sum(axis=0)
        variance = 1.0 / (counts + 0.04)
        mean, log_pi = variance * (r.T @ x), special.digamma(3.0 + counts) - special.digamma(9.0 + len(x))
        log_r = log_pi - 0.5 * ((x[:, None] - mean) ** 2 + variance)
        r = np.exp(log_r - special.logsumexp(log_r, axis=1, keepdims=True))
    assert best.converged and best.num_samples < 100_000
    np.testing.assert_allclose(best.q["c"].probabilities, r, atol=1e-5)
    np.testing.assert_allclose(best.q["mu"].loc, mean, atol=1e-5)
    np.testing.assert_allclose(best.q["pi"].blocks[0].a[0], 3.0 + r.sum(axis=0), rtol=1e-6)
