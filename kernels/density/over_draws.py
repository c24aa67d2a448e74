"""A user's function of a draw, compiled and looped over many draws: ``out[i] = f(p[i], …, *data)``."""

import numpy as np
from numba import njit

from . import compilations
from .references import with_helpers

OPTIONS = dict(error_model="numpy")


def compiled(function, count: int, number_of_data: int):
    """(of one draw, of all of them into an array) for arrays of draws p0, p1, … and data; compiled when called."""

    def build():
        from .. import lanes  # noqa: F401  (which teaches Numba our log densities)

        parameters, data = [f"p{k}" for k in range(count)], [f"d{k}" for k in range(number_of_data)]
        call = f"f({', '.join([f'{p}[i]' for p in parameters] + data)})"
        arguments = "".join(f", {name}" for name in parameters + data)
        text = (
            f"def one(i{arguments}):\n    return {call}\n"
            f"def fill(out{arguments}):\n    for i in range(len(out)):\n        out[i] = {call}\n"
        )
        scope = dict(f=njit(**OPTIONS)(with_helpers(function, OPTIONS)))
        exec(text, scope)  # Numba knows no call with a tuple of arguments of different types
        return njit(**OPTIONS)(scope["one"]), njit(nogil=True, **OPTIONS)(scope["fill"])

    return compilations.once((compilations.meaning(function), count, number_of_data, "over draws"), build)


def over_draws(function, draws, data) -> np.ndarray:
    """f of each draw, stacked (n, …); ``draws`` are arrays (n, …), at least one draw."""
    one, fill = compiled(function, len(draws), len(data))
    arguments = [np.ascontiguousarray(d) for d in draws] + list(data)
    first = np.asarray(one(0, *arguments))
    if first.dtype.kind not in "fiub":
        raise TypeError(f"a result of type {first.dtype}")
    out = np.empty((len(draws[0]), *first.shape), first.dtype)
    fill(out, *arguments)
    return out
