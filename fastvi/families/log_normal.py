"""Independent log-normal factors."""

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import runs as kernel
from .base import exp_of
from .blocks import Block
from .gaussian_factors import GaussianBlock
from .tabled import ROUNDED, TabledFactors, positive_arrays


class LogNormalBlock(GaussianBlock):
    """exp of a Gaussian: eta and t are those of log z, with a base measure 1 / z."""

    kind, support = kernel.LOG_NORMAL, "positive"
    scattered = Block.scattered
    ends = Block.ends

    def statistics(self, z):
        return super().statistics(np.log(np.maximum(z, ROUNDED)))

    def whitened(self, z):
        return super().whitened(np.log(np.maximum(z, ROUNDED)))

    def whitened_slopes(self, z):
        inside = np.maximum(z, ROUNDED)
        return super().whitened_slopes(np.log(inside)) / inside[..., None, None]

    def log_prob(self, z):
        logs = np.log(np.maximum(z, ROUNDED))
        return np.where((z > 0.0).all(axis=1), super().log_prob(logs) - np.sum(logs, axis=1), -np.inf)

    def entropy(self):
        return super().entropy() + float(np.sum(self.loc))

    def path_places(self, row, height):
        return *self.places(row, height), np.ones(2 * self.count)

    def path_terms(self, eps, z, slopes):
        return super().path_terms(eps, np.log(np.maximum(z, ROUNDED)), slopes * z)

    @property
    def mean(self):
        return np.exp(self.loc + 0.5 * self.scale**2)

    @property
    def stddev(self):
        return self.mean * np.sqrt(np.expm1(self.scale**2))

    def transform(self, eps):
        return np.exp(super().transform(eps))

    @property
    def arguments(self):
        return self.loc, self.scale

    def arguments_of(self, vector):
        return vector[: self.count], exp_of("log scale", vector[self.count :])


class LogNormal(TabledFactors):
    """Independent log-normal latents: log z is N(loc, scale^2).  An instance never changes.

    Parameters
    ----------
    loc : array_like (dim,) or a number
    scale : array_like (dim,) or a number
        above 0

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.kl_divergence(vi.LogNormal(0.0, 1.0), vi.LogNormal(1.0, 2.0))
    0.4431471806 (exact)
    """

    block_type = LogNormalBlock

    def __init__(self, loc: ArrayLike, scale: ArrayLike) -> None:
        given = checks.numeric("loc", loc)
        (scales,), shape = positive_arrays(scale=np.broadcast_to(scale, given.shape) if np.ndim(scale) == 0 else scale)
        locs = checks.real_array("loc", np.broadcast_to(given, shape or (1,)), 1)
        self._adopt((locs, scales), shape)
