"""Closed forms between two distributions: a table by their types, one entry a pair.

An entry gives KL(q || p), the logarithm of the power integral of p^c q^(1-c), from which every other divergence of the
alpha family follows, and the total variation distance where there is a formula.
"""

import math

import numpy as np

from ..targets.target import Target
from .base import Family
from .full_rank import FullRankGaussian
from .low_rank import LowRankGaussian
from .mean_field import MeanFieldGaussian
from .product import alike


class GaussianPair:
    """Two Gaussians of the same dimension."""

    @staticmethod
    def kl(q, p) -> float:
        """1/2 (tr(S_p^-1 S_q) + d^T S_p^-1 d - dim) + 1/2 log(det S_p / det S_q), d = m_p - m_q, through triangular
        factors: never a determinant or an inverse"""
        factor, shift = relative(q, p)
        strict = np.sum(np.tril(factor, -1) ** 2)
        return float(np.sum(scale_part(np.diag(factor))) + 0.5 * (strict + np.sum(shift**2)))

    @staticmethod
    def log_power(q, p, c) -> float:
        """-c (1 - c)/2 d^T S^-1 d - 1/2 log(det S / (det S_p^(1-c) det S_q^c)) with S = c S_q + (1 - c) S_p, and inf
        where S is not positive definite (Gil, Alajaji and Linder 2013, table 2)."""
        factor, shift = relative(q, p)  # S_p becomes the identity
        vectors, roots, _ = np.linalg.svd(factor)
        values = roots**2
        mixed = 1.0 + c * (values - 1.0)
        if not (mixed > 0.0).all():
            return math.inf
        square = float(np.sum((vectors.T @ shift) ** 2 / mixed))
        dets = float(np.sum(np.log1p(c * (values - 1.0)))) - 2.0 * c * float(np.sum(np.log(np.diag(factor))))
        return -0.5 * (c * (1.0 - c) * square + dets)

    @staticmethod
    def total_variation(q, p) -> float | None:
        """In one dimension, through the points where the densities cross; None in more."""
        if q.dim > 1:
            return None
        from scipy.special import ndtr

        with np.errstate(over="ignore", under="ignore"):
            m, s = float((q.loc[0] - p.loc[0]) / p.stddev[0]), float(q.stddev[0] / p.stddev[0])
        if not FARTHEST**-1 < s < FARTHEST or abs(m) > FARTHEST:
            return 1.0  # up to rounding
        # log p - log q = a x^2 + b x + c, x in standard deviations of p from its mean
        a, b, c = 0.5 * (1.0 / s**2 - 1.0), -m / s**2, 0.5 * (m / s) ** 2 + math.log(s)
        if a == 0.0:
            return float(2.0 * ndtr(abs(m) / 2.0) - 1.0)
        root = math.sqrt(max(0.0, b * b - 4.0 * a * c))
        far = -0.5 * (b + math.copysign(root, b))
        ends = sorted([far / a, c / far if far != 0.0 else 0.0])
        inside = [float(ndtr(x[1]) - ndtr(x[0])) for x in (ends, [(e - m) / s for e in ends])]
        return abs(inside[0] - inside[1])


class DiagonalPair(GaussianPair):
    """Two Gaussians with diagonal covariances."""

    @staticmethod
    def kl(q, p) -> float:
        """The same, coordinate by coordinate"""
        ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
        return float(np.sum(scale_part(ratio) + 0.5 * shift**2))


FARTHEST = 1e70  # ratios of scales, and distances in scales, beyond which two Gaussians do not overlap
GAUSSIANS: tuple[type[Family], ...] = (MeanFieldGaussian, LowRankGaussian, FullRankGaussian)
EXACT: dict[tuple[type, type], type[GaussianPair]] = {(q, p): GaussianPair for q in GAUSSIANS for p in GAUSSIANS}
EXACT[MeanFieldGaussian, MeanFieldGaussian] = DiagonalPair


class FactorsPair:
    """Two products whose factors are alike: what their log-normalisers give, added up."""

    @staticmethod
    def kl(q, p) -> float:
        """(eta_q - eta_p)' E_q t - A(eta_q) + A(eta_p) of each factor"""
        return sum(a.kl(b) for a, b in alike(q, p) or ())

    @staticmethod
    def log_power(q, p, c) -> float:
        """A(c eta_p + (1 - c) eta_q) - c A(eta_p) - (1 - c) A(eta_q) of each factor, inf where there is no such member
        (Nielsen and Nock 2010, section 3)."""
        return sum(a.log_power(b, c) for a, b in alike(q, p) or ())

    @staticmethod
    def total_variation(q, p) -> float | None:
        """Of one discrete factor in closed form; None of more."""
        pairs = alike(q, p) or []
        return pairs[0][0].total_variation(pairs[0][1]) if len(pairs) == 1 else None


def closed_form(q, p):
    """The entry of the table for a pair, or None."""
    found = EXACT.get((type(q), type(p)))
    return FactorsPair if found is None and alike(q, p) else found


def scale_part(ratio):
    """(r^2 - 1)/2 - log r for ratios of scales; near 1 through log1p, where the terms cancel"""
    with np.errstate(over="ignore"):
        excess = (ratio - 1.0) * (ratio + 1.0)
    near = np.abs(excess) < 0.5
    log_square = np.where(near, np.log1p(np.where(near, excess, 0.0)), 2.0 * np.log(ratio))
    return 0.5 * (excess - log_square)


def relative(q, p):
    """L_p^-1 L_q and L_p^-1 (m_q - m_p)"""
    from scipy.linalg import solve_triangular

    if p.is_diagonal:
        return q.scale_tril / p.scale[:, None], (q.loc - p.loc) / p.scale
    both = np.column_stack([q.scale_tril, q.loc - p.loc])
    solved = solve_triangular(p.scale_tril, both, lower=True)
    return solved[:, :-1], solved[:, -1]


def as_target(p) -> Target:
    """A family's member or a mixture as a Target, for Monte Carlo; a Target is one."""
    return p if isinstance(p, Target) else p.target
