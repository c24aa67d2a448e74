"""Runs of Gaussian factors."""

from typing import ClassVar

import numpy as np

from ..kernels.families import runs as kernel
from .blocks import Block

FLATTEST = 1e-12  # natural parameter of a wide Gaussian


class GaussianBlock(Block):
    """N(loc_i, scale_i^2), with eps and (eps^2 - 1) / sqrt 2 for whitened scores."""

    kind, width, seconds, has_paths = kernel.GAUSSIAN, 2, (1,), True
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

    def whitened_slopes(self, z):
        eps = (z - self.loc) / self.scale
        return (np.stack([np.ones_like(eps), np.sqrt(2.0) * eps], axis=-1) / self.scale[:, None])[:, :, None]

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

    def path_places(self, row, height):
        return *self.places(row, height), np.repeat([0.0, 1.0], self.count)

    def path_terms(self, eps, z, slopes):
        return np.concatenate([slopes, slopes * (z - self.loc)], axis=1)

    @property
    def ends(self):
        return self.loc - self.scale, self.loc + self.scale

    def scattered(self, by):
        natural = self.natural.copy()
        natural[:, 0] += by[:, 0] / self.scale
        return self.with_natural(natural)

    def log_prob(self, z):
        eps = (z - self.loc) / self.scale
        return -0.5 * np.sum(eps**2, axis=1) - np.sum(np.log(self.scale)) - 0.5 * self.count * np.log(2.0 * np.pi)

    def entropy(self):
        return float(np.sum(np.log(self.scale)) + 0.5 * self.count * (1.0 + np.log(2.0 * np.pi)))

    def kl_each(self, other):
        from .closed_forms import scale_part

        return scale_part(self.scale / other.scale) + 0.5 * ((self.loc - other.loc) / other.scale) ** 2
