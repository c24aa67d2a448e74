"""Models whose gradients are compared and timed: the plain density for fastvi, and the same for JAX and torch.

A peer's density takes (ops, z, *data) for one draw z and uses nothing but ``ops``, see ``jax_ops`` and ``torch_ops``.

    python benchmarks/gradient_models.py > tests/data/gradients.json    # JAX's answers, which the tests carry
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

LOG_2PI = math.log(2.0 * math.pi)


# ---- plain densities, as users write them
def normal_loop(z):
    total = 0.0
    for i in range(len(z)):
        total += z[i] * z[i]
    return -0.5 * total - 0.5 * len(z) * LOG_2PI


def normal_sum(z):
    return -0.5 * np.sum(z * z) - 0.5 * len(z) * LOG_2PI


def correlated_loop(z, whiten):
    total = 0.0
    for i in range(len(z)):
        eps = 0.0
        for k in range(len(z)):
            eps += whiten[i, k] * z[k]
        total += eps * eps
    return -0.5 * total


def correlated_product(z, whiten):
    eps = whiten @ z
    return -0.5 * np.sum(eps * eps)


def funnel(z):
    total = 0.0
    for i in range(1, len(z)):
        total += z[i] * z[i]
    return -z[0] * z[0] / 18.0 - 0.5 * (len(z) - 1) * z[0] - 0.5 * math.exp(-z[0]) * total


def schools(z, effects, errors):
    mu, log_tau = z[8], z[9]
    tau = math.exp(log_tau)
    total = log_tau - mu * mu / 50.0 - math.log1p(tau * tau / 25.0)
    for j in range(8):
        r = (effects[j] - mu - tau * z[j]) / errors[j]
        total += -0.5 * z[j] * z[j] - 0.5 * r * r
    return total


def logistic_product(beta, X, y):
    eta = X @ beta
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(beta * beta)


def logistic_rows(beta, X, y):
    total = -0.5 * np.dot(beta, beta)
    for i in range(X.shape[0]):
        eta = np.dot(X[i], beta)
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total


def logistic_loop(beta, X, y):
    total = 0.0
    for k in range(len(beta)):
        total -= 0.5 * beta[k] ** 2
    for i in range(X.shape[0]):
        eta = 0.0
        for k in range(len(beta)):
            eta += X[i, k] * beta[k]
        total += y[i] * eta - max(eta, 0.0) - math.log1p(math.exp(-abs(eta)))
    return total


def poisson(z, counts):
    """Counts n_j ~ Poisson(e^(mu + sigma z_j)): a hierarchy in non-centred form"""
    mu, sigma = z[0], math.exp(z[1])
    total = -0.5 * mu * mu - 0.5 * z[1] ** 2
    for j in range(len(counts)):
        eta = mu + sigma * z[2 + j]
        total += counts[j] * eta - math.exp(eta) - math.lgamma(counts[j] + 1.0) - 0.5 * z[2 + j] ** 2
    return total


def negative_binomial(z, counts):
    """Counts n_j from a gamma mixture of Poissons with mean e^z_1 and shape e^z_0: lgamma of what is sampled"""
    shape, mean = math.exp(z[0]), math.exp(z[1])
    total = -0.5 * np.dot(z, z)
    for n in counts:
        total += math.lgamma(n + shape) - math.lgamma(shape) - math.lgamma(n + 1.0)
        total += shape * z[0] + n * z[1] - (n + shape) * math.log(shape + mean)
    return total


def garch(z, returns):
    """GARCH(1, 1): h_t = omega + alpha e_(t-1)^2 + beta h_(t-1) (Bollerslev 1986)"""
    mu, omega = z[0], math.exp(z[1])
    alpha = 1.0 / (1.0 + math.exp(-z[2]))
    beta = (1.0 - alpha) / (1.0 + math.exp(-z[3]))
    h = omega
    total = -0.5 * (z[0] ** 2 + z[1] ** 2 + z[2] ** 2 + z[3] ** 2)
    for t in range(len(returns)):
        e = returns[t] - mu
        total += -0.5 * LOG_2PI - 0.5 * math.log(h) - 0.5 * e * e / h
        h = omega + alpha * e * e + beta * h
    return total


def gaussian_process(z, x, y):
    """Squared-exponential kernel and noise; the Cholesky factor and the solution in explicit loops"""
    n, length, amplitude, noise = len(x), math.exp(z[0]), math.exp(z[1]), math.exp(z[2])
    L, v = np.zeros((n, n)), np.zeros(n)
    total = -0.5 * (z[0] ** 2 + z[1] ** 2 + z[2] ** 2)
    for i in range(n):
        for j in range(i + 1):
            r = (x[i] - x[j]) / length
            k = amplitude * amplitude * math.exp(-0.5 * r * r)
            if i == j:
                k += noise * noise + 1e-8
            for m in range(j):
                k -= L[i, m] * L[j, m]
            if i == j:
                L[i, j] = math.sqrt(k)
            else:
                L[i, j] = k / L[j, j]
        u = y[i]
        for m in range(i):
            u -= L[i, m] * v[m]
        v[i] = u / L[i, i]
        total -= 0.5 * v[i] * v[i] + math.log(L[i, i]) + 0.5 * LOG_2PI
    return total


def network(z, W1, b1, W2, b2, x):
    """A decoder: x ~ N(W2 tanh(W1 z + b1) + b2, 1)"""
    h = np.tanh(W1 @ z + b1)
    return -0.5 * np.sum((x - W2 @ h - b2) ** 2) - 0.5 * np.dot(z, z)


def student(z, X, y):
    """Regression with Student-t errors of 4 degrees of freedom; log scale last"""
    r = (y - X @ z[:-1]) / math.exp(z[-1])
    return -2.5 * np.sum(np.log1p(r * r / 4.0)) - len(y) * z[-1] - 0.5 * np.dot(z, z)


def mixture(z):
    """0.3 N(1, I) + 0.7 N(-1, I)"""
    a = math.log(0.3) - 0.5 * np.sum((z - 1.0) ** 2)
    b = math.log(0.7) - 0.5 * np.sum((z + 1.0) ** 2)
    return np.logaddexp(a, b)


# ---- the same for the peers
def peer_normal(o, z):
    return -0.5 * (z * z).sum() - 0.5 * len(z) * LOG_2PI


def peer_correlated(o, z, whiten):
    eps = whiten @ z
    return -0.5 * (eps * eps).sum()


def peer_funnel(o, z):
    v, x = z[0], z[1:]
    return -v * v / 18.0 - 0.5 * (len(z) - 1) * v - 0.5 * o.exp(-v) * (x * x).sum()


def peer_schools(o, z, effects, errors):
    mu, log_tau = z[8], z[9]
    tau = o.exp(log_tau)
    r = (effects - mu - tau * z[:8]) / errors
    return log_tau - mu * mu / 50.0 - o.log1p(tau * tau / 25.0) - 0.5 * (z[:8] * z[:8]).sum() - 0.5 * (r * r).sum()


def peer_logistic(o, z, X, y):
    eta = X @ z
    return (y * eta).sum() - o.softplus(eta).sum() - 0.5 * (z * z).sum()


def peer_poisson(o, z, counts):
    mu, log_sigma, x = z[0], z[1], z[2:]
    eta = mu + o.exp(log_sigma) * x
    likelihood = (counts * eta - o.exp(eta) - o.lgamma(counts + 1.0)).sum()
    return likelihood - 0.5 * (mu * mu + log_sigma * log_sigma + (x * x).sum())


def peer_negative_binomial(o, z, counts):
    shape, mean = o.exp(z[0]), o.exp(z[1])
    terms = o.lgamma(counts + shape) - o.lgamma(shape) - o.lgamma(counts + 1.0)
    terms = terms + shape * z[0] + counts * z[1] - (counts + shape) * o.log(shape + mean)
    return terms.sum() - 0.5 * (z * z).sum()


def peer_garch(o, z, returns):
    mu, omega = z[0], o.exp(z[1])
    alpha = 1.0 / (1.0 + o.exp(-z[2]))
    beta = (1.0 - alpha) / (1.0 + o.exp(-z[3]))

    def step(h, r):
        e = r - mu
        return omega + alpha * e * e + beta * h, -0.5 * LOG_2PI - 0.5 * o.log(h) - 0.5 * e * e / h

    return o.scan_sum(step, omega, returns) - 0.5 * (z * z).sum()


def peer_gaussian_process(o, z, x, y):
    length, amplitude, noise = o.exp(z[0]), o.exp(z[1]), o.exp(z[2])
    r = (x[:, None] - x[None, :]) / length
    K = amplitude * amplitude * o.exp(-0.5 * r * r) + (noise * noise + 1e-8) * o.eye(len(x))
    L = o.cholesky(K)
    v = o.solve_lower(L, y)
    return -0.5 * (v * v).sum() - o.log(o.diagonal(L)).sum() - 0.5 * len(x) * LOG_2PI - 0.5 * (z * z).sum()


def peer_network(o, z, W1, b1, W2, b2, x):
    r = x - W2 @ o.tanh(W1 @ z + b1) - b2
    return -0.5 * (r * r).sum() - 0.5 * (z * z).sum()


def peer_student(o, z, X, y):
    r = (y - X @ z[:-1]) / o.exp(z[-1])
    return -2.5 * o.log1p(r * r / 4.0).sum() - len(y) * z[-1] - 0.5 * (z * z).sum()


def peer_mixture(o, z):
    a = math.log(0.3) - 0.5 * ((z - 1.0) ** 2).sum()
    b = math.log(0.7) - 0.5 * ((z + 1.0) ** 2).sum()
    return o.logaddexp(a, b)


@dataclass(frozen=True)
class Model:
    """A density, its peer, its data, and the draws that are differentiated: ``num_draws`` from N(0, spread^2)."""

    plain: Callable
    peer: Callable
    dim: int
    data: tuple = ()
    num_draws: int = 1024
    spread: float = 0.5

    def draws(self, count=None):
        """(count, dim)"""
        return self.spread * np.random.default_rng(self.dim).standard_normal((count or self.num_draws, self.dim))


def logistic_data(rows, dim):
    rng = np.random.default_rng(rows)
    X = rng.standard_normal((rows, dim)) / math.sqrt(dim)
    return X, (rng.random(rows) < 0.5).astype(float)


def models():
    """{name: Model}"""
    rng = np.random.default_rng(7)
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])  # Rubin (1981), table 1
    errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    whiten = (np.eye(100) + 0.1 * rng.standard_normal((100, 100)),)
    counts = (rng.poisson(3.0, size=20).astype(float),)
    series = (0.7 * rng.standard_normal(500),)
    inputs = np.linspace(-1.0, 1.0, 11)
    process = inputs, np.sin(3.0 * inputs) + 0.1 * rng.standard_normal(11)
    decoder = tuple(0.3 * rng.standard_normal(s) for s in ((50, 10), 50, (100, 50), 100, 100))
    small, large = logistic_data(200, 10), logistic_data(1000, 50)
    regression = (small[0], small[0].sum(1) + rng.standard_t(4, size=200))
    return {
        "standard normal d=100, loop": Model(normal_loop, peer_normal, 100, (), 4096),
        "standard normal d=100, np.sum": Model(normal_sum, peer_normal, 100, (), 4096),
        "correlated Gaussian d=100, C @ z": Model(correlated_product, peer_correlated, 100, whiten),
        "correlated Gaussian d=100, loop": Model(correlated_loop, peer_correlated, 100, whiten),
        "funnel d=10": Model(funnel, peer_funnel, 10, (), 8192),
        "eight schools": Model(schools, peer_schools, 10, (effects, errors), 8192),
        "logistic N=200 d=10, X @ z": Model(logistic_product, peer_logistic, 10, small, 4096),
        "logistic N=200 d=10, rows": Model(logistic_rows, peer_logistic, 10, small, 4096),
        "logistic N=200 d=10, loop": Model(logistic_loop, peer_logistic, 10, small, 4096),
        "logistic N=1000 d=50, X @ z": Model(logistic_product, peer_logistic, 50, large),
        "logistic N=1000 d=50, rows": Model(logistic_rows, peer_logistic, 50, large),
        "logistic N=1000 d=50, loop": Model(logistic_loop, peer_logistic, 50, large),
        "hierarchical Poisson": Model(poisson, peer_poisson, 22, counts, 4096),
        "negative binomial": Model(negative_binomial, peer_negative_binomial, 2, counts, 4096),
        "GARCH(1, 1) T=500": Model(garch, peer_garch, 4, series, spread=0.3),
        "Gaussian process n=11": Model(gaussian_process, peer_gaussian_process, 3, process, 4096, spread=0.3),
        "neural network 10-50-100": Model(network, peer_network, 10, decoder),
        "Student-t regression": Model(student, peer_student, 11, regression, 4096),
        "Gaussian mixture d=5": Model(mixture, peer_mixture, 5, (), 8192, spread=1.0),
    }


@functools.cache
def jax_ops():
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp, scan = jax.numpy, jax.lax.scan
    return SimpleNamespace(
        **{name: getattr(jnp, name) for name in ("exp", "log", "log1p", "tanh", "logaddexp", "eye", "diagonal")},
        softplus=jax.nn.softplus,
        lgamma=jax.scipy.special.gammaln,
        cholesky=jnp.linalg.cholesky,
        solve_lower=functools.partial(jax.scipy.linalg.solve_triangular, lower=True),
        scan_sum=lambda step, start, xs: scan(step, start, xs)[1].sum(),
    )


@functools.cache
def torch_ops():
    import torch

    def scan_sum(step, state, xs):
        total = 0.0
        for x in xs:
            state, y = step(state, x)
            total = total + y
        return total

    return SimpleNamespace(
        **{name: getattr(torch, name) for name in ("exp", "log", "log1p", "tanh", "logaddexp", "lgamma", "diagonal")},
        eye=functools.partial(torch.eye, dtype=torch.float64),
        softplus=torch.nn.functional.softplus,
        cholesky=torch.linalg.cholesky,
        solve_lower=lambda L, y: torch.linalg.solve_triangular(L, y[:, None], upper=False)[:, 0],
        scan_sum=scan_sum,
    )


def main():
    """JAX's values and gradients at two draws of each model, as JSON."""
    import json

    import jax

    ops, answers = jax_ops(), {}
    for name, model in models().items():
        z = model.draws(2)
        derive = jax.vmap(jax.value_and_grad(lambda z, f=model.peer, data=model.data: f(ops, z, *data)))
        value, gradient = derive(z)
        answers[name] = {"z": z.tolist(), "value": value.tolist(), "gradient": gradient.tolist()}
    source = f"jax {jax.__version__}, float64, value_and_grad of benchmarks/gradient_models.py"
    print(json.dumps({"source": source, "answers": answers}))


if __name__ == "__main__":
    main()
