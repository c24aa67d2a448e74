"""Where q misfits: the variance of log w shared out over coordinates and pairs by its Hermite coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import score_surrogates
from ..control_variates import LEVELS, fit, size
from ..estimators.cost import LEAST_PER_COEFFICIENT, possible
from ..estimators.pilot import draw
from ..execution.sweep import Place
from ..families.factors import Factors
from ..rng import DIAGNOSE
from .projection import projected

SHOWN = 3
FLOATS = 2**22  # of eps that are kept at once; what is made of them takes some eight times as much, 256 MiB
OPERATIONS = 2**24  # of a product with the design matrix, of which a fit takes dozens
MANY = 100  # dimensions from which on a projection replaces a fit that the draws do not allow
DRAWS_PER_COEFFICIENT = 16
NEGLIGIBLE = 1e-9  # nats: less is rounding


@dataclass(frozen=True, eq=False)
class Attribution:
    """Half the variance of log w, which is KL(q || p) to second order, and the parts of it, in nats.

    Attributes
    ----------
    coordinates, coordinate_errors : ndarray (dim,)
        a wrong location, width or skew of one coordinate: eps_i, eps_i^2 - 1, eps_i^3 - 3 eps_i
    pairs, pair_errors : ndarray (dim, dim) or None
        symmetric; correlations and their like: eps_i eps_j, eps_i (eps_j^2 - 1), eps_j (eps_i^2 - 1).  None where there
        are too many dimensions for pairs
    rest : float
        what no polynomial of the level follows
    total : float
        their sum, half the variance of log w
    level : str
        "cubic", or less where the draws or the memory do not suffice
    names : sequence of str
        of the items of z; empty where only their numbers are known

    Examples
    --------
    >>> import fastvi as vi
    >>> target = vi.Target(lambda z: -0.5 * z[0] ** 2 - 2.0 * z[1] ** 2, 2)
    >>> found = vi.diagnose(target, vi.MeanFieldGaussian([0.0, 0.0], [1.0, 1.0]), 10_000, rng=0).misfit
    >>> [place for _, _, place in found.largest()]  # too wide in the second coordinate alone
    [(1,)]
    """

    coordinates: np.ndarray
    coordinate_errors: np.ndarray
    pairs: np.ndarray | None
    pair_errors: np.ndarray | None
    rest: float
    total: float
    level: str
    names: Sequence[str] = ()

    def largest(self, count: int = SHOWN) -> list[tuple[float, float, tuple]]:
        """(nats, error, (i,) or (i, j)) of the largest parts that exceed two of their errors, largest first."""
        values, errors = self.coordinates, self.coordinate_errors
        places: list[tuple] = [(k,) for k in range(len(values))]
        if self.pairs is not None and self.pair_errors is not None:
            i, j = np.triu_indices(len(values), 1)
            values, errors = np.append(values, self.pairs[i, j]), np.append(errors, self.pair_errors[i, j])
            places += list(zip(i.tolist(), j.tolist(), strict=True))
        order = [k for k in np.argsort(-values, kind="stable") if values[k] > 2.0 * errors[k]]
        return [(float(values[k]), float(errors[k]), places[k]) for k in order[:count]]

    def __repr__(self):
        if self.total < NEGLIGIBLE:
            return f"none: half the variance of log w is below {NEGLIGIBLE:g} nat"
        parts = "; ".join(f"{v:.2g} ± {e:.1g} in {self.where(place)}" for v, e, place in self.largest())
        return f"{self.total:.2g} nat: {parts or 'no single part stands out'}; beyond {self.level} {self.rest:.2g}"

    def where(self, place: tuple[int, ...]) -> str:
        """eta[3], or eta[3] with tau"""
        return " with ".join(self.names[k] if self.names else f"z[{k}]" for k in place)


def attribution(target, q, key, num_samples: int, on: Place, most: int = 4096) -> Attribution | None:
    """Fit the richest polynomial that the draws, and a bounded memory, allow; None where log p is not finite at some,
    or where they are too few.  Where even the diagonal is too large, coordinates alone, by projection.

    A squared coefficient exceeds the true one's square by its variance, which is subtracted.
    """
    if isinstance(q, Factors):
        return of_factors(target, q, key, num_samples, on, most)
    level, n = richest(q.dim, num_samples, most)
    if level is None:
        return by_projection(target, q, key, num_samples, on) if q.dim > MANY else None
    eps, _, log_w = draw(target, q, key, n, on, DIAGNOSE)
    if not np.isfinite(log_w).all():
        return None
    found = fit(eps, log_w, level)
    left = log_w - found.constant - found.value(eps)
    zero = np.zeros((q.dim, q.dim))
    pairs, cubic = (zero if m is None else m for m in (found.pairs, found.cubic))
    linear, squares, cubes, products, mixed = noise(eps, left, size(level, q.dim))
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
    rest = 0.5 * float(left @ left) / max(1, n - size(level, q.dim))
    total = float(mass.sum() + 0.5 * pair_mass.sum() + rest)
    return Attribution(mass, error, pair_mass, pair_error, rest, total, level)


def richest(dim: int, num_samples: int, most: int) -> tuple[str | None, int]:
    """(the highest level that so many draws can fit in ``FLOATS``, the draws for it)"""
    for level in reversed(possible(LEVELS[1:], dim, num_samples)):
        for each in (DRAWS_PER_COEFFICIENT, LEAST_PER_COEFFICIENT):
            n = min(num_samples, max(most, each * size(level, dim)))
            if n * dim <= FLOATS and n * size(level, dim) <= OPERATIONS:
                return level, n
    return None, 0


def of_factors(target, q, key, num_samples: int, on, most: int) -> Attribution | None:
    """The same for a product of factors, by coefficients of their whitened scores and of pairs of them."""
    for level in ("quadratic", "linear"):
        count = score_surrogates.size(level, q)
        n = min(num_samples, max(most, LEAST_PER_COEFFICIENT * count))
        if LEAST_PER_COEFFICIENT * count <= n and n * count <= OPERATIONS:
            break
    else:
        return None
    _, z, log_w = draw(target, q, key, n, on, DIAGNOSE)
    if not np.isfinite(log_w).all():
        return None
    design = score_surrogates.Design(q, z, level)
    found, left, _ = score_surrogates.fitted(design, log_w)
    weights, squares = left**2 / n / max(1, n - count), design.whitened**2
    owner = score_surrogates.owners(q)[0]
    own = np.zeros((q.dim, len(owner)))
    own[owner, np.arange(len(owner))] = 1.0
    mass, error = masses((found.linear, weights @ squares))
    pair_mass = pair_error = np.zeros((q.dim, q.dim))
    if found.pairs is not None:
        of_pairs, errors = masses((found.pairs, np.where(found.pairs == 0.0, 0.0, (squares.T * weights) @ squares)))
        pair_mass, pair_error = own @ of_pairs @ own.T, np.sqrt(own @ errors**2 @ own.T)
    rest = 0.5 * float(left @ left) / max(1, n - count)
    total = float(mass.sum() + 0.5 * pair_mass.sum() + rest)
    return Attribution(own @ mass, np.sqrt(own @ error**2), pair_mass, pair_error, rest, total, level)


def by_projection(target, q, key, num_samples, on) -> Attribution | None:
    """The parts of single coordinates, without pairs."""
    found = projected(target, q, key, num_samples, on)
    if found is None:
        return None
    linear, squares, *variances, variance = found
    mass, error = masses((linear, variances[0]), (squares, variances[1]))
    rest = max(0.0, 0.5 * variance - float(mass.sum()))
    return Attribution(mass, error, None, None, rest, 0.5 * variance, "diagonal, by projection")


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
