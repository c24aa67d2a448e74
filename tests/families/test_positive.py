"""Gamma, beta, Dirichlet, Poisson, exponential and log-normal factors: draws, densities, closed forms, conjugacy.

Monte Carlo figures lie within 5 standard errors; a Kolmogorov distance exceeds 2.7 / sqrt(n) with probability 1e-6.
"""

import math
import pickle

import numpy as np
import pytest
from scipy import special, stats

import fastvi as vi
from fastvi.families.mean_field import fill_standard_normals
from fastvi.kernels.random import quantiles

import naive
from factor_cases import CASES

KINDS = {
    "gamma": (vi.Gamma([0.3, 2.0, 50.0], [1.0, 3.0, 0.5]), vi.Gamma([1.0, 2.5, 40.0], [2.0, 2.0, 0.5])),
    "exponential": (vi.Exponential([0.5, 2.0]), vi.Exponential([1.0, 1.5])),
    "beta": (vi.Beta([0.5, 2.0], [0.5, 5.0]), vi.Beta([1.0, 3.0], [1.5, 4.0])),
    "log_normal": (vi.LogNormal([0.0, 1.0], [0.5, 1.0]), vi.LogNormal([0.5, 1.0], [1.0, 0.8])),
    "poisson": (vi.Poisson([0.5, 5.0, 1000.0]), vi.Poisson([1.0, 4.0, 990.0])),
    "dirichlet": (vi.Dirichlet([2.0, 3.0, 0.7]), vi.Dirichlet([1.0, 2.0, 3.0])),
}
MIXED = vi.Product(
    s=vi.Bernoulli(logits=[0.0, 1.0]),
    rates=vi.Gamma([1.0, 2.0], 1.0),
    x=vi.MeanFieldGaussian(0.0, 1.0),
    k=vi.Categorical(logits=[0.0, 1.0, 2.0]),
    p=vi.Beta(2.0, 2.0),
    n=vi.Poisson(3.0),
    shares=vi.Dirichlet([1.0, 1.0, 1.0]),
    y=vi.LogNormal([1.0], [0.5]),
)
ALL = [*(q for q, _ in KINDS.values()), MIXED]


@pytest.mark.parametrize("q", ALL, ids=[*KINDS, "mixed"])
def test_what_it_says_of_itself(q):
    z = q.sample(100_000, rng=1)
    assert np.all(np.abs(z.mean(axis=0) - q.mean) < 5 * q.stddev / math.sqrt(len(z)))
    log_q = q.log_prob(z)
    assert abs(q.entropy() + log_q.mean()) < 5 * log_q.std() / math.sqrt(len(z)) + 1e-12
    np.testing.assert_allclose(q.target.value(z[:100]), log_q[:100], rtol=1e-10, atol=1e-10)
    exact = naive.scores(q, z[:100])
    np.testing.assert_allclose(q.scores_at(z[:100]), exact, atol=1e-6 * (1.0 + np.abs(exact).max()))
    whitened = q.whitened(z)
    noise = np.abs(whitened.T @ whitened / len(z) - np.eye(whitened.shape[1]))
    spread = np.sqrt((whitened**2).T @ whitened**2 / len(z)) + 1.0
    assert np.all(noise < 5 * spread / math.sqrt(len(z)))
    eps = np.empty((1000, q.dim))
    fill_standard_normals(eps, vi.rng.key_from(1), 0, 0)
    np.testing.assert_allclose(q.transform(eps), z[:1000], rtol=1e-12)
    assert np.array_equal(pickle.loads(pickle.dumps(q)).parameters, q.parameters)
    np.testing.assert_allclose(q.with_parameters(q.parameters).parameters, q.parameters, rtol=1e-13, atol=1e-13)
    covariance = np.cov(z.T)
    assert np.all(np.abs(np.diag(covariance) / np.diag(q.covariance) - 1.0) < 0.1)


