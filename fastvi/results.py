"""Results: a number with its error and everything needed to get it again."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .html_tables import html_table
from .rng import Key


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A Monte Carlo estimate.

    Attributes
    ----------
    value, standard_error : float
        in nats; the standard error is nan if the value is -inf or there is one draw
    num_samples : int
        draws behind the value; 0 for an exact result
    num_neginf : int
        draws at which the log density was -inf
    method : str
        the estimator that was used
    converged : bool
        False where ``atol`` was asked for and not reached
    key : Key
        ``rng=estimate.key`` repeats it
    degrees_of_freedom : float
        of the variance estimate, for intervals
    khat, ess : float
        Pareto shape and effective sample size of the importance weights behind it, nan where there are none
    note : str
        what to know before using it, such as why there is no standard error
    interval_reliable : bool
        False where a few draws hold the variance, so that an interval of 95 % covers less; see
        fastvi/estimators/README.md.  True also where too few draws tell
    expected_error : float
        the standard error that a pilot predicted for these draws, nan where there was no pilot

    Examples
    --------
    >>> import fastvi as vi
    >>> target, q = vi.Target(lambda z: -0.5 * z[0] ** 2, 1), vi.MeanFieldGaussian([0.1], [1.0])
    >>> found = vi.elbo(target, q, 10_000, estimator="plain", rng=0)
    >>> low, high = found.interval()
    >>> low < found.value < high, found == vi.elbo(target, q, 10_000, estimator="plain", rng=found.key)
    (True, True)
    """

    value: float
    standard_error: float
    num_samples: int
    num_neginf: int = 0
    method: str = "plain"
    converged: bool = True
    key: Key | None = None
    degrees_of_freedom: float = field(default=math.inf, repr=False)
    khat: float = math.nan
    ess: float = math.nan
    note: str = ""
    interval_reliable: bool = field(default=True, repr=False)
    expected_error: float = field(default=math.nan, repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """A confidence interval from Student's t distribution; (nan, nan) where there is no standard error."""
        half = self.quantile(level) * self.standard_error
        return self.value - half, self.value + half

    def quantile(self, level: float) -> float:
        """Half the length of a confidence interval in standard errors."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level: expected a number between 0 and 1, got {level!r}")
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees_of_freedom, 0.5 + level / 2))

    def __eq__(self, other):
        return self._compared() == other._compared() if isinstance(other, Estimate) else NotImplemented

    def __hash__(self):
        return hash(self._compared())

    def _compared(self) -> tuple:
        """All fields, where a nan equals a nan: equal results are equal."""
        values = (getattr(self, f.name) for f in fields(self))
        return tuple("nan" if isinstance(v, float) and math.isnan(v) else v for v in values)

    def __float__(self):
        return self.value

    def __repr__(self):
        if self.num_samples == 0:
            return f"{self.value:.10g} ({self.method})"
        return f"{with_error(self.value, self.standard_error)} ({self._notes()})"

    def _notes(self) -> str:
        """What to know of the value beside its error."""
        notes = counted(self.num_samples, "draw")
        if self.num_neginf:
            notes += f", {self.num_neginf:,} at -inf"
        if not self.converged:
            notes += ", not converged"
        if self.khat == self.khat:
            notes += f", k-hat {shown_khat(self.khat)}"
        if not self.interval_reliable:
            notes += ", interval not reliable: few draws hold the variance"
        if self.note:
            notes += f"; {self.note}"
        return notes

    def _repr_html_(self) -> str:
        if self.num_samples == 0:
            return html_table([("value", f"{self.value:.10g}"), ("method", self.method)])
        low, high = self.interval()
        shown = [("value", with_error(self.value, self.standard_error)), ("95 % interval", f"{low:.6g} to {high:.6g}")]
        return html_table([*shown, ("method", self.method), ("from", self._notes())])


MOST_DECIMALS, MOST_ROWS = 9, 20  # of a number; of a table in a notebook
ROUNDING = 2.0**-50  # of the size of what cancels in a value: errors below it are those of rounding
SLOPE_ROUNDING = 2.0**-48  # the same for a gradient
KHAT_LIMITS = 0.5, 0.7  # below the first importance weights have a finite variance, up to the second they are usable


def with_error(value: float, error: float) -> str:
    """``-32.2890 ± 0.0012``: as many decimals as give the error two digits."""
    if not math.isfinite(value) or not math.isfinite(error):
        return f"{value:.6g} ± {error:.2g}"
    if error == 0.0 or error < 1e-12 * abs(value):
        return f"{value:.12g} ± {error:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if decimals > MOST_DECIMALS:
        digits = 1 + decimals + (math.floor(math.log10(abs(value))) if value else 0)
        return f"{value:.{max(2, digits)}g} ± {error:.1e}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def shown_khat(khat: float) -> str:
    """A Pareto shape to two digits, or to as many as show on which side of a threshold it is."""
    if math.isnan(khat):
        return "undefined (all weights are equal)"
    for decimals in (2, 3, 4):
        text = f"{khat:.{decimals}f}"
        if not any(khat > limit and float(text) <= limit for limit in KHAT_LIMITS):
            break
    return text


def counted(number: int, noun: str) -> str:
    """``1 round``, ``2 rounds``"""
    return f"{number:,} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True, slots=True, eq=False)
class GradientEstimate:
    """A Monte Carlo estimate of the ELBO's gradient in ``q.parameters``.

    Attributes
    ----------
    elbo : Estimate
        of the ELBO itself, from the same draws
    gradient, standard_error : ndarray (len(q.parameters),)
        nan where the ELBO is -inf; the error is nan for a discrete factor with a value that so many draws hold less
        than ten times
    method : str
        the estimator that was used
    interval_reliable : ndarray (len(q.parameters),) of bool
        False where a few draws hold a coordinate's variance, as for ``Estimate``
    expected_error : ndarray (len(q.parameters),) or None
        the standard errors that a pilot predicted, from a few dozen draws on; None where there was no pilot
    places : dict of slices, or None
        where the parameters of the target stand in z
    blocks : dict of slices, or None
        where the parameters of each factor of a product stand in ``gradient``

    Examples
    --------
    >>> import fastvi as vi
    >>> target, q = vi.Target(lambda z: -0.5 * z[0] ** 2, 1), vi.MeanFieldGaussian([1.0], [1.0])
    >>> found = vi.elbo_gradient(target, q, 10_000, rng=0)
    >>> found.gradient.round(3).tolist()  # in loc and log scale
    [-1.0, 0.0]
    """

    elbo: Estimate
    gradient: np.ndarray
    standard_error: np.ndarray
    method: str
    interval_reliable: np.ndarray
    expected_error: np.ndarray | None = None
    places: dict[str, slice] | None = field(default=None, repr=False)
    blocks: dict[str, slice] | None = field(default=None, repr=False)

    @property
    def by_name(self) -> dict[str, Any]:
        """The gradient by the target's parameters: ``by_name["tau"]["loc"]``, and ``["log_scale"]`` of a mean-field q.

        Both are of the unconstrained coordinates of a parameter.  Of a product with names, ``by_name["s"]`` is the part
        of ``gradient`` that belongs to the parameters of its factor s.
        """
        if self.blocks is not None:
            return {name: self.gradient[place] for name, place in self.blocks.items()}
        if self.places is None:
            raise ValueError("target: it has no named parameters; declare them by parameters=")
        dim, found = max(place.stop for place in self.places.values()), {}
        for name, place in self.places.items():
            found[name] = dict(loc=self.gradient[place])
            if len(self.gradient) == 2 * dim:
                found[name]["log_scale"] = self.gradient[dim:][place]
        return found

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper) ends of a confidence interval for each coordinate, from Student's t distribution."""
        half = self.elbo.quantile(level) * self.standard_error
        return self.gradient - half, self.gradient + half

    @property
    def num_samples(self) -> int:
        return self.elbo.num_samples

    @property
    def converged(self) -> bool:
        return self.elbo.converged

    @property
    def key(self) -> Key | None:
        return self.elbo.key

    def __repr__(self):
        norm, size = with_error(*self.norm()), len(self.gradient)
        doubtful = size - int(np.count_nonzero(self.interval_reliable))
        note = f", {doubtful} intervals not reliable" if doubtful else ""
        unknown = int(np.count_nonzero(np.isnan(self.standard_error))) if np.isfinite(self.gradient).all() else 0
        note += f", {unknown} without an error: a value of theirs is hardly ever drawn" if unknown else ""
        return f"GradientEstimate(|gradient| = {norm}, {size} parameters, {self.method}{note}, elbo = {self.elbo})"

    def _repr_html_(self) -> str:
        pairs = list(zip(self.gradient.tolist(), self.standard_error.tolist(), strict=True))
        rows = [(f"gradient[{k}]", with_error(*pair)) for k, pair in enumerate(pairs[:MOST_ROWS])]
        rows += [("…", f"{len(pairs) - MOST_ROWS:,} more")] if len(pairs) > MOST_ROWS else []
        return html_table(
            [*rows, ("norm", with_error(*self.norm())), ("elbo", str(self.elbo)), ("method", self.method)]
        )

    def norm(self) -> tuple[float, float]:
        """The Euclidean norm of the true gradient and its standard error.

        |gradient|^2 exceeds the true square by the sum of the squared errors, which is subtracted; where that is
        negative, the norm is not distinguishable from 0.
        """
        variance = self.standard_error**2
        square = float(np.sum(self.gradient**2) - np.sum(variance))
        error = math.sqrt(float(np.sum(4.0 * self.gradient**2 * variance + 2.0 * variance**2)))
        norm = math.sqrt(max(0.0, square)) if square == square else math.nan
        return norm, error / (2.0 * max(norm, 0.5 * math.sqrt(error))) if error > 0.0 else 0.0 * norm
