"""What the Gaussian families share."""

import math
from abc import ABC, abstractmethod
from typing import NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.cpu import sweep as cpu
from ..rng import SAMPLE, key_from

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


def flat_parameters(vector, size):
    vector = checks.real_array("vector", vector, 1)
    if vector.shape != (size,):
        raise ValueError(f"vector: expected {size} parameters, got {len(vector)}")
    return vector


def near(vector) -> bool:
    """Whether exp of a vector is ordinary numbers; quick, for optimizers ask."""
    return bool(vector.dot(vector) < FAR**2)


def exp_of(name, logs):
    with np.errstate(over="ignore", under="ignore"):
        scale = np.exp(logs)
    if not (scale.min() > 0.0 and scale.max() < np.inf):
        bad = int(np.argmin((scale > 0.0) & np.isfinite(scale)))
        raise ValueError(f"vector: {name} of {logs[bad]} leaves the range of float64")
    return scale
