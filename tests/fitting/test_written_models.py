"""Four models as a scientist writes them: lines beside NumPyro's, and answers beside long chains and quadrature.

The numbers are posterior means and deviations: of baseball by quadrature over phi and log(kappa - 1), and of radon over
tau and sigma, with all else integrated in closed form; of the mixture and the logistic regression by NUTS (NumPyro
0.22, four chains of 20,000 and 10,000 draws).
"""

import inspect
import math
from typing import NamedTuple

import numpy as np
import pytest

import fastvi as vi

from named_models import AT_BATS, HITS, HOUSES, three_groups


def baseball(phi, kappa, p, log_p, log1m_p, hits, n):
    prior = math.log(0.5) - 1.5 * math.log(kappa) + np.sum(vi.beta_logpdf(p, phi * kappa, (1.0 - phi) * kappa))
    return prior + np.sum(vi.binomial_logit_logpdf(hits, n, log_p - log1m_p))


def mixture(log_w, mu, s, y):
    prior = math.log(2.0) + np.sum(vi.normal_logpdf(mu, 0.0, 5.0) + vi.lognormal_logpdf(s, 0.0, 1.0))
    a = [log_w[k] + vi.normal_logpdf(y, mu[k], s[k]) for k in range(3)]
    return prior + np.sum(np.logaddexp(np.logaddexp(a[0], a[1]), a[2]))


def radon(mu, gamma, beta, tau, sigma, eta, county, floor, u, y):
    prior = vi.normal_logpdf(mu, 0.0, 10.0) + vi.normal_logpdf(gamma, 0.0, 1.0) + vi.normal_logpdf(beta, 0.0, 1.0)
    prior += math.log(4.0) + vi.normal_logpdf(tau, 0.0, 1.0) + vi.normal_logpdf(sigma, 0.0, 1.0)
    prior += np.sum(vi.normal_logpdf(eta, 0.0, 1.0))
    alpha = mu + gamma * u + tau * eta
    return prior + np.sum(vi.normal_logpdf(y, alpha[county] + beta * floor, sigma))


def logistic(a, beta, X, y):
    prior = vi.normal_logpdf(a, 0.0, 5.0) + np.sum(vi.normal_logpdf(beta, 0.0, 1.0))
    return prior + np.sum(vi.bernoulli_logit_logpdf(y, a + X @ beta))


READING = """
found = vi.fit(vi.Target(model, parameters, data), "full_rank")
print(found.summary())
"""
NUMPYRO = {
    "baseball": """
def baseball(n, hits):
    phi = numpyro.sample("phi", dist.Uniform(0, 1))
    kappa = numpyro.sample("kappa", dist.Pareto(1, 0.5))
    with numpyro.plate("player", 18):
        p = numpyro.sample("p", dist.Beta(phi * kappa, (1 - phi) * kappa))
        numpyro.sample("hits", dist.Binomial(n, p), obs=hits)
""",
    "mixture": """
def mixture(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(3)))
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.ordered_vector, (), (3,)))
    numpyro.factor("prior", dist.Normal(0, 5).log_prob(mu).sum())
    s = numpyro.sample("s", dist.LogNormal(0, 1).expand([3]).to_event(1))
    with numpyro.plate("n", 500):
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(w), dist.Normal(mu, s)), obs=y)
""",
    "radon": """
def radon(county, floor, u, y):
    mu = numpyro.sample("mu", dist.Normal(0, 10))
    gamma = numpyro.sample("gamma", dist.Normal(0, 1))
    beta = numpyro.sample("beta", dist.Normal(0, 1))
    tau = numpyro.sample("tau", dist.HalfNormal(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("county", 85):
        eta = numpyro.sample("eta", dist.Normal(0, 1))
    alpha = mu + gamma * u + tau * eta
    numpyro.sample("y", dist.Normal(alpha[county] + beta * floor, sigma), obs=y)
""",
    "logistic": """
def logistic(X, y):
    a = numpyro.sample("a", dist.Normal(0, 5))
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([30]).to_event(1))
    with numpyro.plate("n", len(y)):
        numpyro.sample("y", dist.Bernoulli(logits=a + X @ beta), obs=y)
""",
}


