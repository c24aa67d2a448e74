"""A correlated Gaussian posterior, three approximations to it, and the exact gradient of the ELBO."""

import numpy as np

import fastvi as vi

from oracles import gaussian_target, random_gaussian

MEAN, COVARIANCE = random_gaussian(5, 3)
TARGET = gaussian_target(MEAN, COVARIANCE, log_z=-2.0)
WIDE = vi.MeanFieldGaussian(MEAN + 0.3, 0.9 * np.sqrt(np.diag(COVARIANCE)))
FULL = vi.FullRankGaussian(MEAN - 0.2, 1.1 * np.linalg.cholesky(COVARIANCE))
FACTORS = np.array([[0.6, 0.1], [-0.5, 0.3], [0.4, 0.2], [0.2, -0.9], [0.3, 0.7]])
LOW = vi.LowRankGaussian(MEAN + 0.1, 0.8 * np.sqrt(np.diag(COVARIANCE)), FACTORS)


def exact_gradient(q):
    """d/d parameters of -KL(q || posterior): -P (m - m_p) for loc, L^-T - P L for the scale, by logs on the diagonal;
    for low rank (S^-1 - P) F for the factors, its diagonal without F times scale^2 for log scale"""
    precision = np.linalg.inv(COVARIANCE)
    loc = -precision @ (q.loc - MEAN)
    if q.family == "low_rank":
        change = np.linalg.inv(q.covariance) - precision
        return np.concatenate([loc, np.diag(change) * q.scale**2, (change @ q.factors).ravel()])
    factor = q.scale_tril
    slope = np.linalg.inv(factor).T - precision @ factor
    if q.family == "mean_field":
        return np.concatenate([loc, np.diag(slope) * np.diag(factor)])
    i, j = np.tril_indices(q.dim)
    triangle = slope[i, j]
    triangle[i == j] *= np.diag(factor)
    return np.concatenate([loc, triangle])
