"""Fits of products of factors: the optimum that exact coordinate ascent finds, and what is said of it."""

import math

import numpy as np
import pytest
from scipy import optimize, special

import fastvi as vi

from factor_cases import NET, SK, coordinate_ascent, mixed, slab, slab_data, states, target_of


def counted(n, rate, y):
    """Numbers of events, of which y tells with an error: log p bends in n itself"""
    total = np.log(rate) - rate
    for i in range(len(y)):
        total += n[i] * np.log(rate) - rate - math.lgamma(n[i] + 1.0) - 0.5 * ((y[i] - n[i]) / 2.0) ** 2
    return total


def test_full_steps_that_go_round_in_circles_are_shortened():
    """Of Poisson factors, whose squares no score follows: 400,000 draws did not do before.  The ELBO in closed form"""
    y = np.array([2.0, 3.4, 9.1, 0.4, 1.9, 6.8])
    q = vi.Product(n=vi.Poisson(np.full(6, 3.0)), rate=vi.Gamma(3.0, 1.0))
    found = vi.fit(vi.Target(counted, q.latents, (y,)), q, rng=0, tolerance=0.005, max_samples=400_000)

    def elbo(v):
        m, (a, b) = np.exp(v[:6]), np.exp(v[6:])
        log_rate, rate = special.digamma(a) - np.log(b), a / b
        total = (1.0 + m.sum()) * log_rate - 7.0 * rate - np.sum((y - m) ** 2 + m) / 8.0
        entropy = a - np.log(b) + special.gammaln(a) + (1.0 - a) * special.digamma(a)
        return total + entropy + np.sum(m - m * np.log(m))

    best = -optimize.minimize(lambda v: -elbo(v), np.zeros(8)).fun
    assert found.converged and elbo(found.q.parameters) > best - 0.01
    assert abs(found.elbo.value - elbo(found.q.parameters)) < 5 * found.elbo.standard_error


def schools(theta, mu, tau, y, error):
    """The eight schools, centred: slopes in tau have heavy tails"""
    total = np.sum(vi.normal_logpdf(y, theta, error)) + np.sum(vi.normal_logpdf(theta, mu, tau))
    return total + vi.normal_logpdf(mu, 0.0, 5.0) - np.log1p((tau / 5.0) ** 2)


@pytest.mark.parametrize("wide", [0.7, 7.0])
def test_slopes_go_on_where_coordinate_ascent_does_not_settle(wide):
    """A log-normal factor is a Gaussian of log tau, whose fit has another way; a gamma factor cannot be much worse"""
    data = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    normals = dict(theta=vi.MeanFieldGaussian(np.zeros(8), np.full(8, wide)), mu=vi.MeanFieldGaussian(0.0, wide))
    declared = vi.Target(schools, dict(theta=vi.real(8), mu=vi.real(), tau=vi.positive()), data)
    best = vi.fit(declared, "mean_field", rng=0)
    q = vi.Product(**normals, tau=vi.LogNormal(0.0, 1.0))
    target = vi.Target(schools, q.latents, data)
    found = vi.fit(target, q, rng=1)
    assert found.converged and found.method == "lbfgs"
    ends = [vi.elbo(t, end.q, 400_000, rng=3) for t, end in ((declared, best), (target, found))]
    error = math.hypot(*(end.standard_error for end in ends))
    assert abs(ends[0].value - ends[1].value) < 5 * error + best.gain + best.blur + found.gain + found.blur
    q = vi.Product(**normals, tau=vi.Gamma(2.0, 1.0))
    other = vi.fit(target, q, rng=1)
    assert other.converged and abs(other.elbo.value - ends[1].value) < 0.2


def test_methods_of_products_by_name():
    q = vi.Product(z=vi.MeanFieldGaussian([0.0], [1.0]), s=vi.Bernoulli(logits=[0.0]))
    target = vi.Target(lambda z, s: -0.5 * (z[0] - s[0]) ** 2, q.latents)
    with pytest.raises(ValueError, match=r"s \(Bernoulli\) has none; leave method out"):
        vi.fit(target, q, method="lbfgs")
    q = vi.Product(z=vi.Gamma([2.0], [1.0]))
    found = vi.fit(vi.Target(lambda z: 3.0 * np.log(z[0]) - 2.0 * z[0], q.latents), q, method="lbfgs", rng=0)
    assert found.converged and found.q["z"].mean[0] == pytest.approx(2.0, abs=0.05)  # Gamma(4, 2)
    for most in (200, 1000, 3000):
        part = vi.fit(vi.Target(lambda z: 3.0 * np.log(z[0]) - 2.0 * z[0], q.latents), q, rng=0, max_samples=most)
        assert part.num_samples <= most


