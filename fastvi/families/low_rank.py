"""Gaussians whose covariance is a diagonal and a few common factors."""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import low_rank
from ..targets.target import Target
from .base import DRAW_OPERATIONS, LOG_2PI, SCORE_OPERATIONS, Family, exp_of, flat_parameters, frozen


class LowRankGaussian(Family):
    """N(loc, diag(scale^2) + factors factors^T): independent coordinates and a few common factors.

    A draw, its density and its scores take O(dim rank) (Ong, Nott and Smith 2018, "Gaussian variational approximation
    with a factor covariance structure", equation 3).  Rotating the factors changes nothing, so they are not unique.

    Parameters
    ----------
    loc : array_like (dim,)
    scale : array_like (dim,)
        standard deviations without the factors, all positive
    factors : array_like (dim, rank)
        with a rank from 1 to dim.  All zero is a stationary point of the ELBO in the factors: no start for an optimizer

    Raises
    ------
    ValueError, TypeError
        with the argument's name, for a wrong shape, a non-finite value or a scale that is not positive

    Examples
    --------
    >>> import fastvi as vi
    >>> q = vi.LowRankGaussian([0.0, 0.0], scale=[0.6, 0.6], factors=[[0.8], [0.8]])
    >>> q.covariance.round(2).tolist()
    [[1.0, 0.64], [0.64, 1.0]]
    """

    family = "low_rank"

    def __init__(self, loc: ArrayLike, scale: ArrayLike, factors: ArrayLike):
        loc, scale = checks.real_array("loc", loc, 1), checks.real_array("scale", scale, 1)
        factors = checks.real_array("factors", factors, 2)
        if loc.shape != scale.shape:
            raise ValueError(f"scale: expected the shape of loc, {loc.shape}, got {scale.shape}")
        if not (scale > 0.0).all():
            bad = int(np.argmin(scale > 0.0))
            raise ValueError(f"scale: expected positive values, got {scale[bad]} at index {bad}")
        if len(factors) != len(loc) or factors.shape[1] > len(loc):
            expected = f"({len(loc)}, rank) with a rank of at most {len(loc)}"
            raise ValueError(f"factors: expected shape {expected}, got {factors.shape}")
        self.__dict__.update(loc=frozen(loc), scale=frozen(scale), factors=frozen(factors))
        self._in_range("factors")

    def _in_range(self, name: str) -> None:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            ratio = float(np.max(np.abs(self.factors / self.scale[:, None])))
        if not ratio < FARTHEST:
            raise ValueError(
                f"{name}: expected factors of less than {FARTHEST:g} times the scale, got {ratio:.3g} times"
            )

    @classmethod
    def standard(cls, dim: int, rank: int = 1) -> Self:
        """N(0, I), with factors that are 0."""
        return cls._of_checked(loc=np.zeros(dim), scale=np.ones(dim), factors=np.zeros((dim, rank)))

    def __repr__(self):
        return f"{type(self).__name__}(dim={self.dim}, rank={self.rank})"

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.loc, self.scale, self.factors

    @property
    def rank(self) -> int:
        """Number of factors."""
        return self.factors.shape[1]

    @property
    def scale(self) -> np.ndarray:
        """(dim,), without the factors"""
        return self.__dict__["scale"]

    @property
    def factors(self) -> np.ndarray:
        """(dim, rank)"""
        return self.__dict__["factors"]

    @property
    def stddev(self) -> np.ndarray:
        """(dim,), with the factors"""
        return np.sqrt(self.scale**2 + np.sum(self.factors**2, axis=1))

    @property
    def covariance(self) -> np.ndarray:
        """(dim, dim)"""
        return np.diag(self.scale**2) + self.factors @ self.factors.T

    @cached_property
    def scale_tril(self) -> np.ndarray:  # type: ignore[override]
        """(dim, dim), the lower triangular root of the covariance, in O(dim^3)"""
        upper = np.asarray(np.linalg.qr(np.concatenate([np.diag(self.scale), self.factors.T]), mode="r"))
        return frozen(np.tril((upper * np.sign(np.diag(upper))[:, None]).T))

    @cached_property
    def root(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """B (dim, rank), r (rank,) and V (rank, rank) of :mod:`fastvi.kernels.families.low_rank`"""
        return low_rank.root(self.scale, self.factors)

    def _times(self, rows: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
        """Rows (..., dim) times B diag B^T"""
        columns = self.root[0]
        return ((rows @ columns) * diagonal) @ columns.T

    @cached_property
    def log_det(self) -> float:
        """log det of the scale matrix"""
        return float(np.sum(np.log(self.scale)) + np.sum(np.log(self.root[1])))

    @cached_property
    def arrays(self):
        return tuple(frozen(a) for a in low_rank.padded(*self.arguments))

    @property
    def parameters(self) -> np.ndarray:
        """(2 dim + dim rank,): loc, then log scale, then the factors by rows."""
        return np.concatenate([self.loc, np.log(self.scale), self.factors.ravel()])

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member of the family with these ``parameters``."""
        dim = self.dim
        loc, logs, factors = np.split(flat_parameters(vector, (2 + self.rank) * dim), [dim, 2 * dim])
        found = self._of_checked(loc=loc, scale=exp_of("log scale", logs), factors=factors.reshape(dim, self.rank))
        found._in_range("vector")
        return found

    @cached_property
    def target(self) -> Target:
        """q itself as a normalized Target."""
        columns, r, _ = self.root
        data = self.loc, self.scale, columns.T.copy(), columns / (r * (1.0 + r)), self.log_det
        return Target(_log_prob, self.dim, data, normalized=True, name=type(self).__name__)

    def operations(self, dim: int, gradient: bool) -> float:
        each = DRAW_OPERATIONS + 4.0 * self.rank
        return dim * (each + (SCORE_OPERATIONS * (1.0 + 0.5 * self.rank) if gradient else 0))

    # ---- the mathematics of standard draws, a draw a row

    def transform(self, eps: np.ndarray) -> np.ndarray:
        return self.loc + self.scale * (eps + self._times(eps, 1.0 / (1.0 + self.root[1])))

    def standardise(self, z: np.ndarray) -> np.ndarray:
        return self._back((z - self.loc) / self.scale)

    def _back(self, rows: np.ndarray) -> np.ndarray:
        """Rows (..., dim) times the inverse of the root"""
        r = self.root[1]
        return rows - self._times(rows, 1.0 / (r * (1.0 + r)))

    def scaled_slopes(self, slopes: np.ndarray) -> np.ndarray:
        h = slopes * self.scale
        return h + self._times(h, 1.0 / (1.0 + self.root[1]))

    def standard_scores(self, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x = scale Sigma^-1 (z - loc), (..., dim), and t = factors^T Sigma^-1 (z - loc), (..., rank)"""
        columns, r, turns = self.root
        return self._back(eps), (eps @ columns / r) @ turns.T

    @cached_property
    def inverse_parts(self) -> tuple[np.ndarray, np.ndarray]:
        """diag(Sigma^-1) scale^2, (dim,), and Sigma^-1 factors times the scale by rows, (dim, rank)"""
        columns, r, turns = self.root
        return 1.0 - np.sum((columns / r) ** 2, axis=1), (columns / r**2) @ turns.T

    def entropy_slope(self, eps: np.ndarray) -> np.ndarray:
        return self._back(eps) / self.scale

    def scores(self, eps: np.ndarray) -> np.ndarray:
        (x, t), (own, mixed) = self.standard_scores(eps), self.inverse_parts
        factors = (x[:, :, None] * t[:, None, :] - mixed) / self.scale[:, None]
        return np.concatenate([x / self.scale, x * x - own, factors.reshape(len(eps), -1)], axis=1)

    def squared_scores(self, eps: np.ndarray) -> np.ndarray:
        """In units of ``steps``"""
        (x, t), (own, mixed) = self.standard_scores(eps), self.inverse_parts
        squares = x * x
        factors = np.sum(squares, axis=1) * np.sum(t * t, axis=1) - 2.0 * np.sum((x @ mixed) * t, axis=1)
        return np.sum(squares + (squares - own) ** 2, axis=1) + factors + np.sum(mixed**2)

    def _through_the_root(self, loc, own, outer, direct, inner) -> np.ndarray:
        """Slopes in the order of the parameters from products over draws, or of each: g, h eps, eps w^T, h v^T and
        w v^T, with h = scale g and v, w = diag(1 / (1 + r)) B^T eps, h."""
        columns, r, turns = self.root
        rest = outer - columns @ ((inner + np.swapaxes(inner, -1, -2)) / (r[:, None] + r))
        factors = (rest + direct) @ turns.T / self.scale[:, None]
        scales = own - np.sum(columns * rest, axis=-1)
        return np.concatenate([loc, scales, factors.reshape(*factors.shape[:-2], -1)], axis=-1)

    def _vectors(self, eps, slopes):
        """h, v and w of each draw"""
        columns, r, _ = self.root
        h = slopes * self.scale
        return h, eps @ columns / (1.0 + r), h @ columns / (1.0 + r)

    def pathwise_terms(self, eps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        h, v, w = self._vectors(eps, slopes)
        outer, direct, inner = (a[:, :, None] * b[:, None, :] for a, b in ((eps, w), (h, v), (w, v)))
        return self._through_the_root(slopes, h * eps, outer, direct, inner)

    def pathwise_gradient(self, eps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """The mean of the ``pathwise_terms``: the exact gradient of a mean over these eps, in O(n dim rank)."""
        h, v, w = self._vectors(eps, slopes)
        outer, direct, inner = (a.T @ b / len(eps) for a, b in ((eps, w), (h, v), (w, v)))
        return self._through_the_root(slopes.mean(axis=0), np.mean(h * eps, axis=0), outer, direct, inner)

    def lines_gradient(self, offset: np.ndarray, slope: np.ndarray) -> np.ndarray:
        products, shared = self.scale[:, None] * slope, self.root[0] / (1.0 + self.root[1])
        direct = products @ shared
        return self._through_the_root(offset, np.diag(products), products.T @ shared, direct, shared.T @ direct)

    def polynomial_gradient(self, linear: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """With R the root of the covariance: R^-T m, and of R^-T M R^-1 the diagonal times scale^2 and the product with
        the factors"""
        inner = self._back(self._back(curvature).T)
        factors = inner @ (self.factors / self.scale[:, None]) / self.scale[:, None]
        return np.concatenate([self._back(linear) / self.scale, np.diag(inner), factors.ravel()])

    @property
    def entropy_gradient(self) -> np.ndarray:
        own, mixed = self.inverse_parts
        return np.concatenate([np.zeros(self.dim), own, (mixed / self.scale[:, None]).ravel()])

    @cached_property
    def path_layout(self):
        return *self.layout, self.entropy_gradient

    @property
    def scale_mask(self) -> None:
        """None: the parameters are no entries of the scale matrix"""
        return None

    # ---- for fits

    def member(self, loc: np.ndarray, scale: np.ndarray) -> Self:
        """The member with this location and scale, its factors in the same proportion to the scale as here"""
        return type(self)(loc, scale, self.factors * (scale / self.scale)[:, None])

    @property
    def units(self) -> Self:
        """The member without factors with this location and scale, for ``composed``: what an optimizer may measure the
        parameters in."""
        return self._of_checked(loc=self.loc, scale=self.scale, factors=np.zeros_like(self.factors))

    def composed(self, member: Self) -> Self:
        """The member whose draws are ``transform(member.transform(eps))``, for a q without factors, such as ``units``.

        Raises
        ------
        ValueError
            for a q with factors, whose composition with others is of no low rank
        """
        if self.factors.any():
            raise ValueError("composed: expected a q without factors, such as q.units, as others leave the family")
        return self._of_checked(
            loc=self.loc + self.scale * member.loc,
            scale=self.scale * member.scale,
            factors=self.scale[:, None] * member.factors,
        )

    def like(self, other: Family) -> Self:
        """The member with another Gaussian's location and standard deviations, and no factors"""
        return type(self)(other.loc, other.stddev, np.zeros_like(self.factors))

    def restrict(self, matrix: np.ndarray) -> np.ndarray:
        raise TypeError(NO_NEWTON)

    def stretched(self, loc: np.ndarray, precision: np.ndarray, widest: float) -> Self:
        raise TypeError(NO_NEWTON)


FARTHEST = 1e12  # factors in units of the scale: beyond it, rounding leaves nothing of the scale
NO_NEWTON = "q: a LowRankGaussian follows no Newton step, as those lead out of the family; use method='lbfgs'"


def _log_prob(z, loc, scale, whiten, back, log_det):
    away = (z - loc) / scale
    eps = away - back @ (whiten @ away)
    return -0.5 * np.sum(eps * eps) - log_det - 0.5 * len(z) * LOG_2PI
