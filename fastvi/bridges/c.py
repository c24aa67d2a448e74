"""Log densities from C, Fortran, Stan or anything else that has an address."""

import ctypes
from typing import Any

from .. import checks
from ..kernels.density.tile_loop import SIGNATURE, is_null
from ..targets.external import ExternalDensity
from ..targets.target import Target

__all__ = ["SIGNATURE", "address_of", "is_null", "keep_alive", "target"]
CONVENTIONS = ("tile", "one_draw")


def target(
    function,
    dim: int,
    data: tuple = (),
    *,
    convention: str = "tile",
    user_data: int | None = None,
    cost: float | None = None,
    normalized: bool = False,
    name: str = "C callback",
) -> Target:
    """A :class:`Target` from a C function.

    Parameters
    ----------
    function : int, ctypes function pointer, or anything with ``.address`` such as a ``numba.cfunc``
        safe to call from several threads at once; what is not an int is kept alive
    convention : {"tile", "one_draw"}
        ``"tile"``: the contract of :meth:`Target.from_address`, many draws a call.  ``"one_draw"``:
        ``int64 f(int64 dim, const double* x, double* gradient, double* log_p, void* user_data)``, one draw a call,
        which returns 0 or, for no answer, anything else: the convention of nutpie.  It always writes its gradient
    data : tuple
        for ``"tile"``
    user_data : int, optional
        for ``"one_draw"``: the last argument
    cost : float, optional
        operations of a draw, as for :meth:`Target.from_address`

    Raises
    ------
    TypeError, ValueError
        naming the argument

    Notes
    -----
    Stan models have a bridge of their own, :mod:`fastvi.bridges.stan`.
    """
    checks.choice("convention", convention, CONVENTIONS)
    address = address_of(function)
    options: dict[str, Any] = dict(cost=cost, normalized=normalized, name=name)
    keep: tuple
    if convention == "tile":
        if user_data is not None:
            raise ValueError("user_data: goes with convention='one_draw'; a tile function gets data")
        result, keep = Target.from_address(address, dim, data, **options), (function,)
    else:
        from ..kernels.density.one_draw import of_nutpie

        if data != ():
            raise ValueError("data: goes with convention='tile'; a function of one draw gets user_data")
        compiled = of_nutpie(address, checks.count("user_data", user_data or 0, 0))
        result = Target.from_address(compiled.address, dim, **options)
        keep = function, compiled
    keep_alive(result, *keep)
    return result


def keep_alive(result: Target, *things) -> None:
    """Keep what a target's addresses point into."""
    assert isinstance(result.density, ExternalDensity)
    result.density.keep = things


def address_of(function) -> int:
    """The address of a C function."""
    if hasattr(function, "argtypes") and hasattr(function, "restype"):  # of ctypes
        return ctypes.cast(function, ctypes.c_void_p).value or 0
    address = getattr(function, "address", function)
    if isinstance(address, bool) or not isinstance(address, int) or address <= 0:
        raise TypeError(
            "function: expected an address, a ctypes function or one with .address, got " + checks.describe(function)
        )
    return address
