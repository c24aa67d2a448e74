"""Diagnosis: what q's importance weights say about how good it is, in words that a person can act on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..documentation import documented
from ..estimators.options import check_pair
from ..execution.executors import SubmitsTasks
from ..execution.progress import Progress
from ..execution.sweep import place
from ..families.base import Family
from ..families.factors import Factors
from ..html_tables import html_table
from ..results import KHAT_LIMITS, Estimate, shown_khat, with_error
from ..rng import DIAGNOSE, RandomSource, key_from
from ..targets.target import Target
from .attribution import Attribution, attribution
from .bounds import Bounds, from_weights, upper_bound
from .log_weights import LogWeights

RELIABLE, USABLE = KHAT_LIMITS
LEAST_SHARE = 0.01  # of the draws, that weights must be worth: else few of them hold what p has and q lacks
KHAT_MEANS = " (below 0.5 good, to 0.7 usable)"
HARMLESS_NATS, HARMLESS_LOSS = 0.02, 0.05  # a misfit this small cannot matter, whatever the shape of its tail


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How good an approximation is.

    Attributes
    ----------
    elbo : Estimate
        with its fresh draws
    khat : float
        Pareto shape of the importance weights; it is approached from below, slowly
    ess, max_weight : float
        effective sample size of the weights, and the largest one's share
    log_evidence : tuple of float
        an interval for log p(x): from the best lower bound to the best upper bound that has an error, else inf
    bounds : Bounds
    deviation : float
        an upper limit, in q's standard deviations, on the error of every mean and standard deviation of q: the square
        root of 2 KL(p || q) (Talagrand 1996, equation 1.3), with KL(p || q) <= log E_q[(p/q)^2] and two standard errors
        of that; inf where it has none, from k-hat 1/4 on
    misfit : Attribution or None
        the coordinates and pairs that account for most of the variance of log w
    known_log_evidence : float or None
        what was given; then log p(x) = ELBO + KL(q || p) is shown
    family : str
        of q

    Examples
    --------
    >>> import fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    >>> found = vi.diagnose(target, vi.MeanFieldGaussian([0.0], [0.2]), 10_000, rng=0)
    >>> found.verdict.partition(":")[0], found.khat > 0.7
    ('poor', True)
    """

    elbo: Estimate
    khat: float
    ess: float
    max_weight: float
    log_evidence: tuple[float, float]
    bounds: Bounds
    deviation: float
    misfit: Attribution | None
    known_log_evidence: float | None = None
    family: str = ""

    @property
    def num_samples(self) -> int:
        return self.elbo.num_samples

    @property
    def num_neginf(self) -> int:
        return self.elbo.num_neginf

    @property
    def false_alarm(self) -> bool:
        """Whether k-hat is high although the weights hardly differ: a nearly perfect fit."""
        small = self.misfit is not None and self.misfit.total < HARMLESS_NATS
        return self.khat > USABLE and small and self.ess > (1.0 - HARMLESS_LOSS) * self.num_samples

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.num_neginf:
            share = self.num_neginf / self.num_samples
            return f"q puts {share:.2%} of its draws where p is 0, so the ELBO is -inf: check the support of the target"
        if self.false_alarm:
            return "good where q has mass: k-hat is a false alarm, the weights hardly differ"
        return verdict_of(self.khat, self.family == "mean_field", share=self.ess / self.num_samples)

    def __repr__(self):
        lines = [f"  {name:<13} {text}" for name, text in self._lines()]
        return "\n".join([f"Diagnosis from {self.num_samples:,} draws: {self.verdict}", *lines])

    def _repr_html_(self) -> str:
        return html_table([("verdict", self.verdict), *self._lines(), ("draws", f"{self.num_samples:,}")])

    def _lines(self) -> list[tuple[str, str]]:
        n = self.num_samples
        low, high = self.log_evidence
        evidence = f"at least {low:.4f}; no upper bound has an error at k-hat {shown_khat(self.khat)}"
        if math.isfinite(high):
            evidence = f"between {low:.4f} and {high:.4f}"
        weighted = self.bounds.log_evidence
        if weighted.standard_error == weighted.standard_error:
            evidence += f"; {with_error(weighted.value, weighted.standard_error)} by importance sampling"
        lines = [
            ("ELBO", with_error(self.elbo.value, self.elbo.standard_error)),
            ("log evidence", evidence),
            ("k-hat", shown_khat(self.khat) + KHAT_MEANS * (self.khat == self.khat)),
            ("ESS", f"{self.ess:,.0f} of {n:,} ({self.ess / n:.1%}), largest weight {self.max_weight:.2g}"),
            ("misfit", str(self.misfit) if self.misfit is not None else "not resolved by this many draws"),
        ]
        if math.isfinite(self.deviation):
            within = f"means and sds of q are within {self.deviation:.2g} of its sds, by its own draws"
            lines.append(("deviation", within))
        lines.append(("caution", "no draw of q shows a mode that q misses; restarts or posterior_draws may"))
        if self.known_log_evidence is not None:
            kl = with_error(self.known_log_evidence - self.elbo.value, self.elbo.standard_error)
            known = f"log p(x) = {self.known_log_evidence:.6g} = ELBO + KL(q || p), KL = {kl}"
            lines.append(("decomposition", known))
        return lines


