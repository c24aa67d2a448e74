"""Where q misfits: the variance of log w shared out over coordinates and pairs by its Hermite coefficients."""

from dataclasses import dataclass

import numpy as np

from ..control_variates import LEVELS, fit, size
from ..estimators.cost import possible
from ..estimators.pilot import draw
from ..execution.sweep import Place
from ..rng import DIAGNOSE

SHOWN = 3
NEGLIGIBLE = 1e-9  # nats: less is rounding


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

    def largest(self, count: int = SHOWN) -> list[tuple[float, float, tuple]]:
        """(nats, error, (i,) or (i, j)) of the largest parts that exceed two of their errors, largest first."""
        i, j = np.triu_indices(len(self.coordinates), 1)
        values = np.append(self.coordinates, self.pairs[i, j])
        errors = np.append(self.coordinate_errors, self.pair_errors[i, j])
        places = [(k,) for k in range(len(self.coordinates))] + list(zip(i.tolist(), j.tolist(), strict=True))
        order = [k for k in np.argsort(-values, kind="stable") if values[k] > 2.0 * errors[k]]
        return [(float(values[k]), float(errors[k]), places[k]) for k in order[:count]]

    def __repr__(self):
        if self.total < NEGLIGIBLE:
            return f"none: half the variance of log w is below {NEGLIGIBLE:g} nat"
        parts = "; ".join(f"{v:.2g} ± {e:.1g} in {where(place)}" for v, e, place in self.largest())
        return f"{self.total:.2g} nat: {parts or 'no single part stands out'}; beyond {self.level} {self.rest:.2g}"


def where(place) -> str:
    """z[3], or z[3] with z[7]"""
    return " with ".join(f"z[{k}]" for k in place)


def attribution(target, q, key, num_samples: int, on: Place, most: int = 4096) -> Attribution | None:
    """Fit the richest polynomial that ``num_samples`` draws allow; None where log p is not finite at some, or where
    they are too few.

    A squared coefficient exceeds the true one's square by its variance, which is taken off.
    """
    levels = possible(LEVELS[1:], q.dim, num_samples)
    if not levels:
        return None
    n = min(num_samples, max(most, 16 * size(levels[-1], q.dim)))
    eps, _, log_w = draw(target, q, key, n, on, DIAGNOSE)
    if not np.isfinite(log_w).all():
        return None
    found = fit(eps, log_w, levels[-1])
    left = log_w - found.constant - found.value(eps)
    zero = np.zeros((q.dim, q.dim))
    pairs, cubic = (zero if m is None else m for m in (found.pairs, found.cubic))
    linear, squares, cubes, products, mixed = noise(eps, left, size(levels[-1], q.dim))
    mass, error = masses(
        (found.linear, linear),
        (np.sqrt(2.0) * found.squares, squares),
        (np.sqrt(6.0) * np.diag(cubic), cubes if found.cubic is not None else 0.0),
    )
    cross = np.sqrt(2.0) * (cubic - np.diag(np.diag(cubic)))
    mixed = mixed if found.cubic is not None else zero
    pair_mass, pair_error = masses(
        (pairs + pairs.T, products if found.pairs is not None else 0.0), (cross, mixed), (cross.T, mixed.T)
    )
    np.fill_diagonal(pair_mass, 0.0)
    np.fill_diagonal(pair_error, 0.0)
    rest = 0.5 * float(left @ left) / max(1, n - size(levels[-1], q.dim))
    total = float(mass.sum() + 0.5 * pair_mass.sum() + rest)
    return Attribution(mass, error, pair_mass, pair_error, rest, total, levels[-1])


def noise(eps, left, coefficients):
    """Variances of the orthonormal coefficients of eps_i, eps_i^2 - 1, eps_i^3 - 3 eps_i, eps_i eps_j and
    eps_i (eps_j^2 - 1), each the mean of polynomial^2 residual^2 over the draws (White 1980, equation 1): what is left
    varies more where polynomials are large."""
    n = len(eps)
    weights = left**2 / n / max(1, n - coefficients)
    squares, widths = eps**2, (eps**2 - 1.0) ** 2 / 2.0
    cubes = squares * (squares - 3.0) ** 2 / 6.0
    weighted = squares * weights[:, None]
    return weights @ squares, weights @ widths, weights @ cubes, weighted.T @ squares, weighted.T @ widths


def masses(*parts):
    """Half the sum of squared coefficients, without what their variances add, and its error, from (coefficient,
    variance) pairs."""
    mass = sum(c**2 - v for c, v in parts)
    error = sum(4.0 * c**2 * v + 2.0 * np.square(v) for c, v in parts)
    return 0.5 * mass, 0.5 * np.sqrt(error)
