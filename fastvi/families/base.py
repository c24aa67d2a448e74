"""What every family answers: its density, its draws, its parameters, and how its scores follow from standard draws."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.cpu import values
from ..kernels.families import registry
from ..rng import SAMPLE, Key, RandomSource, key_from

LOG_2PI = math.log(2.0 * math.pi)
NARROWEST = 1e12  # a precision in units of another member
BLOCK = 2**20  # float64s of terms at a time
FAR = 700.0  # exp of what is nearer to 0 is an ordinary number
DRAW_OPERATIONS, SCORE_OPERATIONS = 60, 40  # a dimension and draw: a normal and a cheap log density; a score's sums


class Family(ABC):
    """A location-scale family, z = loc + scale eps with standard normal eps.  An instance never changes.

    A family is one file here, with its mathematics in NumPy, and one in ``fastvi.kernels.families``, with the routines
    of its sweep; ``family`` is the name by which the registry there knows it.
    """

    family: ClassVar[str]
    is_diagonal: ClassVar[bool] = False  # whether the coordinates are independent
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

    def __reduce__(self):
        return type(self), self.arguments

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        """What the constructor takes: loc, and the scale"""
        return self.loc, self.scale

    @classmethod
    @abstractmethod
    def standard(cls, dim: int) -> Self:
        """The member with location 0 and scale 1."""

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.loc)

    @property
    def mean(self) -> np.ndarray:
        """(dim,)"""
        return self.loc

    @property
    @abstractmethod
    def stddev(self) -> np.ndarray:
        """(dim,)"""

    @property
    @abstractmethod
    def covariance(self) -> np.ndarray:
        """(dim, dim)"""

    @property
    @abstractmethod
    def scale(self) -> np.ndarray:
        """The scale as the family keeps it: (dim,) or (dim, dim)"""

    @property
    @abstractmethod
    def scale_tril(self) -> np.ndarray:
        """(dim, dim), the scale as a triangular matrix"""

    @property
    @abstractmethod
    def log_det(self) -> float:
        """log det of the scale matrix"""

    @property
    @abstractmethod
    def parameters(self) -> np.ndarray:
        """All that an optimizer may change, as one vector"""

    @abstractmethod
    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member of the family with these ``parameters``"""

    @abstractmethod
    def standardise(self, z: np.ndarray) -> np.ndarray:
        """eps from z (n, dim)"""

    def entropy(self) -> float:
        """-E_q[log q] in nats: dim/2 log(2 pi e) + log det of the scale."""
        return 0.5 * self.dim * (1.0 + LOG_2PI) + self.log_det

    def log_prob(self, z: ArrayLike):
        """log q(z) for z of shape (dim,) -> float, or (n, dim) -> (n,)."""
        points, single = checks.points(z, self.dim)
        eps = self.standardise(points)
        log_q = -0.5 * np.sum(eps * eps, axis=1) - (0.5 * self.dim * LOG_2PI + self.log_det)
        return float(log_q[0]) if single else log_q

    def sample(self, num_samples: int, *, rng: RandomSource = None, out: np.ndarray | None = None) -> np.ndarray:
        """Draws of shape (num_samples, dim): the very draws that ``elbo`` uses for the same ``rng``; ``out`` is written
        to and returned."""
        shape = checks.count("num_samples", num_samples), self.dim
        out = np.empty(shape) if out is None else checks.output("out", out, shape)
        self.fill(out, key_from(rng), SAMPLE, 0)
        return out

    # ---- for the sweeps and their kernels

    @property
    def kernels(self):
        """The module of the family's routines."""
        return registry.FAMILIES[self.family]

    @property
    @abstractmethod
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """loc and scale as the kernels take them"""

    def fill(self, out: np.ndarray, key: Key, stream: int, first_draw: int, dtype: str = "float64") -> None:
        """Write the draws first_draw, first_draw + 1, … of a stream into the rows of ``out``; ``dtype`` is that of the
        standard normals behind them."""
        values.draw(self.of_values, dtype, np.uint64(key.word), stream, first_draw, out)

    @cached_property
    def of_values(self) -> tuple:
        """What the sweep of values takes of q"""
        return values.arguments(self.family, *self.arrays, self.dim)

    @property
    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """For each parameter the place of its score sums, and the factor that makes a score in their units its own"""
        return self.kernels.layout(*self.arguments)

    @property
    def path_layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for pathwise sums, and the derivative of the entropy"""
        return self.kernels.path_layout(*self.arguments)

    @property
    def steps(self) -> np.ndarray:
        """The length of a step of one in each parameter, in units of its width"""
        out = np.empty(len(self.parameters))
        self.kernels.steps(self.arrays[1], self.dim, out)
        return out

    def seen(self, num_samples: int) -> np.ndarray | None:
        """Of each parameter, whether so many draws hold every value of its factor often enough for an error; None where
        all do"""
        return None

    @abstractmethod
    def operations(self, dim: int, gradient: bool) -> float:
        """Operations a draw in a sweep over a cheap log density, with or without score sums: a committed count."""

    # ---- the mathematics of standard draws eps (n, dim)

    @abstractmethod
    def transform(self, eps: np.ndarray) -> np.ndarray:
        """z from eps (..., dim)"""

    def log_weights(self, eps: np.ndarray, z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
        """log p - log q of draws, (n,)"""
        return log_p + 0.5 * np.sum(eps * eps, axis=1) + (0.5 * self.dim * LOG_2PI + self.log_det)

    @abstractmethod
    def entropy_slope(self, eps: np.ndarray) -> np.ndarray:
        """-d log q / dz, (n, dim)"""

    @abstractmethod
    def scores(self, eps: np.ndarray) -> np.ndarray:
        """d log q / d parameters, (n, parameters)"""

    @abstractmethod
    def squared_scores(self, eps: np.ndarray) -> np.ndarray:
        """|standardised score|^2 of each draw, (n,)"""

    @abstractmethod
    def scaled_slopes(self, slopes: np.ndarray) -> np.ndarray:
        """d / d eps from d / dz, (..., dim)"""

    @abstractmethod
    def pathwise_terms(self, eps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """slopes (n, dim) in z by the chain rule in the order of the parameters, without the entropy's"""

    def pathwise_powers(self, eps: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The squares of the ``pathwise_terms`` and their fourth powers, each added up over the draws"""
        sums = np.zeros((2, len(self.parameters)))
        at_once = max(1, BLOCK // sums.shape[1])
        for first in range(0, len(eps), at_once):
            squares = self.pathwise_terms(eps[first : first + at_once], slopes[first : first + at_once]) ** 2
            sums[0] += squares.sum(axis=0)
            sums[1] += np.einsum("ij,ij->j", squares, squares)
        return sums[0], sums[1]

    @abstractmethod
    def polynomial_gradient(self, linear: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """E[f x score] in the order of the parameters, for E[f eps] = linear and E[f (eps eps^T - I)] = curvature"""

    @abstractmethod
    def lines_gradient(self, offset: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """The pathwise gradient, without the entropy's, where d log p / dz = offset + slope eps"""

    @property
    @abstractmethod
    def scale_mask(self) -> np.ndarray | None:
        """(dim, dim), 1 where the scale matrix has a parameter, 0 elsewhere; None where its parameters are others"""

    @abstractmethod
    def restrict(self, matrix: np.ndarray) -> np.ndarray:
        """What of a symmetric matrix (dim, dim) in eps the family's scale can follow"""

    # ---- for fits

    def pathwise_gradient(self, eps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """The mean of :meth:`pathwise_terms`"""
        return self.lines_gradient(np.einsum("ij->j", slopes) / len(eps), slopes.T @ eps / len(eps))

    @property
    def entropy_gradient(self) -> np.ndarray:
        """d entropy / d parameters"""
        return self.polynomial_gradient(np.zeros(self.dim), np.eye(self.dim))

    def member(self, loc: np.ndarray, scale: np.ndarray) -> Self:
        """The member with this location and scale"""
        return type(self)(loc, scale)  # type: ignore[call-arg]

    def resized(self, factor: float) -> Self:
        """The member with all widths multiplied by ``factor``"""
        return self.member(self.loc, factor * self.scale)

    @abstractmethod
    def composed(self, member: Self) -> Self:
        """The member whose draws are ``transform(member.transform(eps))``"""

    def like(self, other: "Family") -> Self:
        """The member with another Gaussian's location and, so far as the family can follow it, covariance"""
        return self.standard(self.dim).stretched(other.loc, np.linalg.inv(self.restrict(other.covariance)), math.inf)

    @abstractmethod
    def stretched(self, loc: np.ndarray, precision: np.ndarray, widest: float) -> Self:
        """The member at ``loc`` with ``precision`` (dim, dim) in units of this one, so far as the family can follow it,
        no variance larger than this one's by more than a factor of ``widest``"""


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    array = np.array(array, dtype=np.float64, order="C")
    array.flags.writeable = False
    return array


def flat_parameters(vector: ArrayLike, size: int) -> np.ndarray:
    """``vector`` checked to be so many parameters."""
    vector = checks.real_array("vector", vector, 1)
    if vector.shape != (size,):
        raise ValueError(f"vector: expected {size} parameters, got {len(vector)}")
    return vector


def near(vector: np.ndarray) -> bool:
    """Whether exp of a vector is ordinary numbers; quick, for optimizers ask."""
    return bool(vector.dot(vector) < FAR**2)


def exp_of(name: str, logs: np.ndarray) -> np.ndarray:
    """exp of parameters that are logs, unless that leaves the range of float64."""
    with np.errstate(over="ignore", under="ignore"):
        scale = np.exp(logs)
    if not (scale.min() > 0.0 and scale.max() < np.inf):
        bad = int(np.argmin((scale > 0.0) & np.isfinite(scale)))
        raise ValueError(f"vector: {name} of {logs[bad]} leaves the range of float64")
    return scale
