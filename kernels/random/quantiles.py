"""Quantile functions as tables over a standard normal: y = G(eps), with quintic pieces between knots.

Where y has the density p, G' = phi(eps) / p(y) and G'' = G' (-eps - G' d log p / dy).  The equation for G' is solved
inwards from both far tails, as what is wrong at the start then dies like exp(-(x_0^2 - x^2) / 2); outwards it grows.
"""

import functools
import math

import numpy as np
from numba import types

from ..arithmetic import elementary
from ..arithmetic.primitives import fma
from ..jit import kernel, routine, source_stamp

KNOTS, LOW, FAR, SUBSTEPS, WIDTH = 257, -8.75, 9.75, 16, 8  # no normal is beyond 8.58; a row of eight is a cache line
STEP = -2.0 * LOW / (KNOTS - 1)
PER_STEP = 1.0 / STEP
SIZE = (KNOTS - 1) * WIDTH
LOG_GAMMA, LOGIT_BETA = range(2)
TOGETHER, MOST_KNOWN = 64, 4096  # shapes that are integrated at a time; tables that are kept
_known: dict[tuple[int, float, float], np.ndarray] = {}


@routine
def quantile(tables, offset, x):
    """G(x) from the table that begins at ``offset``."""
    u = (x - LOW) * PER_STEP
    piece = np.int64(u)
    t = u - piece
    c = offset + WIDTH * piece
    high = fma(fma(tables[c + 5], t, tables[c + 4]), t, tables[c + 3])
    return fma(fma(fma(high, t, tables[c + 2]), t, tables[c + 1]), t, tables[c])


@routine
def log_density(kind, a, b, y):
    """Of log z for z ~ Gamma(a, 1), or of logit z for z ~ Beta(a, b), but for a constant."""
    if kind == LOG_GAMMA:
        return a * y - elementary.exp(y)
    rest = elementary.log1p(elementary.exp(-abs(y)))
    return -a * (rest - min(y, 0.0)) - b * (rest + max(y, 0.0))


@routine
def log_density_slope(kind, a, b, y):
    """Its derivative"""
    return a - elementary.exp(y) if kind == LOG_GAMMA else a * elementary.expit(-y) - b * elementary.expit(y)


@functools.cache
def integrator():
    """The compiled integration from x on, a knot a step (Runge and Kutta's classical rule in substeps): G, G' and G''
    at every knot, (shapes, knots, 3), of some shapes at once, so that they fill a register."""
    stamp = source_stamp()

    def integrate(kind, a, b, constant, x, y, step, out):
        stamp  # noqa: B018
        h = step / SUBSTEPS
        for knot in range(out.shape[1]):
            start = x + knot * step
            for i in range(len(y)):
                slope = elementary.exp(-0.5 * start * start + constant[i] - log_density(kind, a[i], b[i], y[i]))
                out[i, knot, 0], out[i, knot, 1] = y[i], slope
                out[i, knot, 2] = slope * (-start - slope * log_density_slope(kind, a[i], b[i], y[i]))
            for sub in range(SUBSTEPS):
                s = start + sub * h
                m, e = s + 0.5 * h, s + h
                for i in range(len(y)):
                    old, c, ai, bi = y[i], constant[i], a[i], b[i]
                    k1 = elementary.exp(-0.5 * s * s + c - log_density(kind, ai, bi, old))
                    k2 = elementary.exp(-0.5 * m * m + c - log_density(kind, ai, bi, old + 0.5 * h * k1))
                    k3 = elementary.exp(-0.5 * m * m + c - log_density(kind, ai, bi, old + 0.5 * h * k2))
                    k4 = elementary.exp(-0.5 * e * e + c - log_density(kind, ai, bi, old + h * k3))
                    y[i] = old + h / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)

    real, vector = types.float64, types.float64[::1]
    arguments = [types.int64, vector, vector, vector, real, vector, real, types.float64[:, :, ::1]]
    return kernel(types.void(*arguments), integrate)


