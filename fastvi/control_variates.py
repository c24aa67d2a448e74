"""Polynomial surrogates of log w = log p - log q: control variates whose mean and gradient are known.

Under q the Hermite polynomials of eps are orthonormal, so a surrogate of log w has mean 0 and its part of the gradient
needs the coefficients of degree 1 and 2 alone.  They are fitted by least squares to a pilot of draws of their own; the
draws that are reported are corrected by coefficients that never saw them, so the estimate stays unbiased and its
error is that of the residuals.  Miller, Foti, D'Amour and Adams (2017) and Geffner and Domke (2020) correct pathwise
gradients so; here a polynomial approximates log w itself, which needs no gradient of log p.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .kernels.sums import control_variate as kernel

LEVELS = ("none", "diagonal", "quadratic", "cubic")
ROOT2, ROOT6 = np.sqrt(2.0), np.sqrt(6.0)
EXPLICIT = 2**23  # float64s of a design matrix that is written out; a larger one is applied as products
REFINEMENTS, ITERATIONS = 2, 100


def size(level: str, dim: int) -> int:
    """Number of coefficients, the constant included."""
    squares, pairs, cubic = 1 + 2 * dim, dim * (dim - 1) // 2, dim * dim
    return {"none": 1, "diagonal": squares, "quadratic": squares + pairs, "cubic": squares + pairs + cubic}[level]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Coefficients of Hermite polynomials in eps.

    ``linear`` (dim,) of eps_i, ``squares`` (dim,) of eps_i^2 - 1, ``pairs`` (dim, dim) of eps_i eps_j below the
    diagonal, ``cubic`` (dim, dim) of eps_i (eps_j^2 - 1), on the diagonal of eps_i^3 - 3 eps_i.
    """

    level: str
    constant: float
    linear: np.ndarray
    squares: np.ndarray
    pairs: np.ndarray | None = None
    cubic: np.ndarray | None = None

    @cached_property
    def arrays(self):
        """As the kernels take them."""
        return kernel.padded(self.linear, self.squares, self.pairs, self.cubic)

    @property
    def curvature(self) -> np.ndarray:
        """M = E[f (eps eps^T - I)], (dim, dim)"""
        pairs = np.zeros((len(self.linear),) * 2) if self.pairs is None else self.pairs
        return pairs + pairs.T + np.diag(2.0 * self.squares)

    def value(self, eps: np.ndarray) -> np.ndarray:
        """The surrogate without its constant at eps (n, dim): of mean 0."""
        h2 = eps * eps - 1.0
        total = eps @ self.linear + h2 @ self.squares
        if self.pairs is not None:
            total += np.sum((eps @ self.pairs.T) * eps, axis=1)
        if self.cubic is not None:
            total += np.sum((h2 @ self.cubic.T) * eps, axis=1) - 2.0 * eps @ np.diag(self.cubic)
        return total

    @property
    def size(self) -> float:
        """Its standard deviation: what cancels where it is exact."""
        parts = [self.linear, ROOT2 * self.squares, *(p.ravel() for p in (self.pairs, self.cubic) if p is not None)]
        return float(np.sqrt(sum(np.dot(p, p) for p in parts)))

    def gradient(self, q) -> np.ndarray:
        """E[surrogate x score] in the order of ``q.parameters``."""
        return q.polynomial_gradient(self.linear, self.curvature)


