"""Categorical factors: a document's topics, whose every number is known by enumeration, and indices in lanes."""

import math
import pickle

import numpy as np
import pytest

import fastvi as vi

import naive
from factor_cases import DOCUMENT, document, mixture

Q = vi.Categorical(probabilities=DOCUMENT["probabilities"])


def states(dim, k):
    """(k^dim, dim)"""
    return np.array(np.unravel_index(np.arange(k**dim), (k,) * dim)).T.astype(float)


def test_what_it_says_of_itself():
    z = states(6, 3)
    log_q = Q.log_prob(z)
    assert np.exp(log_q).sum() == pytest.approx(1.0, abs=1e-13)
    assert Q.entropy() == pytest.approx(-np.exp(log_q) @ log_q, abs=1e-12)
    np.testing.assert_allclose(Q.mean, np.exp(log_q) @ z)
    np.testing.assert_allclose(Q.stddev**2, np.exp(log_q) @ (z - Q.mean) ** 2)
    np.testing.assert_allclose(Q.target.value(z), log_q, rtol=1e-13)
    np.testing.assert_allclose(Q.scores_at(z[::50]), naive.scores(Q, z[::50]), atol=1e-8)
    whitened = Q.whitened(z)
    np.testing.assert_allclose(whitened.T @ (np.exp(log_q)[:, None] * whitened), np.eye(12), atol=1e-12)
    np.testing.assert_allclose(Q.with_natural(Q.natural).probabilities, Q.probabilities)
    assert np.array_equal(pickle.loads(pickle.dumps(Q)).parameters, Q.parameters)
    assert Q.log_prob(np.array([0.0, 1.0, 2.0, 3.0, 0.0, 0.5])) == -math.inf
    draws = Q.sample(100_000, rng=1)
    shares = np.stack([np.mean(draws == k, axis=0) for k in range(3)], axis=1)
    assert np.all(np.abs(shares - Q.probabilities) < 5 * 0.5 / math.sqrt(len(draws)))


@pytest.mark.parametrize("estimator", ["score", "leave_one_out", "optimal_baseline", "linear", "quadratic"])
def test_gradients_and_their_variances_are_the_exact_ones(estimator):
    n = 200_000
    found = vi.elbo_gradient(document(), Q, n, estimator=estimator, rng=0)
    assert np.all(np.abs(found.gradient - DOCUMENT["gradient"]) < 5 * found.standard_error)
    assert abs(found.elbo.value - DOCUMENT["elbo"]) < 5 * found.elbo.standard_error
    more = {"linear": 0.05, "quadratic": 0.15}.get(estimator, 0.0)  # what the fit of a surrogate costs
    ratio = found.standard_error**2 * n / DOCUMENT["variance"][estimator]
    assert np.all(np.abs(ratio - 1.0 - more) < 0.2)


def test_divergences_by_enumeration():
    p, z = vi.Categorical(logits=np.linspace(-1, 1, 18).reshape(6, 3) ** 3), states(6, 3)
    a, b = np.exp(Q.log_prob(z)), np.exp(p.log_prob(z))
    assert vi.kl_divergence(Q, p).value == pytest.approx(a @ np.log(a / b), rel=1e-11)
    assert vi.divergence(Q, p, "hellinger").value == pytest.approx(1.0 - np.sum(np.sqrt(a * b)), rel=1e-11)
    assert vi.divergence(Q, p, "chi2").value == pytest.approx(np.sum(b**2 / a) - 1.0, rel=1e-11)


def test_a_document_is_fitted():
    target, z = document(), states(6, 3)
    log_p = target.value(z)
    log_evidence = math.log(np.sum(np.exp(log_p)))
    assert log_evidence == pytest.approx(DOCUMENT["log_evidence"], abs=1e-12)
    found = vi.fit(target, vi.Categorical(logits=np.zeros((6, 3))), rng=0)
    log_q = found.q.log_prob(z)
    reached = np.exp(log_q) @ (log_p - log_q)
    best = -math.inf  # exact coordinate ascent from there, over all states
    p = found.q.probabilities.copy()
    for _ in range(200):
        for i in range(6):
            others = np.prod([p[j, z[:, j].astype(int)] for j in range(6) if j != i], axis=0)
            logits = np.array([others[z[:, i] == k] @ log_p[z[:, i] == k] for k in range(3)])
            p[i] = np.exp(logits - logits.max()) / np.sum(np.exp(logits - logits.max()))
    log_q = np.sum(np.log(p[np.arange(6), z.astype(int)]), axis=1)
    best = np.exp(log_q) @ (log_p - log_q)
    assert found.converged and best - 0.002 < reached <= best + 1e-12 and found.elbo.value < log_evidence


