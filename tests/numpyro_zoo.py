"""NumPyro models that translations are checked with: ``ZOO`` has each by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
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
WORDS, RECAPTURED = RNG.integers(0, 4, 40), RNG.integers(0, 2, (40, 6)).astype(float)
PREY = np.exp(2.5 + 0.2 * RNG.normal(size=(10, 2)))
RING = np.roll(np.eye(12), 1, axis=1) + np.roll(np.eye(12), -1, axis=1)
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


@zoo
def hidden_markov():
    """The forward algorithm, once over the words of a sequence and once by a counter."""
    moves = sample("moves", dist.Dirichlet(jnp.ones((2, 2))).to_event(1))
    words = sample("words", dist.Dirichlet(jnp.ones((2, 4))).to_event(1))
    mean, sd = sample("mean", dist.Normal(0, 2).expand([2]).to_event(1)), sample("sd", dist.HalfNormal(1.0))
    moves, words = jnp.log(moves), jnp.log(words)
    seen = dist.Normal(mean, sd).log_prob(SERIES[:, None])

    def step(state, word):
        return logsumexp(state[:, None] + moves, axis=0) + words[:, word], None

    def by_counter(t, state):
        return logsumexp(state[:, None] + moves, axis=0) + seen[t]

    numpyro.factor("words_seen", logsumexp(jax.lax.scan(step, words[:, WORDS[0]], WORDS[1:])[0]))
    numpyro.factor("series", logsumexp(jax.lax.fori_loop(1, 60, by_counter, seen[0])))


@zoo
def flat_cutpoints():
    """A flat prior, which cannot be drawn from."""
    b = sample("b", dist.Normal(0, 1).expand([5]).to_event(1))
    cuts = sample("cuts", dist.ImproperUniform(dist.constraints.ordered_vector, (), event_shape=(2,)))
    sample("y", dist.OrderedLogistic(X5 @ b, cuts), obs=CLASS)


@zoo
def flows():
    """Lotka and Volterra's equations by Runge and Kutta's steps, two for each observation."""
    start = sample("start", dist.LogNormal(2.0, 1).expand([2]))
    rates = sample("rates", dist.TruncatedNormal(jnp.array([1.0, 0.05, 1.0, 0.05]), 0.5, low=0.0))

    def slope(x):
        return jnp.stack([(rates[0] - rates[1] * x[1]) * x[0], (-rates[2] + rates[3] * x[0]) * x[1]])

    def finer(_, x):
        middle = x + 0.05 * slope(x)
        return x + 0.1 * slope(middle)

    def step(x, _):
        x = jax.lax.fori_loop(0, 2, finer, x)
        return x, x

    path = jax.lax.scan(step, start, None, length=10)[1]
    sample("y", dist.LogNormal(jnp.log(path), sample("sd", dist.LogNormal(-1, 1).expand([2]))), obs=PREY)


@zoo
def capture_recapture():
    """Whether an animal still lives, for all of them at once."""
    stays, found = sample("stays", dist.Uniform(0, 1)), sample("found", dist.Uniform(0, 1))

    def step(alive, y):
        here = stays * alive * jnp.where(y == 1.0, found, 1 - found)
        total = here + (1 - stays * alive) * (y == 0.0)
        return here / total, jnp.log(total)

    numpyro.factor("y", jax.lax.scan(step, jnp.ones(40), RECAPTURED.T)[1].sum())


@zoo
def local_trend():
    """Kalman's filter with a level and its trend."""
    q, r = sample("q", dist.HalfNormal(1.0)), sample("r", dist.HalfNormal(1.0))
    F = jnp.array([[1.0, 1.0], [0.0, 1.0]])

    def step(state, y):
        m, P, total = state
        m, P = F @ m, F @ P @ F.T + q * jnp.eye(2)
        gain = P[:, 0] / (P[0, 0] + r)
        total = total + dist.Normal(m[0], jnp.sqrt(P[0, 0] + r)).log_prob(y)
        return (m + gain * (y - m[0]), P - jnp.outer(gain, P[0]), total), None

    numpyro.factor("y", jax.lax.scan(step, (jnp.zeros(2), jnp.eye(2), 0.0), SERIES)[0][2])


@zoo
def autoregressive_buffer():
    """An array that a loop fills."""
    rho, sd = sample("rho", dist.Uniform(-1, 1)), sample("sd", dist.HalfNormal(1.0))
    e = sample("e", dist.Normal(0, 1).expand([20]).to_event(1))
    x = jax.lax.fori_loop(1, 20, lambda t, x: x.at[t].set(rho * x[t - 1] + sd * e[t]), jnp.zeros(20).at[0].set(e[0]))
    sample("y", dist.Normal(x, 0.5), obs=SERIES[:20])


@zoo
def seasonal():
    """Holt and Winters: a season of four, and what was seen four steps before."""
    season = sample("season", dist.Normal(0, 1).expand([4]).to_event(1))
    a, g, sd = sample("a", dist.Beta(2, 2)), sample("g", dist.Beta(2, 2)), sample("sd", dist.HalfNormal(1.0))

    def step(state, t):
        level, season = state
        before = jnp.where(t >= 4, jnp.asarray(SERIES)[t - 4], 0.0)
        sample("y", dist.Normal(level + season[0] + 0.1 * before, sd), obs=jnp.asarray(SERIES)[t])
        now = a * (jnp.asarray(SERIES)[t] - season[0]) + (1 - a) * level
        return (now, jnp.roll(season, -1).at[3].set(g * (jnp.asarray(SERIES)[t] - now) + (1 - g) * season[0])), None

    scan(step, (0.0, season), jnp.arange(40))


@zoo
def proper_car():
    tau, alpha = sample("tau", dist.Gamma(2, 2)), sample("alpha", dist.Uniform(0, 0.99))
    phi = sample("phi", dist.CAR(jnp.zeros(12), alpha, tau, RING))
    sample("y", dist.Poisson(jnp.exp(1.0 + phi)), obs=COUNTS[:12])


@zoo
def low_rank():
    W = sample("W", dist.Normal(0, 1).expand([5, 2]).to_event(2))
    sample(
        "x", dist.LowRankMultivariateNormal(jnp.zeros(5), W, sample("s", dist.HalfNormal(1.0)) * jnp.ones(5)), obs=X5
    )


@zoo
def imputed():
    """Missing values of a predictor."""
    mean, b, sd = sample("mean", dist.Normal(0, 1)), sample("b", dist.Normal(0, 1)), sample("sd", dist.Exponential(1.0))
    missing = sample("missing", dist.Normal(mean, 1.0).expand([4]).mask(False))
    x = jnp.asarray(X5[:60, 0]).at[np.array([3, 17, 18, 40])].set(missing)
    sample("x", dist.Normal(mean, 1.0), obs=x)
    sample("y", dist.Normal(b * x, sd), obs=SERIES)
