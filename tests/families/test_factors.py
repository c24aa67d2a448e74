"""Bernoulli factors and products: what they are, and that every estimator and diagnostic takes them.

Monte Carlo figures lie within 5 standard errors, a false alarm of 6e-7 each.
"""

import concurrent.futures
import math
import pickle

import numpy as np
import pytest

import fastvi as vi
from fastvi import score_surrogates
from fastvi.score_surrogates import fit

import naive
from factor_cases import CASES, NET, SK, mixed, slab, slab_data, states, target_of

Q = vi.Bernoulli(logits=SK["logits"])
TARGET = target_of(SK)


def test_draws_are_a_cut_of_the_same_normals():
    eps, cuts = naive.normals(50, 6, vi.rng.key_from(3).word), np.array([b.cut for b in Q.blocks])[0]
    assert np.array_equal(Q.sample(50, rng=3), (eps < cuts).astype(float))
    z = Q.sample(200_000, rng=4)
    assert np.all(np.abs(z.mean(axis=0) - Q.probabilities) < 5 * Q.stddev / math.sqrt(len(z)))


def test_a_surrogate_is_the_same_from_blocks_and_from_products(monkeypatch):
    """A Boltzmann machine is one of its own, so least squares end at rounding however they are done."""
    z = Q.sample(400, rng=0)
    whole = fit(Q, z, TARGET.value(z) - Q.log_prob(z), "quadratic")
    for name, value in (("EXPLICIT", 1000), ("NORMAL", 0.0)):
        monkeypatch.setattr(score_surrogates, name, value)
        found = fit(Q, z, TARGET.value(z) - Q.log_prob(z), "quadratic")
        np.testing.assert_allclose(found.linear, whole.linear, atol=1e-10)
        np.testing.assert_allclose(found.pairs, whole.pairs, atol=1e-10)


def test_what_it_says_of_itself():
    z = states(6)
    log_q = Q.log_prob(z)
    assert np.exp(log_q).sum() == pytest.approx(1.0, abs=1e-14)
    assert Q.entropy() == pytest.approx(-np.exp(log_q) @ log_q, abs=1e-13)
    assert Q.log_prob(np.full(6, 0.5)) == -math.inf
    np.testing.assert_allclose(Q.target.value(z), log_q, rtol=1e-13)
    np.testing.assert_allclose(Q.scores_at(z), naive.scores(Q, z), atol=1e-8)
    same = vi.Bernoulli(probabilities=Q.probabilities)
    np.testing.assert_allclose(same.with_parameters(Q.parameters).logits, Q.logits)
    np.testing.assert_allclose(Q.with_natural(Q.natural).mean_statistics[:, 0], Q.mean)
    assert np.array_equal(pickle.loads(pickle.dumps(mixed())).parameters, mixed().parameters)
    one = vi.Product(a=vi.Bernoulli(logits=0.3), b=vi.MeanFieldGaussian(0.0, 1.0))
    again = pickle.loads(pickle.dumps(one.with_parameters(one.parameters)))
    assert again.latents == {"a": (), "b": ()} and again["a"].probabilities[0] == one["a"].mean[0]


@pytest.mark.parametrize("case", [SK, NET], ids=["SK", "net"])
@pytest.mark.parametrize("estimator", ["score", "leave_one_out", "optimal_baseline", "linear", "quadratic"])
def test_gradients_and_their_variances_are_the_exact_ones(case, estimator):
    q, n = vi.Bernoulli(logits=case["logits"]), 200_000
    found = vi.elbo_gradient(target_of(case), q, n, estimator=estimator, rng=0)
    assert found.method == estimator and np.all(found.standard_error > 0.0)
    assert np.all(np.abs(found.gradient - case["gradient"]) < 5 * found.standard_error)
    assert abs(found.elbo.value - case["elbo"]) < 5 * found.elbo.standard_error
    exact = np.array(case["variance"][estimator])
    if exact.max() < 1e-20:  # nothing is left of pairs
        assert np.max(np.abs(found.gradient - case["gradient"])) < 1e-13
    else:  # that of a fitted surrogate exceeds what the best one has, by an eighth as a rule
        more = 0.15 if estimator == "quadratic" else 0.0
        assert np.all(np.abs(found.standard_error**2 * n / exact - 1.0 - more) < 0.2)


def test_a_surrogate_has_the_exact_coefficients():
    z = Q.flattened(0.2).sample(500, rng=1)
    log_ratio = Q.log_prob(z) - Q.flattened(0.2).log_prob(z)
    found = fit(Q, z, TARGET.value(z) - Q.log_prob(z), "quadratic", log_ratio)
    np.testing.assert_allclose(found.linear, SK["degree_1"], atol=1e-12)
    i, j, pairs = np.array(SK["pairs"]).T
    np.testing.assert_allclose(found.pairs[i.astype(int), j.astype(int)], pairs, atol=1e-12)
    assert found.constant == pytest.approx(SK["elbo"], abs=1e-12)


