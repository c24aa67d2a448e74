"""Log densities that are evaluated for many draws at once, in Python: NumPy's, JAX's, torch's."""

import ctypes
import threading
from collections.abc import Callable

import numpy as np

from . import checks
from .foreign import Foreign, rows
from .kernels import contract

LEAST = 32  # draws in a call, so that few shapes are ever seen


class Batch(Foreign):
    """``f(z)`` of draws (n, dim) -> (n,), and perhaps ``value_and_grad(z)`` -> (n,), (n, dim).

    They are called with powers of two of draws, one call at a time; the last draw is repeated to fill a batch, so that
    what compiles for each shape (JAX) compiles seldom.
    """

    what = "Python function of batches"

    def __init__(self, f: Callable, value_and_grad: Callable | None, dim: int, chunk: int) -> None:
        for name, function in (("f", f), ("value_and_grad", value_and_grad)):
            if function is not None and not callable(function):
                raise TypeError(f"{name}: expected a function of draws (n, {dim}), got {checks.describe(function)}")
        checks.count("chunk", chunk, LEAST)
        self.f, self.value_and_grad, self.dim = f, value_and_grad, dim
        self.tile = 1 << (chunk.bit_length() - 1)
        self.one_at_a_time = threading.RLock()
        self.entry = contract.C_FUNCTION(self.answer)  # must outlive the address
        address = ctypes.cast(self.entry, ctypes.c_void_p).value or 0
        smooth = value_and_grad is not None
        self.compiled = contract.Compiled(address, False, f"it is a {self.what}", (), smooth=smooth)
        self.last: BaseException | None = None

    def values(self) -> contract.Compiled:
        return self.compiled

    def gradients(self) -> contract.Compiled:
        if self.value_and_grad is None:
            raise TypeError(
                "f: a batched log density has a gradient only where value_and_grad= gives it; score-function "
                "gradients need none"
            )
        return self.compiled

    def failure(self) -> BaseException | None:
        return self.last

    def recipe(self, target):
        return remade, (self.f, self.value_and_grad, self.dim, self.tile, target.normalized, target.name)

    def check(self, points) -> None:
        """Rows must not depend on each other: batches are cut and filled up."""
        both = self.evaluate(points, False)[0]
        if len(points) > 1:
            turned = self.evaluate(points[::-1], False)[0][::-1]
            same = np.isclose(both, turned, rtol=1e-6, atol=1e-9, equal_nan=True)
            if not same.all():
                raise ValueError(
                    f"f: expected log densities that depend on their own row of z alone, got {both} for two draws and "
                    f"{turned} for the same in the other order"
                )

    def evaluate(self, z, wanted):
        """(log p, gradient or None) of draws (n, dim), checked."""
        n = len(z)
        width = max(LEAST, 1 << (n - 1).bit_length())
        batch = np.concatenate([z, np.repeat(z[-1:], width - n, axis=0)]) if width > n else z.copy()
        with self.one_at_a_time:
            if not wanted:
                return self.result("f", self.f(batch), (width,))[:n], None
            assert self.value_and_grad is not None
            found = self.value_and_grad(batch)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise TypeError(f"value_and_grad: expected a pair (values, gradients), got {checks.describe(found)}")
        value = self.result("value_and_grad", found[0], (width,))
        return value[:n], self.result("value_and_grad", found[1], (width, self.dim))[:n]

    def result(self, name, found, shape) -> np.ndarray:
        """What a function returned, as float64 of this shape."""
        array = np.asarray(found)
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape} for draws {(shape[0], self.dim)}, got {array.shape}")
        if array.dtype != np.float64:
            raise TypeError(
                f"{name}: expected float64, got {array.dtype}, whose digits would be lost in the error of no estimate; "
                "compute in double precision (JAX: jax_enable_x64), or cast the result if that is what you mean"
            )
        return array

    def answer(self, z, dim, width, data, log_p, gradient, scratch, scratch_bytes) -> int:
        """The C function: an exception is kept for who asks."""
        try:
            draws = rows(np.ctypeslib.as_array(ctypes.cast(z, REAL), (dim, width)))
            value, slope = self.evaluate(draws, bool(gradient))
            np.ctypeslib.as_array(ctypes.cast(log_p, REAL), (width,))[:] = value
            if slope is not None:
                np.ctypeslib.as_array(ctypes.cast(gradient, REAL), (dim, width))[:] = slope.T
        except BaseException as error:
            self.last = error
            return 1
        return 0

    def over_points(self, points, log_p, gradient) -> bool:
        assert self.tile is not None
        for first in range(0, len(points), self.tile):
            some = slice(first, first + self.tile)
            log_p[some], slope = self.evaluate(points[some], len(gradient) > 0)
            if slope is not None:
                gradient[some] = slope
        return True


REAL = ctypes.POINTER(ctypes.c_double)


def remade(f, value_and_grad, dim, chunk, normalized, name):
    """The target again, in another process."""
    from .target import Target

    options = dict(value_and_grad=value_and_grad, chunk=chunk, normalized=normalized, name=name)
    return Target.from_batched(f, dim, **options)
