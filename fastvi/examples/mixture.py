"""A Bayesian mixture of Gaussians on Fisher's irises (Bishop 2006, section 10.2), with two bounds of one q.

x_n ~ N(mu_k, inverse of Lambda_k) where z_n = k; z_n ~ pi, pi ~ Dirichlet(0.1), Lambda_k ~ Wishart(W_0, 4) and
mu_k ~ N(m_0, inverse of Lambda_k), with the mean m_0 and the covariance, inverse of W_0, of all flowers: scikit-learn's
priors.  Coordinate ascent (equations 10.46 to 10.67) finds q(z) q(pi, mu, Lambda); its bound has a closed form.

The same q of pi, mu and Lambda is a product of fastvi's factors by Bartlett's decomposition: Lambda = T T', T = L B,
L L' = W, B lower triangular, chi-squared on its squared diagonal, normal below it; mu = m + (sqrt(beta) T')^-1 eps.
``elbo`` then estimates the bound with q(z), which must be the closed form, and the one with z summed out, which is
higher by what q loses where it holds z independent of pi, mu and Lambda.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import digamma, entr, gammaln, logsumexp

from ..estimators.elbo import elbo
from ..families.base import LOG_2PI
from ..families.dirichlet import Dirichlet
from ..families.gamma import Gamma
from ..families.mean_field import MeanFieldGaussian
from ..families.product import Product
from ..kernels.arithmetic.functions import logaddexp
from ..results import Estimate, with_error
from ..targets.target import Target
from .iris import iris

CLUSTERS, CONCENTRATION, STARTS, SHOWN, SETTLED = 6, 0.1, 30, 4, 1e-10


def log_density(weights, squares, below, shift, X, log_r, summed, L, m, beta, m0, inverse, constant):
    """log p(x, pi, mu, Lambda) and log |J| of Bartlett's decomposition; with z summed out, or E log p(z) / r under r"""
    count, size = m.shape
    T, mu, rows = np.zeros((size, size)), np.zeros(size), np.zeros(X.shape[0])
    total = constant
    for k in range(count):
        log_det = 0.0
        for i in range(size):
            for j in range(i + 1):
                T[i, j] = L[k, i, j] * np.sqrt(squares[k * size + j])
                for h in range(j + 1, i + 1):
                    T[i, j] += L[k, i, h] * below[(k * size * (size - 1) + h * (h - 1)) // 2 + j]
            log_det += np.log(T[i, i])
            # d Lambda / d squares, but for constants
            total += (size - i) * np.log(T[i, i]) - 0.5 * np.log(squares[k * size + i])
        for i in range(size - 1, -1, -1):
            y = shift[k * size + i] / math.sqrt(beta[k])
            for h in range(i + 1, size):
                y -= T[h, i] * (mu[h] - m[k, h])
            mu[i] = m[k, i] + y / T[i, i]
        for j in range(size):
            y = 0.0
            for i in range(j, size):
                y += T[i, j] * (mu[i] - m0[i])
                for h in range(j, size):
                    total -= 0.5 * inverse[i, h] * T[i, j] * T[h, j]
            total -= 0.5 * y * y
        # the Wishart's (nu_0 - D - 1) log |T|, nu_0 = D; those of the prior of mu and of d mu / d shift cancel
        total += (CONCENTRATION - 1.0) * np.log(weights[k]) - log_det
        for n in range(X.shape[0]):
            log_p = np.log(weights[k]) + log_det
            for j in range(size):
                y = 0.0
                for i in range(j, size):
                    y += T[i, j] * (X[n, i] - mu[i])
                log_p -= 0.5 * y * y
            if summed:
                rows[n] = log_p if k == 0 else logaddexp(rows[n], log_p)
            else:
                rows[n] += math.exp(log_r[n, k]) * (log_p - log_r[n, k])
    for n in range(X.shape[0]):
        total += rows[n]
    return total


class Ascent(NamedTuple):
    """Where coordinate ascent ended: q(z), the parameters of q(pi, mu, Lambda) as in Bishop (2006), and the bound."""

    r: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    m: np.ndarray
    nu: np.ndarray
    W: np.ndarray
    bound: float


class Mixture:
    """The model with its data."""

    def __init__(self, X: np.ndarray, clusters: int = CLUSTERS) -> None:
        self.X, self.clusters, (self.rows, self.size) = X, clusters, X.shape
        self.m0, self.inverse = X.mean(axis=0), np.cov(X.T)
        self.log_det0 = -np.linalg.slogdet(self.inverse)[1]

    def log_wishart(self, nu: Any, log_det: Any) -> Any:
        """log of a Wishart's normaliser where log |W| = log_det, but for D (D - 1) / 4 log pi, which mostly cancels"""
        halves = sum(gammaln(0.5 * (nu - i)) for i in range(self.size))
        return 0.5 * nu * (log_det + self.size * math.log(2.0)) + halves

    @property
    def constant(self) -> float:
        """What a bound has and scikit-learn's ``lower_bound_`` leaves out: normalisers of the data and of the priors"""
        weights = self.clusters * gammaln(CONCENTRATION) - gammaln(self.clusters * CONCENTRATION)
        rest = self.clusters * self.log_wishart(self.size, self.log_det0)
        return float(-0.5 * self.rows * self.size * LOG_2PI - weights - rest)

    def globals_of(self, r: np.ndarray) -> Ascent:
        """The best q(pi, mu, Lambda) for q(z) = r, and the bound of both, which is then a ratio of normalisers"""
        counts = r.sum(axis=0)
        alpha, beta, nu = CONCENTRATION + counts, 1.0 + counts, self.size + counts
        m = (self.m0 + r.T @ self.X) / beta[:, None]
        second = np.einsum("nk,ni,nj->kij", r, self.X, self.X) + self.inverse + np.outer(self.m0, self.m0)
        W = np.linalg.inv(second - beta[:, None, None] * m[:, :, None] * m[:, None, :])
        bound = self.constant + np.sum(entr(r)) + np.sum(gammaln(alpha)) - gammaln(alpha.sum())
        bound += np.sum(self.log_wishart(nu, np.linalg.slogdet(W)[1])) - 0.5 * self.size * np.sum(np.log(beta))
        return Ascent(r, alpha, beta, m, nu, W, float(bound))

    def assignments_of(self, found: Ascent) -> np.ndarray:
        """The best q(z) for a q(pi, mu, Lambda), (rows, clusters)"""
        log_det = np.linalg.slogdet(2.0 * found.W)[1] + sum(digamma(0.5 * (found.nu - i)) for i in range(self.size))
        away = self.X[:, None] - found.m
        squares = self.size / found.beta + found.nu * np.einsum("nki,kij,nkj->nk", away, found.W, away)
        log_r = digamma(found.alpha) + 0.5 * log_det - 0.5 * squares
        return np.exp(log_r - logsumexp(log_r, axis=1, keepdims=True))

    def ascended(self, r: np.ndarray, most: int = 2000) -> Ascent:
        """Coordinate ascent from q(z) = r until the bound settles"""
        found = self.globals_of(r)
        for _ in range(most):
            before, found = found, self.globals_of(self.assignments_of(found))
            if found.bound - before.bound < SETTLED:
                break
        return found

    def factors(self, found: Ascent) -> tuple[Product, tuple]:
        """(q(pi, mu, Lambda) as a product, the data of ``log_density`` that say what its factors mean)"""
        K, D, L = self.clusters, self.size, np.linalg.cholesky(found.W)
        shapes = 0.5 * (found.nu[:, None] - np.arange(D))
        q = Product(
            weights=Dirichlet(found.alpha),
            squares=Gamma(shapes.ravel(), np.full(K * D, 0.5)),
            below=MeanFieldGaussian.standard(K * D * (D - 1) // 2),
            shift=MeanFieldGaussian.standard(K * D),
        )
        constant = self.constant - 0.25 * K * D * (D - 1) * math.log(math.pi)
        constant -= 0.5 * K * D * LOG_2PI + 0.5 * D * np.sum(np.log(found.beta))  # of the prior of mu; d mu / d shift
        constant += np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)) @ np.arange(1.0, D + 1.0))  # d T / d B
        return q, (L, found.m, found.beta, self.m0, self.inverse, float(constant))

    def estimate(self, found: Ascent, summed: bool, num_samples: int, rng: Any, num_threads: int | None) -> Estimate:
        """The bound by ``elbo``, with q(z) or with z summed out; log p - log q varies with what q misses alone"""
        q, maps = self.factors(found)
        data = self.X, np.log(np.maximum(found.r, 1e-300)), summed, *maps
        target = Target(log_density, q.latents, data, name="mixture")
        return elbo(target, q, num_samples, estimator="plain", rng=rng, num_threads=num_threads)


