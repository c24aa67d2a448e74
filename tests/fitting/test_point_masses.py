"""Fits of model parameters: variational EM ends at the maximum likelihood where q can be exact."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import norm

import fastvi as vi

from factor_cases import NET, belief_net, states

RNG = np.random.default_rng(1)
S = RNG.uniform(0.5, 1.5, 12)
Y = RNG.normal(2.0, 1.3, 12) + S * RNG.normal(size=12)


def random_effects(z, m, tau, y, s):
    return np.sum(vi.normal_logpdf(y, z, s)) + np.sum(vi.normal_logpdf(z, m, tau))


def marginal(m, tau):
    """log p(y | m, tau) of y_i ~ N(m, s_i^2 + tau^2)"""
    return norm.logpdf(Y, m, np.sqrt(S**2 + tau**2)).sum()


@pytest.mark.parametrize("start", [1.0, 20.0])
def test_random_effects_end_at_the_maximum_likelihood(start, tmp_path):
    best = minimize(lambda p: -marginal(p[0], np.exp(p[1])), [2.0, 0.0], tol=1e-12)
    target = vi.Target(random_effects, {"z": vi.real(12), "m": vi.real(), "tau": vi.positive()}, (Y, S))
    q = vi.Product(z=vi.MeanFieldGaussian(np.zeros(12), np.ones(12)), m=vi.Delta(0.0), tau=vi.Delta(start))
    found = vi.fit(target, q, tolerance=1e-6, rng=0)
    there = marginal(float(found.q["m"].value), float(found.q["tau"].value))
    assert found.converged and found.gain + 1.5 * found.blur < 1e-6 and found.num_samples < 15_000
    assert -best.fun - there < 1e-6 and found.elbo.value == pytest.approx(there, abs=2e-6)
    assert found.q["tau"].value > 0.0 and found.draws(10)["tau"].std() < 1e-12
    found.save(tmp_path / "fit.npz")
    again = vi.load(tmp_path / "fit.npz").q
    assert repr(again) == repr(found.q) and np.array_equal(again.parameters, found.q.parameters)


def test_principal_components_are_those_of_the_eigenvalues():
    """Probabilistic PCA with one component: log p = -N/2 (3 log 2 pi + log l_1 + 2 log s2 + 3), with l the eigenvalues
    of the covariance and s2 the mean of the last two (Tipping and Bishop 1999, equations 6 to 8)."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(10, 1)) * [1.5, -0.7, 0.4] + 0.5 * rng.normal(size=(10, 3))
    values = np.linalg.eigvalsh(x.T @ x / 10)[::-1]
    s2 = values[1:].mean()
    best = -5.0 * (3 * np.log(2 * np.pi) + np.log(values[0]) + 2 * np.log(s2) + 3)

    def density(z, w, sigma, x):
        total = np.sum(vi.normal_logpdf(z, 0.0, 1.0))
        for n in range(x.shape[0]):
            for j in range(3):
                total += vi.normal_logpdf(x[n, j], z[n] * w[j], sigma)
        return total

    q = vi.Product(
        z=vi.MeanFieldGaussian(np.zeros(10), np.ones(10)),
        w=vi.Delta([1.0, 0.1, 0.1]),
        sigma=vi.Delta(1.0, vi.positive()),
    )
    found = vi.fit(vi.Target(density, q.latents, (x,)), q, tolerance=1e-6, rng=0)
    assert found.converged and found.elbo.value == pytest.approx(best, abs=2e-6)
    assert float(found.q["sigma"].value) ** 2 == pytest.approx(s2, rel=1e-3)
    assert found.q["w"].value @ found.q["w"].value == pytest.approx(values[0] - s2, rel=1e-3)


def net(h, b0, W2, b2, b1, W1, v):
    """A belief net, its visible biases with a prior N(0, 1)"""
    return belief_net(h, W2, b2, b1, W1, b0, v) - 0.5 * np.sum(b0 * b0)


def net_case():
    data = {name: np.array(value, float) for name, value in NET["data"].items() if name != "energy"}
    q = vi.Product(h=vi.Bernoulli(logits=NET["logits"]), b0=vi.Delta(np.zeros(8)))
    arrays = (*(data[k] for k in ("W2", "b2", "b1", "W1")), data["v"][0])
    return vi.Target(net, q.latents, arrays), q


def exact(target, q):
    """The ELBO of all states"""
    h = states(9)
    z = np.concatenate([h, np.broadcast_to(q["b0"].value, (len(h), 8))], axis=1)
    log_q = q.log_prob(z)
    return np.exp(log_q) @ (target.value(z) - log_q)


