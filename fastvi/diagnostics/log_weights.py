"""Log importance weights log w = log p - log q of many draws: in blocks, so that memory stays flat.

Whatever is made of them is made in the log domain: a mean of w^c is kept as a scale and a sum relative to it.
"""

import math

import numpy as np

from ..estimators.sampled_kl import log_ratios
from ..execution.job import job_of
from ..execution.progress import Progress, reporter
from ..execution.sweep import Place, sweep
from ..rng import SAMPLE
from ..running_moments import Running
from .psis import bounded_by_span, khat_of_tail, tail_size

BLOCK = 2**18
KEPT = 2**22  # log weights that are kept for a second pass; more are computed again


class LogWeights:
    """The log weights of ``num_samples`` draws of a stream, block by block in their order; as often as wanted."""

    def __init__(self, target, q, num_samples: int, key, stream: int, on: Place, progress: Progress = False):
        self.target, self.q, self.num_samples = target, q, num_samples
        self.key, self.stream, self.on, self.progress = key, stream, on, progress
        self.kept: list[np.ndarray] = []

    def __iter__(self):
        if self.kept:
            yield from self.kept
            return
        report, close = reporter(self.progress, self.num_samples)
        try:
            for first in range(0, self.num_samples, BLOCK):
                block = self.block(first)
                if self.num_samples <= KEPT:
                    self.kept.append(block)
                if report is not None:
                    report(first + len(block))
                yield block
        except BaseException:
            self.kept = []
            raise
        finally:
            close()

    def block(self, first) -> np.ndarray:
        """log w of the draws from ``first`` on."""
        count = min(BLOCK, self.num_samples - first)
        job = job_of(self.target, self.q, count, self.key, self.stream, first_draw=first, keep="log_w")
        return sweep(self.target, job, self.on).log_w


class MixtureWeights:
    """The same of draws of a mixture, which is sampled in NumPy."""

    def __init__(self, target, q, num_samples: int, key):
        self.target, self.q, self.num_samples, self.key = target, q, num_samples, key

    def __iter__(self):
        for ratios in log_ratios(self.q, self.target, self.num_samples, self.key, SAMPLE, BLOCK):
            yield -ratios


class PowerMean:
    """The mean of w^c, as its logarithm and its relative standard error, from blocks of c log w."""

    def __init__(self):
        self.count, self.top, self.total, self.squares = 0, -math.inf, 0.0, 0.0

    def add(self, log_terms) -> None:
        """Take a block."""
        top = max(self.top, float(np.max(log_terms, initial=-math.inf)))
        self.count += len(log_terms)
        if top == -math.inf:
            return
        with np.errstate(under="ignore"):
            terms = np.exp(log_terms - top)
            scale = math.exp(self.top - top) if self.top > -math.inf else 0.0
            self.total = self.total * scale + float(np.sum(terms))
            self.squares = self.squares * scale * scale + float(np.sum(terms * terms))
        self.top = top

    @property
    def log(self) -> float:
        """log mean w^c"""
        return self.top + math.log(self.total / self.count) if self.total > 0.0 else -math.inf

    @property
    def relative_error(self) -> float:
        """Its standard error divided by itself."""
        if self.count < 2 or self.total <= 0.0:
            return math.nan
        excess = self.count * self.squares / self.total**2 - 1.0
        return math.sqrt(max(0.0, excess) / (self.count - 1.0))

    @property
    def ess(self) -> float:
        """(sum of terms)^2 / sum of their squares"""
        return self.total**2 / self.squares if self.squares > 0.0 else 0.0


class Largest:
    """The largest of many values, as many as the Pareto fit needs."""

    def __init__(self, num_samples):
        self.wanted, self.values, self.floor = tail_size(num_samples) + 1, np.empty(0), -math.inf
        self.num_samples = num_samples

    def add(self, values) -> None:
        """Take a block."""
        above = values[values > self.floor] if len(self.values) >= self.wanted else values
        self.values = np.concatenate([self.values, above])
        if len(self.values) > self.wanted:
            self.values = np.partition(self.values, len(self.values) - self.wanted)[-self.wanted :]
            self.floor = float(self.values[0])

    def khat(self) -> float:
        """Shape of the tail; nan where the values do not differ, or there are none."""
        if len(self.values) == 0:
            return math.nan
        low, high = float(np.min(self.values)), float(np.max(self.values))
        if high == -math.inf or low == high:
            return math.nan
        return khat_of_tail(self.values, self.num_samples)

    def shape(self) -> float:
        """k for whether the mean of such values has a variance: see :func:`fastvi.diagnostics.psis.bounded_by_span`."""
        return bounded_by_span(self.khat(), np.sort(self.values)[-self.wanted :])


class Summary:
    """What one pass over log weights tells: moments of log w, mean weight, ESS, largest weights."""

    def __init__(self, weights: "LogWeights | MixtureWeights", powers=(), visit=None):
        self.moments, self.num_neginf = Running(), 0  # of the finite log w
        self.weight, self.largest = PowerMean(), Largest(weights.num_samples)
        self.powers = {power: PowerMean() for power in powers}
        for block in weights:
            self.add(block)
            if visit is not None:
                visit(block)

    def add(self, block) -> None:
        """Take a block."""
        finite = block[block > -math.inf]
        self.num_neginf += len(block) - len(finite)
        self.moments.add(finite)
        self.weight.add(block)
        self.largest.add(block)
        for power, mean in self.powers.items():
            # 0 to a negative power is inf, which ``num_neginf`` tells without the sum's help
            mean.add(power * (block if power > 0.0 else finite))

    @property
    def max_weight(self) -> float:
        """The largest weight over the sum of all."""
        return 1.0 / self.weight.total if self.weight.total > 0.0 else math.nan

    @property
    def khat(self) -> float:
        """Pareto shape of the weights."""
        return self.largest.khat()
