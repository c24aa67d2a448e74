"""Runs of equal factors of an exponential family: q(z) = h(z) exp(eta' t(z) - A(eta)) for each, independent of others.

With F = Cov(t) = L L' the whitened scores w = L^-1 (t - E t) have mean 0 and covariance I, and so have products of
whitened scores of different factors: the basis that every surrogate of a product is written in.  KL divergences and
entropies follow from A and E t alone (Wainwright and Jordan 2008, section 3.1).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np

from ..kernels.families import product as kernel

HALVINGS, FLATTEST = 60, 1e-12  # of a step that leads out of the family; natural parameter of a wide Gaussian
LARGEST = 15.0  # |logit| of a discrete factor in a fit: beyond it Fisher matrices are singular in float64


class Block(ABC):
    """``count`` factors of one kind.  Arrays of statistics have the shape (..., count, width)."""

    kind: ClassVar[int]
    width: ClassVar[int]  # statistics of a factor
    is_discrete: ClassVar[bool] = False
    seconds: ClassVar[tuple[int, ...]] = ()  # statistics that are squares of a Gaussian's eps less 1
    support: ClassVar[str | None] = "real"  # a space; None of a Gaussian, which acts on the unconstrained axis
    is_finite: ClassVar[bool] = False  # of finitely many values
    is_gaussian: ClassVar[bool] = False
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


class GaussianBlock(Block):
    """N(loc_i, scale_i^2), with eps and (eps^2 - 1) / sqrt 2 for whitened scores."""

    kind, width, seconds, is_gaussian = kernel.GAUSSIAN, 2, (1,), True
    support: ClassVar[str | None] = None

    def __init__(self, loc: np.ndarray, scale: np.ndarray) -> None:
        self.loc, self.scale, self.count = loc, scale, len(loc)

    @property
    def natural(self):
        return np.stack([self.loc / self.scale**2, -0.5 / self.scale**2], axis=1)

    def with_natural(self, natural):
        variance = -0.5 / natural[:, 1]
        return type(self)(natural[:, 0] * variance, np.sqrt(variance))

    def valid(self, natural):
        return natural[:, 1] < -FLATTEST

    def exists(self, natural):
        return super().exists(natural) & (natural[:, 1] < 0.0)

    @property
    def log_normaliser(self):
        return 0.5 * (self.loc / self.scale) ** 2 + np.log(self.scale) + 0.5 * np.log(2.0 * np.pi)

    @property
    def mean_statistics(self):
        return np.stack([self.loc, self.loc**2 + self.scale**2], axis=1)

    @property
    def root(self):
        root = np.zeros((self.count, 2, 2))
        root[:, 0, 0], root[:, 1, 0] = self.scale, 2.0 * self.loc * self.scale
        root[:, 1, 1] = np.sqrt(2.0) * self.scale**2
        return root

    @property
    def fisher(self):
        return self.root @ np.swapaxes(self.root, 1, 2)

    def statistics(self, z):
        return np.stack([z, z**2], axis=-1)

    def whitened(self, z):
        eps = (z - self.loc) / self.scale
        return np.stack([eps, (eps**2 - 1.0) / np.sqrt(2.0)], axis=-1)

    @property
    def mean(self):
        return self.loc

    @property
    def stddev(self):
        return self.scale

    @property
    def parameters(self):
        return np.concatenate([self.loc, np.log(self.scale)])

    @property
    def score_root(self):
        root = np.zeros((self.count, 2, 2))
        root[:, 0, 0], root[:, 1, 1] = 1.0 / self.scale, np.sqrt(2.0)
        return root

    def flat(self, values):
        return super().flat(np.swapaxes(values, -1, -2))

    def transform(self, eps):
        return self.loc + eps * self.scale

    @property
    def table(self):
        out = np.zeros((self.count, kernel.COLUMNS))
        out[:, kernel.CENTRE], out[:, kernel.SPREAD] = self.loc, self.scale
        out[:, kernel.NORMALISER] = np.log(self.scale) + 0.5 * np.log(2.0 * np.pi)
        return out

    @property
    def row_roots(self):
        first, second = np.zeros((2, self.count, self.count, 2))
        own = np.arange(self.count)
        first[own, own, 0], second[own, own, 1] = 1.0, 1.0 / np.sqrt(2.0)
        return first.reshape(self.count, -1), second.reshape(self.count, -1)

    @property
    def density(self):
        return self.loc, self.scale

    def places(self, row, height):
        own = row + np.arange(self.count)
        return np.concatenate([own, height + own]), np.concatenate([1.0 / self.scale, np.ones(self.count)])

    def log_prob(self, z):
        eps = (z - self.loc) / self.scale
        return -0.5 * np.sum(eps**2, axis=1) - np.sum(np.log(self.scale)) - 0.5 * self.count * np.log(2.0 * np.pi)

    def entropy(self):
        return float(np.sum(np.log(self.scale)) + 0.5 * self.count * (1.0 + np.log(2.0 * np.pi)))

    def kl_each(self, other):
        from .closed_forms import scale_part

        return scale_part(self.scale / other.scale) + 0.5 * ((self.loc - other.loc) / other.scale) ** 2
