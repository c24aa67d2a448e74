"""Two posteriors with their real data, small enough to carry: what ``python -m fastvi`` runs.

Both data sets are published tables of facts.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..families.base import LOG_2PI
from ..families.full_rank import FullRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..fitting.fit import fit
from ..targets.constraints import positive, real
from ..targets.target import Target

# Rubin (1981), "Estimation in parallel randomized experiments", J. Educ. Stat. 6(4), table 1: estimated effects of
# coaching on SAT-V scores in eight schools, and their standard errors, in points
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

# Dalal, Fowlkes and Hoadley (1989), "Risk analysis of the space shuttle: pre-Challenger prediction of failure",
# JASA 84(408), table 1: joint temperature at the 23 launches before the accident, in degrees Fahrenheit, and whether
# a primary field-joint O-ring showed thermal distress
TEMPERATURES = np.array([66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58.0])
DISTRESS = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1])


def schools_prior(z, mu, tau):
    """theta_j = mu + tau z_j: z_j ~ N(0, 1), mu ~ N(0, 5), tau ~ half-Cauchy(0, 5)"""
    total = -0.5 * np.dot(z, z) - 0.5 * (mu / 5.0) ** 2 - 4.5 * LOG_2PI - math.log(5.0)
    return total + math.log(2.0 / (5.0 * math.pi)) - math.log1p((tau / 5.0) ** 2)


def schools_log_density(z, mu, tau, effects, errors):
    """Gelman et al. (2013), section 5.5, in the non-centred form of posteriordb: log p(effects, z, mu, tau)"""
    total = schools_prior(z, mu, tau)
    for j in range(8):
        r = (effects[j] - mu - tau * z[j]) / errors[j]
        total -= 0.5 * r * r + math.log(errors[j]) + 0.5 * LOG_2PI
    return total


def launches_prior(intercept, slope):
    """Intercept ~ N(0, 5), slope of the standardised temperature ~ N(0, 2.5)"""
    return -0.5 * (intercept / 5.0) ** 2 - 0.5 * (slope / 2.5) ** 2 - LOG_2PI - math.log(12.5)


def launches_log_density(intercept, slope, temperature, distress):
    """Logistic regression of distress on temperature: log p(distress, intercept, slope)"""
    eta = intercept + slope * temperature
    return launches_prior(intercept, slope) + np.sum(distress * eta - np.logaddexp(0.0, eta))


SCHOOLS = {"z": real(8), "mu": real(), "tau": positive()}
LAUNCHES = {"intercept": real(), "slope": real()}


@dataclass(frozen=True)
class Model:
    """A posterior log p(x, z), its normalized prior log p(z), and a rough scale of z to start from."""

    name: str
    target: Target
    prior: Target
    loc: np.ndarray
    scale: np.ndarray

    def fitted(self, **options):
        """The fits of a mean-field and of a full-rank approximation; ``options`` are those of ``fit``."""
        mean_field = fit(self.target, MeanFieldGaussian(self.loc, self.scale), **options)
        start = FullRankGaussian(mean_field.q.loc, np.diag(mean_field.q.scale))
        return mean_field, fit(self.target, start, **options)


def eight_schools() -> Model:
    """Rubin's eight schools, 10 dimensions; log p(x) = -31.3113"""
    return Model(
        "eight schools",
        Target(schools_log_density, SCHOOLS, (EFFECTS, STANDARD_ERRORS), name="eight schools"),
        Target(schools_prior, SCHOOLS, normalized=True, name="eight schools' prior"),
        np.append(np.zeros(9), 1.0),
        np.append(np.ones(8), [4.0, 1.2]),
    )


def launches() -> Model:
    """The 23 shuttle launches before the Challenger accident, 2 dimensions"""
    temperature = (TEMPERATURES - TEMPERATURES.mean()) / TEMPERATURES.std()
    return Model(
        "O-ring launches",
        Target(launches_log_density, LAUNCHES, (temperature, DISTRESS), name="O-ring launches"),
        Target(launches_prior, LAUNCHES, normalized=True, name="O-ring launches' prior"),
        np.array([-1.0, -1.0]),
        np.array([1.0, 1.0]),
    )
