"""Polynomial surrogates of log w fitted to its gradients: a few draws for each dimension are enough.

With f(eps) = log p(z) - log q(z), the gradient L' grad log p(z) + eps of a draw tells ``dim`` equations where f itself
tells one.  That of a quadratic surrogate is m + M eps, whose rows are least-squares fits of the gradient's entries to
(1, eps); a cubic one adds c_ij eps_i (eps_j^2 - 1), of which row i sees c_ij (eps_j^2 - 1) and 2 c_ki eps_k eps_i.
Gradients follow a control variate so in Geffner and Domke (2020); here their coefficients serve values and scores too.
"""

import numpy as np

from .control_variates import REFINEMENTS, Lines, Surrogate

# Draws for each dimension: fewer fit worse than none, more gain little
LEAST_DRAWS, MOST_DRAWS, CUBIC_DRAWS, DIAGONAL_DRAWS = 4, 16, 4.5, 32
AT_ONCE = 2**18  # float64s of designs


def fit_slopes(eps: np.ndarray, slopes: np.ndarray, level: str) -> Surrogate:
    """Least squares of ``slopes`` (n, dim), the gradients of log w in eps, at ``eps`` (n, dim).

    The constant, which no estimator needs, is 0.
    """
    if level == "diagonal":
        return diagonal(eps, slopes)
    if level == "cubic":
        return cubic(eps, slopes)
    return quadratic(eps, slopes)


def least_squares(design, values):
    """Of one problem, or of several at once, (..., n, columns) and (..., n, results): by normal equations, which are
    close to the identity here, refined once more."""
    across = np.swapaxes(design, -1, -2)
    gram = across @ design
    x = np.linalg.solve(gram, across @ values)
    for _ in range(REFINEMENTS - 1):
        x = x + np.linalg.solve(gram, across @ (values - design @ x))
    return x


def diagonal(eps, slopes) -> Surrogate:
    centred = eps - eps.mean(axis=0)
    curvature = np.sum(centred * slopes, axis=0) / np.sum(centred * eps, axis=0)
    return Surrogate("diagonal", 0.0, np.mean(slopes - curvature * eps, axis=0), curvature / 2.0)


def symmetric(level, linear, matrix, cubes=None) -> Surrogate:
    """The surrogate of a linear part and a matrix of second derivatives, up to noise symmetric."""
    matrix = (matrix + matrix.T) / 2.0
    return Surrogate(level, 0.0, linear, np.diag(matrix) / 2.0, np.tril(matrix, -1), cubes)


def with_ones(eps):
    return np.column_stack([np.ones(len(eps)), eps])


def fitted_lines(eps, slopes) -> np.ndarray:
    """The values at ``eps`` of each slope's own least-squares fit in (1, eps), (n, dim)"""
    design = with_ones(eps)
    return design @ least_squares(design, slopes)


def quadratic(eps, slopes) -> Surrogate:
    x = least_squares(with_ones(eps), slopes)
    return symmetric("quadratic", x[0], x[1:])


def lines_without(folds, eps, slopes, q) -> list[Lines]:
    """For each of ``folds``, slices of the draws, the lines that the gradient of log p in z follows on the others:
    those of :func:`lines_of`, from normal equations that are summed fold by fold."""
    design, dim = with_ones(eps), eps.shape[1]
    grams = np.stack([design[own].T @ design[own] for own in folds])
    right = np.stack([design[own].T @ slopes[own] for own in folds])
    grams, right = grams.sum(axis=0) - grams, right.sum(axis=0) - right
    x = np.linalg.solve(grams, right)
    x = x + np.linalg.solve(grams, right - grams @ x)
    matrices = (x[:, 1:] + np.swapaxes(x[:, 1:], 1, 2)) / 2.0 - np.eye(dim)
    offsets = q.entropy_slope(x[:, 0])
    in_z = q.entropy_slope(matrices.reshape(-1, dim)).reshape(matrices.shape)
    return [Lines(offset, slope.T) for offset, slope in zip(offsets, in_z, strict=True)]


def lines_of(surrogate: Surrogate, q) -> Lines:
    """What the gradient of log p in z follows where log w follows a quadratic surrogate: L^-T (m + (M - I) eps)."""
    offset = q.entropy_slope(surrogate.linear[None])[0]
    return Lines(offset, q.entropy_slope(surrogate.curvature - np.eye(q.dim)).T)


def cubic(eps, slopes) -> Surrogate:
    n, dim = eps.shape
    linear, matrix = np.empty(dim), np.empty((dim, dim))
    own, others = np.empty((dim, dim)), np.zeros((dim, dim))  # of c_ij: as row i sees it, and as row j does
    some = max(1, AT_ONCE // (3 * dim * n))
    for first in range(0, dim, some):
        rows = np.arange(first, min(dim, first + some))
        rest = np.array([[k for k in range(dim) if k != i] for i in rows], dtype=int).reshape(len(rows), dim - 1)
        design = np.empty((len(rows), n, 3 * dim))
        design[:, :, 0], design[:, :, 1 : dim + 1], design[:, :, dim + 1 : 2 * dim + 1] = 1.0, eps, eps * eps - 1.0
        design[:, :, 2 * dim + 1 :] = np.swapaxes(eps.T[rest], 1, 2) * eps.T[rows][:, :, None]
        x = least_squares(design, slopes.T[rows][:, :, None])[:, :, 0]
        linear[rows], matrix[rows], own[rows] = x[:, 0], x[:, 1 : dim + 1], x[:, dim + 1 : 2 * dim + 1]
        others[rest, rows[:, None]] = x[:, 2 * dim + 1 :]
    cubes = (own + others) / 3.0  # 2 c_ki is known twice as well, of a regressor of half the variance
    cubes[np.diag_indices(dim)] = np.diag(own) / 3.0
    return symmetric("cubic", linear, matrix, cubes)
