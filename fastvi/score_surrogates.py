"""Surrogates of log w in the scores of a product of factors: control variates for discrete latents and others.

Whitened scores of independent factors have mean 0 and covariance I, and so have products of scores of two factors, so
that a surrogate of them has mean 0 and its part of the gradient needs the linear coefficients alone.  For Gaussian
factors these are the Hermite polynomials of :mod:`fastvi.control_variates`.  Coefficients are fitted by least squares
weighted by q / q_e to draws of a flattened q_e, which visits the rare states that carry the variance.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .control_variates import EXPLICIT, ITERATIONS
from .kernels.sums import control_variate as kernel

LEVELS = ("linear", "quadratic", "cubic")
HESSIAN = "quadratic_hessian"  # pairs from slopes of log p (:mod:`fastvi.hessian_pairs`)
NORMAL = 2.0**37  # operations of normal equations; LSMR, which never ends where states are rare, takes larger ones
REFINEMENTS, RIDGE = 3, 1e-13
FLATTEST, FLAT_FACTORS = 0.2, 10.0  # of the pilot's q: share of the uniform distribution, at most and over all factors


def owners(q) -> tuple[np.ndarray, np.ndarray]:
    """Of each whitened score the first z of its factor, and whether it is a square of a Gaussian's eps less 1."""
    owner, second, first = [], [], 0
    for block in q.blocks:
        each = block.size // block.count
        owner += np.repeat(first + each * np.arange(block.count), block.width).tolist()
        second += block.count * [a in block.seconds for a in range(block.width)]
        first += block.size
    return np.array(owner, int), np.array(second, bool)


def is_gaussian(q) -> np.ndarray:
    """Of each whitened score, whether it is that of a Gaussian"""
    return np.concatenate([np.full(b.count * b.width, bool(b.seconds)) for b in q.blocks])


