"""Targets and estimators for time to a given error: plain densities for fastvi, batched ones for JAX and torch.

A side is given the draws that its estimator needs for the error, from its own variance, and not the time to find that
out; fastvi's time is that of ``atol``, pilot and fit included.
"""

import functools
import json
import math
import pathlib

import numpy as np

import fastvi as vi
from fastvi.examples.models import EFFECTS, STANDARD_ERRORS

from sides import load_jax

LOG_2PI = math.log(2.0 * math.pi)
POSTERIORS = pathlib.Path(__file__).parents[1] / "tests" / "data" / "posteriors.json"


def logistic_plain(beta, X, y):
    eta = X @ beta
    prior = -0.5 * np.dot(beta, beta) - 0.5 * len(beta) * LOG_2PI
    return prior + np.sum(y * eta - np.logaddexp(0.0, eta))


def logistic_batched(m, z, X, y):
    eta = z @ X.T
    prior = -0.5 * (z * z).sum(-1) - 0.5 * z.shape[1] * LOG_2PI
    return prior + (y * eta - m.logaddexp(0.0 * eta, eta)).sum(-1)


def regression_plain(z, gram, least_squares, residual, rows, cauchy, sigma_scale, beta_sd):
    """y ~ N(X beta, sigma), z = (beta, log sigma), from sufficient statistics; beta_sd = 0 for a flat prior"""
    p = len(least_squares)
    s = math.exp(z[p]) / sigma_scale
    total = z[p] - math.log(sigma_scale)
    total -= math.log(math.pi) + math.log1p(s * s) if cauchy else 0.5 * LOG_2PI + 0.5 * s * s
    if beta_sd > 0.0:
        for j in range(p):
            total -= 0.5 * LOG_2PI + math.log(beta_sd) + 0.5 * (z[j] / beta_sd) ** 2
    delta = z[:p] - least_squares
    square = residual + np.dot(delta, gram @ delta)
    return total - 0.5 * square * math.exp(-2.0 * z[p]) - rows * (0.5 * LOG_2PI + z[p])


def regression_batched(m, z, gram, least_squares, residual, rows, cauchy, sigma_scale, beta_sd):
    p = len(least_squares)
    beta, log_sigma = z[:, :p], z[:, p]
    s = m.exp(log_sigma) / sigma_scale
    total = log_sigma - math.log(sigma_scale)
    total = total - (math.log(math.pi) + m.log1p(s * s) if cauchy else 0.5 * LOG_2PI + 0.5 * s * s)
    if beta_sd > 0.0:
        total = total - p * (0.5 * LOG_2PI + math.log(beta_sd)) - 0.5 * (beta * beta).sum(-1) / beta_sd**2
    delta = beta - least_squares
    square = residual + ((delta @ gram) * delta).sum(-1)
    return total - 0.5 * square * m.exp(-2.0 * log_sigma) - rows * (0.5 * LOG_2PI + log_sigma)


def schools_plain(z, effects, errors):
    mu, log_tau = z[8], z[9]
    tau = math.exp(log_tau)
    total = -0.5 * np.dot(z[:8], z[:8]) - 0.5 * (mu / 5.0) ** 2 - 4.5 * LOG_2PI - math.log(5.0)
    total += log_tau - math.log(5.0 * math.pi) - math.log1p((tau / 5.0) ** 2)
    for j in range(8):
        r = (effects[j] - mu - tau * z[j]) / errors[j]
        total -= 0.5 * r * r + math.log(errors[j]) + 0.5 * LOG_2PI
    return total


def schools_batched(m, z, effects, errors):
    raw, mu, log_tau = z[:, :8], z[:, 8], z[:, 9]
    tau = m.exp(log_tau)
    total = -0.5 * (raw * raw).sum(-1) - 0.5 * (mu / 5.0) ** 2 - 4.5 * LOG_2PI - math.log(5.0)
    total = total + log_tau - math.log(5.0 * math.pi) - m.log1p((tau / 5.0) ** 2)
    r = (effects - mu[:, None] - tau[:, None] * raw) / errors
    return total - (0.5 * r * r + m.log(errors) + 0.5 * LOG_2PI).sum(-1)


def hierarchical_data(groups=85, rows=1000, columns=3):
    """Rows of groups whose intercepts differ, and outcomes from the model's own prior."""
    rng = np.random.default_rng(0)
    group, X = rng.integers(0, groups, rows), rng.normal(size=(rows, columns))
    eta = 0.7 * rng.normal(size=groups)[group] + X @ rng.normal(size=columns)
    return group, X, (rng.random(rows) < 1.0 / (1.0 + np.exp(-eta))).astype(float)