def verdict_of(khat: float, is_diagonal: bool, starts: int = 1, share: float = 1.0) -> str:
    """What a Pareto shape says about q, the best of some starts, and what to do about it; ``share`` is the effective
    one of the draws."""
    if not khat > RELIABLE:  # nan where all weights are equal
        return "good where q has mass: importance weights have a finite variance and correct what is left"
    if khat <= USABLE and share >= LEAST_SHARE:
        return "usable: smoothed importance weights (psis) correct what is left, the variance of raw ones is infinite"
    remedy = "fit a full-rank q" if is_diagonal else "fit several starts before a richer family (num_restarts=4)"
    if is_diagonal and starts == 1:
        remedy += ", or several starts (num_restarts=4)"
    elif starts > 1 and not is_diagonal:
        remedy = "p is no Gaussian near here: other parameters may be closer to one (non-centred where groups have few "
        remedy += "data, centred where they have many, softplus)"
    if khat <= USABLE:
        return f"poor: importance weights are worth {share:.1%} of the draws, so q is too narrow in places; {remedy}"
    return f"poor: q misses part of p, and importance weights cannot correct for it; {remedy}"


@documented
def diagnose(
    target: Target,
    q: Family,
    num_samples: int = 100_000,
    *,
    num_particles: int | Sequence[int] | None = None,
    log_evidence: float | None = None,
    posterior_draws: ArrayLike | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: Progress = False,
) -> Diagnosis:
    """Diagnose an approximation by draws of its own.

    Parameters
    ----------
    @target
    @q
    num_samples : int
        draws, of a stream of their own, so that nothing is judged by draws it was trained on
    num_particles : sequence of int, optional
        the K of each IWAE bound, 100 by default
    posterior_draws : array_like (n, dim) or (chains, n, dim), optional
        draws from the posterior, such as a sampler's, for the EUBO
    log_evidence : float, optional
        log p(x) where it is known, to show log p(x) = ELBO + KL(q || p)
    @rng
    @num_threads
    @executor
    @progress

    Returns
    -------
    Diagnosis
        print it

    Raises
    ------
    NonFiniteError
        where log p is NaN or +inf at a draw
    TypeError, ValueError
        naming the argument

    See Also
    --------
    bounds : the bounds on log p(x) alone
    psis : k-hat of any log weights

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    >>> found = vi.diagnose(target, vi.MeanFieldGaussian([0.1], [1.0]), 10_000, rng=0)
    >>> found.verdict.startswith("good")
    True
    """
    target = check_pair(target, q)
    num_samples, key = checks.count("num_samples", num_samples, 2), key_from(rng)
    on = place(num_threads, executor)
    given = (min(100, num_samples),) if num_particles is None else np.atleast_1d(num_particles).tolist()
    particles = [checks.count("num_particles", k) for k in given]
    if any(k > num_samples for k in particles):
        raise ValueError(f"num_particles: expected at most num_samples, {num_samples}, got {max(particles)}")
    if log_evidence is not None:
        log_evidence = checks.real_array("log_evidence", log_evidence, 0).item()
    weights = LogWeights(target, q, num_samples, key, DIAGNOSE, on, progress)
    eubo = None if posterior_draws is None else upper_bound(target, q, posterior_draws)
    found = from_weights(weights, particles, (), eubo)
    khat, ess = found.khat, found.ess
    # log E[w^2] - 2 log E[w]
    kl = 2.0 * (found.cubo.value - found.log_evidence.value)
    kl += 4.0 * (found.cubo.standard_error + found.log_evidence.standard_error)
    gaussian = not isinstance(q, Factors)  # whose transport inequality it is
    deviation = math.sqrt(2.0 * max(0.0, kl)) if kl < math.inf and gaussian else math.inf
    misfit = attribution(target, q, key, num_samples, on)
    if misfit is not None:
        misfit = replace(misfit, names=target.density.coordinates())
    ends = found.lower(), found.upper()
    return Diagnosis(found.elbo, khat, ess, found.max_weight, ends, found, deviation, misfit, log_evidence, q.family)
