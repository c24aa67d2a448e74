"""Independent Bernoulli factors."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import runs as kernel
from .base import flat_parameters
from .blocks import LARGEST, Block
from .one_run import OneRun

FEWEST = 10.0  # draws of a rare value that an error needs


class BernoulliBlock(Block):
    """P(z_i = 1) = expit(logit_i): eta = logit, t = z."""

    kind, width, is_discrete, is_finite = kernel.BERNOULLI, 1, True, True
    is_flipped = True

    def __init__(self, logits: np.ndarray) -> None:
        from scipy.special import expit

        self.logits, self.count = logits, len(logits)
        self.p, self.rest = expit(logits), expit(-logits)

    @property
    def natural(self):
        return self.logits[:, None]

    @property
    def arguments(self):
        return (self.logits,)

    def with_natural(self, natural):
        return type(self)(natural[:, 0])

    @property
    def wider(self):
        from .categorical import CategoricalBlock

        return CategoricalBlock(-self.logits[:, None])  # of z = 0 against z = 1

    def valid(self, natural):
        return np.abs(natural[:, 0]) <= LARGEST

    @property
    def log_normaliser(self):
        return np.logaddexp(0.0, self.logits)

    @property
    def mean_statistics(self):
        return self.p[:, None]

    @property
    def fisher(self):
        return (self.p * self.rest)[:, None, None]

    def statistics(self, z):
        return z[..., None]

    @property
    def ends(self):
        return np.zeros(self.count), np.ones(self.count)

    @property
    def states(self):
        return np.stack(self.ends), np.stack([self.rest, self.p])

    @property
    def stddev(self):
        return np.sqrt(self.p * self.rest)

    def whitened(self, z):
        with np.errstate(divide="ignore"):
            return (np.where(z > 0.5, self.rest, -self.p) / self.stddev)[..., None]

    @property
    def mean(self):
        return self.p

    @property
    def parameters(self):
        return self.logits

    @property
    def score_root(self):
        return self.stddev[:, None, None]

    @property
    def cut(self) -> np.ndarray:
        """z = 1 where eps is below it"""
        from scipy.special import ndtri

        return np.where(self.p < 0.5, ndtri(self.p), -ndtri(self.rest))

    def transform(self, eps):
        return (eps < self.cut).astype(np.float64)

    @property
    def table(self):
        out = np.zeros((self.count, kernel.COLUMNS))
        out[:, kernel.CUT], out[:, kernel.PROBABILITY] = self.cut, self.p
        out[:, kernel.IF_ONE], out[:, kernel.IF_ZERO] = np.logaddexp(0.0, -self.logits), np.logaddexp(0.0, self.logits)
        return out

    @property
    def row_roots(self):
        with np.errstate(divide="ignore"):
            return np.diag(1.0 / self.stddev), np.zeros((self.count, self.count))

    @property
    def density(self):
        return self.logits, -self.log_normaliser

    def places(self, row, height):
        return row + np.arange(self.count), np.ones(self.count)

    def flattened(self, share):
        from scipy.special import logit

        return type(self)(logit(0.5 * share + (1.0 - share) * self.p))

    def seen(self, num_samples):
        return num_samples * np.minimum(self.p, self.rest) >= FEWEST

    def log_prob(self, z):
        valid = (z == 0.0) | (z == 1.0)
        found = -np.where(z > 0.5, np.logaddexp(0.0, -self.logits), np.logaddexp(0.0, self.logits))
        return np.sum(np.where(valid, found, -np.inf), axis=1)

    def entropy(self):
        return float(np.sum(self.p * np.logaddexp(0.0, -self.logits) + self.rest * np.logaddexp(0.0, self.logits)))

    def total_variation(self, other):
        return float(abs(self.p[0] - other.p[0])) if self.count == 1 else None

    def held(self, old, natural):
        return np.clip(natural, -LARGEST, LARGEST)

    def kl_each(self, other):
        ones = np.logaddexp(0.0, -other.logits) - np.logaddexp(0.0, -self.logits)
        zeros = np.logaddexp(0.0, other.logits) - np.logaddexp(0.0, self.logits)
        return np.maximum(self.p * ones + self.rest * zeros, 0.0)


class Bernoulli(OneRun):
    """Independent binary latents: z_i is 1.0 with probability expit(logits_i), else 0.0.  An instance never changes.

    Parameters
    ----------
    logits : array_like (dim,) or a number
        log odds of z_i = 1; a number is one factor, which a density with named latents sees as a number
    probabilities : array_like (dim,) or a number
        in place of logits, each above 0 and below 1

    Raises
    ------
    TypeError, ValueError
        unless exactly one of the two is given, by keyword, and finite

    Examples
    --------
    >>> import fastvi as vi
    >>> q = vi.Bernoulli(logits=[0.0, 2.0])
    >>> q.probabilities.round(3)
    array([0.5  , 0.881])
    >>> vi.kl_divergence(q, vi.Bernoulli(probabilities=[0.5, 0.5])).method
    'exact'
    """

    block_type = BernoulliBlock

    def __init__(self, *, logits: ArrayLike | None = None, probabilities: ArrayLike | None = None) -> None:
        array, shape = given(logits, probabilities)
        self._adopt((array,), shape)

    @property
    def logits(self) -> np.ndarray:
        """(dim,)"""
        return self.blocks[0].parameters

    @property
    def probabilities(self) -> np.ndarray:
        """P(z_i = 1), (dim,)"""
        return self.blocks[0].mean

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The member with these logits"""
        return self._made((flat_parameters(vector, self.dim),), self.shapes[0])

    def with_natural(self, natural: ArrayLike) -> Self:
        """The member with these natural parameters (dim, 1), which are the logits"""
        return self._made((self._checked_natural(natural)[:, 0],), self.shapes[0])


def one_of(logits, probabilities) -> tuple[str, ArrayLike]:
    """(its name, the one of the two that was given)"""
    if (logits is None) == (probabilities is None):
        raise TypeError("logits, probabilities: expected exactly one of the two, by keyword")
    return ("logits", logits) if probabilities is None else ("probabilities", probabilities)


def given(logits, probabilities) -> tuple[np.ndarray, tuple[int, ...]]:
    """(logits (n,), the shape as it was given) from one of the two."""
    from scipy.special import logit

    name, value = one_of(logits, probabilities)
    shape = checks.numeric(name, value).shape
    array = checks.real_array(name, value, 1 if shape else 0)
    if probabilities is not None:
        bad = ~((array > 0.0) & (array < 1.0))
        if bad.any():
            found = array[bad].flat[0]
            raise ValueError(
                f"probabilities: expected values above 0 and below 1, got {found}; a certain value is data"
            )
        array = logit(array)
    return np.atleast_1d(array), shape
