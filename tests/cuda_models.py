"""Densities that both backends must compute alike."""

import math

import numpy as np
from numba import cuda, types

import fastvi as vi
from fastvi.kernels.families import registry, runs

rng = np.random.default_rng(20)
X, Y = rng.standard_normal((12, 4)), (rng.random(12) < 0.5).astype(float)
EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def normal(z, loc):
    return -0.5 * np.sum((z - loc) ** 2)


def logistic(z, x, y):
    eta = x @ z
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.dot(z, z)


def logistic_by_rows(z, x, y):
    total = -0.5 * np.sum(np.square(z))
    for n in range(len(y)):
        eta = np.dot(x[n], z)
        total += y[n] * eta - vi.softplus(eta)
    return total


def eight_schools(z, effect, error):
    mu, log_tau, theta = z[0], z[1], z[2:]
    tau = np.exp(log_tau)
    prior = -0.5 * (mu / 5) ** 2 - math.log1p((tau / 5) ** 2) + log_tau - 0.5 * np.sum(theta**2)
    return prior - 0.5 * np.sum(((effect - mu - tau * theta) / error) ** 2)


def funnel(z):
    v = z[0]
    return -v * v / 18 - 0.5 * math.exp(-v) * np.sum(z[1:] ** 2) - 0.5 * (len(z) - 1) * v


def branching(z):
    return -z[0] if z[0] > 0.0 and z[1] < 1.0 else 2.0 * z[0] - z[1] ** 2


def special(z):
    angles = math.sin(z[2]) * math.cos(1e5 * z[0]) + 0.001 * np.sin(1e14 * z[1])
    return angles - max(z[1], 0.0) ** 1.5


def gammas(z):
    negative = 0.1 * vi.gammaln(0.5 * z[1] - 3.5) + vi.digamma(2.0 + abs(z[2]))
    errors = math.erf(z[1]) + vi.log_ndtr(3.0 * z[0]) + np.sum(vi.erfcx(z)) + vi.erfc(z[2])
    return math.lgamma(2.0 + abs(z[0])) + negative + errors


def cut_off(z):
    return -math.inf if z[0] > 1.5 else -0.5 * z[0] ** 2


def with_integers(z, counts, exposed, where):
    total = 0.0
    for i in range(len(counts)):
        rate = z[where[i]]
        if exposed[i]:
            total += counts[i] * rate - math.exp(rate)
    return total - 0.5 * (z[0] ** 2 + z[1] ** 2)


def named(tau, w, L, B, mu, log_tau, log1m_p, effect, error):
    total = (
        vi.normal_logpdf(mu, 0.0, 1.0) - log_tau - tau - 0.1 * log1m_p * log1m_p + np.sum(np.log(w)) + L[1, 0] * B[1, 0]
    )
    for i in range(len(effect)):
        total -= 0.5 * ((effect[i] - mu - w[i % 3] * tau) / error[i]) ** 2
    return total + 0.5 * math.log(L[2, 2]) - np.sum(np.square(B[0]))


NAMED = dict(mu=vi.real(), tau=vi.positive(), w=vi.simplex(3), L=vi.corr_cholesky(3), B=vi.real((2, 2)), p=vi.unit())


def named_branching(s, theta):
    return -s if s > 1.0 and theta[0] < 0.0 else -2.0 * s - theta[1] ** 2


def of_factors(s, theta, c, g, b, d, n, tau, w):
    total = c[0] * s[1] - c[1] * theta[1] - np.sum(g) + np.log(b[0]) + d[0] * n[0] - d[1] * s[2] - 0.3 * n[0] - tau[0]
    return total - 0.5 * np.sum(np.square(theta - s[0] * g[0])) + w[0] * w[1] * s[1] - np.sum(np.square(w))


def product():
    """A q of every kind of factor, the categorical ones of three values."""
    return vi.Product(
        s=vi.Bernoulli(logits=[0.3, -1.0, 0.5]),
        theta=vi.MeanFieldGaussian([0.1, 0.2], [0.5, 0.7]),
        c=vi.Categorical(logits=[[0.2, -0.3, 0.0], [1.0, 0.0, 0.5]]),
        g=vi.Gamma([2.0, 0.7], [1.0, 3.0]),
        b=vi.Beta([2.0], [3.0]),
        d=vi.Dirichlet([0.5, 2.0, 1.0]),
        n=vi.Poisson([3.0]),
        tau=vi.LogNormal([0.1], [0.3]),
        w=vi.FullRankGaussian([0.3, -0.2], [[0.8, 0.0], [0.4, 0.6]]),
    )


COUNTS = (np.array([3, 0, 2, 5]), np.array([True, True, False, True]), np.array([0, 1, 1, 0]))
MODELS = {
    "normal": (normal, 5, (np.arange(5.0) / 5,)),
    "one": (normal, 1, (np.array([0.3]),)),
    "logistic": (logistic, 4, (X, Y)),
    "logistic by rows": (logistic_by_rows, 4, (X, Y)),
    "eight schools": (eight_schools, 10, (EFFECT, ERROR)),
    "funnel": (funnel, 6, ()),
    "branching": (branching, 2, ()),
    "special": (special, 3, ()),
    "gammas": (gammas, 3, ()),
    "cut off": (cut_off, 1, ()),
    "integers": (with_integers, 2, COUNTS),
    "named": (named, NAMED, (EFFECT, ERROR)),
    "named branching": (named_branching, dict(s=vi.positive(transform="softplus"), theta=vi.ordered(2)), ()),
}


def normals_kernel(dtype):
    """(kernel, signature): the normals of one block of words for each counter."""
    draws_of = registry.DRAWS[dtype]
    fill_block, step = draws_of.fill_block, draws_of.BLOCK

    def fill(out, draws, blocks, stream, key):
        i = cuda.grid(1)
        column = cuda.local.array((step, 1), types.float64)
        fill_block(column, draws[i], blocks[i], stream, key)
        for k in range(step):
            out[i, k] = column[k, 0]

    words = types.uint64[::1]
    return fill, types.void(types.float64[:, ::1], words, words, types.uint64, types.uint64)


def scale_shape(family, dim):
    """Of the scale as the kernels take it; of low rank with three factors, or as many as there may be; of a product of
    factors of one row each."""
    if family == "product":
        return dim, runs.COLUMNS
    if family == "low_rank":
        return vi.LowRankGaussian.standard(dim, min(3, dim)).arrays[1].shape
    size = registry.FAMILIES[family].rows(dim, ())
    return (size,) if family == "mean_field" else (size, size)


def scores_kernel(family, dim, dtype="float64"):
    """(kernel, signature, CUDA blocks for a block of draws) of the score sums."""
    from fastvi.kernels.gpu import scores

    return scores.SCORES[family](dim, scale_shape(family, dim), dtype)
