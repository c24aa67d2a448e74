"""The log density of a product of factors as one of Target's: kinds and parameters are data."""

import numpy as np

from ..kernels.arithmetic.functions import gammaln, where
from ..kernels.arithmetic.log_densities import beta_logpdf, gamma_logpdf, lognormal_logpdf, normal_logpdf
from ..kernels.families import runs as kernel


def log_prob_of_factors(z, kinds, first, second, starts, values):
    total = 0.0
    for i in range(len(kinds)):
        if kinds[i] == kernel.DELTA:
            total += where(z[i] == first[i], 0.0, -np.inf)
        elif kinds[i] == kernel.GAUSSIAN:
            total += normal_logpdf(z[i], first[i], second[i])
        elif kinds[i] == kernel.FULL_RANK:
            row = int(first[i])
            place, eps = int(starts[i]) + row * (row + 1) // 2, -second[i]
            for k in range(row + 1):
                eps += values[place + k] * z[i - row + k]
            total += np.log(values[place + row]) + normal_logpdf(eps, 0.0, 1.0)
        elif kinds[i] == kernel.LOG_NORMAL:
            total += lognormal_logpdf(z[i], first[i], second[i])
        elif kinds[i] == kernel.GAMMA:
            total += gamma_logpdf(z[i], first[i], second[i])
        elif kinds[i] == kernel.BETA:
            total += beta_logpdf(z[i], first[i], second[i])
        elif kinds[i] == kernel.DIRICHLET:
            total += where(z[i] > 0.0, (first[i] - 1.0) * np.log(z[i]), -np.inf) + second[i]
        elif kinds[i] == kernel.POISSON:
            total += where(z[i] >= 0.0, z[i] * first[i] - second[i] - gammaln(z[i] + 1.0), -np.inf)
        elif kinds[i] == kernel.CATEGORICAL:
            found = -np.inf
            for k in range(int(second[i])):
                found = where(z[i] == k, values[starts[i] + int(first[i]) + k], found)
            total += found
        else:
            total += where(z[i] * (1.0 - z[i]) == 0.0, z[i] * first[i], -np.inf) + second[i]
    return total
