"""Point masses, and gradients of both kinds from one sweep: pathwise where q can be differentiated through, by scores
elsewhere.  Monte Carlo figures lie within 5 standard errors, a false alarm of 6e-7 each."""

import concurrent.futures
import math
import pickle

import numpy as np
import pytest

import fastvi as vi

import naive

X, Y = np.array([[1.0, 0.3], [-0.5, 1.2], [0.4, -0.9]]), np.array([1.1, -0.2, 0.7])


def regression(beta, s, tau, k, noise, X, y, table):
    """Slopes that are in or out, a log-normal precision, a category, and a deviation that is a model parameter."""
    total = -0.5 * np.dot(beta, beta) - 0.4 * np.sum(s) - 0.5 * math.log(tau) ** 2 - math.log(tau) + table[int(k)]
    for i in range(X.shape[0]):
        total -= 0.5 * tau * ((y[i] - np.dot(X[i], beta * s) - 0.3 * k) / noise) ** 2 + math.log(noise)
    return total


def product(noise=None):
    return vi.Product(
        beta=vi.MeanFieldGaussian([0.3, -0.2], [0.8, 0.6]),
        s=vi.Bernoulli(logits=[0.5, -0.4]),
        tau=vi.LogNormal(0.1, 0.4),
        k=vi.Categorical(logits=[0.0, 0.3, -0.2]),
        noise=noise or vi.Delta(1.3, vi.positive()),
    )


def target_of(q):
    return vi.Target(regression, q.latents, (X, Y, np.array([0.1, -0.3, 0.2])))


