"""Which estimator a request stands for, with which control variate, and how many draws: decided before those draws."""

from typing import NamedTuple

import numpy as np

from ..control_variates import LEVELS, Lines, Surrogate
from ..execution.sweep import sweep
from ..kernels.sums import moments
from ..rng import CHECK, PILOT
from . import pilot
from .cost import affordable
from .options import Request
from .pilot import Candidate, cheapest
from .precision import enough_samples

# Which polynomials each estimator may subtract from log w
POLYNOMIALS = {"diagonal": LEVELS[1:2], "quadratic": LEVELS[1:3], "cubic": LEVELS[1:4], "auto": LEVELS[1:4]}
PATHWISE = ("pathwise", "sticking_the_landing", "pathwise_quadratic")
PILOT_SAMPLES, PILOT_WORTHWHILE, BASELINE_WORTHWHILE = 256, 4096, 1024
HEAVY_TAILS = 4  # products with scores have heavy tails: their variance is known as if from a quarter of the draws


class Plan(NamedTuple):
    """An estimator, what it subtracts, and the draws that count."""

    method: str
    control_variate: Surrogate | Lines | None
    num_samples: int


def plan_elbo(request: Request) -> Plan:
    """For an ELBO; of dependent draws ``"auto"`` is ``"plain"``, and ``num_samples`` is left as it is."""
    r, iid = request, request.draws == "iid"
    auto = r.estimator == "auto" and iid
    estimator = "plain" if r.estimator == "auto" and not iid else r.estimator
    atol, count, best = r.atol if iid else None, r.num_samples, Candidate("plain" if auto else estimator, None)
    if atol is not None and (auto or estimator not in POLYNOMIALS):
        best = moments_pilot(r, max(2, count), auto, estimator)
        count = enough_samples(best.variance, best.checked, atol, r.num_samples, r.max_samples)
    levels = list(POLYNOMIALS.get(estimator, ()))
    if auto:
        levels = affordable(levels, r.q, count)
    if levels:
        # ``count`` is what plain draws would take: where that is more, the pilot of the polynomials may take more too
        best = cheapest(pilot.candidates(r.target, r.q, r.key, levels, count, r.here))
    elif auto and atol is None and r.num_samples >= PILOT_WORTHWHILE:
        best = moments_pilot(r, PILOT_SAMPLES, auto, estimator)
    count = r.num_samples
    if atol is not None:
        count = enough_samples(best.variance, best.checked, atol, r.num_samples, r.max_samples)
    return Plan(best.method, best.surrogate, count)


def moments_pilot(request: Request, num_samples: int, auto: bool, estimator: str) -> Candidate:
    """The better of "plain" and "entropy", or the one that was asked for, by the variances of a sweep."""
    found = sweep(request.target, request.job(num_samples, PILOT), request.here, pilot=True)
    methods = ("plain", "entropy") if auto else (estimator,)
    return cheapest([Candidate(m, None, variance(found, m), 1.0, found.num_samples) for m in methods])


def variance(found, method: str) -> float:
    """The variance of one draw's contribution."""
    return found.mean_and_variance(moments.MEAN_P if method == "entropy" else moments.MEAN_W)[1]


def plan_gradient(request: Request, read) -> Plan:
    """For a gradient, which ``read(sweep, method, control_variate)`` reads off a sweep; of dependent draws ``"auto"``
    is ``"leave_one_out"``, and ``num_samples`` is left as it is."""
    r, iid = request, request.draws == "iid"
    auto, method = r.estimator == "auto" and iid, r.estimator
    if method == "auto":
        method = "optimal_baseline" if iid and r.num_samples >= BASELINE_WORTHWHILE else "leave_one_out"
    best, least = Candidate(method, None), max(2, r.num_samples)
    problem = r.target, r.q, r.key
    if method in POLYNOMIALS or method == "pathwise_quadratic":
        score = method in POLYNOMIALS
        levels = list(POLYNOMIALS.get(method, ()))
        pathwise: tuple[str, ...] = () if score else (method,)
        best = cheapest(pilot.gradient_candidates(*problem, levels, least, r.here, score=score, paths=pathwise))
    elif auto and r.num_samples >= PILOT_WORTHWHILE:
        levels = affordable(POLYNOMIALS["auto"], r.q, r.num_samples)
        pathwise = PATHWISE if r.backend != "cuda" and continuous(*problem) else ()
        if levels or pathwise:
            best = cheapest(pilot.gradient_candidates(*problem, levels, least, r.here, paths=pathwise))
            if best.method == "leave_one_out":
                best = Candidate(method, None)
    if r.atol is None or not iid:
        return Plan(best.method, best.surrogate, r.num_samples)
    job = r.job(least, CHECK, gradient=sums_for(best.method), control_variate=best.surrogate)
    found = sweep(r.target, job, r.here, pilot=True)
    largest = float(np.max(read(found, best.method, best.surrogate).standard_error)) ** 2 * found.num_samples
    checked = max(1, found.num_samples // HEAVY_TAILS)
    num_samples = enough_samples(largest, checked, r.atol, least, r.max_samples)
    if auto and best.method == "leave_one_out" and num_samples >= BASELINE_WORTHWHILE:
        best = Candidate("optimal_baseline", None)  # whose errors are seldom larger than the pilot's
    return Plan(best.method, best.surrogate, num_samples)


def sums_for(method: str) -> str:
    """The sums that a method needs from the sweep."""
    return {"pathwise_quadratic": "pathwise"}.get(method, method) if method in PATHWISE else "score"


def continuous(target, q, key) -> bool:
    """Whether a target has a gradient, and no step that would make a pathwise estimate wrong."""
    try:
        compiled = target.density.trusted(lambda: q.sample(2, rng=key), True)
    except (TypeError, MemoryError):
        return False
    return compiled.smooth and compiled.vectorised >= target.density.values().vectorised
