"""Gaussians with a full covariance."""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import registry
from .base import Gaussian, exp_of, flat_parameters, frozen


class FullRankGaussian(Gaussian):
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
    """

    family = "full_rank"
    scale_tril: np.ndarray

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

    def __reduce__(self):
        return type(self), (self.loc, self.scale_tril)

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
        return tuple(frozen(a) for a in registry.FAMILIES[self.family].padded(self.loc, self.scale_tril))

    @property
    def scale(self) -> np.ndarray:
        """(dim, dim), scale_tril"""
        return self.scale_tril

    @property
    def triangle(self):
        """(i, j, units): places of the lower triangle by rows, and what a derivative in an element is multiplied by for
        the parameter, whose diagonal is kept as logs."""
        i, j = np.tril_indices(self.dim)
        return i, j, np.where(i == j, np.diag(self.scale_tril)[i], 1.0)

    def standardise(self, z):
        from scipy.linalg import solve_triangular

        return solve_triangular(self.scale_tril, (z - self.loc).T, lower=True).T

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