def tails(kind: int, a: np.ndarray, b: np.ndarray, log_norm: np.ndarray, x: float) -> np.ndarray:
    """Roughly the y with Phi(x) below it, or 1 - Phi(-x) above it: density over slope, by bisection."""
    mode, side = np.log(a if kind == LOG_GAMMA else a / b), math.copysign(1.0, x)

    def log_density_and_slope(y):
        if kind == LOG_GAMMA:
            z = np.exp(y)
            return a * y - z, a - z
        return -a * np.logaddexp(0.0, -y) - b * np.logaddexp(0.0, y), a - (a + b) * np.exp(-np.logaddexp(0.0, -y))

    target = -0.5 * x * x - math.log(abs(x)) - 0.5 * math.log(2.0 * math.pi)

    def below(distance):
        with np.errstate(over="ignore"):
            value, slope = log_density_and_slope(mode + side * distance)
        return value - log_norm - np.log(np.abs(slope) + 1e-300) < target

    high = np.ones(len(a))
    while not (enough := below(high)).all():
        high = np.where(enough, high, 2.0 * high)
    low = np.zeros(len(a))
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_below = below(middle)
        low, high = np.where(is_below, low, middle), np.where(is_below, middle, high)
    return mode + side * high


def tables(kind: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The coefficients of all pieces of some shapes, (shapes, SIZE); those of few shapes are kept for the next time."""
    shapes = list(zip([kind] * len(a), a.tolist(), b.tolist(), strict=True))
    out, new = np.empty((len(a), SIZE)), [i for i, shape in enumerate(shapes) if shape not in _known]
    for i, shape in enumerate(shapes):
        if shape in _known:
            out[i] = _known[shape]
    for first in range(0, len(new), TOGETHER):
        some = new[first : first + TOGETHER]
        out[some] = integrated(kind, a[some], b[some])
    if len(_known) + len(new) > MOST_KNOWN:
        _known.clear()
    if len(new) <= MOST_KNOWN:
        _known.update((shapes[i], out[i].copy()) for i in new)
    return out


def integrated(kind: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same of so many shapes as are integrated together.

    Raises
    ------
    ArithmeticError
        where the halves do not meet, which checks the normalising constant too
    """
    log_norm = np.array([math.lgamma(x) for x in a])
    if kind == LOGIT_BETA:
        log_norm += [math.lgamma(y) for y in b]
        log_norm -= [math.lgamma(x) for x in a + b]
    constant = log_norm - 0.5 * math.log(2.0 * math.pi)
    more = math.ceil((FAR + LOW) / STEP)
    half = (KNOTS - 1) // 2
    first = LOW - more * STEP
    halves = np.empty((2, len(a), more + half + 1, 3))
    for own, x, step in zip(halves, (first, -first), (STEP, -STEP), strict=True):
        integrator()(kind, a, b, constant, x, tails(kind, a, b, log_norm, x), step, own)
    gap = halves[0, :, -1, 0] - halves[1, :, -1, 0]
    y, slope, bend = np.moveaxis(np.concatenate([halves[0, :, more:], halves[1, :, more:-1][:, ::-1]], axis=1), -1, 0)
    wrong = ~(np.abs(gap) < 1e-6 * (1.0 + np.abs(y[:, half]))) | ~np.all(np.diff(y) > 0.0, axis=1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ArithmeticError(f"quantile table of shape {a[i]}, {b[i]}: its halves miss each other by {gap[i]:.2g}")
    return np.stack([quintic(*each) for each in zip(y, STEP * slope, 0.5 * STEP**2 * bend, strict=True)])


def quintic(y, first, second) -> np.ndarray:
    """Hermite pieces from values, h times slopes and h^2 / 2 times second derivatives at knots."""
    out = np.zeros((len(y) - 1, WIDTH))
    out[:, 0], out[:, 1], out[:, 2] = y[:-1], first[:-1], second[:-1]
    d = np.diff(y) - first[:-1] - second[:-1]
    e = first[1:] - first[:-1] - 2.0 * second[:-1]
    f = 2.0 * (second[1:] - second[:-1])
    out[:, 3], out[:, 4], out[:, 5] = 10.0 * d - 4.0 * e + 0.5 * f, -15.0 * d + 7.0 * e - f, 6.0 * d - 3.0 * e + 0.5 * f
    return out.ravel()


def evaluate(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """G at x in NumPy"""
    u = (x - LOW) * PER_STEP
    piece = np.clip(u.astype(np.int64), 0, KNOTS - 2)
    t, c = u - piece, coefficients.reshape(-1, WIDTH)[piece]
    total = c[..., 5]
    for k in (4, 3, 2, 1, 0):
        total = total * t + c[..., k]
    return total