def test_what_a_point_mass_says_of_itself():
    q = vi.Delta([[1.0, 2.0], [3.0, 4.0]])
    assert (
        q.dim == 4 and q.entropy() == 0.0 and q.value.shape == (2, 2) and repr(q["value"] if 0 else q).startswith("D")
    )
    np.testing.assert_array_equal(q.mean, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(q.stddev, 0.0)
    np.testing.assert_array_equal(q.sample(3, rng=0), np.tile(q.mean, (3, 1)))
    assert q.log_prob(q.mean) == 0.0 and q.log_prob(q.mean + 1.0) == -math.inf
    assert q.target.value(q.mean) == 0.0
    np.testing.assert_array_equal(q.with_parameters(2.0 * q.parameters).value, 2.0 * q.value)
    assert vi.kl_divergence(q, q).value == 0.0
    for each in (q, vi.Delta(0.5, vi.unit()), product()):
        again = pickle.loads(pickle.dumps(each))
        assert repr(again) == repr(each) and np.array_equal(again.parameters, each.parameters)
    with pytest.raises(TypeError, match="a Delta is no exponential family"):
        assert q.natural


@pytest.mark.parametrize(
    "space, value, by_hand",
    [
        (vi.positive(), 2.0, lambda u: math.exp(u)),
        (vi.positive(transform="softplus"), 2.0, lambda u: math.log1p(math.exp(u))),
        (vi.greater_than(1.0), 2.5, lambda u: 1.0 + math.exp(u)),
        (vi.less_than(1.0), -2.5, lambda u: 1.0 - math.exp(u)),
        (vi.interval(-1.0, 2.0), 0.5, lambda u: -1.0 + 3.0 / (1.0 + math.exp(-u))),
        (vi.unit(), 0.2, lambda u: 1.0 / (1.0 + math.exp(-u))),
    ],
    ids=lambda given: "by hand" if callable(given) else repr(given),
)
def test_a_value_is_constrained_and_its_steps_are_not(space, value, by_hand):
    q = vi.Delta(value, space)
    u = q.parameters
    assert q.value == value and by_hand(u[0]) == pytest.approx(value, rel=1e-14)
    for step in (-1.5, 0.7):
        assert q.with_parameters(u + step).value == pytest.approx(by_hand(u[0] + step), rel=1e-13)
    target = vi.Target(lambda theta: -theta * theta, {"theta": ()})
    found = vi.elbo_gradient(target, vi.Product(theta=q), 10, rng=0)
    slope = (by_hand(u[0] + 1e-6) ** 2 - by_hand(u[0] - 1e-6) ** 2) / 2e-6
    assert found.gradient[0] == pytest.approx(-slope, rel=1e-7) and found.standard_error[0] < 1e-12
    assert q.with_parameters(np.array([-800.0 if space.name == "unit" else -30.0])).value != value


def test_mixed_gradients_are_the_naive_ones():
    """On the draws of the sweep: means of pathwise terms, and leave-one-out for the factors without paths."""
    q = product()
    target, n = target_of(q), 3000
    z = q.sample(n, rng=2)
    slopes, f = target.gradient(z), target.value(z) - q.log_prob(z)
    scores = naive.leave_one_out(f, q.scores_at(z))
    beta, tau, noise = slopes[:, :2], slopes[:, 4] * z[:, 4], slopes[:, 6] * 1.3
    paths = np.concatenate(
        [beta.mean(axis=0), (beta * (z[:, :2] - [0.3, -0.2])).mean(axis=0) + 1.0,
         [tau.mean() + 1.0, (tau * (np.log(z[:, 4]) - 0.1)).mean() + 1.0, noise.mean()]]
    )  # fmt: skip
    own = [0, 1, 2, 3, 6, 7, 10]
    found = vi.elbo_gradient(target, q, n, estimator="mixed", rng=2)
    assert found.method == "mixed"
    np.testing.assert_allclose(found.gradient[own], paths, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.gradient[[4, 5, 8, 9]], scores[[4, 5, 8, 9]], rtol=1e-9, atol=1e-11)
    assert found.standard_error[10] == pytest.approx(noise.std(ddof=1) / math.sqrt(n), rel=1e-9)
    by_scores = vi.elbo_gradient(target, q, n, estimator="leave_one_out", rng=2)
    np.testing.assert_allclose(by_scores.gradient[:10], scores[:10], rtol=1e-9, atol=1e-11)
    assert by_scores.gradient[10] == found.gradient[10] == found.by_name["noise"][0]


def test_every_estimator_has_the_same_gradient():
    q = product()
    target = target_of(q)
    best = vi.elbo_gradient(target, q, 400_000, estimator="mixed", rng=5)
    assert best.method == "mixed_quadratic"
    others = [dict(estimator=e) for e in ("score", "optimal_baseline", "quadratic", "auto")]
    others += [dict(draws=d, estimator=e) for d in ("antithetic", "sobol") for e in ("mixed", "leave_one_out")]
    for options in others:
        found = vi.elbo_gradient(target, q, 16_384, rng=6, **options)
        error = np.hypot(found.standard_error, best.standard_error)
        within = 9 if options.get("draws") == "sobol" else 5  # of 3.5 degrees of freedom
        assert np.all(np.abs(found.gradient - best.gradient) < within * error), options
    by_scores = vi.elbo_gradient(target, q, 400_000, estimator="leave_one_out", rng=5)
    ratio = np.sum((by_scores.standard_error * q.steps) ** 2) / np.sum((best.standard_error * q.steps) ** 2)
    assert ratio > 20.0  # 3 where slopes are not followed
    predicted = best.expected_error / best.standard_error
    assert np.all((predicted > 0.4) & (predicted < 2.0)) and 0.5 < np.median(predicted) < 1.5  # of heavy tails


def test_a_parameter_of_each_category():
    """The means of a mixture: E d log p / d mu_k = sum_i P(z_i = k) (x_i - mu_k) - mu_k, by an index in the density."""

    def density(z, mu, x):
        total = -0.5 * np.sum(mu * mu)
        for i in range(len(x)):
            total -= 0.5 * (x[i] - mu[int(z[i])]) ** 2
        return total

    x, means = np.array([-2.0, 2.2, -1.9, 2.0, 3.0]), np.array([-1.0, 1.5])
    q = vi.Product(z=vi.Categorical(logits=np.linspace(-1.0, 1.0, 10).reshape(5, 2)), mu=vi.Delta(means))
    target = vi.Target(density, q.latents, (x,))
    found = vi.elbo_gradient(target, q, 20_000, rng=0)
    exact = np.sum((x[:, None] - means) * q["z"].probabilities, axis=0) - means
    assert np.all(np.abs(found.by_name["mu"] - exact) < 5 * found.standard_error[5:])
    assert vi.fit(target, q, rng=0).converged


def test_auto_goes_by_what_a_pilot_finds():
    """Of many coordinates a score's variance holds that of all the others, a path's its own alone; where a surrogate
    leaves nothing it is the cheapest."""

    def density(z, s, power):
        return -0.1 * np.sum(np.abs(z) ** power) + 0.3 * z[0] * s[0] - s[1]

    q = vi.Product(z=vi.MeanFieldGaussian(np.zeros(40), np.ones(40)), s=vi.Bernoulli(logits=[0.2, -0.3]))
    for power, method in ((4.0, "mixed"), (2.0, "quadratic_hessian")):
        found = vi.elbo_gradient(vi.Target(density, q.latents, (power,)), q, 200_000, rng=0)
        assert found.method.startswith("mixed") if method == "mixed" else found.method.endswith(method), found.method


def test_the_same_bits_on_threads_and_executors():
    q = product()
    options = dict(num_samples=20_000, estimator="mixed", rng=5)
    one = vi.elbo_gradient(target_of(q), q, **options, num_threads=1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for where in (dict(num_threads=2), dict(executor=pool)):
            other = vi.elbo_gradient(target_of(q), q, **options, **where)
            assert np.array_equal(one.gradient, other.gradient) and one.elbo == other.elbo


def test_a_product_of_gaussians_has_the_pathwise_gradient():
    loc, scale = np.array([0.2, -0.4, 1.0]), np.array([0.7, 1.1, 0.5])
    target = vi.Target(lambda z: -0.5 * np.sum(z * z) - 0.1 * np.exp(z[0]) * z[1], 3)
    p = vi.Product([vi.MeanFieldGaussian(loc[:1], scale[:1]), vi.MeanFieldGaussian(loc[1:], scale[1:])])
    a, b = (
        vi.elbo_gradient(target, q, 5000, estimator="pathwise", rng=1) for q in (vi.MeanFieldGaussian(loc, scale), p)
    )
    order = [0, 3, 1, 2, 4, 5]
    np.testing.assert_allclose(b.gradient, a.gradient[order], rtol=1e-9)
    np.testing.assert_allclose(b.standard_error, a.standard_error[order], rtol=1e-9)
    assert vi.elbo_gradient(target, p, 5000, rng=1).method == "pathwise"


def test_what_is_refused():
    q = product()
    stepped = vi.Target(lambda theta: -theta if theta > 0.0 else theta, {"theta": vi.real()})
    plain = vi.Target(lambda theta: -theta, {"theta": vi.positive()})
    cases = [
        (lambda: vi.Delta([1.0, math.nan]), "value: "),
        (lambda: vi.Delta(np.zeros((1, 1, 1))), "at most two axes"),
        (lambda: vi.Delta(-1.0, vi.positive()), "expected a value of positive"),
        (lambda: vi.Delta([0.5, 0.5], vi.simplex(2)), "moves number by number, got simplex"),
        (lambda: vi.Delta([0.5], vi.positive()), r"expected the shape of value, \(1,\), got positive"),
        (lambda: vi.Delta(0.5, "positive"), "expected a space"),
        (lambda: vi.elbo(plain, vi.Product(theta=vi.Delta(2.0, vi.unit(1)))), "expected the shape"),
        (lambda: vi.elbo(plain, vi.Product(theta=vi.Delta(0.5, vi.unit()))), r"theta is declared as positive.. and q"),
        (lambda: vi.fit(plain, vi.Product(theta=vi.Delta(-2.0))), "expected a value of positive"),
        (lambda: vi.elbo_gradient(target_of(q), q, estimator="pathwise"), r"s \(Bernoulli\) is discrete; use 'mixed'"),
        (lambda: vi.elbo_gradient(stepped, vi.Poisson(1.0), estimator="mixed"), "through some factors"),
    ]  # fmt: skip
    for call, message in cases:
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    assert vi.elbo_gradient(stepped, vi.MeanFieldGaussian(0.0, 1.0), 100, estimator="mixed", rng=0).method == "pathwise"
