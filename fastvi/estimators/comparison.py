"""Ways to estimate compared on a pilot: by variance times operations, from a committed table and never a clock, so that
the choice is a function of the arguments.
"""

from collections.abc import Callable

import numpy as np

from ..control_variates import Surrogate
from ..execution.sweep import Place
from ..slope_surrogates import fit_slopes, lines_of
from .candidate import Candidate, cheapest, pathwise_spread, pathwise_variances, score_spread, score_variances
from .cost import PATHWISE_COST, PILOT_SHARE, Slopes, operations
from .pilot import Pilot, SlopePilot, pilot_of


def candidates(
    target,
    q,
    key,
    levels,
    num_samples,
    on: Place,
    slopes: Slopes | None = None,
    tentative: bool = False,
    ahead: Callable[[Candidate], float] | None = None,
) -> list[Candidate]:
    """ "plain", "entropy" and those ``levels`` that ``num_samples`` draws can fit, with the variance that they have on
    draws to which they were not fitted.  A log density that is not finite everywhere leaves the first two.

    ``ahead(candidate)`` are the operations that the draws take by the best so far: no level is fitted that takes more
    than a share of them.
    """
    pilot = pilot_of(target, q, key, levels, num_samples, on, slopes, tentative)
    log_w, log_p = (
        pilot.log_w[pilot.check],
        pilot.log_w[pilot.check] - 0.5 * np.sum(pilot.eps[pilot.check] ** 2, axis=1),
    )
    with np.errstate(invalid="ignore"):
        found = [pilot.candidate("plain", None, np.var(log_w)), pilot.candidate("entropy", None, np.var(log_p))]
    fits = iter(pilot.surrogates())
    for level in pilot.levels:
        if ahead is not None and pilot.fit_operations(level) > PILOT_SHARE * ahead(cheapest(found)):
            break
        surrogate = next(fits, None)
        if surrogate is None:
            break
        left = log_w - surrogate.value(pilot.eps[pilot.check])
        terms = (left - np.mean(left)) ** 2
        found.append(pilot.candidate(surrogate.level, surrogate, np.mean(terms), terms=terms))
    return found


def gradient_candidate(target, q, key, levels, num_samples, on: Place, *, score=True, paths=(), slopes=None):
    """The cheapest of :func:`gradient_candidates` on a pilot, with the variance of each parameter."""
    pilot = pilot_of(target, q, key, levels, num_samples, on, slopes)
    best = cheapest(gradient_candidates(pilot, score, paths))
    if best.each is not None:
        return best
    eps, left = pilot.eps[pilot.check], pilot.log_w[pilot.check]
    if isinstance(best.surrogate, Surrogate):
        left = left - best.surrogate.value(eps)
    return best._replace(each=score_variances(q, eps, left))


def gradient_candidates(pilot: Pilot, score=True, paths=()) -> list[Candidate]:
    """The same for gradients, by variances of standardised terms, added up over the parameters.

    "leave_one_out" and the levels if ``score``, and those of ``paths``, which need a pilot of slopes.
    """
    q, eps, log_w, found = pilot.q, pilot.eps[pilot.check], pilot.log_w[pilot.check], []
    if score:
        found.append(pilot.candidate("leave_one_out", None, score_spread(q, eps, log_w), True))
        for surrogate in pilot.surrogates():
            left = log_w - surrogate.value(eps)
            terms = (left - np.mean(left)) ** 2 * q.squared_scores(eps)
            found.append(pilot.candidate(surrogate.level, surrogate, score_spread(q, eps, left), True, terms))
    if isinstance(pilot, SlopePilot):
        found += [pathwise_candidate(q, pilot, method) for method in paths]
    return found


def pathwise_candidate(q, pilot: SlopePilot, method) -> Candidate:
    """One of the pathwise estimators, with the variance of its standardised terms."""
    eps, lines, start = pilot.eps[pilot.check], None, pilot.check.start
    cost = PATHWISE_COST * (operations("none", q, True) + pilot.density)
    gradients = pilot.gradients
    slopes = gradients[pilot.check]
    if method == "sticking_the_landing":
        slopes = slopes + q.entropy_slope(eps)
    elif method == "pathwise_quadratic":
        if not np.isfinite(gradients).all() or start < 2 * (q.dim + 1):
            method = "pathwise"  # nothing to fit the lines to
        else:
            lines = lines_of(fit_slopes(pilot.eps[:start], pilot.slopes(start), "quadratic"), q)
            slopes = slopes - lines.offset - eps @ lines.slope.T
            cost += 2.0 * q.dim**2
    return Candidate(method, lines, pathwise_spread(q, eps, slopes), cost, len(eps), pathwise_variances(q, eps, slopes))
