"""Point masses: the parameters of a model, beside the latents that the other factors are about."""

import dataclasses
import math
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families import runs as kernel
from ..targets.constraints import VECTORS, Space
from .base import exp_of, flat_parameters, frozen
from .blocks import Block
from .one_run import OneRun


class DeltaBlock(Block):
    """All mass at ``value`` (count,), which moves by ``free``, its coordinates in ``space``: no scores, no entropy.

    ``natural`` are the coordinates, so that fits move it as they move other factors.
    """

    kind, width, is_point, has_paths, support = kernel.DELTA, 0, True, True, None

    def __init__(self, value: np.ndarray, free: np.ndarray, space: Space | None = None) -> None:
        self.value, self.free, self.space, self.count = value, free, space, len(value)

    @property
    def arguments(self):
        return self.value, self.free

    @property
    def natural(self):
        return self.free[:, None]

    def with_natural(self, natural):
        free = natural[:, 0]
        if self.space is not None and len(free) != self.count:  # neighbours joined
            raise ValueError(f"natural: expected {self.count} coordinates, got {len(free)}")
        return type(self)(constrained(self.space, free), free, self.space)

    def valid(self, natural):
        return np.isfinite(natural[:, 0])

    @property
    def parameter_count(self):
        return self.count

    @property
    def log_normaliser(self):
        return np.zeros(self.count)

    @property
    def mean_statistics(self):
        return np.empty((self.count, 0))

    @property
    def fisher(self):
        return np.empty((self.count, 0, 0))

    score_root = root = fisher

    def statistics(self, z):
        return np.empty((*z.shape, 0))

    whitened = statistics

    def flat(self, values):
        return np.zeros((*values.shape[:-2], self.count))

    @property
    def mean(self):
        return self.value

    @property
    def stddev(self):
        return np.zeros(self.count)

    @property
    def parameters(self):
        return self.free

    @property
    def steps(self):
        return np.ones(self.count)

    def transform(self, eps):
        return np.broadcast_to(self.value, eps.shape)

    @property
    def table(self):
        out = np.zeros((self.count, kernel.COLUMNS))
        out[:, kernel.CENTRE] = self.value
        return out

    @property
    def row_roots(self):
        return np.empty((self.count, 0)), np.empty((self.count, 0))

    @property
    def density(self):
        return self.value, np.zeros(self.count)

    def places(self, row, height):
        return row + np.arange(self.count), np.zeros(self.count)

    def path_places(self, row, height):
        return row + np.arange(self.count), slopes_of(self.space, self.free), np.zeros(self.count)

    def path_terms(self, eps, z, slopes):
        return slopes * slopes_of(self.space, self.free)

    def log_prob(self, z):
        return np.where((z == self.value).all(axis=1), 0.0, -np.inf)

    def entropy(self):
        return 0.0

    def kl_each(self, other):
        return np.where(self.value == other.value, 0.0, np.inf)

    def log_power(self, other, c):
        return 0.0 if np.array_equal(self.value, other.value) else -np.inf


