"""Models with binary latents whose every number is known by enumeration (data/factors.json says how), and the naive
versions of what factors do."""

import math

import numpy as np

import fastvi as vi

import oracles

CASES = {case["name"]: case for case in oracles.load("factors")["cases"]}
SK, NET = CASES["SK n=6"], CASES["sigmoid belief net 3-6-8"]


def spins(z, J, h):
    """A Boltzmann machine of spins 2 z - 1."""
    total = 0.0
    for i in range(len(h)):
        field = h[i]
        for k in range(i):
            field += J[i, k] * (2.0 * z[k] - 1.0)
        total += (2.0 * z[i] - 1.0) * field
    return total


def belief_net(z, W2, b2, b1, W1, b0, v):
    """Two layers of hidden units, the lower one first."""
    lower, total = len(b1), 0.0
    for k in range(len(b2)):
        total += z[lower + k] * b2[k] - np.logaddexp(0.0, b2[k])
    for i in range(lower):
        a = b1[i]
        for k in range(len(b2)):
            a += W2[i, k] * z[lower + k]
        total += z[i] * a - np.logaddexp(0.0, a)
    for i in range(len(b0)):
        a = b0[i]
        for k in range(lower):
            a += W1[i, k] * z[k]
        total += v[i] * a - np.logaddexp(0.0, a)
    return total


def target_of(case) -> vi.Target:
    """The model of a binary case."""
    data = {name: np.array(value, float) for name, value in case["data"].items() if name != "energy"}
    if case is SK:
        return vi.Target(spins, 6, (data["J"], data["h"]))
    return vi.Target(belief_net, 9, (*(data[k] for k in ("W2", "b2", "b1", "W1", "b0")), data["v"][0]))


def states(n: int) -> np.ndarray:
    """(2^n, n)"""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


def slab(theta, s, X, y):
    """Spike-and-slab regression with its slopes: products of four factors."""
    total = -0.5 * np.sum(theta * theta) - np.sum(s)
    for i in range(X.shape[0]):
        mean = 0.0
        for j in range(X.shape[1]):
            mean += X[i, j] * theta[j] * s[j]
        total -= 0.5 * (y[i] - mean) ** 2
    return total


def slab_data():
    """Twenty rows of which the first column alone matters."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    return X, X[:, 0] + rng.normal(size=20)


def mixed() -> vi.Product:
    """A q for it."""
    slopes = vi.MeanFieldGaussian(np.full(3, 0.3), np.full(3, 0.5))
    return vi.Product(theta=slopes, s=vi.Bernoulli(logits=[0.0, 1.0, -1.0]))


def coordinate_ascent(log_p, z, logits, sweeps=500):
    """(logits, ELBO) where exact coordinate ascent over all states z ends"""
    logits = np.array(logits)
    for _ in range(sweeps):
        for j in range(len(logits)):
            q = np.exp(z @ -np.logaddexp(0, -logits) + (1 - z) @ -np.logaddexp(0, logits))
            on = z[:, j] == 1
            logits[j] = q[on] @ log_p[on] / q[on].sum() - q[~on] @ log_p[~on] / q[~on].sum()
    log_q = z @ -np.logaddexp(0, -logits) + (1 - z) @ -np.logaddexp(0, logits)
    return logits, np.exp(log_q) @ (log_p - log_q)


def shares(z, log_topics, words, alpha, constants):
    """Topics of a document's words, their shares integrated out; z is an index."""
    total = constants[0]
    for k in range(log_topics.shape[0]):
        count = alpha
        for i in range(len(words)):
            count += vi.where(z[i] == k, 1.0, 0.0)
        total += vi.gammaln(count) - constants[1]
    for i in range(len(words)):
        total += log_topics[int(z[i]), words[i]]
    return total


DOCUMENT = next(case for case in CASES.values() if case["kind"] == "categorical")


def document() -> vi.Target:
    """The model of the categorical case."""
    data, lgamma = DOCUMENT["data"], np.vectorize(math.lgamma)
    alpha, topics, words = data["alpha"], np.array(data["topics"]), np.array(data["words"])
    sizes = len(topics) * alpha
    constants = np.array([float(lgamma(sizes) - lgamma(sizes + len(words))), float(lgamma(alpha))])
    return vi.Target(shares, len(words), (np.log(topics), words, alpha, constants))


def mixture(z, mu, x):
    """A mixture of unit normals whose means are latent."""
    total = -0.5 * np.sum(mu * mu)
    for i in range(len(x)):
        total -= 0.5 * (x[i] - mu[int(z[i])]) ** 2
    return total
