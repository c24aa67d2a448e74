"""Which estimator a request for a product of factors stands for: surrogates in the factors' scores, tried on a pilot.

The pilot is drawn from a flattened q and weighted back, as q itself hardly visits the states that carry the variance
near a corner; what it brought is judged on draws of q.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from .. import hessian_pairs, path_surrogates
from ..execution.sweep import sweep
from ..families.mean_field import MeanFieldGaussian
from ..kernels.sums import moments
from ..rng import PILOT
from ..score_surrogates import HESSIAN, Design, fitted, flat_share, size
from .candidate import Candidate, cheapest, concentrated, variances_with
from .cost import CHECK_SHARE, LEAST, LEAST_PER_COEFFICIENT, PATHWISE_COST
from .options import Request, kind_of
from .pilot import STEADY
from .score_levels import ALLOWED, enough_to_fit, following, levels_for, operations


def path_terms(r: Request, z, first: int) -> np.ndarray:
    """Those of the pathwise gradient at the pilot's draws from ``first`` on, (n, parameters)"""
    q: Any = r.q
    eps = np.empty_like(z)
    MeanFieldGaussian.standard(q.dim).fill(eps, r.key, PILOT, first)
    with np.errstate(invalid="ignore", over="ignore"):
        return q.path_terms(eps, z, r.here.evaluate(r.target, z, True)[1])


def pilot_draws(target, q, key, count: int, on, share: float, stream: int = PILOT, first: int = 0):
    """(z, log w, log of q over what z is drawn from) of the draws from ``first`` on of a flattened q."""
    flat = q.flattened(share) if share else q
    z = np.empty((count, q.dim))
    flat.fill(z, key, stream, first)
    log_q = q.log_prob(z)
    log_ratio = log_q - flat.log_prob(z) if share else np.zeros(count)
    return z, on.evaluate(target, z) - log_q, log_ratio