def hierarchical_plain(z, group, X, y):
    """Outcomes with an intercept a group, z = (standardised intercepts, their mean, log of their sd, slopes)"""
    groups = len(z) - X.shape[1] - 2
    mu, log_tau, beta = z[groups], z[groups + 1], z[groups + 2 :]
    tau = math.exp(log_tau)
    total = log_tau - 0.5 * tau * tau - 0.5 * mu * mu - 0.5 * np.dot(beta, beta)
    total -= 0.5 * np.dot(z[:groups], z[:groups]) + 0.5 * len(z) * LOG_2PI
    shift = X @ beta
    for i in range(len(y)):
        eta = mu + tau * z[group[i]] + shift[i]
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total


def hierarchical_batched(m, z, group, X, y):
    groups = z.shape[1] - X.shape[1] - 2
    mu, log_tau, beta = z[:, groups], z[:, groups + 1], z[:, groups + 2 :]
    tau = m.exp(log_tau)
    prior = log_tau - 0.5 * tau * tau - 0.5 * mu * mu - 0.5 * (beta * beta).sum(-1)
    prior = prior - 0.5 * (z[:, :groups] * z[:, :groups]).sum(-1) - 0.5 * z.shape[1] * LOG_2PI
    eta = mu[:, None] + tau[:, None] * z[:, group] + beta @ X.T
    return prior + (y * eta - m.logaddexp(0.0 * eta, eta)).sum(-1)


class Case:
    """A posterior with an approximation near its best ELBO, which is wanted to a standard error of ``atol``."""

    def __init__(self, name, plain, batched, data, q, atol=1e-3):
        self.name, self.plain, self.batched, self.data, self.q, self.atol = name, plain, batched, data, q, atol
        self.target = vi.Target(plain, q.dim, data, name=name)


def logistic_data(rows=200, dim=10):
    """The design and outcomes of a logistic regression whose coefficients come from the prior."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, dim)) / math.sqrt(dim) * 2
    beta = rng.normal(size=dim)
    return X, (rng.random(rows) < 1.0 / (1.0 + np.exp(-X @ beta))).astype(float)


@functools.cache
def cases() -> dict:
    """The logistic regression with 200 rows, and five posteriors of posteriordb at their stored optima."""
    data = logistic_data()
    q = vi.fit(vi.Target(logistic_plain, 10, data), "mean_field", rng=0).q
    found = [Case("logistic N=200 d=10, mean-field", logistic_plain, logistic_batched, data, q)]
    for name, record in json.loads(POSTERIORS.read_text())["posteriors"].items():
        parts = schools_plain, schools_batched, (EFFECTS, STANDARD_ERRORS)
        if name != "eight_schools":
            prior = record["sigma_prior"] == "cauchy", record["sigma_scale"], record["beta_sd"] or 0.0
            statistics = np.array(record["gram"]), np.array(record["least_squares"])
            parts = regression_plain, regression_batched, (*statistics, record["residual"], record["rows"], *prior)
        fits = vi.MeanFieldGaussian(record["mf"]["mean"], record["mf"]["sd"])
        found.append(Case(f"{name}, mean-field", *parts, fits))
        fits = vi.FullRankGaussian(record["fr"]["mean"], np.tril(record["fr"]["scale_tril"]))
        found.append(Case(f"{name}, full-rank", *parts, fits))
    return {case.name: case for case in found}


LARGE = {
    **{f"logistic N=1000 d={d}, mean-field, to 1e-2": d for d in (50, 100, 200)},
    "hierarchical logistic d=90, mean-field, to 1e-2": 0,
}


@functools.cache
def case(name) -> Case:
    """One of ``cases()`` or, of more dimensions, of ``LARGE``."""
    if name not in LARGE:
        return cases()[name]
    dim, parts = LARGE[name], (hierarchical_plain, hierarchical_batched)
    data = logistic_data(1000, dim) if dim else hierarchical_data()
    parts = (logistic_plain, logistic_batched) if dim else parts
    q = vi.fit(vi.Target(parts[0], dim or 90, data), "mean_field", rng=0).q
    return Case(name, *parts, data, q, 1e-2)


CHUNK = 8192  # draws of the peers at a time: the fastest of 2048, 8192 and 32768 on the logistic regression


def chunks(draws):
    """(whole chunks, their size) for so many draws; small jobs are one chunk."""
    return (1, max(2, draws)) if draws <= CHUNK else (math.ceil(draws / CHUNK), CHUNK)


def log_weights(m, case, data, eps, loc, scale):
    z = loc + eps @ scale.T if scale.ndim == 2 else loc + scale * eps
    log_det = m.log(m.diagonal(scale) if scale.ndim == 2 else scale).sum()
    log_q = -0.5 * (eps * eps).sum(-1) - log_det - 0.5 * case.q.dim * LOG_2PI
    return case.batched(m, z, *data) - log_q


def jax_parts(case):
    jax = load_jax()
    data = tuple(jax.numpy.asarray(d) if isinstance(d, np.ndarray) else d for d in case.data)
    return jax, jax.numpy, data, jax.numpy.asarray(case.q.loc), jax.numpy.asarray(case.q.scale)


def jax_plain(case, draws):
    jax, jnp, data, loc, scale = jax_parts(case)
    count, size = chunks(draws)

    @jax.jit
    def call(key, loc, scale):
        def step(total, key):
            f = log_weights(jnp, case, data, jax.random.normal(key, (size, case.q.dim)), loc, scale)
            return (total[0] + f.sum(), total[1] + (f * f).sum()), None

        (first, second), _ = jax.lax.scan(step, (0.0, 0.0), jax.random.split(key, count))
        n = count * size
        return first / n, jnp.sqrt((second / n - (first / n) ** 2) / n)

    key = jax.random.key(1)
    return lambda: jax.block_until_ready(call(key, loc, scale))


def jax_quadratic(case, draws):
    """The same polynomial of degree 2 as fastvi's "quadratic", fitted to eight draws a coefficient."""
    jax, jnp, data, loc, scale = jax_parts(case)
    i, j = np.triu_indices(case.q.dim, 1)
    ends = np.cumsum([1, case.q.dim, case.q.dim])
    fitted = 8 * (1 + 2 * case.q.dim + len(i))
    count, size = chunks(draws)

    def design(eps):
        return jnp.concatenate([eps, (eps * eps - 1.0) / math.sqrt(2.0), eps[:, i] * eps[:, j]], axis=1)

    @jax.jit
    def call(key, loc, scale):
        first, second = jax.random.split(key)
        eps = jax.random.normal(first, (fitted, case.q.dim))
        matrix = jnp.concatenate([jnp.ones((fitted, 1)), design(eps)], axis=1)
        f = log_weights(jnp, case, data, eps, loc, scale)
        _, linear, squares, below = jnp.split(jnp.linalg.solve(matrix.T @ matrix, matrix.T @ f), ends)
        pairs = jnp.zeros((case.q.dim, case.q.dim)).at[i, j].set(below) + jnp.diag(squares / math.sqrt(2.0))

        def step(total, key):
            eps = jax.random.normal(key, (size, case.q.dim))
            follow = eps @ linear + ((eps @ pairs) * eps).sum(-1) - jnp.trace(pairs)
            r = log_weights(jnp, case, data, eps, loc, scale) - follow
            return (total[0] + r.sum(), total[1] + (r * r).sum()), None

        (total, square), _ = jax.lax.scan(step, (0.0, 0.0), jax.random.split(second, count))
        n = count * size
        return total / n, jnp.sqrt((square / n - (total / n) ** 2) / n)

    key = jax.random.key(1)
    return lambda: jax.block_until_ready(call(key, loc, scale))


