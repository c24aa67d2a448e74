"""From constrained values back to u, and what lies outside of a space, in NumPy."""

from collections.abc import Callable

import numpy as np


def logit(p, q):
    return np.log(p) - np.log(q)


def from_softplus(space, x):
    return np.where(x < 1e-15, np.log(x), x + np.log(-np.expm1(-x)))


def from_simplex(space, x):
    behind = np.cumsum(x[::-1])[::-1]  # x_i and all after it
    sticks = space.dim
    return logit(x[:sticks], behind[1:]) + np.log(np.arange(sticks, 0, -1.0))


def from_ordered(space, x):
    return np.concatenate([x[:1], np.log(np.diff(x))])


def from_corr_cholesky(space, x):
    found = []
    for r in range(1, space.shape[0]):
        left = np.sqrt(np.cumsum(x[r, r::-1] ** 2))[::-1]  # of the rest of the row, from each column on
        found.append(np.arcsinh(x[r, :r] / left[1:]))
    return np.concatenate(found)


INVERSES: dict[str, Callable] = {
    "real": lambda s, x: x,
    "exp": lambda s, x: np.log(x - s.low),
    "softplus": from_softplus,
    "greater_than": lambda s, x: np.log(x - s.low),
    "less_than": lambda s, x: np.log(s.high - x),
    "interval": lambda s, x: logit(x - s.low, s.high - x),
    "unit": lambda s, x: logit(x, 1.0 - x),
    "simplex": from_simplex,
    "ordered": from_ordered,
    "corr_cholesky": from_corr_cholesky,
}


def out_of_bounds(space, x):
    bad = ~((x > space.low) & (x < space.high))
    return str(float(x[bad].flat[0])) if bad.any() else ""


def no_simplex(space, x):
    if (x <= 0.0).any():
        return f"{float(x[x <= 0.0][0])}"
    return "" if abs(x.sum() - 1.0) < 1e-6 else f"a sum of {x.sum():.9g}"


def unordered(space, x):
    return "" if (np.diff(x) > 0.0).all() else f"{x} which does not increase"


def no_cholesky(space, x):
    fits = (np.triu(x, 1) == 0.0).all() and (np.diag(x) > 0.0).all()
    fits = fits and np.allclose(np.sum(x * x, axis=1), 1.0, atol=1e-6)
    return "" if fits else "a matrix that is no lower triangle with a positive diagonal and rows of length 1"


OUTSIDE: dict[str, Callable] = {name: out_of_bounds for name in INVERSES} | {
    "positive": out_of_bounds,
    "simplex": no_simplex,
    "ordered": unordered,
    "corr_cholesky": no_cholesky,
}
