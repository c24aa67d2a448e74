"""Arguments checked once, at the door: one line that names the argument, what it was and what was expected."""

import numbers

import numpy as np

from .kernels.cpu import pool

MOST = 2**62  # what a 64-bit counter holds with room to spare


def describe(value) -> str:
    """A short account of a value for an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def count(name, value, least=1) -> int:
    """A whole number of at least ``least``."""
    if type(value) is not int and (isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral)):
        raise TypeError(f"{name}: expected an int >= {least}, got {describe(value)} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name}: expected an int >= {least}, got {describe(value)}")
    if int(value) > MOST:
        raise ValueError(f"{name}: expected an int <= 2^62, got {describe(value)}")
    return int(value)


def positive(name, value) -> float:
    """A finite positive real number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a positive number, got {describe(value)} ({type(value).__name__})")
    if not 0 < float(value) < np.inf:
        raise ValueError(f"{name}: expected a finite number > 0, got {describe(value)}")
    return float(value)


def choice(name, value, allowed) -> str:
    """One of a few names."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {describe(value)}")
    return value


def real_array(name, value, ndim) -> np.ndarray:
    """A finite float64 array of ``ndim`` dimensions, C-contiguous."""
    array = numeric(name, value)
    if array.ndim != ndim:
        expected = f"{ndim} dimension{'s' * (ndim != 1)}" if ndim else "one number"
        raise ValueError(f"{name}: expected {expected}, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one element, got shape {array.shape}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(array).all():
        where = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
        raise ValueError(f"{name}: expected finite values, got {array[where]} at index {tuple(map(int, where))}")
    return array


def _no_number(value, array) -> str:
    """Where something else stands, and what to do."""
    columns = getattr(value, "columns", ())  # of a pandas.DataFrame
    for k, item in enumerate(array.ravel() if array.dtype.kind in "OUS" else ()):
        if not isinstance(item, numbers.Real):
            where = f"column {columns[k % len(columns)]!r} holds" if len(columns) and array.ndim == 2 else "there is"
            return f": {where} {describe(item)}; code it by numbers"
    return "; .astype(float) makes them numbers" if array.dtype.kind == "O" and array.size else ""


def numeric(name, value) -> np.ndarray:
    """An array of reals that float64 or int64 can hold exactly, as NumPy reads it."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array; its mask would be ignored, so pass the values you mean")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected a rectangular array of numbers ({error})") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}{_no_number(value, array)}")
    if array.dtype.itemsize > 8:
        raise TypeError(f"{name}: {array.dtype} would be rounded to float64; convert it yourself")
    return array


def points(z, dim, copy=True) -> tuple[np.ndarray, bool]:
    """Points (n, dim) as float64, and whether it was one point (dim,); without ``copy`` perhaps the very array."""
    given = numeric("z", z).astype(np.float64, copy=copy)
    if given.ndim not in (1, 2) or given.shape[-1] != dim:
        raise ValueError(f"z: expected shape ({dim},) or (n, {dim}), got {given.shape}")
    return np.atleast_2d(given), given.ndim == 1


def output(name, out, shape) -> np.ndarray:
    """An array that results are written to, of this shape."""
    if (
        not isinstance(out, np.ndarray)
        or out.dtype != np.float64
        or not (out.flags.c_contiguous and out.flags.writeable)
    ):
        raise TypeError(f"{name}: expected a float64 array, C-contiguous and writable, got {describe(out)}")
    if out.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {out.shape}")
    return out


def outputs(out, shape, single, gradient) -> tuple[np.ndarray, np.ndarray]:
    """Where values, or values and gradients, of points of this shape are written to."""
    if single:
        raise ValueError("out: expected many points (n, dim) to write for, got one")
    if not gradient:
        return output("out", out, shape[:1]), np.empty((0, shape[1]))
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(f"out: expected a pair of arrays, (n,) and (n, dim), got {describe(out)}")
    return output("out[0]", out[0], shape[:1]), output("out[1]", out[1], shape)


def thread_count(num_threads) -> int:
    """``num_threads`` checked; all CPUs of this process for None."""
    return pool.available_threads() if num_threads is None else count("num_threads", num_threads)
