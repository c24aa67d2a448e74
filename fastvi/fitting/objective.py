"""The ELBO as a function of flat parameters, for anybody's optimizer."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..control_variates import Surrogate
from ..estimators.gradient import elbo_gradient
from ..estimators.options import check_pair, same_for, within_spaces
from ..estimators.pathwise import pathwise_gradient
from ..estimators.selection import PATHWISE, POLYNOMIALS
from ..execution.job import job_of
from ..execution.nonfinite import check_values
from ..execution.sweep import place, sweep
from ..families.base import Family
from ..families.factors import Factors
from ..kernels.sums import moments
from ..kernels.sums.score import SUMS
from ..results import Estimate, GradientEstimate
from ..rng import FIT, STEP, RandomSource, key_from
from ..targets.target import Target
from .batches import Batches
from .points import Points

FRESH = ("leave_one_out", "optimal_baseline", "score", *POLYNOMIALS, *PATHWISE)
ESTIMATORS = ("auto", "pathwise", "bank", "mixed", *(e for e in FRESH if e not in ("pathwise", "auto")))
LEAST_ESS = 0.1  # of the bank's draws
MOST_DRAWS = 2**62  # that a stream has
STEEPNESS = 100.0  # nats for a shortage of effective draws by a factor e


class Objective:
    """The ELBO of q as a function of ``q.parameters``, with its gradient.

    Parameters
    ----------
    target : Target
    q : MeanFieldGaussian, LowRankGaussian, FullRankGaussian or a Product
        the family, and where to start; a :class:`Delta` in it moves in the space that the target declares for it
    num_samples : int
        draws behind each value
    estimator : str
        ``"auto"``: ``"pathwise"``, or ``"bank"`` where some factor of q cannot be differentiated through, as no
        discrete one can.
        ``"pathwise"``: the same eps for every call, the entropy in closed form; the gradient is that of the very value
        returned, as a line search needs (a sample average approximation).
        ``"bank"``: the same z for every call, drawn from ``q``, with their log p: nearby q are judged by importance
        weights, without a call of the model and without its gradient.  With w = q/q_bank, normalised to W, and
        f = log p - log q the value is sum W f + log mean w, whose maximum is q = p where p is in the family, and whose
        exact gradient is sum W (f - sum W f) score.  Where fewer than a tenth of the draws are effective a smooth
        penalty, its gradient included, holds an optimizer back: ``refresh`` there and go on.  Point masses are no part
        of the bank: where q has some, log p is evaluated anew for each call, with its gradient.
        The score-function estimators of :func:`elbo_gradient` and ``"sticking_the_landing"`` are for fresh draws at
        each ``step``: their gradient is not that of one value.
    batch_size : int, optional
        rows of data behind each step, for a target that declares ``rows=``: each ``step`` has rows and draws of its
        own, drawn with repetition, and value and gradient are unbiased.  What the rows and all rows differ by to first
        order at the mean of q is made up for, by a pass over all rows at the first step and whenever that mean has
        moved by five standard deviations, or by ``refresh``
    rng : as for :func:`elbo`
        draws come from the stream that fits use, so an ``elbo`` of the same ``rng`` is judged on others

    Attributes
    ----------
    parameters : ndarray
        of the q given: a start for an optimizer

    Examples
    --------
    >>> import fastvi as vi
    >>> from scipy.optimize import minimize
    >>> q = vi.MeanFieldGaussian([0.0], [1.0])
    >>> objective = vi.Objective(vi.Target(lambda z: -0.5 * (z[0] - 3.0) ** 2, 1), q, rng=0)
    >>> found = minimize(objective.negative_value_and_grad, objective.parameters, jac=True, method="L-BFGS-B")
    >>> bool(abs(objective.q(found.x).loc[0] - 3.0) < 0.2)
    True
    """

    def __init__(
        self,
        target: Target,
        q: Family,
        num_samples: int = 200,
        *,
        estimator: str = "auto",
        batch_size: int | None = None,
        rng: RandomSource = None,
        num_threads: int | None = None,
    ) -> None:
        q = within_spaces(target, q)
        target = check_pair(target, q)
        self.target, self.num_samples = target, checks.count("num_samples", num_samples, 2)
        self.estimator = suited(q, checks.choice("estimator", estimator, ESTIMATORS))
        self.key, self.start, self.num_threads = key_from(rng), q, num_threads
        self.on = place(num_threads)
        self.parameters = q.parameters
        has_points = isinstance(q, Factors) and q.has_points
        self.points = Points(target, self.on, True, q) if has_points else None
        self.batches: Batches | None = None
        if batch_size is not None:
            if self.estimator != "pathwise" or isinstance(q, Factors):
                raise ValueError(
                    f"batch_size: batches of rows have estimator='pathwise' and a Gaussian q, not {estimator!r} and "
                    f"{type(q).__name__}"
                )
            self.batches = Batches(target, checks.count("batch_size", batch_size), self.key, num_threads)
        if self.estimator == "bank":
            self.refresh(self.parameters)

    def __repr__(self):
        return f"Objective({self.target!r}, {self.start!r}, {self.num_samples}, estimator={self.estimator!r})"

    def q(self, parameters: ArrayLike):
        """The approximation with these parameters."""
        return self.start.with_parameters(parameters)

    def value(self, parameters: ArrayLike) -> float:
        """The ELBO over the fixed draws."""
        return self.value_and_grad(parameters)[0]

    def gradient(self, parameters: ArrayLike) -> np.ndarray:
        """Its gradient."""
        return self.value_and_grad(parameters)[1]

    def value_and_grad(self, parameters: ArrayLike, step: int | None = None) -> tuple[float, np.ndarray]:
        """(ELBO, gradient); with ``step`` over draws of that step's own, for Adam and its kin.

        Where the parameters leave the range of float64, or log p is -inf, the value is -inf and the gradient NaN, which
        makes a line search backtrack.  With ``step`` a bank with too few effective draws is drawn anew.

        Raises
        ------
        ValueError
            without ``step``, for an estimator whose gradient is not that of its value
        NonFiniteError
            where log p is NaN or +inf
        """
        step = None if step is None else checks.count("step", step, 0)
        if step is not None and step * self.num_samples >= MOST_DRAWS:
            raise ValueError(f"step: expected less than {MOST_DRAWS // self.num_samples}, got {step}")
        if step is None and self.estimator not in ("pathwise", "bank"):
            raise ValueError(
                f"step: estimator={self.estimator!r} gives a gradient that is not that of its value, for fresh draws "
                "at each step; pass step=0, 1, …, or use estimator='pathwise' or 'bank'"
            )
        if step is None and self.batches is not None:
            raise ValueError("step: batch_size= takes fresh rows at each step; pass step=0, 1, …")
        try:
            q = self.q(parameters)
        except ValueError:
            if np.shape(parameters) != self.parameters.shape or not np.isfinite(parameters).all():
                raise
            return self._wall()
        if self.estimator == "bank":
            return self._weighted(q, step)
        if self.estimator == "pathwise":
            target = self.target if self.batches is None or step is None else self.batches.target(q, step)
            return self._pathwise(target, q, 0 if step is None else step * self.num_samples)
        found = elbo_gradient(
            self.target,
            q,
            self.num_samples,
            estimator=self.estimator,
            rng=self.key.child(STEP, step or 0),
            num_threads=self.num_threads,
        )
        return found.elbo.value, found.gradient

    def negative_value_and_grad(self, parameters: ArrayLike, step: int | None = None) -> tuple[float, np.ndarray]:
        """The same with both signs changed, for minimisers: ``scipy.optimize.minimize(f, x0, jac=True)``."""
        value, gradient = self.value_and_grad(parameters, step)
        return -value, -gradient

    def estimate(self, parameters: ArrayLike, steps: int = 16) -> GradientEstimate:
        """The mean over the steps 0 … ``steps`` - 1, with standard errors from their spread, which knows of draws and
        of rows."""
        steps = checks.count("steps", steps, 2)
        found = [self.value_and_grad(parameters, step) for step in range(steps)]
        values, gradients = np.array([value for value, _ in found]), np.array([slope for _, slope in found])
        error = float(values.std(ddof=1)) / math.sqrt(steps)
        size, freedom = steps * self.num_samples, steps - 1.0
        value = Estimate(
            float(values.mean()), error, size, method=self.estimator, key=self.key, degrees_of_freedom=freedom
        )
        errors = gradients.std(axis=0, ddof=1) / math.sqrt(steps)
        known = np.ones(len(errors), dtype=bool)
        return GradientEstimate(value, gradients.mean(axis=0), errors, self.estimator, known)

    def ess(self, parameters: ArrayLike) -> float:
        """The effective number of the bank's draws for the approximation with these parameters."""
        return 1.0 / float(np.sum(self._weights(self.q(parameters))[0] ** 2))

    def refresh(self, parameters: ArrayLike) -> None:
        """Draw the bank anew from the approximation with these parameters, and evaluate log p there; of batches, pass
        over all rows at its mean."""
        if self.batches is not None:
            return self.batches.renew(self.q(parameters))
        if self.estimator != "bank":
            raise ValueError(f"estimator: only 'bank' keeps draws to refresh, not {self.estimator!r}")
        q = self.q(parameters)
        self.fillings = getattr(self, "fillings", -1) + 1
        z = np.empty((self.num_samples, q.dim))
        q.fill(z, self.key, FIT, self.fillings * self.num_samples)
        log_p = self.target.value(z, num_threads=self.num_threads)
        check_values(self.target, z, log_p, self.fillings * self.num_samples)
        self.bank = z, log_p, q.log_prob(z)

    def _wall(self):
        return -math.inf, np.full(len(self.parameters), math.nan)

    def _pathwise(self, target, q, first_draw):
        mixed = isinstance(q, Factors)
        what = dict(gradient="mixed" if mixed else "pathwise", first_draw=first_draw, errors=mixed)
        found = sweep(target, job_of(target, q, self.num_samples, self.key, FIT, **what), self.on)
        if found.num_neginf:
            return self._wall()
        if mixed:
            found = found._replace(sums=found.sums[:, SUMS:])
        return float(found.total[moments.MEAN_P]) + q.entropy(), pathwise_gradient(found, q)

    def _weights(self, q):
        """(normalised weights of the bank's draws, log of their mean, log q)"""
        z, _, log_q_bank = self.bank
        log_q = q.log_prob(z if self.points is None else self.points.at(z, q))
        log_w = log_q - log_q_bank
        highest = float(np.max(log_w))
        w = np.exp(log_w - highest)
        total = float(np.sum(w))
        return w / total, highest + math.log(total / len(w)), log_q

    def _weighted(self, q, step):
        weights, log_mean, log_q = self._weights(q)
        squares = float(np.sum(weights**2))
        shortage = math.log(LEAST_ESS * self.num_samples * squares)
        if step is not None and shortage > 0.0:
            self.refresh(q.parameters)
            return self._weighted(q, None)
        z, log_p, _ = self.bank
        slopes = None
        if self.points is not None:
            z = self.points.at(z, q)
            log_p, slopes = self.points.values_and_slopes(q, z)
            check_values(self.target, z, log_p)
        used = weights > 0.0
        if np.isneginf(log_p[used]).any():
            return self._wall()
        f = np.where(used, log_p - log_q, 0.0)
        mean = float(weights @ f)
        value, c = mean + log_mean, weights * (f - mean)
        if shortage > 0.0:
            value -= STEEPNESS * shortage**2
            c = c - 4.0 * STEEPNESS * shortage * (weights**2 / squares - weights)
        if isinstance(q, Factors):
            gradient = q.weighted_scores(z, c)
            if slopes is not None:
                gradient[q.path_parameters("points")] = weights @ slopes
            return value, gradient
        eps = q.standardise(z)
        second = (eps * c[:, None]).T @ eps
        sums = Surrogate("quadratic", 0.0, c @ eps, 0.5 * np.diag(second), np.tril(second, -1))
        return value, sums.gradient(q)


def suited(q, estimator: str) -> str:
    """An estimator by name, "auto" the one of fixed draws that q's family has."""
    if estimator != "auto":
        return same_for(q, estimator)
    return "bank" if isinstance(q, Factors) and (q.without_paths or q.has_tables) else "pathwise"
