"""Gaussians with a full covariance."""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..targets.target import Target
from .base import DRAW_OPERATIONS, LOG_2PI, NARROWEST, SCORE_OPERATIONS, Family, exp_of, flat_parameters, frozen


class FullRankGaussian(Family):
    """N(loc, L L^T) with a lower triangular L.

    Parameters
    ----------
    loc : array_like (dim,)
    scale_tril : array_like (dim, dim)
        L: zeros above the diagonal, positive on it

    Raises
    ------
    ValueError, TypeError
        with the argument's name, for a wrong shape, a non-finite value, an entry above the diagonal or a diagonal that
        is not positive

    Examples
    --------
    >>> import fastvi as vi
    >>> q = vi.FullRankGaussian([0.0, 1.0], scale_tril=[[1.0, 0.0], [0.5, 2.0]])
    >>> q.covariance.tolist(), len(q.parameters)
    ([[1.0, 0.5], [0.5, 4.25]], 5)
    """

    family = "full_rank"

    def __init__(self, loc: ArrayLike, scale_tril: ArrayLike):
        loc, tril = checks.real_array("loc", loc, 1), checks.real_array("scale_tril", scale_tril, 2)
        if tril.shape != (len(loc), len(loc)):
            raise ValueError(f"scale_tril: expected shape ({len(loc)}, {len(loc)}) to match loc, got {tril.shape}")
        if np.triu(tril, 1).any():
            i, j = map(int, np.argwhere(np.triu(tril, 1))[0])
            raise ValueError(
                f"scale_tril: expected a lower triangle, got {tril[i, j]} above the diagonal at ({i}, {j})"
            )
        diagonal = np.diag(tril)
        if not (diagonal > 0.0).all():
            bad = int(np.argmin(diagonal > 0.0))
            raise ValueError(f"scale_tril: expected a positive diagonal, got {diagonal[bad]} at ({bad}, {bad})")
        self.__dict__.update(loc=frozen(loc), scale_tril=frozen(tril))

    @classmethod
    def standard(cls, dim: int) -> Self:
        """N(0, I)."""
        return cls._of_checked(loc=np.zeros(dim), scale_tril=np.eye(dim))

    @property
    def stddev(self) -> np.ndarray:
        """(dim,)"""
        return np.sqrt(np.sum(self.scale_tril**2, axis=1))

    @property
    def covariance(self) -> np.ndarray:
        """(dim, dim)"""
        return self.scale_tril @ self.scale_tril.T

    @cached_property
    def log_det(self) -> float:
        """log det of the scale matrix"""
        return float(np.sum(np.log(np.diag(self.scale_tril))))

    @cached_property
    def arrays(self):
        return tuple(frozen(a) for a in self.kernels.padded(*self.arguments))

    @property
    def scale_tril(self) -> np.ndarray:
        """(dim, dim), L"""
        return self.__dict__["scale_tril"]

    @property
    def scale(self) -> np.ndarray:
        """(dim, dim), scale_tril"""
        return self.scale_tril

    @cached_property
    def triangle(self):
        """(i, j, units): places of the lower triangle by rows, and what a derivative in an element is multiplied by for
        the parameter, whose diagonal is kept as logs."""
        i, j = np.tril_indices(self.dim)
        return i, j, np.where(i == j, np.diag(self.scale_tril)[i], 1.0)

    def standardise(self, z: np.ndarray) -> np.ndarray:
        return _solve(self.scale_tril, (z - self.loc).T).T

    @property
    def parameters(self) -> np.ndarray:
        """(dim + dim (dim + 1) / 2,): loc, then the lower triangle by rows with its diagonal as logs."""
        i, j = np.tril_indices(self.dim)
        triangle = self.scale_tril[i, j]
        triangle[i == j] = np.log(triangle[i == j])
        return np.concatenate([self.loc, triangle])

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member of the family with these ``parameters``."""
        dim = self.dim
        loc, triangle = np.split(flat_parameters(vector, dim + dim * (dim + 1) // 2), [dim])
        i, j = np.tril_indices(dim)
        triangle = triangle.copy()
        triangle[i == j] = exp_of("log of the diagonal of scale_tril", triangle[i == j])
        tril = np.zeros((dim, dim))
        tril[i, j] = triangle
        return self._of_checked(loc=loc, scale_tril=tril)

    @cached_property
    def target(self) -> Target:
        """q itself as a normalized Target."""
        data = self.loc, _solve(self.scale_tril, np.eye(self.dim)), self.log_det
        return Target(_log_prob, self.dim, data, normalized=True, name=type(self).__name__)

    def operations(self, dim: int, gradient: bool) -> float:
        return DRAW_OPERATIONS * dim + dim * dim + (SCORE_OPERATIONS * (dim * dim / 4) if gradient else 0)

    def transform(self, eps: np.ndarray) -> np.ndarray:
        return self.loc + eps @ self.scale_tril.T

    def entropy_slope(self, eps: np.ndarray) -> np.ndarray:
        return _solve(self.scale_tril, eps.T, trans="T").T

    def scores(self, eps: np.ndarray) -> np.ndarray:
        y = self.entropy_slope(eps)
        i, j, units = self.triangle
        return np.concatenate([y, y[:, i] * eps[:, j] * units - (i == j)], axis=1)

    def squared_scores(self, eps: np.ndarray) -> np.ndarray:
        squares = eps**2
        below = np.cumsum(squares, axis=1) - squares
        return np.sum(squares + squares * below + (squares - 1.0) ** 2, axis=1)

    def scaled_slopes(self, slopes: np.ndarray) -> np.ndarray:
        return slopes @ self.scale_tril

    def pathwise_terms(self, eps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        i, j, units = self.triangle
        return np.concatenate([slopes, slopes[:, i] * eps[:, j] * units], axis=1)

    def pathwise_powers(self, eps: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, j, units = self.triangle
        found, e, u = [], eps, slopes
        for power in (2, 4):
            e, u = e * e, u * u
            found.append(np.concatenate([u.sum(axis=0), (u.T @ e)[i, j] * units**power]))
        return found[0], found[1]

    def polynomial_gradient(self, linear: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """L^-T m, and the triangle of L^-T M"""
        both = _solve(self.scale_tril, np.column_stack([linear, curvature]), trans="T")
        i, j, units = self.triangle
        return np.concatenate([both[:, 0], both[:, 1:][i, j] * units])

    def lines_gradient(self, offset: np.ndarray, slope: np.ndarray) -> np.ndarray:
        i, j, units = self.triangle
        return np.concatenate([offset, slope[i, j] * units])

    @property
    def scale_mask(self) -> np.ndarray:
        return np.tril(np.ones((self.dim, self.dim)))

    def restrict(self, matrix: np.ndarray) -> np.ndarray:
        return matrix

    def composed(self, member: Self) -> Self:
        tril = np.tril(self.scale_tril @ member.scale_tril)
        return self._of_checked(loc=self.loc + self.scale_tril @ member.loc, scale_tril=tril)

    def stretched(self, loc: np.ndarray, precision: np.ndarray, widest: float) -> Self:
        values, vectors = np.linalg.eigh(precision)
        widths = np.clip(values, 1.0 / widest, NARROWEST)
        with np.errstate(divide="ignore", invalid="ignore"):  # a width of inf is refused as others are
            other = (vectors / np.sqrt(widths)).T
        # a triangular root of the covariance vectors diag(1 / widths) vectors^T, by QR of another root
        root = np.asarray(np.linalg.qr(other, mode="r")).T
        return type(self)(loc, np.tril(self.scale_tril @ (root * np.sign(np.diag(root)))))


def _solve(scale_tril, right, trans="N"):
    """L^-1 or, with trans="T", L^-T times ``right``"""
    from scipy.linalg import solve_triangular

    return solve_triangular(scale_tril, right, lower=True, trans=trans)


def _log_prob(z, loc, whiten, log_det):
    eps = whiten @ (z - loc)
    return -0.5 * np.sum(eps * eps) - log_det - 0.5 * len(z) * LOG_2PI