@pytest.mark.parametrize("q", ALL, ids=[*KINDS, "mixed"])
def test_the_sweep_has_the_naive_sums(q):
    target = vi.Target(lambda z: np.sum(z) * 0.3 - 0.1 * z[0] * z[1], q.dim)
    z = q.sample(3000, rng=2)
    f = target.value(z) - q.log_prob(z)
    found = vi.elbo_gradient(target, q, 3000, estimator="leave_one_out", rng=2)
    assert found.elbo.value == pytest.approx(f.mean(), rel=1e-9)
    expected = naive.leave_one_out(f, q.scores_at(z))
    np.testing.assert_allclose(found.gradient, expected, atol=1e-9 * (1.0 + np.abs(expected).max()))
    exact = vi.elbo_gradient(target, q, 100_000, estimator="quadratic", rng=3)
    other = vi.elbo_gradient(target, q, 100_000, estimator="leave_one_out", rng=4)
    error = np.hypot(exact.standard_error, other.standard_error)
    assert np.all(np.abs(exact.gradient - other.gradient) < 5 * error)
    assert np.median(exact.standard_error / other.standard_error) < 0.5


def test_draws_have_their_distributions():
    n = 200_000
    limit = 2.7 / math.sqrt(n)
    laws = [(vi.Gamma(a, 1.0), stats.gamma(a)) for a in (0.05, 0.3, 1.0, 3.0, 1e4)]
    laws += [(vi.Beta(a, b), stats.beta(a, b)) for a, b in ((0.5, 0.5), (0.3, 4.0), (500.0, 800.0))]
    for k, (q, law) in enumerate(laws):
        assert stats.kstest(q.sample(n, rng=k)[:, 0], law.cdf).statistic < limit
    z = vi.Poisson(7.5).sample(n, rng=20)[:, 0]
    seen = [np.mean(z <= k) for k in range(30)]
    assert np.max(np.abs(seen - stats.poisson(7.5).cdf(np.arange(30)))) < limit


@pytest.mark.parametrize(
    "kind, shapes", [(0, (0.05, 0.3, 1.0, 50.0, 1e4)), (1, ((0.3, 4.0), (2.0, 5.0), (500.0, 800.0)))]
)
def test_tables_invert_the_distribution_functions(kind, shapes):
    """As a normal score, to 1e-10 within 5.5 deviations, by the incomplete gamma and beta functions of SciPy."""
    x = np.linspace(-5.5, 5.5, 3001)
    for shape in shapes:
        a, b = (shape, 1.0) if kind == 0 else shape
        y = quantiles.evaluate(quantiles.tables(kind, np.array([a]), np.array([b]))[0], x)
        below = special.gammainc(a, np.exp(y)) if kind == 0 else special.betainc(a, b, special.expit(y))
        above = special.gammaincc(a, np.exp(y)) if kind == 0 else special.betainc(b, a, special.expit(-y))
        assert np.max(np.abs(np.where(x < 0, special.ndtri(below), -special.ndtri(above)) - x)) < 1e-10


@pytest.mark.parametrize("name", KINDS)
def test_divergences_agree_with_draws(name):
    q, p = KINDS[name]
    exact = vi.kl_divergence(q, p)
    sampled = vi.kl_divergence(q, p, 100_000, method="monte_carlo", rng=1)
    assert exact.method == "exact" and abs(sampled.value - exact.value) < 5 * sampled.standard_error + 1e-9
    power = vi.divergence(q, p, "hellinger")
    sampled = vi.divergence(q, p, "hellinger", 100_000, method="monte_carlo", rng=1)
    assert power.method == "exact" and abs(sampled.value - power.value) < 5 * sampled.standard_error
    assert vi.kl_divergence(q, q).value == pytest.approx(0.0, abs=1e-12)


