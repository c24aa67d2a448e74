"""Models of named parameters beside the same densities of a flat z, with transforms and Jacobians by hand."""

import math
from typing import NamedTuple

import numpy as np

import fastvi as vi

EFFECT, ERROR = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
# Hits of 18 players in their first 45 times at bat in 1970 (Efron and Morris 1975, table 1)
HITS = np.array([18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7])
AT_BATS, LOG_2 = np.full(18, 45), math.log(2.0)


def schools(mu, tau, log_tau, theta, y, sigma):
    total = -0.5 * (mu / 5) ** 2 - math.log1p((tau / 5) ** 2)
    for i in range(8):
        total += -0.5 * ((theta[i] - mu) / tau) ** 2 - log_tau - 0.5 * ((y[i] - theta[i]) / sigma[i]) ** 2
    return total


def schools_by_hand(z, y, sigma):
    mu, u = z[0], z[1]
    tau = math.exp(u)
    total = u - 0.5 * (mu / 5) ** 2 - math.log1p((tau / 5) ** 2)
    for i in range(8):
        total += -0.5 * ((z[2 + i] - mu) / tau) ** 2 - u - 0.5 * ((y[i] - z[2 + i]) / sigma[i]) ** 2
    return total


def baseball(phi, kappa, log_p, log1m_p, hits, n):
    a, b = phi * kappa, (1.0 - phi) * kappa
    total = -1.5 * math.log(kappa) + len(log_p) * (math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))
    for i in range(len(log_p)):
        total += (a - 1.0 + hits[i]) * log_p[i] + (b - 1.0 + n[i] - hits[i]) * log1m_p[i]
    return total


def baseball_by_hand(z, hits, n):
    s = vi.softplus(z[0])
    phi, total = math.exp(z[0] - s), z[0] - 2.0 * s
    kappa = 1.0 + math.exp(z[1])
    total += z[1] - 1.5 * math.log(kappa)
    a, b = phi * kappa, (1.0 - phi) * kappa
    total += 18 * (math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))
    for i in range(18):
        s = vi.softplus(z[2 + i])
        total += (a + hits[i]) * (z[2 + i] - s) - (b + n[i] - hits[i]) * s
    return total


def mixture(log_w, mu, s, log_s, y):
    total = 0.0
    for k in range(3):
        total -= 0.5 * (mu[k] / 5) ** 2 + 0.5 * log_s[k] ** 2 + log_s[k]
    c0, c1, c2 = log_w[0] - log_s[0], log_w[1] - log_s[1], log_w[2] - log_s[2]
    m0, m1, m2, s0, s1, s2 = mu[0], mu[1], mu[2], s[0], s[1], s[2]
    for i in range(len(y)):
        a = np.logaddexp(c0 - 0.5 * ((y[i] - m0) / s0) ** 2, c1 - 0.5 * ((y[i] - m1) / s1) ** 2)
        total += np.logaddexp(a, c2 - 0.5 * ((y[i] - m2) / s2) ** 2)
    return total


def mixture_by_hand(z, y):
    v0, v1 = z[0] - LOG_2, z[1]
    s0, s1 = vi.softplus(v0), vi.softplus(v1)
    w0, w1, w2 = v0 - s0, v1 - s1 - s0, -s0 - s1
    total = v0 - 3.0 * s0 + v1 - 2.0 * s1 + z[3] + z[4]
    m0, m1 = z[2], z[2] + math.exp(z[3])
    m2 = m1 + math.exp(z[4])
    t0, t1, t2 = math.exp(z[5]), math.exp(z[6]), math.exp(z[7])
    total -= 0.5 * ((m0 / 5) ** 2 + (m1 / 5) ** 2 + (m2 / 5) ** 2) + 0.5 * (z[5] ** 2 + z[6] ** 2 + z[7] ** 2)
    c0, c1, c2 = w0 - z[5], w1 - z[6], w2 - z[7]
    for i in range(len(y)):
        a = np.logaddexp(c0 - 0.5 * ((y[i] - m0) / t0) ** 2, c1 - 0.5 * ((y[i] - m1) / t1) ** 2)
        total += np.logaddexp(a, c2 - 0.5 * ((y[i] - m2) / t2) ** 2)
    return total


