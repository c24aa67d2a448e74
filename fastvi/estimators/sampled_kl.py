"""KL(q || p) = E_q[log q - log p] for a q that is sampled and whose density is known, such as a mixture: in NumPy."""

import math

import numpy as np

from ..execution.nonfinite import check_values
from ..results import Estimate
from ..rng import PILOT, SAMPLE
from ..running_moments import Running
from ..targets.target import Target
from .precision import enough_samples

BLOCK = 2**16  # draws


def log_prob(p, z: np.ndarray, first_draw: int = 0) -> np.ndarray:
    """log p at draws z (n, dim), of a family, a mixture or a target."""
    if not isinstance(p, Target):
        return p.log_prob(z)
    found = p.value(z)
    check_values(p, z, found, first_draw)
    return found


def log_ratios(q, p, num_samples: int, key, stream: int, block: int = BLOCK):
    """log q - log p at draws of q, block by block."""
    for first in range(0, num_samples, block):
        z = np.empty((min(block, num_samples - first), q.dim))
        q.fill(z, key, stream, first)
        yield q.log_prob(z) - log_prob(p, z, first)


def sampled_kl(q, p, num_samples: int, key, atol: float | None = None, limit: int = 0) -> Estimate:
    """KL(q || p) from draws of q; with ``atol`` of as many as a pilot of ``num_samples`` tells."""
    if atol is not None:
        pilot = moments(q, p, num_samples, key, PILOT)
        variance = pilot.squares / (pilot.count - 1.0) if pilot.count > 1 else math.nan
        num_samples = enough_samples(variance, num_samples, atol, num_samples, limit)
    found = moments(q, p, num_samples, key, SAMPLE)
    value, error = float(found.mean), float(found.standard_error)
    if value == math.inf:
        error = math.nan
    converged = atol is None or error <= atol
    return Estimate(value, error, num_samples, method="monte_carlo", converged=converged, key=key)


def moments(q, p, num_samples, key, stream) -> Running:
    """Of log q - log p; inf where p is 0 at a draw."""
    total = Running()
    for ratios in log_ratios(q, p, num_samples, key, stream):
        if (ratios == math.inf).any():
            total.count, total.mean, total.squares = float(num_samples), math.inf, math.nan
            return total
        total.add(ratios)
    return total
