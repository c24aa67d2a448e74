"""Spaces of parameters, as users declare them, and the way from a constrained value back to z."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..kernels import spaces
from .inverses import INVERSES, OUTSIDE

MOST_AXES = 2
Shape = int | tuple[int, ...]
KERNELS: dict[str, Any] = {
    "real": spaces.Real,
    "exp": spaces.Above,
    "softplus": spaces.Softplus,
    "greater_than": spaces.Above,
    "less_than": spaces.Below,
    "interval": spaces.Interval,
    "unit": spaces.Interval,
    "simplex": spaces.Simplex,
    "ordered": spaces.Ordered,
    "corr_cholesky": spaces.CorrCholesky,
}
LOGS = {"positive": ("log_",), "unit": ("log_", "log1m_"), "simplex": ("log_",)}
BOUNDED, VECTORS = ("greater_than", "less_than", "interval"), ("simplex", "ordered", "corr_cholesky")


@dataclass(frozen=True)
class Space:
    """Where a parameter lives, as :func:`fastvi.real` and its kin make it.

    Attributes
    ----------
    shape, dim : tuple of int, int
        of the parameter as the density has it; coordinates of z behind it

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.simplex(3), vi.simplex(3).dim
    (simplex(3), 2)
    """

    name: str
    shape: tuple[int, ...]
    dim: int
    low: float = -math.inf
    high: float = math.inf
    transform: str = ""

    @property
    def count(self) -> int:
        """Numbers of the parameter."""
        return math.prod(self.shape)

    @property
    def logs(self) -> tuple[str, ...]:
        """Prefixes of the arguments that are exact logarithms of it."""
        return LOGS.get(self.name, ()) if self.name != "positive" or self.low == 0.0 else ()

    def __repr__(self):
        bounds = [f"{b:g}" for b in (self.low, self.high) if math.isfinite(b) and self.name in BOUNDED]
        shape = self.shape[:1] if self.name in VECTORS else self.shape
        shown = [] if not shape else [str(shape[0] if len(shape) == 1 else shape)]
        how = ["transform='softplus'"] if self.transform == "softplus" else []
        return f"{self.name}({', '.join([*bounds, *shown, *how])})"

    def unconstrain(self, name: str, value: Any) -> np.ndarray:
        """The coordinates (dim,) of a value; ValueError where it lies outside of the space."""
        x = np.asarray(checks.numeric(name, value), dtype=np.float64)
        if x.shape != self.shape:
            raise ValueError(f"{name}: expected shape {self.shape} of {self!r}, got {x.shape}")
        problem = "a value that is not finite" if not np.isfinite(x).all() else OUTSIDE[self.name](self, x)
        if problem:
            raise ValueError(f"{name}: expected a value of {self!r}, got {problem}")
        return np.atleast_1d(INVERSES[self.transform or self.name](self, x)).ravel()


def shape_of(shape: Shape) -> tuple[int, ...]:
    """A shape of at most two axes, checked."""
    axes = shape if isinstance(shape, tuple | list) else (shape,)
    found = tuple(checks.count("shape", axis) for axis in axes)
    if len(found) > MOST_AXES:
        raise ValueError(f"shape: expected at most {MOST_AXES} axes, got {found}; keep the last two and use a slice")
    return found


def elementwise(name: str, shape: Shape, low=-math.inf, high=math.inf, transform="") -> Space:
    found = shape_of(shape)
    return Space(name, found, math.prod(found), low, high, transform)


def bound_of(name: str, value: float) -> float:
    return float(checks.real_array(name, value, 0).item())


def real(shape: Shape = ()) -> Space:
    """Any real number, or an array of them.

    Parameters
    ----------
    shape : int or tuple of int
        none for a number, which the density gets as a number; n for an array (n,); (n, k) for one that is read as
        ``B[i, j]``, ``B[i]`` or ``B[:, j]``

    See Also
    --------
    positive, interval, ordered

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.real(8)
    real(8)
    """
    return elementwise("real", shape)


def positive(shape: Shape = (), *, transform: str = "exp") -> Space:
    """Numbers above 0, such as scales and rates.

    Parameters
    ----------
    shape : int or tuple of int
        as for :func:`real`
    transform : {"exp", "softplus"}
        x = e^u, which suits scales that data inform and heavy tails; or x = log(1 + e^u), for posteriors with mass near
        zero.  An argument ``log_NAME`` of the density is the exact logarithm

    See Also
    --------
    greater_than, unit

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.positive(3, transform="softplus")
    positive(3, transform='softplus')
    """
    return elementwise("positive", shape, 0.0, transform=checks.choice("transform", transform, ("exp", "softplus")))


def greater_than(bound: float, shape: Shape = ()) -> Space:
    """Numbers above a bound, x = bound + e^u.

    Parameters
    ----------
    bound : float
    shape : int or tuple of int
        as for :func:`real`

    See Also
    --------
    positive, less_than

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.greater_than(2.0)
    greater_than(2)
    """
    return elementwise("greater_than", shape, bound_of("bound", bound))


def less_than(bound: float, shape: Shape = ()) -> Space:
    """Numbers below a bound, x = bound - e^u.

    Parameters
    ----------
    bound : float
    shape : int or tuple of int
        as for :func:`real`

    See Also
    --------
    greater_than, interval

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.less_than(0.0, 2)
    less_than(0, 2)
    """
    return elementwise("less_than", shape, high=bound_of("bound", bound))


def interval(low: float, high: float, shape: Shape = ()) -> Space:
    """Numbers between two bounds, x = low + (high - low) / (1 + e^-u).

    Parameters
    ----------
    low, high : float
    shape : int or tuple of int
        as for :func:`real`

    See Also
    --------
    unit, less_than

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.interval(-1.0, 1.0)
    interval(-1, 1)
    """
    a, b = bound_of("low", low), bound_of("high", high)
    if not a < b or math.isinf(b - a):
        raise ValueError(f"low, high: expected low < high, a finite distance apart, got {a:g} and {b:g}")
    return elementwise("interval", shape, a, b)


def unit(shape: Shape = ()) -> Space:
    """Numbers between 0 and 1, such as probabilities.

    Parameters
    ----------
    shape : int or tuple of int
        as for :func:`real`.  Arguments ``log_NAME`` and ``log1m_NAME`` of the density are the exact logarithms of the
        probability and of its complement

    See Also
    --------
    interval, simplex

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.unit()
    unit()
    """
    return elementwise("unit", shape, 0.0, 1.0)


def simplex(k: int) -> Space:
    """k positive numbers that sum to 1, by stick-breaking; put the largest first, where one is known to be.

    Parameters
    ----------
    k : int
        2 or more; k - 1 coordinates of z.  The argument ``log_NAME`` of the density is the array of exact logarithms

    See Also
    --------
    unit, ordered

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.simplex(3).dim
    2
    """
    k = checks.count("k", k, 2)
    return Space("simplex", (k,), k - 1)


def ordered(k: int) -> Space:
    """k numbers in increasing order, x_0 = u_0 and x_i = x_{i-1} + e^{u_i}.

    Parameters
    ----------
    k : int

    See Also
    --------
    real, simplex

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.ordered(4)
    ordered(4)
    """
    k = checks.count("k", k)
    return Space("ordered", (k,), k)


def corr_cholesky(k: int) -> Space:
    """The Cholesky factor L of a k by k correlation matrix, read as ``L[i, j]``; zeros above the diagonal.

    Parameters
    ----------
    k : int
        2 or more; k (k - 1) / 2 coordinates of z.  The density is one over the entries below the diagonal, as in Stan

    See Also
    --------
    lkj_cholesky_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.corr_cholesky(3).shape
    (3, 3)
    """
    k = checks.count("k", k, 2)
    return Space("corr_cholesky", (k, k), k * (k - 1) // 2)