def trials():
    rng = np.random.default_rng(11)
    X, beta = rng.normal(size=(500, 30)), rng.normal(size=30)
    return X, (rng.random(500) < 1.0 / (1.0 + np.exp(-(0.5 + X @ (0.7 * beta))))).astype(float)


SLOPES = np.array(
    [
        -0.3851,
        0.2784,
        -0.0058,
        0.1231,
        0.9109,
        0.2774,
        0.1844,
        -0.0953,
        -0.1756,
        -1.0249,
        -0.3635,
        0.6678,
        1.3007,
        -0.5117,
        -0.1232,
        0.2424,
        0.3558,
        -0.4063,
        -1.7568,
        -0.1986,
        -0.5377,
        -0.2612,
        -0.0603,
        -0.46,
        0.0465,
        -0.2577,
        -0.937,
        0.368,
        0.1905,
        -0.0603,
    ]
)
DEVIATIONS = np.array(
    [
        0.1455,
        0.145,
        0.1398,
        0.1465,
        0.1582,
        0.1543,
        0.1551,
        0.151,
        0.1341,
        0.1654,
        0.1416,
        0.1589,
        0.1745,
        0.1503,
        0.149,
        0.1476,
        0.1345,
        0.1477,
        0.1882,
        0.1523,
        0.1521,
        0.1377,
        0.1392,
        0.1484,
        0.1494,
        0.1385,
        0.1621,
        0.1385,
        0.153,
        0.1337,
    ]
)


class Case(NamedTuple):
    model: object
    parameters: dict
    data: tuple
    means: dict
    deviations: dict
    shift: float  # largest difference of a mean, in posterior deviations
    spread: float  # largest relative difference of a deviation
    verdict: str


CASES = {
    "baseball": Case(
        baseball, dict(phi=vi.unit(), kappa=vi.greater_than(1.0), p=vi.unit(18)), (HITS, AT_BATS),
        dict(phi=0.26678), dict(phi=0.01791), 0.05, 0.05, "poor"),
    "mixture": Case(
        mixture, dict(w=vi.simplex(3), mu=vi.ordered(3), s=vi.positive(3)), (three_groups(),),
        dict(w=[0.4913, 0.3218, 0.1869], mu=[-1.9773, 1.0109, 3.9204], s=[0.6285, 0.8077, 0.9712]),
        dict(w=[0.0234, 0.0368, 0.0322], mu=[0.0442, 0.1074, 0.2519], s=[0.0337, 0.1109, 0.1665]), 0.1, 0.25, "poor"),
    "radon": Case(
        radon, dict(mu=vi.real(), gamma=vi.real(), beta=vi.real(), tau=vi.positive(), sigma=vi.positive(),
                    eta=vi.real(85)), HOUSES,
        dict(mu=1.41352, gamma=0.93275, beta=-0.66901, tau=0.33643, sigma=0.75779),
        dict(mu=0.05315, gamma=0.14347, beta=0.07112, tau=0.04949, sigma=0.01852), 0.1, 0.4, "poor"),
    "logistic": Case(
        logistic, dict(a=vi.real(), beta=vi.real(30)), trials(), dict(a=0.6807, beta=SLOPES),
        dict(a=0.1500, beta=DEVIATIONS), 0.05, 0.05, "good"),
}  # fmt: skip


def lines(text):
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("name", CASES)
def test_a_model_takes_few_lines(name):
    """The density and what reads the answer, at most 1.3 times the lines of NumPyro's model alone."""
    assert lines(inspect.getsource(CASES[name].model) + READING) <= 1.3 * lines(NUMPYRO[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_that_of_long_chains_or_the_verdict_says_poor(name):
    case = CASES[name]
    found = vi.fit(vi.Target(case.model, case.parameters, case.data), "full_rank", rng=0)
    draws = found.draws(20_000)
    assert found.converged and found.verdict.startswith(case.verdict)
    for key, mean in case.means.items():
        sd = np.array(case.deviations[key])
        assert np.max(np.abs(draws[key].mean(axis=0) - mean) / sd) < case.shift, key
        assert np.max(np.abs(draws[key].std(axis=0) / sd - 1.0)) < case.spread, key
