"""Log densities that are evaluated for many draws at once, in Python: NumPy's, JAX's, torch's."""

import ctypes
import functools
import threading
import types
from collections.abc import Callable

import numpy as np

from .. import checks
from ..kernels.density import abi
from .external import ExternalDensity

LEAST = 32  # draws in a call, so that few shapes are ever seen


class BatchedDensity(ExternalDensity):
    """``f(z)`` of draws (n, dim) -> (n,), and perhaps ``value_and_grad(z)`` -> (n,), (n, dim).

    They are called with powers of two of draws, one call at a time; the last draw is repeated to fill a batch, so that
    what compiles for each shape (JAX) compiles seldom.
    """

    what, opaque = "Python function of batches", True
    batch_size: int

    def __init__(
        self,
        f: Callable,
        value_and_grad: Callable | None,
        dim: int,
        batch_size: int,
        name: str,
        cost: float | None = None,
    ) -> None:
        super().__init__(dim, name, cost=cost)
        for name, function in (("f", f), ("value_and_grad", value_and_grad)):
            if function is not None and not callable(function):
                raise TypeError(f"{name}: expected a function of draws (n, {dim}), got {checks.describe(function)}")
        self.f, self.value_and_grad = f, value_and_grad
        self.batch_size = 1 << (checks.count("batch_size", batch_size, LEAST).bit_length() - 1)
        self.one_at_a_time = threading.RLock()
        self.entry = abi.C_FUNCTION(self.answer)  # must outlive the address
        address = ctypes.cast(self.entry, ctypes.c_void_p).value or 0
        smooth = value_and_grad is not None
        self.compiled = abi.Compiled(address, False, f"it is a {self.what}", (), smooth=smooth)
        self.last: BaseException | None = None

    def values(self) -> abi.Compiled:
        return self.compiled

    def gradients(self) -> abi.Compiled:
        if self.value_and_grad is None:
            raise TypeError(
                "f: a batched log density has a gradient only where value_and_grad= gives it; score-function "
                "gradients need none"
            )
        return self.compiled

    def functions(self) -> list:
        return [f for f in (self.f, self.value_and_grad) if isinstance(f, types.FunctionType)]

    def failure(self, z=None) -> BaseException | None:
        error, self.last = self.last, None
        return error

    def remake(self, target) -> tuple:
        options = dict(value_and_grad=self.value_and_grad, batch_size=self.batch_size, cost=self.operations)
        make = functools.partial(type(target).from_batched, **options, normalized=target.normalized, name=target.name)
        return make, (self.f, self.dim)

    def check(self, points) -> bool:
        """Rows must not depend on each other, as batches are cut and filled up; nor the two functions differ."""
        if len(points) < 2:  # and another, nearby, where the function may have no answer
            points = np.concatenate([points, points + 1e-3 * (1.0 + np.abs(points))])
            try:
                self.call(points, False)
            except Exception:
                return False
        values = self.call(points, False)[0]
        among = np.concatenate([points[::-1], np.repeat(points[:1], LEAST, axis=0)])  # a wider batch
        self.compare("f", "values", values, self.call(among, False)[0][: len(points)][::-1])
        if self.value_and_grad is not None:
            found, slopes = self.call(points, True)
            self.compare("value_and_grad", "values, those of f first,", values, found)
            again = self.call(among, True)[1]
            assert again is not None
            self.compare("value_and_grad", "gradients", slopes, again[: len(points)][::-1])
        return True

    def compare(self, name, what, one, other) -> None:
        """Two results that should be equal."""
        if not np.allclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise ValueError(
                f"{name}: expected {what} that depend on their own row of z alone, got {one} for two draws and {other} "
                "for the same in another batch"
            )

    def call(self, z, wanted):
        """(log p, gradient or None) of draws (n, dim), checked."""
        n = len(z)
        width = max(LEAST, 1 << (n - 1).bit_length())
        batch = np.empty((width, self.dim))  # the function's own
        batch[:n], batch[n:] = z, z[-1]
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
        if isinstance(found, np.ma.MaskedArray):
            raise TypeError(f"{name}: returned a masked array; its mask would be ignored")
        array = np.asarray(found)
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape} for draws {(shape[0], self.dim)}, got {array.shape}")
        if array.dtype != np.float64:
            raise TypeError(
                f"{name}: expected float64, got {array.dtype}: its rounding would not show in the standard error; "
                "compute in double precision (JAX: jax_enable_x64), or cast the result if that is what you mean"
            )
        return array.copy() if array.base is not None or array is found else array

    def answer(self, z, dim, width, data, log_p, gradient, scratch, scratch_bytes) -> int:
        """The C function: an exception is kept for who asks."""
        try:
            draws = np.ctypeslib.as_array(ctypes.cast(z, REAL), (dim, width))
            value, slope = self.call(draws.T, bool(gradient))
            np.ctypeslib.as_array(ctypes.cast(log_p, REAL), (width,))[:] = value
            if slope is not None:
                np.ctypeslib.as_array(ctypes.cast(gradient, REAL), (dim, width))[:] = slope.T
        except BaseException as error:
            self.last = error
            return 1
        return 0

    def evaluate(self, points, num_threads=1, gradient=False, compiled=None, into=None):
        log_p, slopes = self.room(points, gradient) if into is None else into
        for first in range(0, len(points), self.batch_size):
            some = slice(first, first + self.batch_size)
            log_p[some], slope = self.call(points[some], gradient)
            if slope is not None:
                slopes[some] = slope
        return log_p, slopes


REAL = ctypes.POINTER(ctypes.c_double)
