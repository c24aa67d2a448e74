"""Where a fit starts: q as given, or the Laplace approximation somewhere on a climb of log p, by the ELBO.

The path of a climb is that of Pathfinder (Zhang, Carpenter, Gelman and Vehtari 2022); here the widths at its points are
those of exact Hessians.  Where log p has no maximum the best q is on the way, not at its end.
"""

import math
from collections.abc import Callable

import numpy as np

from ..families.base import Family
from ..families.mean_field import fill_standard_normals
from ..rng import CLIMB, FIT, Key
from .ascent import climb
from .fixed_draws import Evaluation, FixedDraws
from .slopes import LeavesRange, Slopes, in_range

SHARES = (1.0, 0.95, 0.75, 0.5, 0.35, 0.25, 0.17, 0.125, 0.06, 0.03)  # of the path, where approximations are tried
NEAR, OVER, MOST, MEMORY = 0.02, 3, 150, 20  # nats gained over so many iterations; iterations; L-BFGS's memory
FLAT = 1e-6  # a curvature below it, in units of the start, says nothing about a width
STEP = 1e-5  # of differences of gradients, in standard deviations of the start
ASIDE = 0.1  # standard deviations from the start at which a climb begins: a symmetric model may have a saddle there
THERE = 1.0  # nats that are left at the end of the path, where no other start is wanted
WIDTHS, TRIED = (1.0, 0.1, 0.01, 3.0, 10.0), 64  # in standard deviations, of points to try where log p is not finite
NARROW = (0.1, 0.01, 1e-3, 1e-4)  # widths to try, where log p is not finite at draws of any other q
TYPICAL, STEIN_STEP = 0.2, 1e-3  # of the median curvature, the least; a width of draws in standard deviations


def standard_normals(key: Key, count: int, dim: int, first: int = 0) -> np.ndarray:
    """(count, dim), from the draw ``first`` on"""
    found = np.empty((count, dim))
    fill_standard_normals(found, key, FIT, first)
    return found


def path_of(slopes: Slopes, q: Family, key: Key) -> list[np.ndarray]:
    """Points of a climb of log p from q's location, or from the best of some points about it if log p is not finite
    there; none where it is not finite anywhere."""

    def function(z):
        log_p, gradients = slopes(z[None], q.stddev)
        return float(log_p[0]), gradients[0]

    start = q.loc + ASIDE * q.stddev * standard_normals(key.child(CLIMB, 0), 1, q.dim)[0]
    value, gradient = function(start)
    if not (math.isfinite(value) and np.isfinite(gradient).all()):
        found = finite_point(slopes, q, key)
        if found is None:
            return []
        start = found
    path = climb(function, start, rise=NEAR, over=OVER, most=MOST, memory=MEMORY, keep=True)
    return path.points or [start]


def finite_point(slopes: Slopes, q: Family, key: Key) -> np.ndarray | None:
    """The best of some points about q's location at which log p is finite."""
    for number, width in enumerate(WIDTHS, 1):
        points = q.transform(width * standard_normals(key.child(CLIMB, number), TRIED, q.dim))
        log_p, gradients = slopes(points, q.stddev)
        finite = np.isfinite(log_p) & np.isfinite(gradients).all(axis=1)
        if finite.any():
            return points[np.argmax(np.where(finite, log_p, -math.inf))]
    return None


def laplace_member(slopes: Slopes, q: Family, z: np.ndarray) -> Family | None:
    """The member of q's family at z with the widths of the Hessian of log p there, or of q where that is flat or bends
    upwards; None where it is not finite."""
    steps = STEP * np.maximum(q.stddev, np.finfo(float).eps ** 0.5 * np.abs(z))
    up, down = z + np.diag(steps), z - np.diag(steps)
    gradients = slopes(np.concatenate([up, down]), q.stddev)[1]
    widths = np.diag(up - down)
    hessian = (gradients[: q.dim] - gradients[q.dim :]) / widths[:, None]
    if not np.isfinite(hessian).all():
        return None
    precision = -q.scaled_slopes(q.scaled_slopes(0.5 * (hessian + hessian.T)).T)
    with in_range():
        if q.is_diagonal:
            values = np.diag(precision)
            return q.stretched(z, np.diag(np.where(values > FLAT, values, 1.0)), math.inf)
        values, vectors = np.linalg.eigh(precision)
        return q.stretched(z, (vectors * np.where(values > FLAT, values, 1.0)) @ vectors.T, math.inf)


def stein_member(slopes: Slopes, q: Family, z: np.ndarray, eps: np.ndarray) -> Family | None:
    """The same of a mean-field q in O(dim): E[gradient eps] over narrow normal draws eps (n, dim) is the diagonal of
    the Hessian times their width (Stein 1981, lemma 1), with the noise of so many draws."""
    gradients = q.scaled_slopes(slopes(z + STEIN_STEP * q.stddev * eps, q.stddev)[1])
    if not np.isfinite(gradients).all():
        return None
    curvature = -np.mean(gradients * eps, axis=0) / STEIN_STEP
    least = max(TYPICAL * float(np.median(np.abs(curvature))), FLAT)
    with in_range():
        return q.member(z, q.scale / np.sqrt(np.maximum(curvature, least)))


def best_start(
    draws: FixedDraws,
    q: Family,
    key: Key,
    member: Callable[[Slopes, Family, np.ndarray], Family | None],
    patience: int,
    known: Callable[[Evaluation], float] = lambda found: math.inf,
) -> Evaluation:
    """q or the best ``member`` at points of the path from its end to its beginning, evaluated at ``draws``; after
    ``patience`` members in a row that are worse than the best no more are tried, nor where ``known`` tells that little
    is left to gain at its end."""
    slopes = draws.slopes
    path = path_of(slopes, q, key)
    best, worse = draws.at(q), 0
    marks = {max(0, math.ceil(share * len(path)) - 1) for share in SHARES if path}
    for k in sorted(marks, reverse=True):
        try:
            tried = member(slopes, q, path[k])
        except LeavesRange:
            tried = None
        if tried is None:
            continue
        found = draws.at(tried)
        if found.elbo > best.elbo:
            best, worse = found, 0
            if k == len(path) - 1 and known(found) < THERE:
                break
        elif math.isfinite(best.elbo):
            worse += 1
            if worse == patience:
                break
    for width in NARROW:
        if math.isfinite(best.elbo) or not path:
            break
        best = draws.at(q.member(path[-1], width * q.scale))
    return best
