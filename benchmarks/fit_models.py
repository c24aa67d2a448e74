"""Larger posteriors for the fits, each as a plain density and batched for the peers: radon-like counties, a stochastic
volatility, a field of Poisson counts (all on generated data), and logistic regressions."""

import functools
import math

import numpy as np
import precision

import fastvi as vi

LOG_2PI = precision.LOG_2PI


def radon_data(counties=85, rows=919):
    """As many houses and counties as in Gelman and Hill (2007), chapter 12, from a model like theirs."""
    rng = np.random.default_rng(3)
    county, floor = np.sort(rng.integers(0, counties, rows)), (rng.random(rows) < 0.17).astype(float)
    level = 1.4 + 0.33 * rng.normal(size=counties)
    return county, floor, level[county] - 0.69 * floor + 0.76 * rng.normal(size=rows)


def radon_plain(z, county, floor, y):
    """Non-centred levels, then mu, log sigma of the levels, the floor's effect, log sigma."""
    J = len(z) - 4
    mu, log_sa, b, log_sy = z[J], z[J + 1], z[J + 2], z[J + 3]
    sa, sy = math.exp(log_sa), math.exp(log_sy)
    total = log_sa - sa + log_sy - sy - 0.005 * mu * mu - 0.005 * b * b - 0.5 * np.dot(z[:J], z[:J]) - 0.5 * J * LOG_2PI
    squares = 0.0
    for i in range(len(y)):
        r = y[i] - mu - sa * z[county[i]] - b * floor[i]
        squares += r * r
    return total - 0.5 * squares / (sy * sy) - len(y) * (log_sy + 0.5 * LOG_2PI)


def radon_batched(m, z, county, floor, y):
    J = z.shape[1] - 4
    raw, mu, log_sa, b, log_sy = z[:, :J], z[:, J], z[:, J + 1], z[:, J + 2], z[:, J + 3]
    sa, sy = m.exp(log_sa), m.exp(log_sy)
    total = log_sa - sa + log_sy - sy - 0.005 * mu * mu - 0.005 * b * b - 0.5 * (raw * raw).sum(-1) - 0.5 * J * LOG_2PI
    r = y - mu[:, None] - sa[:, None] * raw[:, county] - b[:, None] * floor
    return total - 0.5 * (r * r).sum(-1) / (sy * sy) - len(y) * (log_sy + 0.5 * LOG_2PI)


def volatility_data(days=400):
    rng = np.random.default_rng(5)
    h, phi, s, mu = np.zeros(days), 0.95, 0.25, -1.0
    h[0] = mu + s / math.sqrt(1 - phi**2) * rng.normal()
    for t in range(1, days):
        h[t] = mu + phi * (h[t - 1] - mu) + s * rng.normal()
    return (np.exp(h / 2) * rng.normal(size=days),)


def volatility_plain(z, y):
    """Non-centred innovations, then mu, atanh phi, log sigma."""
    T = len(y)
    mu, phi, log_s = z[T], math.tanh(z[T + 1]), z[T + 2]
    s = math.exp(log_s)
    total = -0.005 * mu * mu - 2.0 * (z[T + 1] - 1.5) ** 2 - 0.5 * (log_s + 1.5) ** 2
    h = mu + s * z[0] / math.sqrt(1.0 - phi * phi)
    for t in range(T):
        if t > 0:
            h = mu + phi * (h - mu) + s * z[t]
        total += -0.5 * z[t] * z[t] - 0.5 * h - 0.5 * y[t] * y[t] * math.exp(-h) - LOG_2PI
    return total


def volatility_batched(m, z, y):
    """For JAX, whose scan it takes."""
    from jax import lax

    T = len(y)
    mu, raw, log_s = z[:, T], z[:, T + 1], z[:, T + 2]
    phi, s = m.tanh(raw), m.exp(log_s)
    first = s * z[:, 0] / m.sqrt(1.0 - phi * phi)

    def step(h, innovation):
        h = phi * h + s * innovation
        return h, h

    rest = lax.scan(step, first, z[:, 1:T].T)[1]
    h = mu[:, None] + m.concatenate([first[None], rest]).T
    total = -0.005 * mu * mu - 2.0 * (raw - 1.5) ** 2 - 0.5 * (log_s + 1.5) ** 2
    return total + (-0.5 * z[:, :T] ** 2 - 0.5 * h - 0.5 * y * y * m.exp(-h) - LOG_2PI).sum(-1)


def field_data(side=100):
    rng = np.random.default_rng(7)
    blocks = np.kron(rng.normal(size=(10, 10)), np.ones((side // 10, side // 10))).ravel() * 0.7
    y = rng.poisson(np.exp(0.5 + blocks)).astype(float)
    return y, (np.arange(side * side - 1) % side != side - 1).astype(float)


def field_plain(z, y, right):
    """Log intensities on a square, smooth to their neighbours."""
    side = 100
    across, down = z[1:] - z[:-1], z[side:] - z[:-side]
    rough = np.sum(right * across * across) + np.sum(down * down)
    return np.sum(y * z - np.exp(z)) - 2.0 * rough - 0.05 * np.sum(z * z)


def field_batched(m, z, y, right):
    side = 100
    across, down = z[:, 1:] - z[:, :-1], z[:, side:] - z[:, :-side]
    rough = (right * across * across).sum(-1) + (down * down).sum(-1)
    return (y * z - m.exp(z)).sum(-1) - 2.0 * rough - 0.05 * (z * z).sum(-1)


@functools.cache
def case(name):
    """A precision.Case, its q of the family wanted and yet to be fitted."""
    if name in precision.cases():
        return precision.cases()[name]
    model, family = name.split(", ")
    if model.startswith("logistic"):
        rows, dim = (int(part.split("=")[1].replace(",", "")) for part in model.split(" ")[1:])
        parts = precision.logistic_plain, precision.logistic_batched, precision.logistic_data(rows, dim), dim
    else:
        parts = {
            "radon": lambda: (radon_plain, radon_batched, radon_data(), 89),
            "volatility": lambda: (volatility_plain, volatility_batched, volatility_data(), 403),
            "field": lambda: (field_plain, field_batched, field_data(), 10_000),
        }[model]()
    plain, batched, data, dim = parts
    kind = vi.MeanFieldGaussian if family == "mean-field" else vi.FullRankGaussian
    return precision.Case(name, plain, batched, data, kind.standard(dim))