def test_binary_latents_and_parameters_together():
    """No q and theta near there have an ELBO, summed over all 512 states, that is better by more than was promised."""
    target, q = net_case()
    found = vi.fit(target, q, tolerance=1e-3, rng=0)
    reached = exact(target, found.q)
    assert found.converged and abs(found.elbo.value - reached) < 5 * found.elbo.standard_error
    start = found.q.parameters
    climbed = minimize(
        lambda p: -exact(target, q.with_parameters(p)), start, method="L-BFGS-B", options=dict(maxfun=2000)
    )
    assert -climbed.fun - reached < 1e-3 and reached > exact(target, q) + 1.0
    assert np.all((found.q["h"].probabilities > 0.5) == (expit(climbed.x[:9]) > 0.5))


def test_an_objective_chooses_an_estimator_for_every_q():
    target, q = net_case()
    bank = vi.Objective(target, q, 4000, rng=0)
    assert bank.estimator == "bank"
    x = q.parameters + 0.1
    value, gradient = bank.value_and_grad(x)
    moves = 1e-5 * np.eye(len(x))
    differences = np.array([(bank.value(x + move) - bank.value(x - move)) / 2e-5 for move in moves])
    np.testing.assert_allclose(gradient, differences, atol=1e-6)
    assert value == pytest.approx(exact(target, q.with_parameters(x)), abs=0.2)
    p = vi.Product(z=vi.MeanFieldGaussian(np.zeros(12), np.ones(12)), m=vi.Delta(0.0), tau=vi.Delta(1.0))
    smooth = vi.Target(random_effects, {"z": vi.real(12), "m": vi.real(), "tau": vi.positive()}, (Y, S))
    paths = vi.Objective(smooth, p, 500, rng=0)
    assert paths.estimator == "pathwise" and paths.q(paths.parameters)["tau"].space == vi.positive()
    best = minimize(paths.negative_value_and_grad, paths.parameters, jac=True, method="L-BFGS-B")
    end = paths.q(best.x)
    assert marginal(float(end["m"].value), float(end["tau"].value)) > -23.6
    mixed = vi.Objective(target, q, 2000, estimator="mixed", rng=0)
    value, gradient = mixed.value_and_grad(mixed.parameters, step=3)
    assert np.isfinite(gradient).all()


def test_a_point_mass_alone_is_at_the_mode():
    target = vi.Target(lambda z: -np.sum((z - 5.0) ** 2) - np.exp(z[0] - 4.0), 2)
    found = vi.fit(target, vi.Delta([1.0, 3.0]), tolerance=1e-8, rng=0)
    assert found.converged and np.max(np.abs(target.gradient(found.q.value))) < 1e-3
    assert found.elbo.value == pytest.approx(target.value(found.q.value), abs=1e-12)
    no_gradient = vi.Target.from_batched(lambda z: -np.sum((z - 5.0) ** 2, axis=1), 2)
    found = vi.fit(no_gradient, vi.Delta([1.0, 3.0]), rng=0)
    np.testing.assert_allclose(found.q.value, 5.0, atol=1e-4)


def mixture(c, mu, sd, w, x):
    """Two Gaussians, the assignments c among the latents"""
    total = 0.0
    for i in range(len(x)):
        k = int(c[i])
        total += np.log(w if k == 0 else 1.0 - w) + vi.normal_logpdf(x[i], mu[k], sd[k])
    return total


@pytest.mark.parametrize("seed", range(4))
def test_a_mixture_by_variational_em(seed):
    """EM by hand (Dempster, Laird and Rubin 1977) has the same maximum, but for what certain assignments lose by the
    limit of logits, 40 (1 + 15) exp(-15) at most; the fit says how far it is from there to within a third"""
    rng = np.random.default_rng(14)
    x = np.where(rng.random(40) < 0.4, rng.normal(-2.0, 0.7, 40), rng.normal(2.0, 1.2, 40))
    q = vi.Product(
        c=vi.Categorical(logits=0.1 * rng.normal(size=(40, 2))),
        mu=vi.Delta([-1.0, 1.0]), sd=vi.Delta(np.ones(2), vi.positive(2)), w=vi.Delta(0.5, vi.unit()),
    )  # fmt: skip
    found = vi.fit(vi.Target(mixture, q.latents, (x,)), q, rng=seed)
    mu, sd, w = np.array([-1.0, 1.0]), np.ones(2), 0.5
    for _ in range(3000):
        joint = np.log([w, 1.0 - w]) + norm.logpdf(x[:, None], mu, sd)
        r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        counts = r.sum(axis=0)
        mu, w = r.T @ x / counts, counts[0] / 40
        sd = np.sqrt((r * (x[:, None] - mu) ** 2).sum(axis=0) / counts)
    short = logsumexp(joint, axis=1).sum() - found.elbo.value
    assert found.converged and found.num_samples < 100_000
    assert -1e-9 < short < 2e-4 + 1.33 * found.gain