class Design:
    """The orthonormal polynomials of a level at eps (n, dim)."""

    def __init__(self, eps, level):
        self.eps, self.h2, self.level = eps, eps * eps - 1.0, level
        self.shape = len(eps), size(level, eps.shape[1])
        self.below = np.tril_indices(eps.shape[1], -1)

    def unpack(self, x) -> Surrogate:
        """The surrogate with coefficients x of the orthonormal polynomials."""
        dim = self.eps.shape[1]
        ends = np.cumsum([1, dim, dim, len(self.below[0])])
        constant, linear, squares, below, rest = np.split(x, ends)
        pairs = cubic = None
        if len(below):
            pairs = np.zeros((dim, dim))
            pairs[self.below] = below
        if len(rest):
            cubic = rest.reshape(dim, dim) / ROOT2
            cubic[np.diag_indices(dim)] /= ROOT6 / ROOT2
        return Surrogate(self.level, float(constant[0]), linear, squares / ROOT2, pairs, cubic)

    def times(self, x):
        """The fitted values for coefficients x."""
        surrogate = self.unpack(x)
        return surrogate.constant + surrogate.value(self.eps)

    def transposed_times(self, r):
        """Each polynomial summed against r."""
        weighted = self.eps * r[:, None]
        parts = [[np.sum(r)], weighted.sum(0), r @ self.h2 / ROOT2]
        if self.shape[1] > size("diagonal", self.eps.shape[1]):
            parts.append((weighted.T @ self.eps)[self.below])
        if self.level == "cubic":
            mixed = weighted.T @ self.h2 / ROOT2
            np.fill_diagonal(mixed, (np.diag(mixed) * ROOT2 - 2.0 * parts[1]) / ROOT6)
            parts.append(mixed.ravel())
        return np.concatenate(parts)

    def matrix(self):
        """(n, size), written out."""
        n, dim = self.eps.shape
        out = np.empty(self.shape, order="F")
        out[:, 0], out[:, 1 : dim + 1], out[:, dim + 1 : 2 * dim + 1] = 1.0, self.eps, self.h2 / ROOT2
        end = size("diagonal", dim)
        if self.level in ("quadratic", "cubic"):
            i, j = self.below
            out[:, end : end + len(i)] = self.eps[:, i] * self.eps[:, j]
        if self.level == "cubic":
            mixed = self.eps[:, :, None] * (self.h2[:, None, :] / ROOT2)
            mixed[:, range(dim), range(dim)] = self.eps * (self.h2 - 2.0) / ROOT6
            out[:, size("quadratic", dim) :] = mixed.reshape(n, -1)
        return out


def fit(eps, values, level) -> Surrogate:
    """Least squares of ``values`` (n,) on the polynomials of a level; n exceeds their number.

    A small system is solved through its normal equations, which are close to the identity, and refined once more; a
    large one by LSMR (Fong and Saunders 2011), from products alone.
    """
    centre = float(np.mean(values))
    values, design = values - centre, Design(eps, level)
    if design.shape[0] * design.shape[1] <= EXPLICIT:
        matrix = design.matrix()
        gram = matrix.T @ matrix
        x, left = np.zeros(design.shape[1]), values
        for _ in range(REFINEMENTS):
            x = x + np.linalg.solve(gram, matrix.T @ left)
            left = values - matrix @ x
    else:
        from scipy.sparse.linalg import LinearOperator, lsmr

        operator = LinearOperator(design.shape, matvec=design.times, rmatvec=design.transposed_times, dtype=float)
        x = lsmr(operator, values, atol=1e-13, btol=1e-13, conlim=0.0, maxiter=ITERATIONS)[0]
    x[0] += centre
    return design.unpack(x)


@dataclass(frozen=True, eq=False)
class Lines:
    """Straight lines that the gradient of log p follows: ``offset`` (dim,) and ``slope`` (dim, dim) in eps.

    Any multiple of the gradient of log q is such a line, so "pathwise" and "sticking the landing" become one.
    """

    offset: np.ndarray
    slope: np.ndarray

    @cached_property
    def arrays(self):
        """What the kernels add."""
        return kernel.padded_lines(-self.offset, -self.slope)

    @property
    def size(self) -> float:
        """Of the largest of the gradients that they follow: what cancels where they are exact."""
        return float(np.max(np.abs(self.offset) + np.sqrt(np.sum(self.slope**2, axis=1))))

    def gradient(self, q) -> np.ndarray:
        """The lines' part of E_q[d log p / d parameters], without the entropy's."""
        return q.lines_gradient(self.offset, self.slope)