def test_a_mixture_is_fitted_as_its_closed_updates_say():
    """Bishop 2006, section 10.2, with unit precisions: r_ik ~ exp(x_i m_k - (m_k^2 + v_k) / 2)."""
    x = np.array([-2.0, -2.1, 0.5, 3.0, 3.2, 2.5])
    slopes = vi.MeanFieldGaussian([-1.0, 1.0], [1.0, 1.0])
    q = vi.Product(z=vi.Categorical(logits=np.zeros((6, 2))), mu=slopes)
    target = vi.Target(mixture, q.latents, (x,))
    assert "vectorised" in target.explain()
    found = vi.fit(target, q, rng=0)
    m, v = found.q["mu"].loc, found.q["mu"].scale ** 2
    for _ in range(500):
        logits = x[:, None] * m - 0.5 * (m**2 + v)
        r = np.exp(logits - logits.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        v = 1.0 / (1.0 + r.sum(axis=0))
        m = v * (r.T @ x)
    assert found.converged and found.gain + found.blur < 1e-9
    np.testing.assert_allclose(found.q["mu"].loc, m, atol=1e-6)
    np.testing.assert_allclose(found.q["z"].probabilities, r, atol=1e-6)


def test_indices_in_lanes():
    rng = np.random.default_rng(0)
    table, row, z = rng.normal(size=(4, 3)), rng.normal(size=3), rng.integers(0, 3, (500, 5)).astype(float)

    def looked_up(z, table, row):
        total = 0.0
        for i in range(len(z)):
            k = int(z[i])
            total += row[k] * table[2, k] + table[i % 4][int(z[0])] + z[int(z[i])]
        return total

    target = vi.Target(looked_up, 5, (table, row))
    assert "vectorised" in target.explain()
    np.testing.assert_allclose(target.value(z), [looked_up(each, table, row) for each in z], rtol=1e-13)
    z[77, 2] = -1.0  # as in Python, from the end
    assert target.value(z)[77] == pytest.approx(looked_up(z[77], table, row))
    for wrong, error in ((3.0, IndexError), (-4.0, IndexError), (math.nan, ValueError), (1e300, IndexError)):
        z[77, 2] = wrong
        with pytest.raises(error, match="raised by the log density looked_up at draw 77"):
            vi.Target(lambda z, row: row[int(z[2])], 5, (row,), name="looked_up").value(z)
    np.testing.assert_array_equal(target.gradient(z[0]), np.bincount(z[0].astype(int), minlength=5))  # of z[int(z[i])]
    of_data = vi.Target(lambda z, row: z[1] * row[int(z[0])], 2, (row,))
    np.testing.assert_array_equal(of_data.gradient([[0.0, 3.0], [2.0, 4.0]]), [[0.0, row[0]], [0.0, row[2]]])
    assert of_data.density.gradients().vectorised and not of_data.density.gradients().smooth


def test_a_pilot_may_cost_what_the_tolerance_costs():
    """A chain of seven states, whose pairs a surrogate holds: plain draws to 0.003 would be millions"""
    rng = np.random.default_rng(3)
    step, given = rng.normal(size=(3, 3)), rng.normal(size=(7, 3))

    def chain(z, step, given):
        total = given[0, int(z[0])]
        for i in range(1, 7):
            total += 3.0 * step[int(z[i - 1]), int(z[i])] + given[i, int(z[i])]
        return total

    q, target = vi.Categorical(logits=rng.normal(size=(7, 3))), vi.Target(chain, 7, (step, given))
    p = q.probabilities
    exact = np.sum(p * given) + 3.0 * np.einsum("ia,ib,ab->", p[:-1], p[1:], step) + q.entropy()
    found = vi.elbo(target, q, 1000, atol=0.003, rng=0)
    assert found.method == "quadratic" and found.num_samples < 10_000
    assert found.value == pytest.approx(exact, abs=1e-10)
    slopes = vi.elbo_gradient(target, q, 1000, atol=0.003, rng=0)
    assert slopes.method == "quadratic" and slopes.num_samples < 10_000


def test_plain_draws_that_do_not_hold_a_rare_value_are_not_reliable():
    target = vi.Target(lambda z: 300.0 * z[0] + 0.3 * z[1], 2)
    rare = vi.Bernoulli(logits=[-15.0, 0.3])
    found = vi.elbo(target, rare, 200_000, estimator="plain", rng=0)
    exact = 300.0 * rare.probabilities[0] + 0.3 * rare.probabilities[1] + rare.entropy()
    assert abs(found.value - exact) > 5.0 * found.standard_error and not found.interval_reliable
    assert "not reliable" in repr(found)
    assert not vi.elbo(target, rare, 4096, estimator="plain", draws="antithetic", rng=0).interval_reliable
    common = vi.Bernoulli(logits=[-2.0, 0.3])
    assert vi.elbo(target, common, 200_000, estimator="plain", rng=0).interval_reliable
    assert vi.elbo(target, rare, 200_000, rng=0).value == pytest.approx(exact, abs=1e-9)


def test_latents_by_index_in_lanes():
    """A mixture's ``W[k, j]`` with k = int(c[i]), its gradient against differences of the Python function."""
    rng = np.random.default_rng(1)
    y, latents = rng.normal(size=5), dict(c=(5,), mu=(3,), W=(3, 3))

    def of_items(c, mu, W, y):
        total = 0.0
        for i in range(len(y)):
            k = int(c[i])
            total -= 0.5 * (y[i] - mu[k] * W[k, 1]) ** 2 * W[1, k] + W[int(c[0]), k] * mu[k] * mu[-1]
        return total

    def of_rows(c, mu, W, y):
        total = 0.0
        for i in range(len(y)):
            total -= np.sum((y[i] * mu - W[int(c[i])]) ** 2)
        return total

    z = np.concatenate([rng.integers(0, 3, (70, 5)), rng.normal(size=(70, 12))], axis=1)
    for f, lanes in ((of_items, True), (of_rows, False)):
        target = vi.Target(f, latents, (y,))
        value, slopes = target.value_and_grad(z)
        assert target.density.gradients().vectorised == lanes

        def plain(z, f=f):
            return [f(each[:5], each[5:8], each[8:].reshape(3, 3), y) for each in z]

        np.testing.assert_allclose(value, plain(z), rtol=1e-13)
        np.testing.assert_array_equal(slopes[:, :5], 0.0)
        for j in range(5, 17):
            step = np.where(np.arange(17) == j, 1e-5, 0.0)
            by_differences = np.subtract(plain(z + step), plain(z - step)) / 2e-5
            np.testing.assert_allclose(slopes[:, j], by_differences, rtol=1e-6, atol=1e-7)
        alone = np.concatenate([target.gradient(each[None]) for each in z[:3]])
        np.testing.assert_array_equal(slopes[:3], alone)
    z[33, 2] = 3.0
    with pytest.raises(IndexError, match="at draw 33"):
        vi.Target(of_items, latents, (y,)).value_and_grad(z)


def test_refusals():
    calls = [
        (lambda: vi.Categorical(), "exactly one of the two"),
        (lambda: vi.Categorical(logits=[[0.0], [1.0]]), "two categories at least"),
        (lambda: vi.Categorical(probabilities=[[0.5, 0.6]]), "add up to 1"),
        (lambda: vi.Categorical(probabilities=[[0.0, 1.0]]), "rows of positive values"),
    ]
    for call, message in calls:
        with pytest.raises((ValueError, TypeError), match=message):
            call()
    assert vi.Product(k=vi.Categorical(logits=[0.0, 1.0])).latents == {"k": ()}
