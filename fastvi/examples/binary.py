"""Binary units: all their states, and draws by logits."""

import numpy as np
from scipy.special import expit


def states(units: int) -> np.ndarray:
    """All 2^units states, one a row."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)


def drawn(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """1 with probability expit(logits), or 0"""
    return (random.random(logits.shape) < expit(logits)).astype(float)