def torch_plain(case, draws):
    import torch

    torch.set_num_threads(1)
    data = tuple(torch.tensor(d) if isinstance(d, np.ndarray) else d for d in case.data)
    loc, scale = torch.tensor(case.q.loc), torch.tensor(case.q.scale)
    count, size = chunks(draws)

    @torch.no_grad()
    def call():
        first = second = 0.0
        for _ in range(count):
            eps = torch.randn(size, case.q.dim, dtype=torch.float64)
            f = log_weights(torch, case, data, eps, loc, scale)
            first, second = first + f.sum(), second + (f * f).sum()
        n = count * size
        return first / n, torch.sqrt((second / n - (first / n) ** 2) / n)

    return call


def numpyro_plain(case, draws):
    """Trace_ELBO over as many particles at a time as fit the caches, until all draws are done."""
    jax, jnp, data, loc, scale = jax_parts(case)
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import Trace_ELBO

    def model():
        z = numpyro.sample("z", dist.Normal(jnp.zeros(case.q.dim), 1.0).to_event(1).mask(False))
        numpyro.factor("log_p", case.batched(jnp, z[None, :], *data)[0])

    def guide():
        loc_, scale_ = numpyro.param("loc", loc), numpyro.param("scale", scale)
        full_rank = scale.ndim == 2
        q = dist.MultivariateNormal(loc_, scale_tril=scale_) if full_rank else dist.Normal(loc_, scale_).to_event(1)
        numpyro.sample("z", q)

    count, size = chunks(draws)
    loss = Trace_ELBO(num_particles=size, vectorize_particles=True).loss
    one = jax.jit(lambda key, parameters: loss(key, parameters, model, guide))
    keys, parameters = jax.random.split(jax.random.key(1), count), {"loc": loc, "scale": scale}

    def call():
        values = [one(key, parameters) for key in keys]
        return -np.mean([float(v) for v in values])

    return call


def fastvi_atol(case, atol):
    return lambda: vi.elbo(case.target, case.q, atol=atol, rng=1, num_threads=1)


def fastvi_plain(case, draws):
    return lambda: vi.elbo(case.target, case.q, draws, estimator="plain", rng=1, num_threads=1)


PLAIN = {"fastvi plain": fastvi_plain, "jax": jax_plain, "torch": torch_plain, "numpyro": numpyro_plain}