def pairs_of(q, level: str) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (i, j), i > j, of scores of different factors that a level has.

    Never two squares of Gaussians, and a square with another Gaussian's eps in ``"cubic"`` alone.
    """
    owner, second = owners(q)
    if level == "linear":
        return np.empty(0, int), np.empty(0, int)
    i, j = np.tril_indices(len(owner), -1)
    keep = (owner[i] != owner[j]) & ~(second[i] & second[j])
    if level == "quadratic":
        normal = is_gaussian(q)
        keep &= ~((second[i] | second[j]) & normal[i] & normal[j])
    return i[keep], j[keep]


def size(level: str, q) -> int:
    """Number of coefficients, the constant included: that of ``pairs_of`` without writing them out."""
    if level == "none":
        return 1
    owner, second = owners(q)
    if level == "linear":
        return 1 + len(owner)
    if level == HESSIAN:
        return 2 + len(owner)

    def between(some, others) -> float:
        """Pairs of a score of each kind, of different factors"""
        a, b = np.bincount(owner, some), np.bincount(owner, others)
        return a.sum() * b.sum() - a @ b

    everything, normal = np.ones(len(owner)), is_gaussian(q)
    pairs = (between(everything, everything) - between(second, second)) / 2
    if level == "quadratic":
        pairs -= between(second & normal, ~second & normal)
    return 1 + len(owner) + round(pairs)


@dataclass(frozen=True, eq=False)
class ScoreSurrogate:
    """Coefficients of whitened scores: ``linear`` (scores,), ``pairs`` (scores, scores), symmetric, or None.

    ``paths`` are those of pathwise terms, by the number of the parameter (:mod:`fastvi.path_surrogates`).
    """

    level: str
    constant: float
    linear: np.ndarray
    pairs: np.ndarray | None
    q: Any
    paths: dict[int, "ScoreSurrogate"] = field(default_factory=dict)

    @cached_property
    def arrays(self):
        """As the kernels take them, of the rows of a tile."""
        return kernel.padded(*self.coefficients)

    @cached_property
    def path_arrays(self):
        """The same of pathwise terms"""
        from .path_surrogates import arrays

        return arrays(self.q, self.paths)

    @property
    def coefficients(self):
        """Of the rows of a tile, their squares less 1, products of two, and a row times a square less 1"""
        first, second = self.q.row_roots
        linear, squares, products, cubic = first @ self.linear, second @ self.linear, None, None
        if self.pairs is not None:
            products = np.tril(first @ self.pairs @ first.T, -1)
            mixed = first @ self.pairs @ second.T
            cubic = mixed if mixed.any() else None
        return linear, squares, products, cubic

    def divided(self, by: float) -> "ScoreSurrogate":
        """That of values divided by a number"""
        pairs = None if self.pairs is None else self.pairs / by
        return replace(self, constant=self.constant / by, linear=self.linear / by, pairs=pairs)

    def at(self, whitened: np.ndarray) -> np.ndarray:
        """The surrogate without its constant at whitened scores (n, scores): of mean 0."""
        total = whitened @ self.linear
        if self.pairs is not None:
            total = total + 0.5 * np.sum((whitened @ self.pairs) * whitened, axis=1)
        return total

    def value(self, eps: np.ndarray) -> np.ndarray:
        """The same at eps (n, dim)"""
        return self.at(self.q.whitened(self.q.transform(eps)))

    @property
    def size(self) -> float:
        """Its standard deviation: what cancels where it is exact."""
        pairs = 0.0 if self.pairs is None else 0.5 * float(np.sum(self.pairs**2))
        return float(np.sqrt(np.dot(self.linear, self.linear) + pairs))

    def gradient(self, q) -> np.ndarray:
        """E[surrogate x score] in the order of ``q.parameters``."""
        return q.from_whitened(self.linear)


class Design:
    """The whitened scores of a level at z (n, dim) as a matrix, or as products with it where that is large."""

    def __init__(self, q, z, level: str) -> None:
        self.q, self.level, self.whitened = q, level, q.whitened(z)
        self.pairs = pairs_of(q, level)
        self.shape = len(z), 1 + self.whitened.shape[1] + len(self.pairs[0])

    def unpack(self, x) -> ScoreSurrogate:
        """The surrogate with these coefficients"""
        count, matrix = self.whitened.shape[1], None
        if self.level != "linear":
            matrix = np.zeros((count, count))
            matrix[self.pairs] = x[1 + count :]
            matrix += matrix.T
        return ScoreSurrogate(self.level, float(x[0]), x[1 : 1 + count], matrix, self.q)

    def times(self, x):
        """The fitted values for coefficients x"""
        found = self.unpack(x)
        return found.constant + found.at(self.whitened)

    def transposed_times(self, r):
        """Each column summed against r"""
        weighted = self.whitened * r[:, None]
        products = (weighted.T @ self.whitened)[self.pairs] if len(self.pairs[0]) else np.empty(0)
        return np.concatenate([[np.sum(r)], weighted.sum(axis=0), products])

    def matrices(self) -> Iterator[tuple[slice, np.ndarray]]:
        """(some of the draws, their rows of the matrix), written out a block at a time"""
        i, j = self.pairs
        block = max(1, EXPLICIT // self.shape[1])
        for first in range(0, self.shape[0], block):
            own = self.whitened[first : first + block]
            yield slice(first, first + len(own)), np.column_stack([np.ones(len(own)), own, own[:, i] * own[:, j]])


def fit(q, z, log_w, level: str, log_ratio=0.0) -> ScoreSurrogate:
    """Least squares of log w (n,) at draws z (n, dim), weighted by exp(log_ratio), q over what they were drawn from.

    A small system is solved through its normal equations and refined; a large one by LSMR (Fong and Saunders 2011).
    """
    return fitted(Design(q, z, level), log_w, log_ratio)[0]


def fitted(design: Design, log_w, log_ratio=0.0):
    """(surrogate, what is left of log w (n,), the inverse of the weighted Gram matrix or None where it is large)"""
    root = np.exp(0.5 * (log_ratio + np.zeros(len(log_w))))
    root /= np.sqrt(np.mean(root**2))
    centre = float(np.average(log_w, weights=root**2))
    values, inverse = log_w - centre, None
    if float(design.shape[0]) * design.shape[1] ** 2 <= NORMAL:
        inverse = inverse_gram(design, root)
        x, left = np.zeros(design.shape[1]), values
        for _ in range(REFINEMENTS):
            x = x + inverse @ design.transposed_times(root**2 * left)
            left = values - design.times(x)
    else:
        from scipy.sparse.linalg import LinearOperator, lsmr

        operator = LinearOperator(
            design.shape,
            matvec=lambda x: root * design.times(x),
            rmatvec=lambda r: design.transposed_times(root * r),
            dtype=float,
        )
        x = lsmr(operator, values * root, atol=1e-13, btol=1e-13, conlim=0.0, maxiter=ITERATIONS)[0]
    left = values - design.times(x)
    x = np.concatenate([[x[0] + centre], x[1:]])
    return design.unpack(x), left, inverse


def inverse_gram(design: Design, root) -> np.ndarray:
    """The inverse of the Gram matrix of a design whose rows are weighted by ``root``"""
    gram = np.zeros((design.shape[1],) * 2)
    for own, matrix in design.matrices():
        matrix *= root[own, None]
        gram += matrix.T @ matrix
    gram[np.diag_indices(len(gram))] += RIDGE * design.shape[0]
    try:
        return np.linalg.inv(gram)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(gram, hermitian=True)


def flat_share(q) -> float:
    """What share of a pilot's discrete factors is uniform: weights exceed 1 by (1 - share)^-factors at most."""
    factors = sum(block.count for block in q.blocks if block.is_finite)
    return min(FLATTEST, FLAT_FACTORS / factors) if factors else 0.0
