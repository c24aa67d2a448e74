"""Gaussians with a diagonal covariance."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from .base import Gaussian, exp_of, flat_parameters, frozen, near


class MeanFieldGaussian(Gaussian):
    """N(loc, diag(scale^2)).

    Parameters
    ----------
    loc : array_like (dim,)
    scale : array_like (dim,)
        standard deviations, all positive

    Raises
    ------
    ValueError, TypeError
        with the argument's name, for a wrong shape, a non-finite value or a scale that is not positive
    """

    family = "mean_field"
    scale: np.ndarray

    def __init__(self, loc: ArrayLike, scale: ArrayLike):
        loc, scale = checks.real_array("loc", loc, 1), checks.real_array("scale", scale, 1)
        if loc.shape != scale.shape:
            raise ValueError(f"scale: expected the shape of loc, {loc.shape}, got {scale.shape}")
        if not (scale > 0.0).all():
            bad = int(np.argmin(scale > 0.0))
            raise ValueError(f"scale: expected positive values, got {scale[bad]} at index {bad}")
        self.__dict__.update(loc=frozen(loc), scale=frozen(scale))

    def __reduce__(self):
        return type(self), (self.loc, self.scale)

    @property
    def stddev(self) -> np.ndarray:
        """(dim,)"""
        return self.scale

    @property
    def covariance(self) -> np.ndarray:
        """(dim, dim)"""
        return np.diag(self.scale**2)

    @property
    def log_det(self) -> float:
        """log det of the scale matrix"""
        return float(np.log(self.scale).sum())

    @property
    def arrays(self):
        return self.loc, self.scale

    def standardise(self, z):
        return (z - self.loc) / self.scale

    @property
    def scale_tril(self) -> np.ndarray:
        """(dim, dim), the scale as a triangular matrix"""
        return np.diag(self.scale)

    @property
    def parameters(self) -> np.ndarray:
        """(2 dim,): loc, then log scale."""
        return np.concatenate([self.loc, np.log(self.scale)])

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member of the family with these ``parameters``."""
        dim = self.dim
        if type(vector) is np.ndarray and vector.dtype == float and vector.shape == (2 * dim,) and near(vector):
            return self._of_checked(loc=vector[:dim], scale=np.exp(vector[dim:]))
        checked = flat_parameters(vector, 2 * dim)
        return self._of_checked(loc=checked[:dim], scale=exp_of("log scale", checked[dim:]))


def fill_standard_normals(out, key, stream, first_draw) -> None:
    """Write the eps of the draws first_draw, first_draw + 1, … of a stream into the rows of ``out``, (n, dim)."""
    dim = out.shape[1]
    MeanFieldGaussian(np.zeros(dim), np.ones(dim)).fill(out, key, stream, first_draw)
