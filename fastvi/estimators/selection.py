"""Which estimator a request stands for, with which control variate, and how many draws: decided before those draws."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from ..control_variates import LEVELS, Lines, Surrogate
from ..execution.job import has_second_pass
from ..execution.sweep import sweep
from ..families.factors import Factors
from ..kernels.sums import moments
from ..rng import CHECK, PILOT
from . import comparison, score_selection
from .candidate import Candidate, cheapest
from .cost import Slopes, affordable, operations, possible, slopes_pilot, too_few, worthwhile
from .derivative import continuous
from .options import PATHWISE, Request, kind_of
from .precision import enough_samples

# Which polynomials each estimator may subtract from log w
POLYNOMIALS = {"linear": LEVELS[1:2], "diagonal": LEVELS[1:2], "quadratic": LEVELS[1:3]}
POLYNOMIALS |= {"cubic": LEVELS[1:4], "auto": LEVELS[1:4]}
PILOT_SAMPLES, PILOT_WORTHWHILE, BASELINE_WORTHWHILE = 256, 4096, 1024
JUDGING_SAMPLES = 2048
# With atol: draws of the first pilot; of so many times them, plain draws deserve a pilot that knows their variance well
FIRST_SAMPLES, MANY_TIMES = 1024, 16
PILOT_A_DIMENSION = 8  # draws, from which on a pilot of gradients is made
HEAVY_TAILS = 4  # products with scores have heavy tails: their variance is known as if from a quarter of the draws


class Plan(NamedTuple):
    """An estimator, what it subtracts, the draws that count, and the standard errors that a pilot predicts for them."""

    method: str
    control_variate: Surrogate | Lines | None
    num_samples: int
    expected_error: Any = None


def plan_elbo(request: Request) -> Plan:
    """For an ELBO; of dependent draws ``"auto"`` is ``"plain"``, and ``num_samples`` is left as it is.

    Polynomials are fitted to gradients of log w where the target has them, and else to its values.
    """
    r, iid, problem = request, request.draws == "iid", (request.target, request.q, request.key)
    if isinstance(r.q, Factors):
        return plan_factors_elbo(r, iid)
    auto = r.estimator == "auto" and iid
    estimator = "plain" if r.estimator == "auto" and not iid else r.estimator
    polynomials = POLYNOMIALS.get(estimator, ())
    if iid and r.atol is not None:
        return plan_precise_elbo(r, auto, polynomials)
    best = Candidate("plain" if auto else estimator, None)
    levels, slopes = levels_and_pilot(r, polynomials, auto, r.num_samples)
    if levels:
        best = cheapest(comparison.candidates(*problem, levels, r.num_samples, r.here, slopes, auto))
    elif auto and r.num_samples >= PILOT_WORTHWHILE:
        best = moments_pilot(r, PILOT_SAMPLES, auto, estimator)
    return Plan(best.method, best.surrogate, r.num_samples, math.sqrt(best.variance / r.num_samples))


def plan_factors_elbo(r: Request, iid: bool) -> Plan:
    """For an ELBO of a product of factors."""
    best = Candidate("plain", None)
    if r.estimator != "auto" or iid:
        best = score_selection.of_elbo(as_many_as(r, lambda found: variance(found, "plain")))
    count = r.num_samples
    if iid and r.atol is not None:
        best = score_selection.checked_variance(r, best, CHECK)
        count = enough(r, best._replace(checked=max(1, best.checked // HEAVY_TAILS)))
    return Plan(best.method, best.surrogate, count, math.sqrt(best.variance / count))


def as_many_as(r: Request, variance_of, gradient: str | None = None) -> Request:
    """A request with the draws that ``atol`` would take without a surrogate: what those cost a pilot may cost."""
    if r.atol is None or r.draws != "iid":
        return r
    first = max(2, min(r.num_samples, FIRST_SAMPLES))
    found = sweep(r.target, r.job(first, CHECK, gradient=gradient), r.here, pilot=True)
    seen = Candidate("plain", None, variance_of(found), 1.0, max(1, first // HEAVY_TAILS))
    return dataclasses.replace(r, num_samples=max(r.num_samples, enough(r, seen)))


def plan_precise_elbo(r: Request, auto: bool, polynomials) -> Plan:
    """For an ELBO to ``atol``, so that pilots and draws together take little.

    A first pilot tells what plain draws would take; a pilot of polynomials must be cheap against those.
    """
    best, count, first = Candidate(r.estimator, None), r.num_samples, min(r.num_samples, FIRST_SAMPLES)
    plain, problem = None, (r.target, r.q, r.key)
    if auto or not polynomials:
        best = plain = moments_pilot(r, max(2, first), auto, r.estimator)
        count = enough(r, best)

    def ahead(candidate: Candidate) -> float:
        return enough(r, candidate) * candidate.operations

    levels, slopes = levels_and_pilot(r, polynomials, auto, count)
    if levels:
        wanted = ahead if auto else None
        best = cheapest(comparison.candidates(*problem, levels, count, r.here, slopes, auto, wanted))
    elif plain is not None and r.num_samples > first and count > MANY_TIMES * first:
        best = moments_pilot(r, r.num_samples, auto, r.estimator)
    if slopes is not None:  # few draws judged it; more tell its variance
        best = plain if plain is not None and best.surrogate is None else judged(r, best)
        if plain is not None and not best.price < plain.price:
            best = plain
    count = enough(r, best)
    return Plan(best.method, best.surrogate, count, math.sqrt(best.variance / count))


def enough(r: Request, best: Candidate) -> int:
    """Draws for ``atol``, by the variance of a candidate."""
    assert r.atol is not None
    least = min(r.num_samples, FIRST_SAMPLES) if math.isfinite(best.variance) else r.num_samples
    return enough_samples(best.variance, best.checked, r.atol, least, r.max_samples)


def judged(r: Request, best: Candidate) -> Candidate:
    """A candidate with its variance from a sweep of some thousand draws."""
    if best.surrogate is None:
        return moments_pilot(r, min(r.num_samples, 2 * JUDGING_SAMPLES), False, best.method)
    count = min(r.num_samples, JUDGING_SAMPLES)
    found = sweep(r.target, r.job(count, CHECK, control_variate=best.surrogate), r.here, pilot=True)
    return best._replace(variance=variance(found, best.method), checked=max(1, found.num_samples // HEAVY_TAILS))


def levels_and_pilot(r: Request, levels, auto: bool, count: int) -> tuple[list[str], Slopes | None]:
    """The polynomials to be tried for ``count`` draws, and the pilot of gradients if they are fitted to those."""
    if not levels or auto and too_few(count, r.q, r.target.density.operations):
        return [], None
    if auto:
        slopes = worthwhile(levels, r.q, count, r.target.density.operations)
    else:
        slopes = slopes_pilot(levels, r.q.dim, count)
    if slopes is not None and slopes.levels and slopes.draws <= count and continuous(r.target, r.q, r.key):
        return list(slopes.levels), slopes
    return affordable(levels, r.q, count) if auto else list(levels), None


def moments_pilot(request: Request, num_samples: int, auto: bool, estimator: str) -> Candidate:
    """The better of "plain" and "entropy", or the one that was asked for, by the variances of a sweep."""
    found = sweep(request.target, request.job(num_samples, PILOT), request.here, pilot=True)
    methods = ("plain", "entropy") if auto else (estimator,)
    cost = operations("none", request.q) + request.target.density.operations
    return cheapest([Candidate(m, None, variance(found, m), cost, found.num_samples) for m in methods])


def variance(found, method: str) -> float:
    """The variance of one draw's contribution."""
    return found.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)[1]