def test_divergences_of_the_textbook():
    """Gamma: Penny 2001, equation 14 in (shape, rate); beta: Rauber, Braun and Berns 2008, equation 30."""
    a, b, c, d = 2.0, 3.0, 4.0, 1.5
    gamma = (
        (a - c) * special.digamma(a) - special.gammaln(a) + special.gammaln(c) + c * math.log(b / d) + a * (d - b) / b
    )
    assert vi.kl_divergence(vi.Gamma(a, b), vi.Gamma(c, d)).value == pytest.approx(gamma, rel=1e-12)
    psi = special.digamma
    beta = special.betaln(c, d) - special.betaln(a, b) + (a - c) * psi(a) + (b - d) * psi(b)
    beta += (c - a + d - b) * psi(a + b)
    assert vi.kl_divergence(vi.Beta(a, b), vi.Beta(c, d)).value == pytest.approx(beta, rel=1e-12)


def rates(z, y, a, c, d):
    """Poisson counts whose gamma rates share a rate: conjugate pairs."""
    n, b = len(y), z[len(y)]
    total = c * math.log(d) - math.lgamma(c) + (c - 1.0) * math.log(b) - d * b
    for i in range(n):
        total += y[i] * math.log(z[i]) - z[i] - vi.gammaln(y[i] + 1.0)
        total += a * math.log(b) - math.lgamma(a) + (a - 1.0) * math.log(z[i]) - b * z[i]
    return total


def shares(z, k, n, a, b):
    """Binomial counts with beta shares."""
    total = 0.0
    for i in range(len(k)):
        total += vi.gammaln(n[i] + 1.0) - vi.gammaln(k[i] + 1.0) - vi.gammaln(n[i] - k[i] + 1.0)
        total += k[i] * math.log(z[i]) + (n[i] - k[i]) * math.log1p(-z[i]) + vi.beta_logpdf(z[i], a, b)
    return total


def test_conjugate_models_are_exact():
    case = CASES["Poisson-gamma with a gamma rate"]
    data = case["data"]
    target = vi.Target(rates, 6, (np.array(data["y"]), data["a"], data["c"], data["d"]))
    q = vi.Gamma(case["shapes"], case["rates"])
    found = vi.elbo_gradient(target, q, 20_000, estimator="quadratic", rng=0)
    assert found.elbo.value == pytest.approx(case["elbo"], abs=1e-10)
    natural = np.array(case["gradient_natural"])
    expected = np.concatenate([q.concentration * natural[:, 0], -q.rate * natural[:, 1]])
    np.testing.assert_allclose(found.gradient, expected, atol=1e-9)
    fitted = vi.fit(target, q, rng=0)
    assert fitted.converged and fitted.gain + fitted.blur < 1e-9
    y, b = np.array(data["y"]), fitted.q.concentration[5] / fitted.q.rate[5]
    for _ in range(500):  # its closed updates (Bishop 2006, equation 10.9)
        a_i, b_i = data["a"] + y, 1.0 + b
        b = (5 * data["a"] + data["c"]) / (data["d"] + np.sum(a_i / b_i))
    np.testing.assert_allclose(fitted.q.concentration[:5], a_i, rtol=1e-7)
    np.testing.assert_allclose(fitted.q.rate[:5], b_i, rtol=1e-7)
    case = CASES["beta-binomial"]
    data = case["data"]
    target = vi.Target(shares, 4, (np.array(data["k"]), np.array(data["n"], float), data["a"], data["b"]))
    q = vi.Beta(case["alphas"], case["betas"])
    found = vi.elbo_gradient(target, q, 20_000, estimator="linear", rng=0)
    assert found.elbo.value == pytest.approx(case["elbo"], abs=1e-9)
    natural = np.array(case["gradient_natural"])
    expected = np.concatenate([q.concentration1 * natural[:, 0], q.concentration0 * natural[:, 1]])
    np.testing.assert_allclose(found.gradient, expected, atol=1e-8)
    assert vi.fit(target, q, rng=0).elbo.value == pytest.approx(case["log_evidence"], abs=1e-9)


