"""What a fit brought."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..diagnostics.diagnosis import Diagnosis, diagnose
from ..errors import NonFiniteError
from ..families.base import Family
from ..html_tables import html_table
from ..results import Estimate, counted, shown_khat
from ..rng import Key, RandomSource
from ..targets.target import Target
from .named_results import NamedResults

# Of a diagnosis: draws, and the operations that they may take
LEAST_DRAWS, MOST_DRAWS, OPERATIONS = 10_000, 100_000, 2**32


class Round(NamedTuple):
    """A line of a fit's history: the restart, the round, the ELBO, its error, and all evaluations of log p so far.

    The ELBO is that over the fixed draws which the round worked on, so without an error and somewhat too high
    ("newton", "lbfgs"), its mean over the steps ("score"), or that of q before the sweep ("coordinate_ascent").
    ``gain`` is what is left to gain over the fixed draws, ``blur`` what their scarcity costs, both in nats and to
    second order; nan where a method does not know.

    Examples
    --------
    >>> import fastvi as vi
    >>> found = vi.fit(vi.Target(lambda z: -0.5 * z[0] ** 2, 1), rng=0)
    >>> found.history[-1].gain + found.history[-1].blur < 0.002
    True
    """

    restart: int
    number: int
    elbo: float
    standard_error: float
    num_samples: int
    gain: float = math.nan
    blur: float = math.nan


@dataclass(frozen=True, eq=False)
class FitResult(NamedResults):
    """What a fit brought.

    Attributes
    ----------
    q : MeanFieldGaussian or FullRankGaussian
        the best approximation found
    elbo : Estimate
        of q, from draws that the fit has not seen
    history : list of Round
    converged : bool
        True only if ``gain`` and one and a half times ``blur`` (twice, by "lbfgs") together are below the tolerance and
        the ELBO of q is finite; by "score", if a comparison sees no gain of the tolerance and the slope that is left
        promises less than four
    message : str
        why it stopped
    method : str
    num_samples : int
        evaluations of log p that the fit took, its final estimates apart
    key : Key
        ``rng=result.key`` repeats it
    gain, blur : float
        nats that q is short of the best of its family near it, to second order: what is left to gain over the fit's
        last draws, and what those draws' scarcity costs
    khat : float
        Pareto shape of q's importance weights: good below 0.5, usable to 0.7
    natural_gradient : ndarray (dim,) or None
        how far a natural-gradient step of length one would still move each mean, in q's standard deviations, over the
        fit's last draws; None where a fit has not converged, or knows no gradient
    target : Target or None
        what was fitted; None in a result that was pickled

    Examples
    --------
    >>> import fastvi as vi
    >>> found = vi.fit(vi.Target(lambda mu: -0.5 * (mu - 3.0) ** 2, {"mu": vi.real()}), rng=0)
    >>> found.converged, found.q.mean.round(3).tolist(), round(found.summary(rng=0)["mu"]["sd"], 1)
    (True, [3.0], 1.0)
    """

    q: Family
    elbo: Estimate
    history: list = field(repr=False)
    converged: bool
    message: str
    method: str
    num_samples: int
    key: Key
    gain: float = math.nan
    blur: float = math.nan
    khat: float = math.nan
    natural_gradient: np.ndarray | None = field(default=None, repr=False)
    target: Target | None = field(default=None, repr=False)
    options: dict = field(default_factory=dict, repr=False)
    data_state: bytes = field(default=b"", repr=False)

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """How good q is, from yet other draws, computed when first asked for and before pickling; None where log p is
        not finite at some."""
        if self.target is None:
            return None
        self._of(None)
        operations = self.target.density.operations + self.q.operations(self.q.dim, False)
        count = int(min(MOST_DRAWS, max(LEAST_DRAWS, OPERATIONS // operations)))
        try:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # of a q that ran away
                return diagnose(self.target, self.q, count, rng=self.key, **self.options)
        except (NonFiniteError, OverflowError):
            return None

    def linear_response(self) -> np.ndarray:
        """Covariance of z (dim, dim) with the correlations that a mean-field q lacks: see
        :func:`fastvi.fitting.linear_response.linear_response`."""
        from .linear_response import linear_response

        return linear_response(self._of(None), self.q, self.key, **self.options)

    def __getstate__(self):
        # the target may not travel where its results can, nor an executor
        known = "diagnosis" in vars(self) or self.target is None or self.data_state == self.target.density.data_state()
        diagnosis = self.diagnosis if known else None
        return vars(self) | dict(diagnosis=diagnosis, _parameters=self.parameters, target=None, options={})

    def to_arviz(
        self,
        num_samples: int = 1000,
        *,
        target: Target | None = None,
        coords: dict | None = None,
        dims: dict | None = None,
        rng: RandomSource = None,
    ):
        """Draws of q for ArviZ, see :func:`fastvi.bridges.arviz.to_arviz` (extra ``arviz``).

        ``coords`` and ``dims`` label axes as in ArviZ.  ``rng`` is by default the fit's key: the draws are of a stream
        that the fit has not seen.
        """
        from ..bridges.arviz import to_arviz

        found = dict(elbo=self.elbo.value, elbo_standard_error=self.elbo.standard_error)
        key = self.key if rng is None else rng
        labels = dict(coords=coords, dims=dims)
        return to_arviz(self._of(target), self.q, num_samples, rng=key, attributes=found, **labels)

    def to_pymc(self, *, target: Target | None = None):
        """q as ``pm.MeanField`` or ``pm.FullRank``, for a target that came from ``fastvi.bridges.pymc.from_model``."""
        from ..bridges.pymc import to_approximation

        return to_approximation(self.q, self._of(target), [-line.elbo for line in self.history])

    def __repr__(self):
        head = f"FitResult({self.q!r}, {self.method}, {self.message}, {counted(self.num_samples, 'draw')}"
        return f"{head},\n  elbo = {self.elbo},\n  {self.verdict})"

    def _repr_html_(self) -> str:
        ended = f"{self.message}; {self.method}, {counted(self.num_samples, 'draw')}"
        rows = [("q", repr(self.q)), ("fit", ended), ("ELBO", str(self.elbo)), ("gain + blur", self._short())]
        return html_table([*rows, ("k-hat", shown_khat(self.khat)), ("verdict", self.verdict)])

    def _short(self) -> str:
        return f"{self.gain:.2g} + {self.blur:.2g} nat" if math.isfinite(self.gain + self.blur) else "not known"