def plan_gradient(request: Request, read) -> Plan:
    """For a gradient, which ``read(sweep, method, control_variate)`` reads off a sweep; of dependent draws there is
    no pilot for ``"auto"``, and ``num_samples`` is left as it is."""
    r, iid, auto = request, request.draws == "iid", request.estimator == "auto"
    if isinstance(r.q, Factors):
        best = Candidate("leave_one_out", None)
        if iid or not auto:

            def worst(found):
                errors = read(found, "leave_one_out", None).standard_error
                return float(np.max(errors[~np.isnan(errors)], initial=0.0)) ** 2 * found.num_samples

            many = as_many_as(r, worst, sums_for("leave_one_out", r.q)) if auto else r
            best = score_selection.of_gradient(many, paths_pay(r))
        return gradient_to_precision(r, best, read, False)
    method, least, problem = r.estimator, max(2, r.num_samples), (r.target, r.q, r.key)
    smooth = auto and r.backend != "cuda" and continuous(*problem)
    if auto:
        method = "optimal_baseline" if iid and r.num_samples >= BASELINE_WORTHWHILE else "leave_one_out"
        method = "sticking_the_landing" if smooth else method
    best = Candidate(method, None)
    levels: list[str] = []
    if method in POLYNOMIALS:
        levels, slopes = list(POLYNOMIALS[method]), None
        if possible(levels, r.q.dim, least) != levels:  # too few draws to fit values; products with scores want more
            levels, slopes = levels_and_pilot(r, levels, False, least)
        best = comparison.gradient_candidate(*problem, levels, least, r.here, slopes=slopes)
    elif method == "pathwise_quadratic" or smooth and iid and r.num_samples >= PILOT_A_DIMENSION * (r.q.dim + 6):
        slopes, paths = slopes_pilot((), r.q.dim, least), PATHWISE if auto else (method,)
        best = comparison.gradient_candidate(*problem, (), least, r.here, score=auto, paths=paths, slopes=slopes)
    elif auto and iid and not smooth and r.num_samples >= PILOT_WORTHWHILE:
        levels = affordable(POLYNOMIALS["auto"], r.q, r.num_samples)
        if levels:
            best = comparison.gradient_candidate(*problem, levels, least, r.here)
    if auto and best.method == "leave_one_out":
        best = best._replace(method="optimal_baseline" if r.num_samples >= BASELINE_WORTHWHILE and iid else best.method)
    return gradient_to_precision(r, best, read, auto)