def test_elbos():
    net, q = target_of(NET), vi.Bernoulli(logits=NET["logits"])
    for estimator in ("plain", "entropy", "linear", "quadratic", "auto"):
        found = vi.elbo(net, q, 50_000, estimator=estimator, rng=1)
        assert abs(found.value - NET["elbo"]) < 5 * found.standard_error
    assert found.method == "quadratic" and found.standard_error < 2e-4
    found = vi.elbo(net, q, 2000, atol=2e-4, rng=1)
    assert found.converged and abs(found.value - NET["elbo"]) < 5 * found.standard_error
    assert vi.elbo(net, q, 50_000, dtype="float32", rng=1).value == pytest.approx(NET["elbo"], abs=1e-3)
    gradient = vi.elbo_gradient(net, q, 4000, atol=1e-3, rng=1)
    assert gradient.converged and np.all(np.abs(gradient.gradient - NET["gradient"]) < 5e-3)


@pytest.mark.parametrize("draws", ["antithetic", "sobol"])
def test_dependent_draws(draws):
    net, q = target_of(NET), vi.Bernoulli(logits=NET["logits"])
    for estimator in ("plain", "entropy", "quadratic"):
        found = vi.elbo(net, q, 8192, estimator=estimator, draws=draws, rng=2)
        assert abs(found.value - NET["elbo"]) < 8 * found.standard_error  # of 3.5 degrees of freedom
    found = vi.elbo_gradient(net, q, 8192, estimator="leave_one_out", draws=draws, rng=2)
    assert np.all(np.abs(found.gradient - NET["gradient"]) < 8 * found.standard_error)


