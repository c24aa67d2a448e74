"""Full-rank Gaussians as factors of a product."""

from functools import cached_property
from typing import ClassVar

import numpy as np

from ..kernels.families import gaussian_blocks as rows
from ..kernels.families import runs as kernel
from .base import LOG_2PI
from .blocks import Block
from .gaussian_factors import FLATTEST


class FullRankBlock(Block):
    """``count`` Gaussians of ``dim`` dimensions, z = loc + L eps: t = (z, z_i z_j for i >= j, by rows).

    Whitened scores are eps, and below them by rows eps_i eps_j and (eps_i^2 - 1) / sqrt 2.
    """

    kind, has_paths = kernel.FULL_RANK, True
    support: ClassVar[str | None] = None

    def __init__(self, loc: np.ndarray, tril: np.ndarray) -> None:
        self.loc, self.tril, (self.count, self.dim) = loc, tril, loc.shape

    @property
    def size(self):
        return self.count * self.dim

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.dim + self.dim * (self.dim + 1) // 2

    @property
    def seconds(self):  # type: ignore[override]
        return tuple(range(self.dim, self.width))

    @cached_property
    def triangle(self):
        """(i, j, whether they are equal) of the lower triangle by rows"""
        i, j = np.tril_indices(self.dim)
        return i, j, i == j

    @cached_property
    def whiten(self) -> np.ndarray:
        """L^-1, (count, dim, dim)"""
        return np.linalg.inv(self.tril)

    @property
    def covariances(self) -> np.ndarray:
        """Of each factor, (count, dim, dim)"""
        return self.tril @ np.swapaxes(self.tril, 1, 2)

    # ---- the exponential family
    @property
    def natural(self):
        i, j, own = self.triangle
        precision = np.swapaxes(self.whiten, 1, 2) @ self.whiten
        first = np.einsum("cij,cj->ci", precision, self.loc)
        return np.concatenate([first, np.where(own, -0.5, -1.0) * precision[:, i, j]], axis=1)

    def precisions(self, natural) -> np.ndarray:
        """(count, dim, dim)"""
        i, j, own = self.triangle
        found = np.zeros((len(natural), self.dim, self.dim))
        found[:, i, j] = found[:, j, i] = np.where(own, -2.0, -1.0) * natural[:, self.dim :]
        return found

    def with_natural(self, natural):
        covariance = np.linalg.inv(self.precisions(natural))
        tril = np.linalg.cholesky(0.5 * (covariance + np.swapaxes(covariance, 1, 2)))
        return type(self)(np.einsum("cij,cj->ci", covariance, natural[:, : self.dim]), tril)

    def least(self, natural) -> np.ndarray:
        """The smallest eigenvalue of each precision; NaN where it is not finite"""
        finite = np.isfinite(natural).all(axis=1)
        values = np.linalg.eigvalsh(self.precisions(np.where(finite[:, None], natural, 0.0)))[:, 0]
        return np.where(finite, values, np.nan)

    def valid(self, natural):
        return self.least(natural) > 2.0 * FLATTEST

    def exists(self, natural):
        return self.least(natural) > 0.0

    @property
    def log_dets(self) -> np.ndarray:
        """log det L of each factor"""
        return np.sum(np.log(np.diagonal(self.tril, axis1=1, axis2=2)), axis=1)

    @property
    def log_normaliser(self):
        eps = np.einsum("cij,cj->ci", self.whiten, self.loc)
        return 0.5 * np.sum(eps**2, axis=1) + self.log_dets + 0.5 * self.dim * LOG_2PI

    @property
    def mean_statistics(self):
        i, j, _ = self.triangle
        return np.concatenate([self.loc, self.covariances[:, i, j] + self.loc[:, i] * self.loc[:, j]], axis=1)

    @property
    def root(self):
        i, j, own = self.triangle
        dim, tril, loc = self.dim, self.tril, self.loc
        found = np.zeros((self.count, self.width, self.width))
        found[:, :dim, :dim] = tril
        found[:, dim:, :dim] = loc[:, i, None] * tril[:, j] + loc[:, j, None] * tril[:, i]
        twice = tril[:, i][:, :, i] * tril[:, j][:, :, j]
        twice += tril[:, i][:, :, j] * tril[:, j][:, :, i]
        found[:, dim:, dim:] = twice * np.where(own, np.sqrt(0.5), 1.0)
        return found

    @property
    def fisher(self):
        return self.root @ np.swapaxes(self.root, 1, 2)

    def standardised(self, z) -> np.ndarray:
        """eps of z (n, size), (n, count, dim)"""
        return np.einsum("cij,ncj->nci", self.whiten, z.reshape(len(z), self.count, self.dim) - self.loc)

    def statistics(self, z):
        i, j, _ = self.triangle
        each = z.reshape(len(z), self.count, self.dim)
        return np.concatenate([each, each[..., i] * each[..., j]], axis=-1)

    def whitened(self, z):
        i, j, own = self.triangle
        eps = self.standardised(z)
        return np.concatenate([eps, (eps[..., i] * eps[..., j] - own) * np.where(own, np.sqrt(0.5), 1.0)], axis=-1)

    def whitened_slopes(self, z):
        i, j, own = self.triangle
        eps = self.standardised(z)[..., None, :]
        down = np.swapaxes(np.linalg.inv(self.tril), 1, 2)  # d eps / dz, (count, entries, eps)
        products = (eps[..., i] * down[..., j] + eps[..., j] * down[..., i]) * np.where(own, np.sqrt(0.5), 1.0)
        return np.concatenate([np.broadcast_to(down, (len(z), *down.shape)), products], axis=-1)

    # ---- moments and parameters
    @property
    def mean(self):
        return self.loc.ravel()

    @property
    def stddev(self):
        return np.sqrt(np.sum(self.tril**2, axis=2)).ravel()

    @property
    def covariance(self):
        from scipy.linalg import block_diag

        return block_diag(*self.covariances)

    @property
    def spreads(self) -> np.ndarray:
        """(count, triangle): what a derivative in an element of L is multiplied by, as the diagonal's parameters are
        logs"""
        i, j, own = self.triangle
        return np.where(own, self.tril[:, i, j], 1.0)

    @property
    def parameters(self):
        i, j, own = self.triangle
        triangle = self.tril[:, i, j]
        triangle[:, own] = np.log(triangle[:, own])
        return np.concatenate([self.loc, triangle], axis=1).ravel()

    @property
    def score_root(self):
        i, j, own = self.triangle
        dim, up = self.dim, np.swapaxes(self.whiten, 1, 2)  # y = up eps
        found = np.zeros((self.count, self.width, self.width))
        found[:, :dim, :dim] = up
        # y_i eps_j takes the pairs (k, j) with k >= i >= j
        same = j[:, None] == j
        found[:, dim:, dim:] = up[:, i][:, :, i] * same * self.spreads[:, :, None] * np.where(own, np.sqrt(2.0), 1.0)
        return found

    # ---- draws
    def transform(self, eps):
        each = eps.reshape(*eps.shape[:-1], self.count, self.dim)
        return (self.loc + np.einsum("cij,...cj->...ci", self.tril, each)).reshape(eps.shape)

    @property
    def quantiles(self):
        i, j, _ = self.triangle
        return self.tril[:, i, j].ravel()

    @property
    def table(self):
        out = np.zeros((self.count, self.width, kernel.COLUMNS))
        spread = np.diagonal(self.tril, axis1=1, axis2=2)
        out[:, : self.dim, kernel.NORMALISER] = np.log(spread) + 0.5 * LOG_2PI
        out[:, :, rows.OFFSET] = np.arange(self.count)[:, None] * (self.width - self.dim)
        out[:, : self.dim, rows.LOC], out[:, :, rows.SIZE] = self.loc, self.dim
        return out.reshape(-1, kernel.COLUMNS)

    @property
    def row_roots(self):
        size = self.count * self.width
        first, own = np.zeros((self.count, self.width, self.count, self.width)), np.arange(self.count)
        first[own, :, own, :] = np.swapaxes(np.linalg.inv(self.score_root), 1, 2)
        return first.reshape(size, size), np.zeros((size, size))

    @property
    def density(self):
        numbers = np.tile(np.arange(self.dim, dtype=float), self.count)
        return numbers, np.einsum("cij,cj->ci", self.whiten, self.loc).ravel()

    @property
    def values(self):
        i, j, _ = self.triangle
        return self.whiten[:, i, j].ravel()

    def places(self, row, height):
        return row + np.arange(self.count * self.width), np.ones(self.count * self.width)

    def path_places(self, row, height):
        zeros = np.zeros((self.count, self.dim))
        entropy = np.concatenate([zeros, np.tile(self.triangle[2], (self.count, 1))], axis=1)
        units = np.concatenate([1.0 + zeros, self.spreads], axis=1)
        return self.places(row, height)[0], units.ravel(), entropy.ravel()

    def path_terms(self, eps, z, slopes):
        i, j, _ = self.triangle
        by_factor = len(z), self.count, self.dim
        each, rise = eps.reshape(by_factor), slopes.reshape(by_factor)
        return self.flat(np.concatenate([rise, rise[..., i] * each[..., j] * self.spreads], axis=-1))

    # ---- what it says of itself
    def log_prob(self, z):
        eps = self.standardised(z)
        constant = np.sum(self.log_dets) + 0.5 * self.size * LOG_2PI
        return -0.5 * np.sum(eps**2, axis=(1, 2)) - constant

    def entropy(self):
        return float(np.sum(self.log_dets) + 0.5 * self.size * (1.0 + LOG_2PI))

    def kl_each(self, other):
        from .closed_forms import scale_part

        ratio, away = other.whiten @ self.tril, np.einsum("cij,cj->ci", other.whiten, self.loc - other.loc)
        diagonal = np.diagonal(ratio, axis1=1, axis2=2)
        below = np.sum(ratio**2, axis=(1, 2)) - np.sum(diagonal**2, axis=1)
        return np.sum(scale_part(diagonal), axis=1) + 0.5 * (below + np.sum(away**2, axis=1))

    @property
    def ends(self):
        return self.mean - self.stddev, self.mean + self.stddev

    @property
    def axes(self):
        from scipy.linalg import block_diag

        firsts = self.width * np.arange(self.count)[:, None] + np.arange(self.dim)
        return firsts.ravel(), block_diag(*self.tril)

    def scattered(self, by):
        return type(self)(self.loc + np.einsum("cij,cj->ci", self.tril, by[:, : self.dim]), self.tril)
