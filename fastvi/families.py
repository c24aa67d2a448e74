"""Variational families: Gaussians with a diagonal or a full covariance."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .kernels import cpu
from .rng import SAMPLE, key_from

LOG_2PI = math.log(2.0 * math.pi)
FAR = 700.0  # exp of what is nearer to 0 is an ordinary number


class Gaussian(ABC):
    """What both Gaussian families share.  An instance never changes."""

    family: str
    loc: np.ndarray

    @classmethod
    def _of_checked(cls, **arrays) -> Self:
        """A member from arrays that are known to be in order."""
        member = cls.__new__(cls)
        member.__dict__.update((name, frozen(array)) for name, array in arrays.items())
        return member

    def __setattr__(self, name, value) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: make another, or use with_parameters")

    def __repr__(self):
        return f"{type(self).__name__}(dim={self.dim})"

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.loc)

    @property
    def mean(self) -> np.ndarray:
        """(dim,)"""
        return self.loc

    def entropy(self) -> float:
        """-E_q[log q] in nats: dim/2 log(2 pi e) + log det of the scale."""
        return 0.5 * self.dim * (1.0 + LOG_2PI) + self.log_det

    def log_prob(self, z: ArrayLike):
        """log q(z) for z of shape (dim,) -> float, or (n, dim) -> (n,)."""
        points, single = checks.points(z, self.dim)
        eps = self.standardise(points)
        log_q = -0.5 * np.sum(eps * eps, axis=1) - (0.5 * self.dim * LOG_2PI + self.log_det)
        return float(log_q[0]) if single else log_q

    def sample(self, num_samples: int, *, rng=None) -> np.ndarray:
        """Draws of shape (num_samples, dim): the very draws that ``elbo`` uses for the same ``rng``."""
        out = np.empty((checks.count("num_samples", num_samples), self.dim))
        self.fill(out, key_from(rng), SAMPLE, 0)
        return out

    def fill(self, out, key, stream, first_draw, dtype="float64") -> None:
        """Write the draws first_draw, first_draw + 1, … of a stream into the rows of ``out``; ``dtype`` is that of the
        standard normals behind them."""
        loc, scale = self.arrays
        cpu.sampler(self.family, dtype)(loc, scale, self.dim, np.uint64(key.word), stream, first_draw, out)

    @property
    @abstractmethod
    def parameters(self) -> np.ndarray:
        """All that an optimizer may change, as one vector"""

    @abstractmethod
    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member of the family with these ``parameters``"""

    @property
    @abstractmethod
    def log_det(self) -> float:
        """log det of the scale matrix"""

    @property
    @abstractmethod
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """loc and scale as the kernels take them"""

    @abstractmethod
    def standardise(self, z: np.ndarray) -> np.ndarray:
        """eps from z (n, dim)"""


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    array = np.array(array, dtype=np.float64, order="C")
    array.flags.writeable = False
    return array


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
        checked = _parameters(vector, 2 * dim)
        return self._of_checked(loc=checked[:dim], scale=_exp("log scale", checked[dim:]))


def fill_standard_normals(out, key, stream, first_draw) -> None:
    """Write the eps of the draws first_draw, first_draw + 1, … of a stream into the rows of ``out``, (n, dim)."""
    dim = out.shape[1]
    MeanFieldGaussian(np.zeros(dim), np.ones(dim)).fill(out, key, stream, first_draw)


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
        return tuple(frozen(a) for a in cpu.FAMILIES[self.family].padded(self.loc, self.scale_tril))

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
        loc, triangle = np.split(_parameters(vector, dim + dim * (dim + 1) // 2), [dim])
        i, j = np.tril_indices(dim)
        triangle = triangle.copy()
        triangle[i == j] = _exp("log of the diagonal of scale_tril", triangle[i == j])
        tril = np.zeros((dim, dim))
        tril[i, j] = triangle
        return self._of_checked(loc=loc, scale_tril=tril)


def _parameters(vector, size):
    vector = checks.real_array("vector", vector, 1)
    if vector.shape != (size,):
        raise ValueError(f"vector: expected {size} parameters, got {len(vector)}")
    return vector


def near(vector) -> bool:
    """Whether exp of a vector is ordinary numbers; quick, for optimizers ask."""
    return bool(vector.dot(vector) < FAR**2)


def _exp(name, logs):
    with np.errstate(over="ignore", under="ignore"):
        scale = np.exp(logs)
    if not (scale.min() > 0.0 and scale.max() < np.inf):
        bad = int(np.argmin((scale > 0.0) & np.isfinite(scale)))
        raise ValueError(f"vector: {name} of {logs[bad]} leaves the range of float64")
    return scale