class ScorePilot:
    """Surrogates that a pilot fits, and draws of q that judge them."""

    def __init__(self, r: Request, levels: list[str]) -> None:
        self.r, self.levels = r, levels
        self.q: Any = r.q  # a product of factors
        most = max([LEAST, *(enough_to_fit(level, r.q) for level in levels)])
        checked = max(LEAST // CHECK_SHARE, most // CHECK_SHARE)
        fitted = min(most, max(r.num_samples - checked, LEAST_PER_COEFFICIENT * size(levels[-1], r.q)))
        problem = r.target, r.q, r.key
        self.fitted = fitted
        self.draws = pilot_draws(*problem, fitted, r.here, flat_share(r.q))
        self.z, self.log_w, _ = pilot_draws(*problem, checked, r.here, 0.0, first=fitted)

    def surrogates(self, paths: bool = False):
        """One after another, with those of pathwise terms."""
        z, log_w, log_ratio = self.draws
        if not (np.isfinite(log_w).all() and np.isfinite(self.log_w).all()):
            return
        terms = path_terms(self.r, z, 0) if paths else np.empty((len(z), 0))
        for level in self.levels:
            end = min(len(z), enough_to_fit(level, self.r.q))
            design = self.design(level, z[:end])
            if design is None:
                continue
            found, _, inverse = fitted(design, log_w[:end], log_ratio[:end])
            if paths and inverse is not None:
                followed = path_surrogates.fit(design, terms[:end], log_ratio[:end], inverse)
                found = dataclasses.replace(found, paths=followed)
            yield found

    def design(self, level: str, z) -> Design | None:
        """That of a level at draws z; None where slopes of log p are not finite"""
        if level != HESSIAN:
            return Design(self.q, z, level)
        others = np.empty((hessian_pairs.DRAWS, self.q.dim))
        self.q.fill(others, self.r.key, PILOT, self.fitted + len(self.z))
        with np.errstate(all="ignore"):
            pairs = hessian_pairs.pairs(self.q, others, lambda at: self.r.here.evaluate(self.r.target, at, True)[1])
        return None if pairs is None else hessian_pairs.HessianDesign(self.q, z, pairs)

    def left(self, surrogate) -> np.ndarray:
        """Of log w at the judging draws"""
        return self.log_w - surrogate.at(self.q.whitened(self.z))

    def of_gradient(self, method, surrogate, left, path_terms) -> Candidate:
        """A way to a gradient, with the variance of each parameter and that of standardised terms, added up.

        What follows a pathwise term is kept where it takes variance off it.
        """
        q = self.q
        kind = kind_of(method, q)
        runs = q.path_runs(kind) if kind else [False] * len(q.blocks)
        by_scores = np.repeat(np.invert(runs), [block.count * block.width for block in q.blocks])
        with np.errstate(invalid="ignore", over="ignore"):
            whitened = q.whitened(self.z)
            each = spreads(q.from_whitened(whitened), left)
            spread = float(np.sum(spreads(whitened[:, by_scores], left)))
            if kind:
                own, by_paths = q.path_parameters(kind), np.var(path_terms, axis=0)
                if surrogate is not None:
                    kept = {}
                    for parameter, one in surrogate.paths.items():
                        variance = np.var(path_terms[:, parameter] - one.at(whitened))
                        if own[parameter] and variance < by_paths[parameter]:
                            kept[parameter], by_paths[parameter] = one, variance
                    surrogate = dataclasses.replace(surrogate, paths=kept)
                each = np.where(own, by_paths, each)
                spread += float(np.sum((by_paths * q.steps**2)[own]))
            squares = np.sum(whitened[:, by_scores] ** 2, axis=1)
            terms = None if surrogate is None else (left - np.mean(left)) ** 2 * squares
        found = self.candidate(method, surrogate, spread, True, terms)
        once = q.operations(q.dim, True) + self.r.target.density.operations
        cost = found.operations + ((PATHWISE_COST - 1.0) * once if kind else 0.0)
        if surrogate is not None:
            cost += len(surrogate.paths) * following(surrogate.level, q)
        return found._replace(each=each, operations=cost)

    def candidate(self, method, surrogate, variance, gradient, terms=None) -> Candidate:
        """Where few draws hold the terms that an error rests on, a surrogate is not to be trusted."""
        n = self.r.num_samples
        if concentrated(terms, n, STEADY):
            variance = math.nan
        level = "none" if surrogate is None else surrogate.level
        cost = operations(level, self.r.q, gradient) + self.r.target.density.operations
        return Candidate(method, surrogate, float(variance), cost, len(self.z))


def of_elbo(r: Request) -> Candidate:
    """For an ELBO: "plain", "entropy" or a surrogate, by variance times operations."""
    levels = levels_for(r)
    if not levels:
        return Candidate("plain" if r.estimator in ALLOWED else r.estimator, None)
    pilot = ScorePilot(r, levels)
    log_w = pilot.log_w
    with np.errstate(invalid="ignore"):
        log_p = log_w + r.q.log_prob(pilot.z)
        found = [pilot.candidate("plain", None, np.var(log_w), False)]
        found.append(pilot.candidate("entropy", None, np.var(log_p), False))
    for surrogate in pilot.surrogates():
        left = pilot.left(surrogate)
        terms = (left - np.mean(left)) ** 2
        found.append(pilot.candidate(surrogate.level, surrogate, np.mean(terms), False, terms))
    return cheapest(found)


def of_gradient(r: Request, paths: bool = False) -> Candidate:
    """For a gradient: "leave_one_out" or a surrogate, by the variances of whitened terms, added up; with ``paths`` or
    for "mixed" those that differentiate through some factors as well."""
    q: Any = r.q  # a product of factors
    mixed = paths or r.estimator == "mixed"
    some_paths = mixed or q.has_points
    levels = levels_for(r, some_paths)
    through = "mixed" if q.without_paths else "pathwise"
    if not levels or r.estimator == "pathwise":
        return Candidate(through if mixed else "leave_one_out" if r.estimator in ALLOWED else r.estimator, None)
    pilot = ScorePilot(r, levels)
    terms_of_paths = path_terms(r, pilot.z, pilot.fitted) if some_paths else None
    tried: list = [(None, pilot.log_w)]
    tried += [(surrogate, pilot.left(surrogate)) for surrogate in pilot.surrogates(some_paths)]
    found = []
    for surrogate, left in tried:
        if r.estimator != "mixed":
            method = "leave_one_out" if surrogate is None else surrogate.level
            found.append(pilot.of_gradient(method, surrogate, left, terms_of_paths))
        if mixed:
            method = through if surrogate is None else f"mixed_{surrogate.level}"
            found.append(pilot.of_gradient(method, surrogate, left, terms_of_paths))
    return cheapest(found)


def spreads(scores: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The variances of f less its mean times each of the scores (n, scores)"""
    return variances_with(lambda some: scores[some], scores.shape[1], f) if scores.shape[1] else np.empty(0)


def checked_variance(r: Request, best: Candidate, stream: int) -> Candidate:
    """A candidate for an ELBO with the variance that a sweep finds."""
    job = r.job(max(2, min(r.num_samples, 4096)), stream, control_variate=best.surrogate)
    found = sweep(r.target, job, r.here, pilot=True)
    column = moments.MEAN_P if best.method == "entropy" else moments.MEAN_W
    return best._replace(variance=found.mean_and_variance(column)[1], checked=found.num_samples)
