"""NumPyro models that translations are checked with: ``ZOO`` has each by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

ZOO = {}
EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
RNG = np.random.default_rng(1)
X50, Y1000 = RNG.normal(size=(1000, 50)), RNG.integers(0, 2, 1000)
GROUP, FLOOR, RADON = np.sort(RNG.integers(0, 85, 919)), RNG.integers(0, 2, 919).astype(float), RNG.normal(size=919)
X5, CLASS, COUNTS = RNG.normal(size=(200, 5)), RNG.integers(0, 3, 200), RNG.poisson(3, 200)
TWO_HUMPS = np.r_[RNG.normal(-2, 1, 100), RNG.normal(2, 0.5, 100)]
TRIPLES, SERIES = RNG.normal(size=(50, 3)), np.cumsum(RNG.normal(size=60)) * 0.3
sample = numpyro.sample


def zoo(model):
    ZOO[model.__name__] = model
    return model


@zoo
def schools():
    mu, tau = sample("mu", dist.Normal(0, 5)), sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("J", 8):
        theta = sample("theta", dist.Normal(mu, tau))
        sample("y", dist.Normal(theta, ERROR), obs=EFFECT)


@zoo
def logistic():
    b = sample("b", dist.Normal(0, 1).expand([50]).to_event(1))
    sample("y", dist.Bernoulli(logits=X50 @ b), obs=Y1000)


@zoo
def radon():
    mean, sd = sample("mean", dist.Normal(0, 1).expand([2])), sample("sd", dist.HalfNormal(1.0).expand([2]))
    with numpyro.plate("J", 85):
        a, b = sample("a", dist.Normal(mean[0], sd[0])), sample("b", dist.Normal(mean[1], sd[1]))
    noise = sample("noise", dist.Exponential(1.0))
    sample("y", dist.Normal(a[GROUP] + b[GROUP] * FLOOR, noise), obs=RADON)


@zoo
def softmax():
    b = sample("b", dist.Normal(0, 1).expand([5, 3]).to_event(2))
    sample("y", dist.Categorical(logits=X5 @ b), obs=CLASS)


@zoo
def mixture():
    w = sample("w", dist.Dirichlet(jnp.ones(3)))
    mu = sample("mu", dist.Normal(0, 3).expand([3]).to_event(1))
    s = sample("s", dist.HalfNormal(1.0).expand([3]).to_event(1))
    sample("y", dist.MixtureSameFamily(dist.Categorical(probs=w), dist.Normal(mu, s)), obs=TWO_HUMPS)


@zoo
def negative_binomial():
    a, b = sample("a", dist.Normal(0, 1)), sample("b", dist.Normal(0, 1).expand([5]).to_event(1))
    sample("y", dist.NegativeBinomial2(jnp.exp(a + X5 @ b), sample("alpha", dist.Gamma(2.0, 1.0))), obs=COUNTS)


@zoo
def lkj():
    s, L = sample("s", dist.Exponential(1.0).expand([3]).to_event(1)), sample("L", dist.LKJCholesky(3, 2.0))
    sample("y", dist.MultivariateNormal(0.0, scale_tril=s[:, None] * L), obs=TRIPLES)


@zoo
def autoregression():
    rho, sd = sample("rho", dist.Uniform(-1, 1)), sample("sd", dist.HalfNormal(1.0))

    def step(level, y):
        level = rho * level + 0.1 * jnp.tanh(y)
        return level, level

    levels = jax.lax.scan(step, 0.2, SERIES[:-1])[1]
    sample("y", dist.Normal(levels, sd), obs=SERIES[1:])


@zoo
def markov():
    sd = sample("sd", dist.HalfNormal(1.0))

    def step(before, y):
        now = sample("x", dist.Normal(before, sd))
        sample("y", dist.Normal(now, 0.5), obs=y)
        return now, now

    scan(step, 0.0, SERIES[:30])


@zoo
def gaussian_process():
    scale, length = sample("scale", dist.HalfNormal(2.0)), sample("length", dist.LogNormal(0.0, 0.5))
    x = np.linspace(0, 3, 20)
    covariance = scale**2 * jnp.exp(-0.5 * (x[:, None] - x[None]) ** 2 / length**2) + 0.1 * jnp.eye(20)
    sample("y", dist.MultivariateNormal(jnp.zeros(20), covariance), obs=np.sin(x))
