"""Linear response: the covariances that a mean-field q lacks, from how its optimum answers to small forces.

Over fixed draws the inverse of the Hessian of -ELBO with respect to all parameters has the response of the means to a
force on them in its block for the location, which is the posterior's covariance wherever q has its means right
(Giordano, Broderick and Jordan 2018, equation 12; Giordano, Ingram and Broderick 2024, equation 13).
"""

import numpy as np

from ..estimators.derivative import derivative
from ..execution.sweep import place
from ..families.base import Family
from ..rng import Key
from .coordinates import Coordinates
from .fixed_draws import FixedDraws
from .matched_draws import least_draws, matched_draws
from .slopes import Slopes

STEP = 1e-4  # of differences, in standard deviations of q
LEAST, UNSEEN = 512, 2**40  # draws; the first one, which no fit gets to


def linear_response(target, q: Family, key: Key, num_threads: int | None = None, executor=None) -> np.ndarray:
    """Covariance of z, (dim, dim), at a mean-field optimum q.

    It takes 4 dim evaluations of max(512, 4 dim + 4) gradients.

    Raises
    ------
    ValueError
        for a q that is not mean-field, a target without a gradient, or a q that is no optimum: where the Hessian of
        the ELBO is not negative definite
    """
    if not q.is_diagonal:
        raise ValueError(f"q: linear response is for a mean-field q, got a {q.family} one")
    found = derivative(target, q, key)
    if not found.exists:
        raise ValueError(f"target: linear response needs a gradient, and {target.name} has none ({found.why})")
    slopes = Slopes(target, place(num_threads, executor), UNSEEN, True)
    count = max(LEAST, least_draws(q.dim))
    draws = FixedDraws(slopes, matched_draws(key, UNSEEN, count, q.dim, covariance=True))
    about, rows = Coordinates(q), []
    for move in STEP * np.eye(len(about.zero)):
        up, down = (about.elbo(draws, sign * move)[1] for sign in (1.0, -1.0))
        rows.append((down - up) / (2.0 * STEP))
    hessian = np.array(rows)
    if not np.isfinite(hessian).all():
        raise ValueError(
            "q: log p is not finite at some of its draws, so there is no response; fit with a smaller tolerance"
        )
    try:
        factor = np.linalg.cholesky(0.5 * (hessian + hessian.T))
    except np.linalg.LinAlgError:
        raise ValueError(
            "q: the ELBO has no maximum there, so it answers to no force; fit again with a smaller tolerance"
        ) from None
    root = np.linalg.solve(factor, np.eye(len(hessian)))
    response = (root.T @ root)[: q.dim, : q.dim]
    return q.scaled_slopes(q.scaled_slopes(response).T)
