"""Functions for log densities that mean the same in Python, in Numba on scalars and on lanes.

Numba's ``np.where`` of scalars is a zero-dimensional array and CUDA has none; ``np.logaddexp`` is missing there too.
In Python they take scalars or arrays and return what NumPy would.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from . import elementary, error_function, gamma
from .primitives import select


def where(condition, a, b):
    """``a`` where the condition holds, else ``b``; both are computed.

    Parameters
    ----------
    condition : bool or array of bool
    a, b : float or array

    Use it in a log density instead of ``if`` on a value that depends on z: the density then stays vectorised.

    >>> import fastvi as vi
    >>> float(vi.where(2.0 > 1.0, 3.0, 4.0))
    3.0
    """
    return np.where(condition, a, b)[()]


def logaddexp(x, y):
    """log(e^x + e^y) without overflow; -inf is the zero of this sum.

    >>> import fastvi as vi
    >>> print(f"{vi.logaddexp(1000.0, 1000.0):.6g}")
    1000.69
    """
    return np.logaddexp(x, y)


def softplus(x):
    """log(1 + e^x) without overflow.

    >>> import fastvi as vi
    >>> print(f"{vi.softplus(1000.0):.6g}")
    1000
    """
    return np.logaddexp(0.0, x)


def expit(x):
    """1 / (1 + e^-x), the logistic function, without overflow.

    >>> import fastvi as vi
    >>> print(f"{vi.expit(2.0):.6g}")
    0.880797
    """
    return np.exp(-np.logaddexp(0.0, -np.asarray(x)))[()]


def log1mexp(x):
    """log(1 - e^x) for x <= 0 without cancellation; NaN for x > 0 (Maechler 2012, equation 7).

    >>> import fastvi as vi
    >>> print(f"{vi.log1mexp(-1e-20):.6g}")
    -46.0517
    """
    x = np.asarray(x, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = np.where(x > -elementary.LN2, np.log(-np.expm1(np.minimum(x, 0.0))), np.log1p(-np.exp(np.minimum(x, 0.0))))
    return np.where(x <= 0.0, y, np.nan)[()]


def within(margin, value):
    """``value`` where margin > 0, else -inf: the support of a density, which is no step as ``where`` is one."""
    return np.where(margin > 0.0, value, -math.inf)[()]


def spread(number, x):
    """A number as an array like x; an array as it is."""
    return number + 0.0 * x if np.ndim(number) == 0 else number


def gammaln(x):
    """log |Gamma(x)|; of a number, ``math.lgamma`` is the same.

    >>> import fastvi as vi
    >>> print(f"{vi.gammaln(5.0):.6g}")
    3.17805
    """
    return special("gammaln", x)


def digamma(x):
    """The derivative of log Gamma(x).

    >>> import fastvi as vi
    >>> print(f"{vi.digamma(1.0):.6g}")
    -0.577216
    """
    return special("digamma", x)


def erf(x):
    """The error function; of a number, ``math.erf`` is the same.

    >>> import fastvi as vi
    >>> print(f"{vi.erf(0.5):.6g}")
    0.5205
    """
    return special("erf", x)


def erfc(x):
    """1 - erf(x) without cancellation; of a number, ``math.erfc`` is the same.

    >>> import fastvi as vi
    >>> print(f"{vi.erfc(5.0):.6g}")
    1.53746e-12
    """
    return special("erfc", x)


def erfcx(x):
    """exp(x^2) erfc(x), the scaled complementary error function, without overflow for x > 0.

    >>> import fastvi as vi
    >>> print(f"{vi.erfcx(30.0):.6g}")
    0.0187959
    """
    return special("erfcx", x)


def log_ndtr(x):
    """log Phi(x), Phi the distribution function of the standard normal, without underflow.

    >>> import fastvi as vi
    >>> print(f"{vi.log_ndtr(-40.0):.6g}")
    -804.608
    """
    return special("log_ndtr", x)


def special(name, x):
    """SciPy's function in Python."""
    from scipy import special

    return getattr(special, name)(x)


def _scalars(*kinds):
    return all(isinstance(k, types.Float | types.Integer | types.Boolean) for k in kinds)


@overload(where)
def _where(condition, a, b):
    if _scalars(condition, a, b):
        return lambda condition, a, b: select(condition, float(a), float(b))


@overload(within)
def _within(margin, value):
    if _scalars(margin, value):
        return lambda margin, value: select(margin > 0.0, float(value), -math.inf)
    if any(isinstance(k, types.Array) for k in (margin, value)):
        return lambda margin, value: np.where(margin > 0.0, value, -math.inf)


@overload(spread)
def _spread(number, x):
    if _scalars(number):
        return lambda number, x: number + 0.0 * x
    return lambda number, x: number


@overload(logaddexp)
def _logaddexp(x, y):
    if _scalars(x, y):
        return lambda x, y: elementary.logaddexp(float(x), float(y))


def _overload_unary(function, scalar):
    """Compiled, on a number or on an array of one dimension."""

    @overload(function)
    def unary(x):
        if _scalars(x):
            return lambda x: scalar(float(x))
        if isinstance(x, types.Array) and x.ndim == 1:

            def items(x):
                out = np.empty(len(x))
                for i in range(len(x)):
                    out[i] = scalar(float(x[i]))
                return out

            return items


SCALAR = {
    softplus: elementary.softplus,
    expit: elementary.expit,
    log1mexp: elementary.log1mexp,
    gammaln: gamma.lgamma,
    digamma: gamma.digamma,
    erf: error_function.erf,
    erfc: error_function.erfc,
    erfcx: error_function.erfcx,
    log_ndtr: error_function.log_ndtr,
}
for _function, _scalar in SCALAR.items():
    _overload_unary(_function, _scalar)
