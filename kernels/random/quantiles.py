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
    at every knot, (knots, 3)."""
    stamp = source_stamp()

    def integrate(kind, a, b, constant, x, y, step, out):
        stamp  # noqa: B018
        h = step / SUBSTEPS
        for knot in range(len(out)):
            start = x + knot * step
            slope = elementary.exp(-0.5 * start * start + constant - log_density(kind, a, b, y))
            out[knot, 0], out[knot, 1] = y, slope
            out[knot, 2] = slope * (-start - slope * log_density_slope(kind, a, b, y))
            for sub in range(SUBSTEPS):
                s = start + sub * h
                k1 = elementary.exp(-0.5 * s * s + constant - log_density(kind, a, b, y))
                m, y2 = s + 0.5 * h, y + 0.5 * h * k1
                k2 = elementary.exp(-0.5 * m * m + constant - log_density(kind, a, b, y2))
                y3 = y + 0.5 * h * k2
                k3 = elementary.exp(-0.5 * m * m + constant - log_density(kind, a, b, y3))
                e, y4 = s + h, y + h * k3
                k4 = elementary.exp(-0.5 * e * e + constant - log_density(kind, a, b, y4))
                y += h / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)

    real = types.float64
    return kernel(types.void(types.int64, *[real] * 6, types.float64[:, ::1]), integrate)


def tail(kind: int, a: float, b: float, log_norm: float, x: float) -> float:
    """Roughly the y with Phi(x) below it, or 1 - Phi(-x) above it: density over slope, by bisection."""
    mode = math.log(a) if kind == LOG_GAMMA else math.log(a / b)
    side = math.copysign(1.0, x)

    def log_density_and_slope(y):
        with np.errstate(over="ignore"):
            if kind == LOG_GAMMA:
                z = float(np.exp(y))
                return a * y - z, a - z
            lower = float(np.exp(-np.logaddexp(0.0, -y)))
            return -a * float(np.logaddexp(0.0, -y)) - b * float(np.logaddexp(0.0, y)), a - (a + b) * lower

    target = -0.5 * x * x - math.log(abs(x)) - 0.5 * math.log(2.0 * math.pi)

    def below(distance):
        y = mode + side * distance
        value, slope = log_density_and_slope(y)
        return value - log_norm - math.log(abs(slope) + 1e-300) < target

    high = 1.0
    while not below(high):
        high *= 2.0
    low = 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if below(middle) else (middle, high)
    return mode + side * high


@functools.lru_cache(maxsize=4096)
def table(kind: int, a: float, b: float = 1.0) -> np.ndarray:
    """The coefficients of all pieces, flat, (SIZE,).

    Raises
    ------
    ArithmeticError
        where the halves do not meet, which checks the normalising constant too
    """
    log_norm = math.lgamma(a) if kind == LOG_GAMMA else math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    constant = log_norm - 0.5 * math.log(2.0 * math.pi)
    more = math.ceil((FAR + LOW) / STEP)
    half = (KNOTS - 1) // 2
    first = LOW - more * STEP
    halves = np.empty((2, more + half + 1, 3))
    for own, x, step in zip(halves, (first, -first), (STEP, -STEP), strict=True):
        integrator()(kind, a, b, constant, x, tail(kind, a, b, log_norm, x), step, own)
    gap = halves[0, -1, 0] - halves[1, -1, 0]
    y, slope, bend = np.concatenate([halves[0, more:], halves[1, more:-1][::-1]]).T
    if not abs(gap) < 1e-6 * (1.0 + abs(y[half])) or not np.all(np.diff(y) > 0.0):
        raise ArithmeticError(f"quantile table of shape {a}, {b}: its halves miss each other by {gap:.2g}")
    return quintic(y, STEP * slope, 0.5 * STEP**2 * bend)


def quintic(y, first, second) -> np.ndarray:
    """Hermite pieces from values, h times slopes and h^2 / 2 times second derivatives at knots."""
    out = np.zeros((len(y) - 1, WIDTH))
    out[:, 0], out[:, 1], out[:, 2] = y[:-1], first[:-1], second[:-1]
    d = np.diff(y) - first[:-1] - second[:-1]
    e = first[1:] - first[:-1] - 2.0 * second[:-1]
    f = 2.0 * (second[1:] - second[:-1])
    out[:, 3], out[:, 4], out[:, 5] = 10.0 * d - 4.0 * e + 0.5 * f, -15.0 * d + 7.0 * e - f, 6.0 * d - 3.0 * e + 0.5 * f
    flat = out.ravel()
    flat.flags.writeable = False
    return flat


def evaluate(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """G at x in NumPy"""
    u = (x - LOW) * PER_STEP
    piece = np.clip(u.astype(np.int64), 0, KNOTS - 2)
    t, c = u - piece, coefficients.reshape(-1, WIDTH)[piece]
    total = c[..., 5]
    for k in (4, 3, 2, 1, 0):
        total = total * t + c[..., k]
    return total