class Delta(OneRun):
    """Point masses: parameters theta of a model, of which a q tells one value each.  An instance never changes.

    They have no entropy, and log q leaves them out: with a q(z) beside them the ELBO is E log p(z, theta) + H(q(z)),
    which :func:`fit` raises in q and theta together (variational EM; Neal and Hinton 1998, equation 7).  Where q(z)
    can be exact, theta ends at the maximum likelihood, with a prior in log p at the mode of the posterior.

    Parameters
    ----------
    value : array_like (dim,), (n, k) or a number
        where the masses are; a number is one, which a density with named latents sees as a number
    space : Space, optional
        where theta may be, such as ``vi.positive()``, of the shape of ``value``: ``parameters``, and with them every
        step, are then its unconstrained coordinates.  :func:`fit` and :class:`Objective` take it from the target where
        that declares one; by default theta is any real number

    Raises
    ------
    TypeError, ValueError
        for a value that is not finite or outside of its space, or a space of vectors such as a simplex

    Notes
    -----
    Gradients in theta are E d log p / d theta, by the gradient of log p: no score-function estimator has one.

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, m, y):  # y_i ~ N(z_i, 1), z_i ~ N(m, 1): the maximum likelihood of m is the mean of y
    ...     return np.sum(vi.normal_logpdf(y, z, 1.0)) + np.sum(vi.normal_logpdf(z, m, 1.0))
    >>> q = vi.Product(z=vi.MeanFieldGaussian(np.zeros(3), np.ones(3)), m=vi.Delta(0.0))
    >>> found = vi.fit(vi.Target(log_density, q.latents, (np.array([1.0, 2.0, 6.0]),)), q, rng=0)
    >>> round(float(found.q["m"].value), 6)
    3.0
    """

    block_type = DeltaBlock

    def __init__(self, value: ArrayLike, space: Space | None = None) -> None:
        array = checks.numeric("value", value)
        if array.ndim > 2:
            raise ValueError(f"value: expected a number or an array of at most two axes, got shape {array.shape}")
        shape, flat = array.shape, checks.real_array("value", array, array.ndim).ravel()
        if space is not None:
            check_space(space, shape)
        self._adopt((flat, flat if space is None else space.unconstrain("value", array)), shape, space)

    def _adopt(self, arguments, shape, space=None) -> None:
        value, free = map(frozen, arguments)
        block = DeltaBlock(value, free, space)
        vars(self).update(blocks=(block,), shapes=(tuple(shape),), names=(None,))

    @classmethod
    def _made(cls, arguments, shape, space: Any = None) -> Self:
        member = cls.__new__(cls)
        member._adopt(arguments, shape, space if space is None or isinstance(space, Space) else Space(*space))
        return member

    def __reduce__(self):
        space = None if self.space is None else dataclasses.astuple(self.space)
        return type(self)._made, (self.blocks[0].arguments, self.shapes[0], space)

    def __repr__(self):
        shown = np.array2string(self.value, precision=6, threshold=6, separator=", ")
        return f"Delta({shown})" if self.space is None else f"Delta({shown}, {self.space!r})"

    @property
    def value(self) -> np.ndarray:
        """In the shape that it was given; of a number a 0-d array"""
        return self.blocks[0].value.reshape(self.shapes[0])

    @property
    def space(self) -> Space | None:
        """Where it may be, None for any real number"""
        return self.blocks[0].space

    def with_parameters(self, vector: ArrayLike) -> Self:
        """The point masses with these ``parameters``, coordinates in their space"""
        free = flat_parameters(vector, self.dim)
        return self._made((constrained(self.space, free), free), self.shapes[0], self.space)

    def within(self, space: Space) -> Self:
        """The same value in a space"""
        return type(self)(self.value, space)

    @property
    def natural(self) -> NoReturn:
        raise TypeError("natural: a Delta is no exponential family; its parameters are .parameters")

    mean_statistics = natural


def check_space(space: Any, shape: tuple[int, ...]) -> None:
    """Raise for what is no space of numbers one by one of this shape."""
    if not isinstance(space, Space):
        raise TypeError(f"space: expected a space, such as vi.positive(), got {checks.describe(space)}")
    if space.name in VECTORS:
        raise ValueError(f"space: a Delta moves number by number, got {space!r}; map real numbers to it in the density")
    if space.shape != shape:
        raise ValueError(f"space: expected the shape of value, {shape}, got {space!r}")


def constrained(space: Space | None, free: np.ndarray) -> np.ndarray:
    """The value of coordinates, within the open space in float64 too

    Raises
    ------
    ValueError
        where the exponential of one leaves the range of float64
    """
    from scipy.special import expit

    kind = "real" if space is None else space.transform or space.name
    if space is None or kind == "real":
        return free
    if kind == "softplus":
        return np.maximum(np.logaddexp(0.0, free), np.finfo(float).tiny)
    if kind in ("interval", "unit"):
        inside = np.nextafter(space.low, math.inf), np.nextafter(space.high, -math.inf)
        return np.clip(space.low + (space.high - space.low) * expit(free), *inside)
    if kind == "less_than":
        return np.minimum(space.high - exp_of("a coordinate", free), np.nextafter(space.high, -math.inf))
    return np.maximum(space.low + exp_of("a coordinate", free), np.nextafter(space.low, math.inf))


def slopes_of(space: Space | None, free: np.ndarray) -> np.ndarray:
    """d value / d coordinate"""
    from scipy.special import expit

    kind = "real" if space is None else space.transform or space.name
    if space is None or kind == "real":
        return np.ones(len(free))
    if kind == "softplus":
        return expit(free)
    if kind in ("interval", "unit"):
        return (space.high - space.low) * expit(free) * expit(-free)
    return np.exp(free) * (-1.0 if kind == "less_than" else 1.0)
