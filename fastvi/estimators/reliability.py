"""Whether an interval from a standard error can be trusted: not where a few draws hold the variance.

The coverage of a normal interval falls short by about 0.25 g^2 / S for terms of skewness g (Hall 1988, equation 2.3,
at 95 %), and g^2 is at most the kurtosis, so sum d^4 / (sum d^2)^2, the kurtosis over S, tells where it may.  Chunks
keep sums of d^2 apart, and how much those differ tells the same at no cost.  Where draws have such tails that the worst
of them are still to come, no sum over the draws shows it.
"""

import math

import numpy as np

from ..kernels.plan import LEAST_CHUNKS

LIMIT = 0.05  # of the kurtosis over the draws; made with benchmarks/intervals.py
# Of Student's t for Sobol replicates, whose means have tails of their own: with one degree less than there are
# replicates, intervals of skewed log weights cover 85 to 90 % (benchmarks/intervals.py)
SOBOL_DEGREES = 3.5
SOBOL_KURTOSIS, SOBOL_SKEWNESS = 25.0, 0.4  # of draws, whose tails Sobol points do not average out; of replicates


def holds(squares, squared, counts) -> np.ndarray:
    """Whether the variance rests on many draws, from sums over chunks.

    ``squares`` is sum d^2 over all draws, ``squared`` the sum of the chunks' own, each squared; both of any shape.
    ``counts`` are the draws of each chunk.
    """
    alike, limit = limits(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = squared / squares**2 - alike
    return ~(share > limit)  # of a constant it is nan


def limits(counts) -> tuple[float, float]:
    """(the share of squares with few chunks where all draws have the same, how much more there may be)"""
    enough = np.count_nonzero(counts) >= LEAST_CHUNKS
    return float(np.sum(counts**2) / np.sum(counts) ** 2) if enough else 0.0, LIMIT if enough else math.inf


class Powers:
    """Sums of powers of values (n, ...) that come in blocks, to the fourth, about the mean of the first block."""

    def __init__(self) -> None:
        self.count, self.sums = 0, np.zeros(4)
        self.centre: np.ndarray | None = None

    def add(self, values) -> None:
        if self.centre is None:
            self.centre = values.mean(axis=0)
        d = values - self.centre
        self.count += len(values)
        sums = np.stack([(d**k).sum(axis=0) for k in (1, 2, 3, 4)])
        self.sums = sums if self.count == len(values) else self.sums + sums

    def share(self, power: int) -> np.ndarray:
        """|sum d^3| / (sum d^2)^(3/2) or sum d^4 / (sum d^2)^2, about the mean; nan for a constant."""
        one, two, three, four = self.sums / self.count
        m2, m3 = two - one**2, three - 3 * one * two + 2 * one**3
        m4 = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.abs(m3) / m2**1.5 / self.count**0.5 if power == 3 else m4 / m2**2 / self.count


def holds_for_replicates(draws: str, values: Powers, means: Powers) -> np.ndarray:
    """The same for draws that depend on each other: ``values`` of draws, ``means`` of replicates."""
    if draws == "antithetic":
        return ~(means.share(4) > LIMIT)
    return ~((values.share(4) * values.count > SOBOL_KURTOSIS) | (means.share(3) > SOBOL_SKEWNESS))


def without_unseen(q, num_samples: int, error, reliable):
    """(errors, whether each holds): nan and False for parameters of a factor whose rare value so many draws hold less
    than ten times, as the variance is then that of the value that is left out."""
    seen = q.seen(num_samples)
    return (error, reliable) if seen is None else (np.where(seen, error, np.nan), reliable & seen)


def holds_all(q, method: str, num_samples: int) -> bool:
    """Whether so many draws hold every value of discrete factors ten times, as a mean without surrogates must: what
    others bring is not in its variance.  Surrogates are fitted to draws that hold them."""
    return method not in ("plain", "entropy") or q.seen(num_samples) is None
