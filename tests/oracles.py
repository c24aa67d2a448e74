"""Reference answers from data/*.json (each file names its source) as targets and approximations."""

import functools
import json
import math
import pathlib

import numpy as np

import fastvi as vi
from fastvi.examples.models import EFFECTS, STANDARD_ERRORS

DATA = pathlib.Path(__file__).parent / "data"
LOG_2PI = math.log(2 * math.pi)


def load(name):
    return json.loads((DATA / f"{name}.json").read_text())


def gaussian(parameters):
    if "scale" in parameters:
        return vi.MeanFieldGaussian(parameters["loc"], parameters["scale"])
    return vi.FullRankGaussian(parameters["loc"], parameters["scale_tril"])


def regression(z, gram, least_squares, residual, rows, cauchy, sigma_scale, beta_sd):
    """y ~ N(X beta, sigma), z = (beta, log sigma), from sufficient statistics; beta_sd = 0 for a flat prior"""
    p = len(least_squares)
    log_sigma = z[p]
    sigma = math.exp(log_sigma)
    s = sigma / sigma_scale
    total = log_sigma - math.log(sigma_scale)
    if cauchy:
        total -= math.log(math.pi) + math.log1p(s * s)
    else:
        total -= 0.5 * LOG_2PI + 0.5 * s * s
    if beta_sd > 0.0:
        for j in range(p):
            total -= 0.5 * LOG_2PI + math.log(beta_sd) + 0.5 * (z[j] / beta_sd) ** 2
    delta = z[:p] - least_squares
    square = residual + np.dot(delta, gram @ delta)
    return total - 0.5 * square / (sigma * sigma) - rows * (0.5 * LOG_2PI + log_sigma)


def posterior(name, record):
    if name == "eight_schools":
        # posteriordb's half-Cauchy lacks the factor 2 of a normalized prior
        return vi.Target(without_factor_two, 10, (EFFECTS, STANDARD_ERRORS), name=name)
    data = (
        np.array(record["gram"]),
        np.array(record["least_squares"]),
        record["residual"],
        record["rows"],
        record["sigma_prior"] == "cauchy",
        record["sigma_scale"],
        record["beta_sd"] or 0.0,
    )
    return vi.Target(regression, len(record["least_squares"]) + 1, data, name=name)


def without_factor_two(z, effects, errors):
    """Eight schools, flat: theta_j = z_8 + e^z_9 z_j, with a half-Cauchy that lacks its factor 2."""
    mu, tau = z[8], math.exp(z[9])
    total = -0.5 * np.dot(z[:8], z[:8]) - 0.5 * (mu / 5.0) ** 2 - 4.5 * LOG_2PI - math.log(5.0)
    total += math.log(2.0 / (5.0 * math.pi)) - math.log1p((tau / 5.0) ** 2) + z[9]
    for j in range(8):
        r = (effects[j] - mu - tau * z[j]) / errors[j]
        total -= 0.5 * r * r + math.log(errors[j]) + 0.5 * LOG_2PI
    return total - math.log(2.0)


def approximations(record):
    yield record["mf"], vi.MeanFieldGaussian(record["mf"]["mean"], record["mf"]["sd"])
    yield record["fr"], vi.FullRankGaussian(record["fr"]["mean"], np.tril(record["fr"]["scale_tril"]))


def gaussian_log_density(z, mean, precision, constant):
    delta = z - mean
    return constant - 0.5 * np.dot(delta, precision @ delta)


def gaussian_target(mean, covariance, log_z=0.0):
    """exp(log_z) times a Gaussian density"""
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    constant = log_z - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * len(mean) * LOG_2PI
    return vi.Target(
        gaussian_log_density, len(mean), (mean, np.linalg.inv(covariance), constant), normalized=log_z == 0.0
    )


def random_gaussian(dim, seed, jitter=1.0):
    """(mean, covariance) with correlations"""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(dim, dim)) / math.sqrt(dim)
    return rng.normal(size=dim), a @ a.T + jitter * np.eye(dim)


def fitted_posterior(name):
    """A posterior of data/posteriors.json by name: (target, its record, its best mean-field and full-rank q)"""
    record = load("posteriors")["posteriors"][name]
    found = [q for _, q in approximations(record)]
    return posterior(name, record), record, {q.family: q for q in found}


def logistic_log_density(beta, X, y):
    eta = X @ beta
    prior = -0.5 * np.dot(beta, beta) - 0.5 * len(beta) * math.log(2.0 * math.pi)
    return prior + np.sum(y * eta - np.logaddexp(0.0, eta))


@functools.cache
def logistic():
    """200 rows, 10 coefficients drawn from the prior: a target, and a mean-field q near its best ELBO."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10)) / np.sqrt(10) * 2
    beta = rng.normal(size=10)
    y = (rng.random(200) < 1.0 / (1.0 + np.exp(-X @ beta))).astype(float)
    target = vi.Target(logistic_log_density, 10, (X, y))
    return target, vi.fit(target, "mean_field", rng=1).q
