"""The ELBO over fixed draws, and what one pass over their gradients tells about its optimum.

With eps fixed, G = L' grad log p(loc + L eps) and m = mean G, the target's precision in units of q is
A = -sym mean G eps' (Bonnet 1964 and Price 1958; Opper and Archambeau 2009, equations A.1 and A.3).  To second order
1/2 m' A^-1 m + 1/4 |I - A|^2 nats are left to gain over these draws, and what their scarcity costs follows from the
residuals G - m + A eps, for which pairs of mirrored draws are the independent units.
"""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..families.base import Family
from .slopes import Slopes, in_range

FLATTEST, NOISE = 1e-9, 2.0  # least precision; what of a precision counts as noise, in its standard errors
LEAST_LEFT = 0.05
REJECTED = 0.02  # of the pairs, at most


class Spectrum(NamedTuple):
    """Of A: eigenvalues, eigenvectors in columns, and precisions, which are floored by their own noise."""

    values: np.ndarray
    vectors: np.ndarray
    precisions: np.ndarray


def finite_rows(log_p: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(n,) bool: whether log p and all slopes are finite."""
    finite = np.isfinite(log_p)
    if not math.isfinite(np.sum(slopes)):  # a sum takes a tenth of the time of a look at each
        finite &= np.isfinite(slopes).all(axis=1)
    return finite


def mean_of(*factors: np.ndarray) -> np.ndarray:
    """(dim,): the mean over draws of a product of arrays (n, dim); einsum takes a fourth of np.mean's time."""
    return np.einsum(",".join(["ij"] * len(factors)) + "->j", *factors) / len(factors[0])


def lengths(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,): the inner products of rows."""
    return np.einsum("ij,ij->i", first, second)


class Evaluation:
    """q at fixed draws eps (n, dim), of which the second half mirrors the first, with log p and its gradients there.

    ``elbo`` is -inf where log p is not finite; up to 2 % of the pairs are left out instead, and counted in
    ``rejected``.
    """

    def __init__(self, q: Family, eps: np.ndarray, log_p: np.ndarray, slopes: np.ndarray) -> None:
        self.q, self.rejected = q, 0
        finite = finite_rows(log_p, slopes)
        if not finite.all():
            half = len(eps) // 2
            pairs = finite[:half] & finite[half:]
            self.rejected = half - int(np.count_nonzero(pairs))
            if self.rejected <= REJECTED * half:
                eps, log_p, slopes = (a[np.concatenate([pairs, pairs])] for a in (eps, log_p, slopes))
        usable = self.rejected <= REJECTED * (len(finite) // 2)
        self.elbo = float(np.mean(log_p)) + q.entropy() if usable else -math.inf
        self.eps, self.log_p = eps, log_p
        self.slopes = q.scaled_slopes(slopes) if usable else slopes

    @property
    def pairs(self) -> int:
        """Of mirrored draws."""
        return len(self.eps) // 2

    @cached_property
    def linear(self) -> np.ndarray:
        """m, (dim,): the gradient of the ELBO with respect to the location, in units of q."""
        return mean_of(self.slopes)

    @cached_property
    def precision(self) -> np.ndarray:
        """A, (dim, dim)"""
        products = self.slopes.T @ self.eps / len(self.eps)
        return -0.5 * (products + products.T)

    @cached_property
    def even_and_odd(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the residuals G - m + A eps, (pairs, dim) each."""
        residuals = self.slopes + self.eps @ self.precision
        up, down = residuals[: self.pairs], residuals[self.pairs :]
        return 0.5 * (up + down) - self.linear, 0.5 * (up - down)

    @cached_property
    def spectrum(self) -> Spectrum:
        with in_range():
            values, vectors = np.linalg.eigh(self.precision)
        odd, eps = self.even_and_odd[1] @ vectors, self.eps[: self.pairs] @ vectors
        products = np.multiply(odd, eps, out=odd)
        errors = np.sqrt(mean_of(products, products) / self.pairs)
        return Spectrum(values, vectors, np.maximum(np.abs(values), np.maximum(NOISE * errors, FLATTEST)))

    @cached_property
    def pulls(self) -> np.ndarray:
        """m along the eigenvectors of A, (dim,)"""
        return self.spectrum.vectors.T @ self.linear

    @cached_property
    def gain(self) -> float:
        """Nats that are left over these draws, to second order."""
        restricted = self.q.restrict(self.precision)  # what of A the widths of q can follow
        values = np.diag(restricted)
        if not self.q.is_diagonal:
            with in_range():
                values = self.spectrum.values if restricted is self.precision else np.linalg.eigvalsh(restricted)
        widths = np.sum((1.0 - values) ** 2 / np.maximum(1.0, np.abs(values)))
        return 0.5 * float(np.sum(self.pulls**2 / self.spectrum.precisions)) + 0.25 * float(widths)

    @cached_property
    def blur(self) -> float:
        """Nats that the optimum over these draws is expected to be short of the best q."""
        even, odd = self.even_and_odd
        eps, pairs = self.eps[: self.pairs], self.pairs
        # A has been fitted to these residuals: as each would be had it been left out (Allen 1974)
        squares = lengths(eps, eps)
        odd = odd / np.maximum(1.0 - squares / pairs, LEAST_LEFT)[:, None]
        pulled = even @ self.spectrum.vectors
        along = mean_of(pulled, pulled) / pairs
        if self.q.is_diagonal:
            products = odd * eps
            widths = np.sum(mean_of(products, products)) / pairs
        else:  # the variances of all entries of the symmetric A added up
            widths = 0.5 * np.mean(lengths(odd, odd) * squares + lengths(odd, eps) ** 2) / pairs
        return 0.5 * float(np.sum(along / self.spectrum.precisions)) + 0.25 * float(widths)


class FixedDraws:
    """Draws eps (n, dim) that stay the same from q to q."""

    def __init__(self, slopes: Slopes, eps: np.ndarray) -> None:
        self.slopes, self.eps = slopes, eps

    def at(self, q: Family) -> Evaluation:
        """Evaluate them at q."""
        return Evaluation(q, self.eps, *self.slopes(q.transform(self.eps), q.stddev))