def test_a_boltzmann_machine_is_fitted_to_its_fixed_point():
    target, q = target_of(SK), vi.Bernoulli(logits=SK["logits"])
    logits, elbo = coordinate_ascent(target.value(states(6)), states(6), SK["logits"])
    found = vi.fit(target, q, rng=0)
    assert found.converged and found.method == "coordinate_ascent" and found.num_samples < 1000
    np.testing.assert_allclose(found.q.logits, logits, atol=1e-10)
    assert found.elbo.value == pytest.approx(elbo, abs=1e-12) and found.gain + found.blur < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_a_belief_net_is_fitted_within_the_tolerance(seed):
    target, q = target_of(NET), vi.Bernoulli(logits=NET["logits"])
    _, elbo = coordinate_ascent(target.value(states(9)), states(9), NET["logits"])
    found = vi.fit(target, q, tolerance=1e-3, rng=seed)
    log_q = found.q.log_prob(states(9))
    reached = np.exp(log_q) @ (target.value(states(9)) - log_q)
    assert found.converged and found.gain + 1.5 * found.blur < 1e-3 and elbo - reached < 1e-3
    assert abs(found.elbo.value - reached) < 5 * found.elbo.standard_error


def test_binary_and_gaussian_latents_together():
    """Products of four factors, of which a surrogate follows pairs; no other start of 24 ends above this one."""
    q = mixed()
    target = vi.Target(slab, q.latents, slab_data())
    found = vi.fit(target, q, rng=0)
    assert found.converged and found.q["s"].probabilities[0] > 0.999
    gradient = vi.elbo_gradient(target, found.q, 400_000, estimator="quadratic", rng=1)
    slope = gradient.gradient * found.q.steps
    assert 0.5 * np.sum(slope**2) < 0.01
    draws = found.draws(1000)
    assert draws["s"].shape == (1000, 3) and set(np.unique(draws["s"])) <= {0.0, 1.0}
    assert found.summary().index[0] == "theta[0]" and found.diagnosis.misfit is not None


def test_a_fit_goes_on_from_its_checkpoint(tmp_path):
    target, q = target_of(NET), vi.Bernoulli(logits=NET["logits"])
    whole = vi.fit(target, q, rng=3)
    path = tmp_path / "fit"
    part = vi.fit(target, q, rng=3, max_rounds=1, checkpoint=path)
    assert not part.converged and "stopped after 1 round" in part.message
    again = vi.fit(target, q, checkpoint=path)
    assert np.array_equal(again.q.logits, whole.q.logits) and again.elbo == whole.elbo


def test_what_a_fit_refuses():
    target, q = target_of(SK), vi.Bernoulli(logits=SK["logits"])
    with pytest.raises(ValueError, match="'newton' does not fit product approximations; use"):
        vi.fit(target, q, method="newton")
    with pytest.raises(ValueError, match="start: a product of factors is where its fit starts"):
        vi.fit(target, q, start=np.zeros(6))
    assert "out of draws" in vi.fit(target, q, max_samples=100, rng=0).message
    hard = vi.Target(lambda z: -np.inf if z[0] + z[1] > 1.5 else 0.0, 2)
    assert "not finite" in vi.fit(hard, vi.Bernoulli(logits=[0.0, 0.0]), rng=0).message


def test_a_saved_product_loads_to_the_same_bits(tmp_path):
    def log_density(s, theta, tau, c, p):
        return -0.5 * tau * np.sum((s - theta) ** 2) + np.log(tau) - tau + 0.3 * c - p[0] ** 2

    q = vi.Product(
        s=vi.Bernoulli(logits=[0.5, -1.0]), theta=vi.MeanFieldGaussian([0.1, 0.2], [1.0, 1.5]), tau=vi.Gamma(2.0, 1.7),
        c=vi.Categorical(probabilities=[0.2, 0.3, 0.5]), p=vi.Dirichlet([1.0, 2.1, 3.0]),
    )  # fmt: skip
    found = vi.fit(vi.Target(log_density, q.latents), q, rng=0, max_rounds=1)
    found.save(tmp_path / "fit.npz")
    again = vi.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.q.parameters, found.q.parameters)
    assert again.summary(500).columns == found.summary(500).columns and repr(again.q) == repr(found.q)
    assert repr(again.parameters) == repr(found.parameters)
