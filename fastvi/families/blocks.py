"""Runs of equal factors of an exponential family: q(z) = h(z) exp(eta' t(z) - A(eta)) for each, independent of others.

With F = Cov(t) = L L' the whitened scores w = L^-1 (t - E t) have mean 0 and covariance I, and so have products of
whitened scores of different factors: the basis that every surrogate of a product is written in.  KL divergences and
entropies follow from A and E t alone (Wainwright and Jordan 2008, section 3.1).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np

HALVINGS = 60  # of a step that leads out of the family
CLOSER = 0.3  # of a log of a shape or rate, for a standard deviation of a start
LARGEST = 15.0  # |logit| of a discrete factor in a fit: beyond it Fisher matrices are singular in float64


class Block(ABC):
    """``count`` factors of one kind.  Arrays of statistics have the shape (..., count, width)."""

    kind: ClassVar[int]
    width: ClassVar[int]  # statistics of a factor
    is_discrete: ClassVar[bool] = False
    seconds: ClassVar[tuple[int, ...]] = ()  # statistics that are squares of a Gaussian's eps less 1
    support: ClassVar[str | None] = "real"  # a space; None of a Gaussian, which acts on the unconstrained axis
    is_finite: ClassVar[bool] = False  # of finitely many values
    is_flipped: ClassVar[bool] = False  # of two values, 0 and 1, with a logit for a parameter
    is_point: ClassVar[bool] = False  # a point mass
    has_paths: ClassVar[bool] = False  # whether z is differentiable in the parameters, draw by draw
    has_tables: ClassVar[bool] = False  # whether draws are read off tables, which parameters of their own need anew
    count: int

    # ---- what the family is
    @property
    @abstractmethod
    def natural(self) -> np.ndarray:
        """eta, (count, width)"""

    @abstractmethod
    def with_natural(self, natural: np.ndarray) -> Self:
        """The same kind with other natural parameters"""

    @abstractmethod
    def valid(self, natural: np.ndarray) -> np.ndarray:
        """Of each factor, whether a fit may go there, (count,)"""

    @property
    @abstractmethod
    def log_normaliser(self) -> np.ndarray:
        """A of each factor, (count,)"""

    @property
    @abstractmethod
    def mean_statistics(self) -> np.ndarray:
        """E t"""

    @property
    @abstractmethod
    def fisher(self) -> np.ndarray:
        """F, (count, width, width)"""

    @abstractmethod
    def statistics(self, z: np.ndarray) -> np.ndarray:
        """t of z (n, count)"""

    @property
    @abstractmethod
    def mean(self) -> np.ndarray: ...

    @property
    @abstractmethod
    def stddev(self) -> np.ndarray: ...

    # ---- its parameters, unconstrained
    @property
    @abstractmethod
    def parameters(self) -> np.ndarray: ...

    @property
    @abstractmethod
    def score_root(self) -> np.ndarray:
        """(count, width, width): the scores of ``parameters`` are this times the whitened ones"""

    @property
    def parameter_count(self) -> int:
        """Of all factors"""
        return self.count * self.width

    @property
    def steps(self) -> np.ndarray:
        """The length of a step of one in each parameter, in units of its width"""
        return 1.0 / np.sqrt(self.flat(np.sum(self.score_root**2, axis=-1)))

    def flat(self, values: np.ndarray) -> np.ndarray:
        """(..., count, width) in the order of the parameters, (..., count * width)"""
        return values.reshape(*values.shape[:-2], -1)

    # ---- draws, and what the kernels are told
    @abstractmethod
    def transform(self, eps: np.ndarray) -> np.ndarray:
        """z from eps (..., count)"""

    @property
    @abstractmethod
    def table(self) -> np.ndarray:
        """A row of numbers for each row of the tile, (rows, columns of the kernels)"""

    @property
    @abstractmethod
    def row_roots(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, count * width) each: the whitened scores are rows of the tile times the first, and their squares less
        1 times the second"""

    @property
    @abstractmethod
    def density(self) -> tuple[np.ndarray, np.ndarray]:
        """Two numbers of each factor that its log density is written with, (count,) each"""

    @property
    def size(self) -> int:
        """Entries of z, one for each factor but for a Dirichlet's"""
        return self.count

    @property
    def covariance(self) -> np.ndarray:
        """(size, size)"""
        return np.diag(self.stddev**2)

    @property
    def quantiles(self) -> np.ndarray:
        """Tables of quantile functions, which the offsets in ``table`` count in"""
        return np.empty(0)

    @property
    def values(self) -> np.ndarray:
        """A table that its log density reads besides"""
        return np.empty(0)

    @abstractmethod
    def places(self, row: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """For each parameter the place of its sums, and the factor that makes what is summed its score"""

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of factors with scores that are affine in z, two values about the mean, (size,) each"""
        return None

    @property
    def states(self) -> tuple[np.ndarray, np.ndarray] | None:
        """All values of finitely many, and their probabilities, (values, count) each"""
        return None

    def whitened_slopes(self, z: np.ndarray) -> np.ndarray | None:
        """dw / dz at z (n, size), (n, count, entries of a factor, width); None where z is not continuous"""
        return None

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Which scores these are, (size,), and dz / d scores, (size, size)"""
        return self.width * np.arange(self.count), np.diag(self.stddev)

    def path_places(self, row: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for pathwise sums, and the derivative of the entropy; where z has no derivative nothing is summed"""
        return *self.places(row, height), np.zeros(self.parameter_count)

    @property
    def path_tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Tables of how quantile functions move with their shapes, flat, and for each row of the tile where its own
        begins, or -1"""
        return np.empty(0), np.full(len(self.table), -1.0)

    def path_terms(self, eps: np.ndarray, z: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Slopes (n, size) of log p in z, made of eps, by the chain rule, in the order of the parameters, without the
        entropy's"""
        return np.zeros((len(z), self.parameter_count))

    def scattered(self, by: np.ndarray) -> Self:
        """Away by so many standard deviations of the mean, of discrete factors in their natural parameters; ``by`` has
        an entry for each parameter, (count, -1), of which a Gaussian takes the first"""
        if self.is_discrete or self.is_point:
            return self.with_natural(self.natural + (by if self.is_finite else CLOSER * by))
        return self.with_natural(self.natural * np.exp(CLOSER * by))

    def flattened(self, share: float) -> Self:
        """Mixed with ``share`` of the uniform distribution, where that exists"""
        return self

    def seen(self, num_samples: int) -> np.ndarray | None:
        """Of each parameter whether so many draws hold every value often enough for an error; None where all do"""
        return None

    # ---- what follows
    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """log q of z (n, count), added up over the factors"""
        inner = np.einsum("ncw,cw->n", self.statistics(z), self.natural)
        return inner - np.sum(self.log_normaliser)

    def entropy(self) -> float:
        """A - eta' E t, added up over the factors"""
        return float(np.sum(self.log_normaliser) - np.sum(self.natural * self.mean_statistics))

    def kl_each(self, other: Self) -> np.ndarray:
        """KL(self || other) = (eta - eta')' E t - A(eta) + A(eta') of each factor, (count,)"""
        inner = np.sum((self.natural - other.natural) * self.mean_statistics, axis=1)
        return np.maximum(inner - self.log_normaliser + other.log_normaliser, 0.0)

    def kl(self, other: Self) -> float:
        """The same, added up over the factors"""
        return float(np.sum(self.kl_each(other)))

    def held(self, old: np.ndarray, natural: np.ndarray) -> np.ndarray:
        """Natural parameters (n, width), each brought nearer to ``old`` (width,) until a fit may go there"""
        for _ in range(HALVINGS):
            good = self.valid(natural)
            if good.all():
                return natural
            natural = np.where(good[:, None], natural, 0.5 * (natural + old))
        return np.where(self.valid(natural)[:, None], natural, old)

    def log_power(self, other: Self, c: float) -> float:
        """log sum other^c self^(1 - c) = A(c eta' + (1 - c) eta) - c A(eta') - (1 - c) A(eta); inf where there is no
        such member"""
        natural = c * other.natural + (1.0 - c) * self.natural
        if not np.all(self.exists(natural)):
            return np.inf
        mixed = self.with_natural(natural).log_normaliser
        return float(np.sum(mixed - c * other.log_normaliser - (1.0 - c) * self.log_normaliser))

    def total_variation(self, other: Self) -> float | None:
        """Of one factor, where there is a formula"""
        return None

    def exists(self, natural: np.ndarray) -> np.ndarray:
        """Of each factor, whether there is such a member, (count,)"""
        return np.isfinite(natural).all(axis=1)

    @property
    def root(self) -> np.ndarray:
        """L, (count, width, width)"""
        return np.linalg.cholesky(self.fisher)

    def whitened(self, z: np.ndarray) -> np.ndarray:
        """w of z (n, count), (n, count, width)"""
        away = self.statistics(z) - self.mean_statistics
        return np.einsum("cij,ncj->nci", np.linalg.inv(self.root), away)