class Optimum(NamedTuple):
    """Where some of the starts ended: how many, clusters with a flower at least, the bound in closed form, and the
    estimates of it and of the one with z summed out."""

    starts: int
    found: Ascent
    clusters: int
    with_z: Estimate
    summed: Estimate


def solve(num_samples: int, rng: Any = 0, num_threads: int | None = None, most: int = SHOWN) -> list[Optimum]:
    """The best local optima of starts at random q(z), the bounds of each estimated from so many draws."""
    model = Mixture(iris()[0])
    groups: list[list[Ascent]] = []
    starts = (np.random.default_rng((0, n)).dirichlet(np.ones(CLUSTERS), model.rows) for n in range(STARTS))
    for each in sorted(map(model.ascended, starts), key=lambda each: -round(each.bound, 6)):
        if not groups or groups[-1][0].bound - each.bound > 1e-3:
            groups.append([])
        groups[-1].append(each)
    optima = []
    for group in groups[:most]:
        by_elbo = [model.estimate(group[0], summed, num_samples, rng, num_threads) for summed in (False, True)]
        optima.append(Optimum(len(group), group[0], int(np.sum(group[0].r.sum(axis=0) > 1.0)), *by_elbo))
    return optima


def report(num_samples: int = 1_000_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples mixture`` prints, from so many draws of all optima together."""
    each, constant = max(2, num_samples // SHOWN), Mixture(iris()[0]).constant
    optima = solve(each, rng, num_threads)
    best = optima[0]
    lines = ["starts  clusters  bound, closed form  by elbo                  by elbo, z summed out"]
    for o in optima:
        with_z, summed = (with_error(e.value, e.standard_error) for e in (o.with_z, o.summed))
        lines.append(f"{o.starts:6}  {o.clusters:8}  {o.found.bound:18.9f}  {with_z:<23}  {summed}")
    gain = with_error(best.summed.value - best.found.bound, best.summed.standard_error)
    lines.append(f"\n{STARTS} starts, {each:,} draws for each estimate; summing z out of the best gains {gain} nats")
    lines.append(f"as scikit-learn's lower_bound_, without {constant:.10f}: {best.found.bound - constant:.9f}")
    return "\n".join(lines)