def radon(mu, gamma, beta, tau, sigma, log_sigma, eta, county, floor, u, y):
    total = -0.5 * (mu * mu / 100 + gamma * gamma + beta * beta + tau * tau + sigma * sigma + np.dot(eta, eta))
    inverse = 1.0 / sigma
    for i in range(len(y)):
        j = county[i]
        r = (y[i] - mu - gamma * u[j] - tau * eta[j] - beta * floor[i]) * inverse
        total -= 0.5 * r * r
    return total - len(y) * log_sigma


def radon_by_hand(z, county, floor, u, y):
    tau, sigma, eta = math.exp(z[3]), math.exp(z[4]), z[5:]
    return radon(z[0], z[1], z[2], tau, sigma, z[4], eta, county, floor, u, y) + z[3] + z[4]


def scales(mu, s, log_s, group, y):
    total = -0.5 * mu * mu
    for k in range(len(s)):
        total -= s[k]
    for i in range(len(y)):
        total += -0.5 * ((y[i] - mu) / s[group[i]]) ** 2 - log_s[group[i]]
    return total


def scales_by_hand(z, group, y):
    mu, u = z[0], z[1:]
    s, total = np.exp(u), -0.5 * mu * mu
    for k in range(len(u)):
        total += u[k] - s[k]
    for i in range(len(y)):
        total += -0.5 * ((y[i] - mu) / s[group[i]]) ** 2 - u[group[i]]
    return total


def houses():
    """As radon: 919 houses in 85 counties."""
    rng = np.random.default_rng(7)
    u = 0.4 * rng.normal(size=85)
    drawn = rng.choice(85, 834, p=rng.dirichlet(np.full(85, 0.7)))
    county = np.sort(np.concatenate([np.arange(85), drawn])).astype(np.int64)
    floor = (rng.random(919) < 0.17).astype(float)
    level = 1.4 + 0.7 * u + 0.3 * rng.normal(size=85)
    return county, floor, u, level[county] - 0.66 * floor + 0.75 * rng.normal(size=919)


def three_groups():
    """500 draws of a mixture of three normals, of weights 0.5, 0.3 and 0.2."""
    rng = np.random.default_rng(3)
    k = rng.choice(3, 500, p=[0.5, 0.3, 0.2])
    return np.array([-2.0, 1.0, 4.0])[k] + np.array([0.6, 0.8, 1.0])[k] * rng.normal(size=500)


class Case(NamedTuple):
    named: object
    parameters: dict
    by_hand: object
    data: tuple
    loc: np.ndarray
    num_samples: int


HOUSES = houses()
CASES = {
    "schools": Case(
        schools, dict(mu=vi.real(), tau=vi.positive(), theta=vi.real(8)), schools_by_hand, (EFFECT, ERROR),
        np.r_[4.0, 1, np.full(8, 4.0)], 20_000),
    "baseball": Case(
        baseball, dict(phi=vi.unit(), kappa=vi.greater_than(1.0), p=vi.unit(18)), baseball_by_hand, (HITS, AT_BATS),
        np.r_[-1.0, 4, np.full(18, -1.0)], 10_000),
    "mixture": Case(
        mixture, dict(w=vi.simplex(3), mu=vi.ordered(3), s=vi.positive(3)), mixture_by_hand, (three_groups(),),
        np.array([0.5, 0.4, -2, 1.1, 1.1, -0.5, -0.2, 0]), 960),
    "radon": Case(
        radon, dict(mu=vi.real(), gamma=vi.real(), beta=vi.real(), tau=vi.positive(), sigma=vi.positive(),
                    eta=vi.real(85)), radon_by_hand, HOUSES, np.r_[1.4, 0.9, -0.6, -1.1, -0.3, np.zeros(85)], 960),
    "group scales": Case(
        scales, dict(mu=vi.real(), s=vi.positive(85)), scales_by_hand, (HOUSES[0], HOUSES[3]),
        np.r_[1.4, np.full(85, -0.3)], 960),
}  # fmt: skip
