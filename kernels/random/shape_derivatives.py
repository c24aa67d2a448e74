"""How the quantile functions of ``quantiles`` move with their shapes: tables of D = dG / da at a fixed eps.

As F(G(eps; a); a) = Phi(eps), D = -(dF/da) / p at G (Figurnov, Mohamed and Mnih 2018, equation 6), and with the score
s = d log p / da of y = G that is -(G' / phi) times the integral of s phi up to eps: a quadrature between knots.  From
0 on it is taken from the other tail, where all of it together is 0.
"""

import math

import numpy as np

from .quantiles import KNOTS, LOGIT_BETA, LOW, STEP, WIDTH, evaluate, quintic

NODES = 8  # of Gauss and Legendre's rule, on each piece
FIRST, SECOND = range(2)  # of the shapes


def tables(kind: int, which: int, a: np.ndarray, b: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The coefficients of all pieces of dG / da, or dG / db, (shapes, SIZE), from those of G (shapes, SIZE)"""
    x = np.linspace(LOW, -LOW, KNOTS)
    pieces = coefficients.reshape(len(a), KNOTS - 1, WIDTH)
    last = np.stack([pieces[:, -1].sum(axis=-1), pieces[:, -1] @ np.arange(WIDTH)], axis=-1)
    y, slope = np.moveaxis(np.concatenate([pieces[..., :2], last[:, None]], axis=1), -1, 0)
    slope = slope / STEP
    a, b = a[:, None], b[:, None]
    rise, rise_slope = log_density_slopes(kind, a, b, y)
    score, score_slope = scores(kind, which, a, b, y)
    total = integrals(kind, which, a, b, coefficients, x, score, score_slope * slope)
    moved = -slope * np.sqrt(2.0 * math.pi) * np.exp(0.5 * x * x) * total
    bend = slope * (-x - slope * rise)
    away = score + rise * moved
    first = -slope * away
    second = -bend * away - slope * ((score_slope + rise_slope * moved) * slope + rise * first)
    steps = STEP * first, 0.5 * STEP**2 * second
    return np.stack([quintic(*each) for each in zip(moved, *steps, strict=True)])


def integrals(kind, which, a, b, coefficients, x, score, score_steps) -> np.ndarray:
    """Of s phi up to each knot, (shapes, knots), by way of the nearer tail"""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    inner = x[:-1, None] + 0.5 * STEP * (1.0 + nodes)
    y = np.stack([evaluate(own, inner) for own in coefficients])
    values = scores(kind, which, a[..., None], b[..., None], y)[0] * np.exp(-0.5 * inner * inner)
    pieces = 0.5 * STEP / math.sqrt(2.0 * math.pi) * (values @ weights)
    half = (KNOTS - 1) // 2
    # what is beyond the knots, by parts: s Phi less s' times the integral of Phi
    below = 0.5 * math.erfc(-LOW / math.sqrt(2.0))
    beyond = math.exp(-0.5 * LOW**2) / math.sqrt(2.0 * math.pi) + LOW * below
    start = score[:, :1] * below - score_steps[:, :1] * beyond
    end = score[:, -1:] * below + score_steps[:, -1:] * beyond
    left = np.cumsum(np.concatenate([start, pieces[:, :half]], axis=1), axis=1)
    right = np.cumsum(np.concatenate([end, pieces[:, :half:-1], pieces[:, half : half + 1]], axis=1), axis=1)
    return np.concatenate([left[:, :-1], 0.5 * (left[:, -1:] - right[:, -1:]), -right[:, -2::-1]], axis=1)


def scores(kind, which, a, b, y) -> tuple[np.ndarray, np.ndarray]:
    """d log p / da (or db) at y, and its derivative in y"""
    from scipy.special import digamma, expit

    if kind != LOGIT_BETA:
        return y - digamma(a), np.ones_like(y)
    side, own = (1.0, a) if which == FIRST else (-1.0, b)
    return digamma(a + b) - digamma(own) - np.logaddexp(0.0, -side * y), side * expit(-side * y)


def log_density_slopes(kind, a, b, y) -> tuple[np.ndarray, np.ndarray]:
    """The first two derivatives of log p in y"""
    from scipy.special import expit

    if kind != LOGIT_BETA:
        return a - np.exp(y), -np.exp(y)
    return a * expit(-y) - b * expit(y), -(a + b) * expit(y) * expit(-y)