def gradient_to_precision(r: Request, best: Candidate, read, auto: bool) -> Plan:
    """The draws that a method takes, and the errors that a pilot predicts for them."""
    iid, least = r.draws == "iid", max(2, r.num_samples)
    if r.atol is None or not iid:
        expected = None if best.each is None else np.sqrt(best.each / r.num_samples)
        return Plan(best.method, best.surrogate, r.num_samples, expected)
    job = r.job(least, CHECK, gradient=sums_for(best.method, r.q), control_variate=best.surrogate)
    found = sweep(r.target, job, r.here, pilot=True)
    seen = read(found, best.method, best.surrogate)
    known = np.where(np.isnan(seen.standard_error), -1.0, seen.standard_error)  # nan where a value was hardly drawn
    worst = int(np.argmax(known if known.max() >= 0.0 else seen.standard_error))
    checked = found.num_samples // (HEAVY_TAILS if seen.interval_reliable[worst] else HEAVY_TAILS**2)
    largest = float(seen.standard_error[worst]) ** 2 * found.num_samples
    num_samples = enough_samples(largest, max(1, checked), r.atol, least, r.max_samples)
    if auto and best.method == "leave_one_out" and num_samples >= BASELINE_WORTHWHILE:
        best = Candidate("optimal_baseline", None)  # whose errors are seldom larger than the pilot's
    expected = seen.standard_error * math.sqrt(found.num_samples / num_samples)
    return Plan(best.method, best.surrogate, num_samples, expected)


def paths_pay(r: Request) -> bool:
    """Whether "auto" may differentiate through those factors of a product that have paths."""
    some = any(block.has_paths and not block.is_point for block in r.q.blocks)  # type: ignore[attr-defined]
    return some and r.estimator == "auto" and r.backend != "cuda" and continuous(r.target, r.q, r.key)


def sums_for(method: str, q) -> str:
    """The sums that a method needs from the sweep."""
    kind = kind_of(method, q) if isinstance(q, Factors) else None
    if kind is not None:
        return kind
    if method in PATHWISE:
        return {"pathwise_quadratic": "pathwise"}.get(method, method)
    known = has_second_pass(q) and method not in ("score", "optimal_baseline")
    return "centred" if known else "score"
