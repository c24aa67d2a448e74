"""What a fit brought."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..diagnostics.diagnosis import Diagnosis
from ..families.base import Family
from ..results import Estimate, counted
from ..rng import Key, RandomSource
from ..targets.target import Target


class Round(NamedTuple):
    """A line of a fit's history: the restart, the round, the ELBO, its error, and all draws so far.

    The ELBO is that of q before the step ("natural", "coordinate_ascent"), its mean over the steps ("stochastic"), or
    that over the very draws that were optimised over, so too high ("deterministic", without an error).
    """

    restart: int
    number: int
    elbo: float
    standard_error: float
    num_samples: int


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
        True only if the remaining improvement is below the tolerance, given the Monte Carlo error
    message : str
        why it stopped
    method : str
    num_samples : int
        evaluations of log p that the fit took, its final estimates apart
    key : Key
        ``rng=result.key`` repeats it
    linear_response : ndarray (dim, dim) or None
        covariance of z with the correlations that a mean-field q lacks (method "deterministic")
    target : Target or None
        what was fitted; None in a result that was pickled
    """

    q: Family
    elbo: Estimate
    diagnosis: Diagnosis | None
    history: list = field(repr=False)
    converged: bool
    message: str
    method: str
    num_samples: int
    key: Key
    linear_response: np.ndarray | None = field(default=None, repr=False)
    target: Target | None = field(default=None, repr=False)

    def __getstate__(self):
        return vars(self) | dict(target=None)  # which may not travel where its results can

    def to_arviz(self, num_samples: int = 1000, *, target: Target | None = None, rng: RandomSource = None):
        """Draws of q for ArviZ, see :func:`fastvi.bridges.arviz.to_arviz` (extra ``arviz``).

        ``rng`` is by default the fit's key: the draws are of a stream that the fit has not seen.
        """
        from ..bridges.arviz import to_arviz

        found = dict(elbo=self.elbo.value, elbo_standard_error=self.elbo.standard_error)
        return to_arviz(self._of(target), self.q, num_samples, rng=self.key if rng is None else rng, attributes=found)

    def to_pymc(self, *, target: Target | None = None):
        """q as ``pm.MeanField`` or ``pm.FullRank``, for a target that came from ``fastvi.bridges.pymc.from_model``."""
        from ..bridges.pymc import to_approximation

        return to_approximation(self.q, self._of(target), [-line.elbo for line in self.history])

    def _of(self, target) -> Target:
        found = self.target if target is None else target
        if found is None:
            raise ValueError("target: this result was pickled or copied, which loses it; pass target=")
        return found

    def __repr__(self):
        head = f"FitResult({self.q!r}, {self.method}, {self.message}, {counted(self.num_samples, 'draw')}"
        verdict = "" if self.diagnosis is None else f",\n  {self.diagnosis.verdict}"
        return f"{head},\n  elbo = {self.elbo}{verdict})"