def test_the_same_bits_on_threads_and_executors():
    net, q = target_of(NET), vi.Bernoulli(logits=NET["logits"])
    options = dict(num_samples=20_000, estimator="quadratic", rng=5)
    one = vi.elbo_gradient(net, q, **options, num_threads=1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        others = [vi.elbo_gradient(net, q, **options, **where) for where in (dict(num_threads=2), dict(executor=pool))]
    for other in others:
        assert np.array_equal(one.gradient, other.gradient) and one.elbo == other.elbo


def test_a_product_of_gaussians_is_the_gaussian():
    loc, scale = np.array([0.2, -0.4, 1.0]), np.array([0.7, 1.1, 0.5])
    target = vi.Target(lambda z: -0.5 * np.sum(z * z) - 0.1 * np.exp(z[0]) * z[1], 3)
    q = vi.MeanFieldGaussian(loc, scale)
    p = vi.Product([vi.MeanFieldGaussian(loc[:1], scale[:1]), vi.MeanFieldGaussian(loc[1:], scale[1:])])
    order = [0, 3, 1, 2, 4, 5]
    for estimator in ("score", "leave_one_out"):
        a, b = (vi.elbo_gradient(target, each, 5000, estimator=estimator, rng=1) for each in (q, p))
        np.testing.assert_allclose(b.gradient, a.gradient[order], rtol=1e-9)
        np.testing.assert_allclose(b.standard_error, a.standard_error[order], rtol=1e-9)
    exact = vi.elbo_gradient(target, q, 200_000, rng=2)
    for estimator in ("quadratic", "cubic"):
        b = vi.elbo_gradient(target, p, 200_000, estimator=estimator, rng=3)
        error = np.hypot(b.standard_error, exact.standard_error[order])
        assert np.all(np.abs(b.gradient - exact.gradient[order]) < 5 * error)
    assert b.method == "cubic" and vi.kl_divergence(p, q).value == pytest.approx(0.0, abs=1e-30)


def test_named_latents():
    """They are the flat z, cut and by name in any order; the surrogate follows pairs of a slope's square."""
    X, y = slab_data()
    q = mixed()
    named = vi.Target(slab, q.latents, (X, y))
    flat = vi.Target(lambda z, X, y: slab(z[:3], z[3:], X, y), 6, (X, y))
    swapped = vi.Target(lambda s, theta, X, y: slab(theta, s, X, y), q.latents, (X, y))
    assert "vectorised" in named.explain()
    a, b, c = (vi.elbo_gradient(t, q, 20_000, estimator="leave_one_out", rng=1) for t in (named, flat, swapped))
    assert np.array_equal(a.gradient, b.gradient) and np.array_equal(a.gradient, c.gradient)
    assert np.array_equal(a.by_name["s"], a.gradient[6:])
    found = vi.elbo_gradient(named, q, 200_000, estimator="quadratic", rng=2)
    error = np.hypot(a.standard_error, found.standard_error)
    assert np.all(np.abs(found.gradient - a.gradient) < 5 * error)
    assert np.sum(a.standard_error**2) * 20_000 > 40 * np.sum(found.standard_error**2) * 200_000
    again = pickle.loads(pickle.dumps(named))
    assert again.latents == q.latents and again.value(q.sample(1, rng=0)[0]) == named.value(q.sample(1, rng=0)[0])


def test_a_rare_value_has_no_false_error():
    """At n p below 10 a variance is that of the other value: intervals cover .63 of 95 % at n p = 1.2 (factors of a
    Boltzmann machine)."""
    logits = np.array(SK["logits"])
    logits[0] = -9.0
    q = vi.Bernoulli(logits=logits)
    for options in (dict(estimator="leave_one_out"), dict(estimator="score"), dict(draws="antithetic")):
        found = vi.elbo_gradient(TARGET, q, 10_000, rng=0, **options)
        assert np.array_equal(np.isnan(found.standard_error), [True] + 5 * [False])
        assert not found.interval_reliable[0] and "without an error" in repr(found)
    assert not np.isnan(vi.elbo_gradient(TARGET, q, 200_000, estimator="leave_one_out", rng=0).standard_error).any()


def test_a_rare_value_has_a_gradient_by_flips():
    """Against the sum over states; estimators that were asked for by name stay what they are"""
    logits = np.array(SK["logits"])
    logits[[0, 3]] = -9.0, 11.0
    q = vi.Bernoulli(logits=logits)
    z = states(6)

    def elbo(v):
        log_q = vi.Bernoulli(logits=v).log_prob(z)
        return float(np.exp(log_q) @ (TARGET.value(z) - log_q))

    exact = naive.gradient(elbo, logits)
    others = vi.elbo_gradient(TARGET, q, 20_000, estimator="quadratic", rng=0)
    found = vi.elbo_gradient(TARGET, q, 20_000, rng=0)
    assert np.array_equal(np.isnan(others.standard_error), [True, False, False, True, False, False])
    assert np.all(found.standard_error > 0.0) and found.interval_reliable.all()
    np.testing.assert_allclose(found.gradient, exact, atol=1e-11)  # surrogates leave nothing of pairs
    plain = vi.elbo_gradient(TARGET, q, 300, rng=0)  # no surrogate for so few
    assert plain.method == "leave_one_out" and np.all(plain.standard_error[[0, 3]] < 0.1 * np.abs(exact[[0, 3]]))
    assert np.all(np.abs(plain.gradient - exact) < 5 * plain.standard_error)
    assert vi.elbo_gradient(TARGET, q, 20_000, rng=0, atol=1e-2).elbo.converged
    assert np.isnan(vi.elbo_gradient(TARGET, q, 100, rng=0).standard_error[0])  # too few to flip


def test_flips_see_the_rare_values_of_others():
    """Of two nearly certain factors with a strong coupling no draw holds the value that matters"""
    q = vi.Bernoulli(logits=[-7.0, -9.0])
    p = q.probabilities
    exact = p * (1.0 - p) * (1000.0 * p[::-1] + [7.0, 9.0])
    for count in (500, 2000):
        found = vi.elbo_gradient(vi.Target(lambda z: 1000.0 * z[0] * z[1], 2), q, count, rng=0)
        assert found.method == "leave_one_out" and found.interval_reliable.all()
        assert np.all(np.abs(found.gradient - exact) < 5 * found.standard_error)


def test_divergences_by_enumeration():
    p, z = vi.Bernoulli(logits=np.linspace(-1, 1, 6)), states(6)
    a, b = np.exp(Q.log_prob(z)), np.exp(p.log_prob(z))
    exact = {
        "kl_reverse": a @ np.log(a / b),
        "kl_forward": b @ np.log(b / a),
        "chi2": np.sum(b**2 / a) - 1.0,
        "hellinger": 1.0 - np.sum(np.sqrt(a * b)),
    }
    for kind, value in exact.items():
        found = vi.divergence(Q, p, kind)
        assert found.method == "exact" and found.value == pytest.approx(value, rel=1e-12)
        sampled = vi.divergence(Q, p, kind, 50_000, method="monte_carlo", rng=1)
        assert abs(sampled.value - value) < 5 * sampled.standard_error + 1e-12
    half = vi.divergence(Q, p, "total_variation", 50_000, rng=1)
    assert abs(half.value - 0.5 * np.sum(np.abs(a - b))) < 5 * half.standard_error
    one, other = vi.Bernoulli(logits=0.5), vi.Bernoulli(logits=-1.0)
    gap = one.mean[0] - other.mean[0]
    assert vi.divergence(one, other, "total_variation").value == pytest.approx(gap)
    assert vi.divergence(one, other, "renyi", order=2.0).method == "exact"
    q = mixed()
    parts = sum(vi.kl_divergence(q[name], mixed()[name]).value for name in ("theta", "s"))
    assert vi.kl_divergence(q, mixed()).value == parts == 0.0


def test_diagnoses():
    found = vi.diagnose(TARGET, Q, 20_000, rng=0)
    assert abs(found.elbo.value - SK["elbo"]) < 5 * found.elbo.standard_error
    half = 0.5 * (np.sum(np.square(SK["degree_1"])) + np.sum(np.array(SK["pairs"])[:, 2] ** 2))
    assert found.misfit.total == pytest.approx(half, rel=1e-9) and found.deviation == math.inf
    limits = vi.bounds(TARGET, Q, 20_000, rng=0)
    assert limits.lower() < SK["log_evidence"] and limits.elbo.value < SK["log_evidence"]
    better = vi.Bernoulli(logits=np.clip(SK["coordinate_update"], -2, 2))
    gain = vi.compare(TARGET, better, Q, 20_000, rng=1)
    exact = vi.elbo(TARGET, better, 5000, estimator="quadratic", rng=2).value - SK["elbo"]
    assert abs(gain.value - exact) < 5 * gain.standard_error


def test_objectives():
    objective = vi.Objective(TARGET, Q, 5000, estimator="bank", rng=0)
    x, step = objective.parameters + 0.05, 1e-5
    slopes = [(objective.value(x + step * e) - objective.value(x - step * e)) / (2 * step) for e in np.eye(6)]
    np.testing.assert_allclose(objective.gradient(x), slopes, atol=1e-8)
    fresh = vi.Objective(TARGET, Q, 1000, estimator="quadratic", rng=0)
    np.testing.assert_allclose(fresh.value_and_grad(fresh.parameters, 0)[1], SK["gradient"], atol=1e-12)


def test_refusals():
    X, y = slab_data()
    q = mixed()
    named = vi.Target(slab, q.latents, (X, y))
    positive = vi.Target(lambda a: -a, {"a": vi.positive()})
    calls = [
        (lambda: vi.fit(named, "mean_field"), "family_or_q: slab was made from q.latents"),
        (lambda: named.laplace(np.zeros(6)), "laplace: slab was made from q.latents"),
        (lambda: named.constrain(np.zeros(6)), "constrain: slab was made from q.latents"),
        (lambda: vi.elbo(named, vi.Product(s=q["s"], theta=q["theta"])), "q: slab has theta of shape"),
        (lambda: vi.elbo(named, vi.Bernoulli(logits=np.zeros(5))), "q: expected 6 dimensions"),
        (lambda: vi.elbo(positive, vi.Bernoulli(logits=0.3)), "a is declared as positive.. and has a Bernoulli factor"),
        (lambda: vi.elbo_gradient(named, q, estimator="pathwise"), r"'pathwise' .* s \(Bernoulli\) is discrete"),
        (lambda: vi.Objective(TARGET, Q, estimator="pathwise"), "'pathwise' .* Bernoulli is discrete"),
        (lambda: vi.Bernoulli(), "exactly one of the two"),
        (lambda: vi.Bernoulli(logits=[0.0], probabilities=[0.5]), "exactly one of the two"),
        (lambda: vi.Bernoulli(probabilities=[0.5, 1.0]), "above 0 and below 1, got 1.0"),
        (lambda: vi.Product(), "one of the two, and not empty"),
        (lambda: vi.Product(a=3.0), "a: expected a MeanFieldGaussian, a FullRankGaussian or factors"),
        (lambda: vi.Product([Q]).latents, "have no names"),
        (lambda: q["z"], "expected one of 'theta', 's'"),
        (lambda: vi.Target(slab, {"theta": (3,), "s": vi.real(3)}, (X, y)), r"parameters\['s'\]"),
    ]
    for call, message in calls:
        with pytest.raises((ValueError, TypeError, KeyError), match=message):
            call()
    with pytest.raises(AttributeError, match="frozen"):
        Q.logits = 0.0


def test_the_cases_are_whole():
    assert {case["kind"] for case in CASES.values()} == {"bernoulli", "categorical", "gamma", "beta"}


@pytest.mark.parametrize("level", ["linear", "quadratic", "cubic"])
def test_coefficients_are_counted_without_their_pairs(level):
    q = vi.Product(
        a=vi.MeanFieldGaussian(np.zeros(3), np.ones(3)),
        b=vi.Bernoulli(logits=np.zeros(4)),
        c=vi.Categorical(logits=np.zeros((2, 4))),
        d=vi.Gamma(2.0, 1.0),
        e=vi.LogNormal(np.zeros(2), np.ones(2)),
        f=vi.Dirichlet(np.ones(5)),
    )
    owner, _ = score_surrogates.owners(q)
    assert score_surrogates.size(level, q) == 1 + len(owner) + len(score_surrogates.pairs_of(q, level)[0])
