"""Independent categorical factors."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import runs as kernel
from .base import flat_parameters
from .bernoulli import FEWEST, one_of
from .blocks import LARGEST, Block
from .one_run import OneRun


class CategoricalBlock(Block):
    """P(z_i = k) = softmax([eta_i, 0])_k: eta are the logits against the last category, t_k = 1[z = k]."""

    kind, is_discrete, is_finite = kernel.CATEGORICAL, True, True

    def __init__(self, logits: np.ndarray) -> None:
        self.logits, (self.count, self.width) = logits, logits.shape  # type: ignore[misc]
        self.categories = self.width + 1
        full = np.column_stack([logits, np.zeros(self.count)])
        top = full.max(axis=1, keepdims=True)
        self.log_normaliser_ = (top + np.log(np.sum(np.exp(full - top), axis=1, keepdims=True)))[:, 0]
        self.log_p = full - self.log_normaliser_[:, None]
        self.p = np.exp(self.log_p)

    @property
    def natural(self):
        return self.logits

    @property
    def arguments(self):
        return (self.logits,)

    def with_natural(self, natural):
        return type(self)(np.asarray(natural))

    def valid(self, natural):
        return np.isfinite(natural).all(axis=1)

    def held(self, old, natural):
        """No category less likely than the most likely one by more than a factor of exp(LARGEST)"""
        full = np.column_stack([natural, np.zeros(len(natural))])
        full = np.maximum(full - full.max(axis=1, keepdims=True), -LARGEST)
        return full[:, :-1] - full[:, -1:]

    @property
    def log_normaliser(self):
        return self.log_normaliser_

    @property
    def mean_statistics(self):
        return self.p[:, :-1]

    @property
    def fisher(self):
        p = self.p[:, :-1]
        found = -p[:, :, None] * p[:, None, :]
        own = np.arange(self.width)
        rest = np.stack([np.sum(np.delete(self.p, k, axis=1), axis=1) for k in own], axis=1)
        found[:, own, own] = p * rest
        return found

    def statistics(self, z):
        return (z[..., None] == np.arange(self.width)).astype(np.float64)

    @property
    def states(self):
        return np.repeat(np.arange(self.categories, dtype=float)[:, None], self.count, axis=1), self.p.T

    @property
    def mean(self):
        return self.p @ np.arange(self.categories)

    @property
    def stddev(self):
        return np.sqrt(np.maximum(self.p @ np.arange(self.categories) ** 2 - self.mean**2, 0.0))

    @property
    def parameters(self):
        return self.logits.ravel()

    @property
    def score_root(self):
        return self.root

    @property
    def cuts(self) -> np.ndarray:
        """z counts those that eps is not below, (count, width)"""
        from scipy.special import ndtri

        below, above = np.cumsum(self.p, axis=1)[:, :-1], np.cumsum(self.p[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return np.where(below < 0.5, ndtri(np.minimum(below, 1.0)), -ndtri(np.minimum(above, 1.0)))

    def transform(self, eps):
        return np.sum(eps[..., None] >= self.cuts, axis=-1).astype(np.float64)

    @property
    def table(self):
        out = np.zeros((self.count, self.width, kernel.COLUMNS))
        out[:, :, kernel.CUT], out[:, :, kernel.PROBABILITY] = self.cuts, self.p[:, :-1]
        out[:, :, kernel.IF_ONE] = self.log_p[:, -1:] - self.log_p[:, :-1]
        out[:, 0, kernel.NORMALISER] = -self.log_p[:, -1]
        return out.reshape(-1, kernel.COLUMNS)

    @property
    def row_roots(self):
        first = np.zeros((self.count, self.width, self.count, self.width))
        own = np.arange(self.count)
        first[own, :, own, :] = np.swapaxes(np.linalg.inv(self.root), 1, 2)
        flat = first.reshape(self.count * self.width, -1)
        return flat, np.zeros_like(flat)

    @property
    def density(self):
        return np.arange(self.count) * float(self.categories), np.full(self.count, float(self.categories))

    @property
    def values(self):
        return self.log_p.ravel()

    def places(self, row, height):
        own = np.arange(self.count * self.width)
        return row + own, np.ones(len(own))

    def flattened(self, share):
        p = (1.0 - share) * self.p + share / self.categories
        return type(self)(np.log(p[:, :-1]) - np.log(p[:, -1:]))

    def seen(self, num_samples):
        p = self.p[:, :-1]
        return (num_samples * np.minimum(p, 1.0 - p) >= FEWEST).ravel()

    def log_prob(self, z):
        valid = (z >= 0.0) & (z < self.categories) & (z == np.floor(z))
        found = self.log_p[np.arange(self.count), np.where(valid, z, 0.0).astype(np.int64)]
        return np.sum(np.where(valid, found, -np.inf), axis=1)

    def entropy(self):
        return -float(np.sum(self.p * self.log_p))

    def kl_each(self, other):
        return np.maximum(np.sum(self.p * (self.log_p - other.log_p), axis=1), 0.0)

    def total_variation(self, other):
        return 0.5 * float(np.sum(np.abs(self.p - other.p))) if self.count == 1 else None


class Categorical(OneRun):
    """Independent categorical latents: z_i is one of 0.0, …, k - 1, in a density an index by ``int(z[i])``.

    An instance never changes.

    Parameters
    ----------
    logits : array_like (dim, k) or (k,)
        log probabilities up to a constant in each row; (k,) is one factor, which a density with named latents sees as
        a number
    probabilities : array_like (dim, k) or (k,)
        in place of logits: positive, each row adding up to 1

    Raises
    ------
    TypeError, ValueError
        unless exactly one of the two is given, by keyword, with two categories at least

    Notes
    -----
    ``parameters`` are the k - 1 logits against the last category, factor by factor: k free ones would have a singular
    Fisher matrix.

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> table = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    >>> def log_density(z, table):
    ...     return table[0, int(z[0])] + table[1, int(z[1])]
    >>> q = vi.Categorical(logits=np.zeros((2, 3)))
    >>> found = vi.fit(vi.Target(log_density, 2, (table,)), q, rng=0)
    >>> found.q.probabilities.round(3)
    array([[0.7, 0.2, 0.1],
           [0.1, 0.1, 0.8]])
    """

    block_type = CategoricalBlock

    def __init__(self, *, logits: ArrayLike | None = None, probabilities: ArrayLike | None = None) -> None:
        array, shape = given(logits, probabilities)
        self._adopt((array,), shape)

    @property
    def logits(self) -> np.ndarray:
        """Log probabilities, (dim, k)"""
        return self.blocks[0].log_p

    @property
    def probabilities(self) -> np.ndarray:
        """(dim, k)"""
        return self.blocks[0].p

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member with these logits against the last category, (dim (k - 1),)"""
        block = self.blocks[0]
        size = block.count * block.width
        return self._made((flat_parameters(vector, size).reshape(block.count, block.width),), self.shapes[0])

    def with_natural(self, natural: ArrayLike) -> Self:
        """The member with these natural parameters (dim, k - 1), logits against the last category"""
        return self.with_parameters(self._checked_natural(natural).ravel())


def given(logits, probabilities) -> tuple[np.ndarray, tuple[int, ...]]:
    """(logits against the last category (n, k - 1), shape of the latents) from one of the two."""
    name, value = one_of(logits, probabilities)
    single = checks.numeric(name, value).ndim == 1
    array = checks.real_array(name, value, 1 if single else 2)
    array = array[None] if single else array
    if array.shape[1] < 2:
        raise ValueError(f"{name}: expected two categories at least in each row, got shape {array.shape}")
    if probabilities is not None:
        sums = array.sum(axis=1)
        if not (array > 0.0).all() or np.max(np.abs(sums - 1.0)) > 1e-9:
            bad = int(np.argmax(np.abs(sums - 1.0) + (array <= 0.0).any(axis=1)))
            raise ValueError(f"probabilities: expected rows of positive values that add up to 1, got {array[bad]}")
        array = np.log(array)
    return array[:, :-1] - array[:, -1:], () if single else (len(array),)
