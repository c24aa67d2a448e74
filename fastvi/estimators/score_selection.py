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
from .score_levels import ALLOWED, CHOOSING, enough_to_fit, levels_for, operations, path_following


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
        """A way to a gradient, with the variance of each parameter and that of standardised terms, added up."""
        q, kind = self.q, kind_of(method, self.q)
        runs = q.path_runs(kind) if kind else [False] * len(q.blocks)
        by_scores = np.repeat(np.invert(runs), [block.count * block.width for block in q.blocks])
        with np.errstate(invalid="ignore", over="ignore"):
            whitened = q.whitened(self.z)
            each = spreads(q.from_whitened(whitened), left)
            spread = float(np.sum(spreads(whitened[:, by_scores], left)))
            squares = np.sum(whitened[:, by_scores] ** 2, axis=1)
            terms = None if surrogate is None else (left - np.mean(left)) ** 2 * squares
            found = self.candidate(method, surrogate, spread, True, terms)
            if kind is None:
                return found._replace(each=each)
            own = q.path_parameters(kind)
            each = np.where(own, np.var(path_terms, axis=0), each)
            spread = found.variance + float(np.sum((each * q.steps**2)[own]))
        once = q.operations(q.dim, True) + self.r.target.density.operations
        cost = found.operations + (PATHWISE_COST - 1.0) * once
        found = found._replace(each=each, variance=spread, operations=cost)
        return found if surrogate is None else self.followed(found, own, path_terms, whitened)

    def followed(self, found: Candidate, own, path_terms, whitened) -> Candidate:
        """Of what follows pathwise terms as many as pay, from the one that takes most variance off; all that take some
        for an estimator that was asked for by name.

        Point masses have no width to measure their steps by: all of theirs count as much as all other terms.
        """
        surrogate: Any = found.surrogate
        each, unit, less = np.array(found.each), path_following(surrogate.level, self.q), {}
        for parameter in np.flatnonzero(own):
            if (one := surrogate.paths.get(int(parameter))) is not None:
                less[parameter] = float(np.var(path_terms[:, parameter] - one.at(whitened)))
        order = np.array(list(less), int)
        taken, weights = each[order] - [less[k] for k in order], self.q.steps**2
        points = self.q.path_parameters("points")
        theirs = float(each[points] @ weights[points])
        of_each = np.where(points[order], theirs, found.variance - theirs)  # what a term is a part of
        gains = np.divide(taken * weights[order], of_each, out=np.zeros(len(order)), where=of_each > 0.0)
        order = order[np.argsort(-gains)]
        parts = float(theirs > 0.0) + float(found.variance > theirs)
        left = parts - np.concatenate([[0.0], np.cumsum(-np.sort(-gains))])
        pay = int(np.argmin(left * (found.operations + unit * np.arange(len(left)))))
        kept = order[: pay if self.r.estimator in CHOOSING else np.count_nonzero(gains > 0.0)]
        off = float((each[kept] - [less[k] for k in kept]) @ weights[kept])
        each[kept] = [less[k] for k in kept]
        surrogate = dataclasses.replace(surrogate, paths={int(k): surrogate.paths[int(k)] for k in kept})
        operations = found.operations + unit * len(kept)
        return found._replace(surrogate=surrogate, each=each, variance=found.variance - off, operations=operations)

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
