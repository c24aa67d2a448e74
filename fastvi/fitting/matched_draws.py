"""Matched draws: standard normals whose sample mean is 0 and whose sample covariance is I, exactly.

Over independent draws the best full-rank q runs into directions that no draw shows, unless there are hundreds for each
dimension (Giordano, Ingram and Broderick 2024, section 4).  Mirrored draws, linearly mapped so that their second
moments are those of the normal distribution, make the ELBO, its gradient and the mean Hessian of a Gaussian target
exact from 2 dim + 2 draws on.
"""

import numpy as np

from ..families.mean_field import fill_standard_normals
from ..rng import FIT, Key

LEAST = 64
MOST_DRAWS, MOST_FLOATS = 2**17, 2**24  # that are kept at once
LEAST_GROWTH, MOST_GROWTH, SPARE = 2.0, 16.0, 1.2


def least_draws(dim: int) -> int:
    """With which a fit begins: twice what matching the covariance needs."""
    return max(LEAST, 2 * (2 * dim + 2))


def most_draws(dim: int, least: int) -> int:
    """That are kept at once, an even number."""
    return max(least, min(MOST_DRAWS, MOST_FLOATS // dim)) // 2 * 2


def more_draws(count: int, need: float, most: int) -> int:
    """An even number of draws, where ``need`` times as many would do by what the present ones cost."""
    growth = min(MOST_GROWTH, max(LEAST_GROWTH, SPARE * need))
    return int(min(most, count * growth)) // 2 * 2


def matched_draws(key: Key, first: int, count: int, dim: int, *, covariance: bool, last: int = 0) -> np.ndarray:
    """eps (count, dim), the second half the first one mirrored, from the draws ``first`` on of a fit's stream.

    Parameters
    ----------
    count : int
        even; with ``covariance`` at least 2 dim + 2
    covariance : bool
        whether all second moments are matched, in O(count dim^2), or the variances alone
    last : int
        of the last so many columns all second moments are matched, those with the others too
    """
    half = np.empty((count // 2, dim))
    fill_standard_normals(half, key, FIT, first)
    if covariance:
        half = whitened(half)
    else:
        if last:
            half[:, dim - last :] = whitened(half[:, dim - last :])
            own, others = half[:, dim - last :], half[:, : dim - last]
            others -= own @ (own.T @ others / len(half))
        half[:, : dim - last] /= np.sqrt(np.mean(half[:, : dim - last] ** 2, axis=0))
    return np.concatenate([half, -half])


def whitened(half: np.ndarray) -> np.ndarray:
    """Linearly mapped to a second moment of I."""
    from scipy.linalg import solve_triangular

    factor = np.linalg.cholesky(half.T @ half / len(half))
    return np.ascontiguousarray(solve_triangular(factor, half.T, lower=True).T)