def test_refusals():
    calls = [
        (lambda: vi.Gamma(0.01, 1.0), "concentration: expected values of at least 0.05"),
        (lambda: vi.Gamma(1.0, [1.0, 0.0]), "rate: expected values above 0, got 0.0 at index 1"),
        (lambda: vi.Gamma([1.0, 2.0], [1.0, 2.0, 3.0]), "arrays .n,. of one length"),
        (lambda: vi.Dirichlet([1.0]), "two values at least"),
        (lambda: vi.Poisson(1.0).with_parameters([800.0]), "leaves the range"),
        (lambda: vi.Gamma(1.0, 1.0).with_natural([[1.0, 1.0]]), "expected those of a Gamma factor"),
    ]
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_spaces_and_supports():
    """A factor acts on its own support, without log |J|, where that is the space of its parameter; a Gaussian one on
    the unconstrained axis, with it."""
    y = np.array([4.0, 1.0, 7.0])

    def log_density(rate, b, p, y):
        total = vi.gamma_logpdf(b, 1.0, 1.0) + 2.0 * math.log(p[0]) + math.log(p[1])
        for i in range(len(y)):
            total += vi.gamma_logpdf(rate[i], 1.5, b) + vi.poisson_log_logpdf(y[i], math.log(rate[i]))
        return total

    spaces = {"rate": vi.positive(3), "b": vi.positive(), "p": vi.simplex(2)}
    declared = vi.Target(log_density, spaces, (y,))
    q = vi.Product(rate=vi.Gamma([2.0] * 3, 1.0), b=vi.Gamma(2.0, 2.0), p=vi.Dirichlet([2.0, 1.0]))
    bare = vi.Target(log_density, q.latents, (y,))
    one, two = (vi.elbo_gradient(t, q, 2000, estimator="leave_one_out", rng=0) for t in (declared, bare))
    assert one.elbo.value == two.elbo.value and np.array_equal(one.gradient, two.gradient)
    found = vi.fit(declared, q, rng=0)
    assert found.converged and np.allclose(found.q["p"].concentration, [3.0, 2.0])
    assert np.allclose(found.draws(10)["p"].sum(axis=1), 1.0)
    # log N of log b is a log-normal b
    normal = vi.Product(rate=q["rate"], b=vi.MeanFieldGaussian(0.2, 0.5), p=q["p"])
    same = vi.Product(rate=q["rate"], b=vi.LogNormal(0.2, 0.5), p=q["p"])
    one, two = (vi.elbo(declared, each, 2000, estimator="plain", rng=0).value for each in (normal, same))
    assert one == pytest.approx(two, abs=1e-9)
    with pytest.raises(ValueError, match=r"rate is declared as positive\(3\) and has a Beta factor .* is unit"):
        vi.elbo(declared, vi.Product(rate=vi.Beta([2.0] * 3, 1.0), b=q["b"], p=q["p"]))
    with pytest.raises(ValueError, match="expected a factor for each of rate"):
        vi.diagnose(declared, vi.Gamma(np.full(6, 2.0), 1.0))


def test_divergences_between_a_family_and_one_that_contains_it():
    """Gamma and exponential (Penny 2001, equation 14), binary and categorical."""
    a, b, rate = 2.0, 1.0, 1.5
    exact = (a - 1.0) * special.digamma(a) - special.gammaln(a) + math.log(b / rate) + a * (rate - b) / b
    found = vi.kl_divergence(vi.Gamma(a, b), vi.Exponential(rate))
    assert found.method == "exact" and found.value == pytest.approx(exact, rel=1e-12)
    p = np.array([0.7, 0.3])
    found = vi.kl_divergence(vi.Bernoulli(probabilities=0.3), vi.Categorical(probabilities=[0.2, 0.8]))
    assert found.method == "exact" and found.value == pytest.approx(np.sum(p * np.log(p / [0.2, 0.8])), rel=1e-12)
