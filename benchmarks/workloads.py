"""The named workloads: for each a plain density for fastvi, and the same density in batches for NumPy, JAX and torch.

A batched density takes (module, z of shape (S, dim), data) and uses nothing but that module.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LOG_2PI = math.log(2.0 * math.pi)
# Rubin (1981), table 1: effects of coaching and their standard errors in eight schools
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


@dataclass(frozen=True)
class Workload:
    """A target, its data, the number of draws of one call, and q: N(loc, scale^2) in every dimension."""

    name: str
    dim: int
    num_samples: int
    plain: Callable
    batched: Callable
    data: tuple = ()
    loc: float = 0.1
    scale: float = 0.5
    family: str = "mean_field"

    @property
    def scale_tril(self):
        """(dim, dim), for the full-rank family"""
        rng = np.random.default_rng(self.dim)
        return self.scale * (np.eye(self.dim) + np.tril(rng.normal(size=(self.dim, self.dim)), -1) / self.dim)


def normal_plain(z):
    total = 0.0
    for i in range(len(z)):
        total += z[i] * z[i]
    return -0.5 * total - 0.5 * len(z) * LOG_2PI


def normal_batched(m, z, data):
    return -0.5 * (z * z).sum(-1) - 0.5 * z.shape[1] * LOG_2PI


def correlated_plain(z, whiten):
    total = 0.0
    for row in range(len(z)):
        eps = np.dot(whiten[row], z)
        total += eps * eps
    return -0.5 * total


def correlated_batched(m, z, data):
    eps = z @ data[0].T
    return -0.5 * (eps * eps).sum(-1)


def funnel_plain(z):
    total = 0.0
    for i in range(1, len(z)):
        total += z[i] * z[i]
    rest = len(z) - 1
    return (
        -z[0] * z[0] / 18.0 - 0.5 * rest * z[0] - 0.5 * math.exp(-z[0]) * total - 0.5 * len(z) * LOG_2PI - math.log(3.0)
    )


def funnel_batched(m, z, data):
    v, x = z[:, 0], z[:, 1:]
    rest = x.shape[1]
    return (
        -v * v / 18.0 - 0.5 * rest * v - 0.5 * m.exp(-v) * (x * x).sum(-1) - 0.5 * (rest + 1) * LOG_2PI - math.log(3.0)
    )


def schools_plain(z, effects, errors):
    mu, log_tau = z[8], z[9]
    tau = math.exp(log_tau)
    total = log_tau - mu * mu / 50.0 - math.log1p(tau * tau / 25.0)
    for j in range(8):
        r = (effects[j] - mu - tau * z[j]) / errors[j]
        total += -0.5 * z[j] * z[j] - 0.5 * r * r
    return total


def schools_batched(m, z, data):
    effects, errors = data
    mu, log_tau = z[:, 8], z[:, 9]
    tau = m.exp(log_tau)
    r = (effects - mu[:, None] - tau[:, None] * z[:, :8]) / errors
    return (
        log_tau
        - mu * mu / 50.0
        - m.log1p(tau * tau / 25.0)
        - 0.5 * (z[:, :8] * z[:, :8]).sum(-1)
        - 0.5 * (r * r).sum(-1)
    )


def logistic_plain(beta, X, y):
    eta = X @ beta
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(beta * beta)


def logistic_rows_plain(beta, X, y):
    total = -0.5 * np.dot(beta, beta)
    for i in range(X.shape[0]):
        eta = np.dot(X[i], beta)
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total


def logistic_batched(m, z, data):
    X, y = data
    eta = z @ X.T
    if m.__name__ == "torch":
        softplus = m.nn.functional.softplus(eta)
    elif m.__name__ == "numpy":
        softplus = m.logaddexp(0.0, eta)
    else:
        import jax

        softplus = jax.nn.softplus(eta)
    return z @ (y @ X) - softplus.sum(-1) - 0.5 * (z * z).sum(-1)


def logistic_data(rows, dim):
    rng = np.random.default_rng(rows)
    X = rng.standard_normal((rows, dim))
    beta = rng.standard_normal(dim) / math.sqrt(dim)
    return X, (rng.random(rows) < 1.0 / (1.0 + np.exp(-X @ beta))).astype(float)


def whitening(dim):
    rng = np.random.default_rng(dim)
    return np.eye(dim) + 0.1 * rng.standard_normal((dim, dim))


WORKLOADS = {
    w.name: w
    for w in [
        Workload("standard normal d=100", 100, 10_240, normal_plain, normal_batched),
        Workload("correlated Gaussian d=100", 100, 10_240, correlated_plain, correlated_batched, (whitening(100),)),
        Workload("funnel d=10", 10, 10_240, funnel_plain, funnel_batched),
        Workload("eight schools", 10, 10_240, schools_plain, schools_batched, (EFFECTS, ERRORS)),
        Workload("logistic N=200 d=10", 10, 4096, logistic_plain, logistic_batched, logistic_data(200, 10)),
        Workload("logistic N=1000 d=50", 50, 1024, logistic_plain, logistic_batched, logistic_data(1000, 50)),
        Workload("logistic N=10,000 d=200", 200, 256, logistic_plain, logistic_batched, logistic_data(10_000, 200)),
        Workload(
            "logistic N=1000 d=50, by rows", 50, 1024, logistic_rows_plain, logistic_batched, logistic_data(1000, 50)
        ),
    ]
}

FULL_RANK = {
    w.name: w
    for w in [
        Workload(f"full rank d={dim}", dim, num_samples, normal_plain, normal_batched, family="full_rank")
        for dim, num_samples in ((20, 10_240), (100, 4096), (400, 1024), (1000, 512))
    ]
}
TINY = {
    w.name: w
    for w in [
        Workload(f"tiny call d={dim}, S={num_samples}", dim, num_samples, normal_plain, normal_batched)
        for dim in (10, 100)
        for num_samples in (1, 8, 32)
    ]
}
ALL = {**WORKLOADS, **FULL_RANK, **TINY}
