"""Where q misfits: the variance of log w shared out over coordinates and pairs by its Hermite coefficients."""

from dataclasses import dataclass

import numpy as np

from .pilots import draw, possible
from .rng import DIAGNOSE
from .surrogate import LEVELS, fit, size

SHOWN = 3


@dataclass(frozen=True, eq=False)
class Attribution:
    """Half the variance of log w, which is KL(q || p) to second order, and the parts of it, in nats.

    Attributes
    ----------
    coordinates, coordinate_errors : ndarray (dim,)
        a wrong location, width or skew of one coordinate: eps_i, eps_i^2 - 1, eps_i^3 - 3 eps_i
    pairs, pair_errors : ndarray (dim, dim)
        symmetric; correlations and their like: eps_i eps_j, eps_i (eps_j^2 - 1), eps_j (eps_i^2 - 1)
    rest : float
        what no polynomial of the level follows
    total : float
        their sum, half the variance of log w
    level : str
        "cubic", or less where the draws do not suffice
    """

    coordinates: np.ndarray
    coordinate_errors: np.ndarray
    pairs: np.ndarray
    pair_errors: np.ndarray
    rest: float
    total: float
    level: str

    def largest(self, count=SHOWN):
        """(nats, error, (i,) or (i, j)) of the largest parts that exceed two of their errors, largest first."""
        i, j = np.triu_indices(len(self.coordinates), 1)
        values = np.append(self.coordinates, self.pairs[i, j])
        errors = np.append(self.coordinate_errors, self.pair_errors[i, j])
        places = [(k,) for k in range(len(self.coordinates))] + list(zip(i.tolist(), j.tolist(), strict=True))
        order = [k for k in np.argsort(-values, kind="stable") if values[k] > 2.0 * errors[k]]
        return [(float(values[k]), float(errors[k]), places[k]) for k in order[:count]]

    def __repr__(self):
        parts = "; ".join(f"{v:.2g} ± {e:.1g} in {where(place)}" for v, e, place in self.largest())
        return f"{self.total:.2g} nat: {parts or 'no single part stands out'}; beyond {self.level} {self.rest:.2g}"


def where(place) -> str:
    """z[3], or z[3] with z[7]"""
    return " with ".join(f"z[{k}]" for k in place)


def attribution(target, q, key, num_samples, num_threads=None) -> Attribution | None:
    """Fit the richest polynomial that ``num_samples`` draws allow; None where log p is not finite at some, or where
    they are too few.

    A squared coefficient exceeds the true one's square by its variance, which is taken off.
    """
    levels = possible(LEVELS[1:], q.dim, num_samples)
    if not levels:
        return None
    n = min(num_samples, max(4096, 16 * size(levels[-1], q.dim)))
    eps, _, log_w = draw(target, q, key, n, num_threads, DIAGNOSE)
    if not np.isfinite(log_w).all():
        return None
    found = fit(eps, log_w, levels[-1])
    left = log_w - found.constant - found.value(eps)
    degrees = max(1, n - size(levels[-1], q.dim))
    noise = float(left @ left) / degrees / n  # the variance of an orthonormal coefficient
    zero = np.zeros((q.dim, q.dim))
    pairs, cubic = (zero if m is None else m for m in (found.pairs, found.cubic))
    cross = cubic - np.diag(np.diag(cubic))
    mass, error = share(noise, found.linear, np.sqrt(2.0) * found.squares, np.sqrt(6.0) * np.diag(cubic))
    pair_mass, pair_error = share(noise, pairs + pairs.T, np.sqrt(2.0) * cross, np.sqrt(2.0) * cross.T)
    np.fill_diagonal(pair_mass, 0.0)
    np.fill_diagonal(pair_error, 0.0)
    rest = 0.5 * noise * n
    total = float(mass.sum() + 0.5 * pair_mass.sum() + rest)
    return Attribution(mass, error, pair_mass, pair_error, rest, total, levels[-1])


def share(noise, *coefficients):
    """Half the sum of squares of orthonormal coefficients, without what noise adds, and its error; those that the level
    lacks are 0 and cost nothing."""
    used = [c for c in coefficients if np.any(c)] or [coefficients[0]]
    squares = sum(c**2 for c in used)
    return 0.5 * (squares - len(used) * noise), np.sqrt(noise * squares + 0.5 * len(used) * noise**2)
