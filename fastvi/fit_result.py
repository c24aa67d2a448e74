"""What a fit brought."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .diagnostics import Diagnosis
from .estimates import Estimate
from .families import Gaussian
from .rng import Key


class Round(NamedTuple):
    """A line of a fit's history: the restart, the round, the ELBO, its error, and all draws so far.

    The ELBO is that of q before the step ("natural", "coordinate_ascent"), its mean over the steps ("stochastic"), or
    that over the very draws that were optimised over, so too high ("deterministic", without an error).
    """

    restart: int
    number: int
    elbo: float
    standard_error: float
    num_draws: int


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit brought.

    Attributes
    ----------
    q : MeanFieldGaussian or FullRankGaussian
        the best approximation found
    elbo : Estimate
        of q, from draws that the fit has not seen
    diagnosis : Diagnosis or None
        of q, from yet other draws; None where log p is not finite at some, or after an interrupt
    history : list of Round
    converged : bool
        whether the method could tell, against its own noise, that nothing is left to gain
    message : str
        why it stopped
    method : str
    num_draws : int
        evaluations of log p that the fit took, its final estimates apart
    key : Key
        ``rng=result.key`` repeats it
    linear_response : ndarray (dim, dim) or None
        covariance of z with the correlations that a mean-field q lacks (method "deterministic")
    """

    q: Gaussian
    elbo: Estimate
    diagnosis: Diagnosis | None
    history: list = field(repr=False)
    converged: bool
    message: str
    method: str
    num_draws: int
    key: Key
    linear_response: np.ndarray | None = field(default=None, repr=False)

    def __repr__(self):
        head = f"FitResult({self.q!r}, {self.method}, {self.message}"
        return f"{head}, {len(self.history)} rounds, {self.num_draws:,} draws, elbo = {self.elbo})"
