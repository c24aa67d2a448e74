"""The target: a log density written in plain Python, with its data, and what compiling it brought."""

import os
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.density import abi, compilations
from . import derivatives
from .batched import Batch
from .data import convert, python_function, read_only, source
from .derivatives import Derivative
from .external import Address, Foreign
from .python_source import LogDensity


class Target(LogDensity):
    """A log density log p(z), up to a constant or not, of an unconstrained z.

    Parameters
    ----------
    log_density : callable
        ``log_density(z, *data) -> float`` for one draw z of shape (dim,), in ordinary Python with ``math`` and
        ``numpy``; all constants kept.  A Numba dispatcher counts as the function under it.
    dim : int
        length of z
    data : tuple
        arrays and numbers passed after z.  Floats become C-contiguous float64, integers int64, bools stay bools; what
        is already right is not copied.  New data never recompiles.  What lies on a GPU (an array of CuPy, torch or JAX)
        is read there by ``backend="cuda"``, and copied to the host once for everything else
    gradient : callable, optional
        ``gradient(z, *data, out)`` writes d log p / dz into every place of ``out``, (dim,); it is used in place of the
        one that fastvi derives from the source (see ``check_gradient``)
    normalized : bool
        whether exp(log_density) integrates to one, which ``kl_divergence`` needs
    name : str, optional
        for messages; the function's own name otherwise

    Raises
    ------
    TypeError, ValueError
        naming the argument

    Notes
    -----
    Before the first use a draw or two are computed in Python and must agree with the compiled function, as compiled
    code forgives what Python would not: an index out of range, an integer overflow.  What the function refers to
    (closure, globals) may be rebound between calls; an array among them changed in place is not noticed: pass it as
    data.
    """

    def __init__(
        self,
        log_density: Callable,
        dim: int,
        data: tuple = (),
        *,
        gradient: Callable | None = None,
        normalized: bool = False,
        name: str | None = None,
    ) -> None:
        self.log_density = python_function("log_density", log_density)
        self.written_gradient = None if gradient is None else python_function("gradient", gradient)
        self.dim = checks.count("dim", dim)
        if not isinstance(data, tuple | list):
            raise TypeError(f"data: expected a tuple of arrays and numbers, got {checks.describe(data)}")
        if not isinstance(normalized, bool | np.bool_):
            raise TypeError(f"normalized: expected a bool, got {checks.describe(normalized)}")
        self.data = tuple(convert(f"data[{i}]", value) for i, value in enumerate(data))
        self.normalized = bool(normalized)
        self.name = str(name) if name is not None else self.log_density.__name__
        self.memory = abi.Memory(self.data)
        self.rates: dict[tuple, float] = {}  # seconds a draw, for deciding where work runs
        # as a Python caller would pass them: numbers that do not wrap, arrays that are not to be written
        self.python_data = tuple(read_only(v) if isinstance(v, np.ndarray) else v.item() for v in self.data)
        self.identity = os.urandom(16)  # among all processes
        self.foreign: Foreign | None = None  # where the density is not compiled from Python
        self.recipe: tuple | None = None  # (function, arguments) that make this target, see ``from_factory``
        self.derivative = Derivative(self)
        self.sources = tuple(source(value, taken) for value, taken in zip(data, self.data, strict=True))
        self.agreed_on_gpu: abi.Compiled | None = None
        self._known: compilations.Known | None = None
        self._looked_at = False

    def __repr__(self):
        return f"Target({self.name}, dim={self.dim}, data={len(self.data)} item{'s' * (len(self.data) != 1)})"

    def __reduce__(self):
        if self.recipe is not None:
            return Target.from_factory, self.recipe
        if self.foreign is not None:
            return self.foreign.remake(self)
        return _rebuild, (self.log_density, self.dim, self.data, self.written_gradient, self.normalized, self.name)

    @classmethod
    def from_address(
        cls, address: int, dim: int, data: tuple = (), *, normalized: bool = False, name: str = "C callback"
    ) -> "Target":
        """A target from the address of a C function; for its values and, if asked, its gradient.

        Parameters
        ----------
        address : int
            of ``int64 f(const double* z, int64 dim, int64 width, const void* data, double* log_p, double* gradient,
            void* scratch, int64 scratch_bytes)``.  z is (dim, width), one draw a column; it writes ``width`` values to
            log_p and, where ``gradient`` is not null, (dim, width) derivatives there.  It returns 0, or 1 for an error,
            or 2 where the scratch is too small for the gradient (it is then called again with more; for values alone
            there is none).  It must be safe to call from several threads at once.
        data : tuple
            passed packed, as 64-bit words: for an array its address and its shape, for a number its bits

        The caller keeps the function alive.  ``numba.cfunc(fastvi.bridges.c.SIGNATURE)`` makes such functions, in which
        ``fastvi.bridges.c.is_null(gradient)`` tells what is asked.
        """
        if isinstance(address, bool) or not isinstance(address, int) or address <= 0:
            raise TypeError(f"address: expected the address of a C function, got {checks.describe(address)}")
        return cls.of(Address(address), dim, data, normalized=normalized, name=name)

    @classmethod
    def from_batched(
        cls,
        f: Callable,
        dim: int,
        *,
        value_and_grad: Callable | None = None,
        chunk: int = 1024,
        normalized: bool = False,
        name: str | None = None,
    ) -> "Target":
        """A target from a function of many draws at once, in NumPy, JAX, torch or anything that Numba cannot compile.

        Parameters
        ----------
        f : callable
            ``f(z) -> log p`` for z of shape (n, dim), float64, to float64 values (n,) or what NumPy reads as such;
            each row's value depends on that row alone, which two draws are looked at for
        value_and_grad : callable, optional
            ``value_and_grad(z) -> (values (n,), gradients (n, dim))``, for what needs a gradient
        chunk : int
            draws in a call at most.  Calls are made one at a time, of powers of two of draws from 32 on, the last draw
            repeated to fill them, so that JAX compiles few shapes

        Raises
        ------
        TypeError, ValueError
            naming the argument; and, when it is called, for another shape or another precision than float64
        """
        batch = Batch(f, value_and_grad, checks.count("dim", dim), chunk)
        return cls.of(batch, dim, normalized=normalized, name=name or getattr(f, "__name__", "batched"))

    @classmethod
    def of(cls, foreign: Foreign, dim: int, data: tuple = (), **options) -> "Target":
        """A target of a density that is not compiled from Python: see :mod:`fastvi.targets.external`."""
        target = cls(_in_c, dim, data, **options)
        target.foreign = foreign
        return target

    @classmethod
    def from_factory(cls, make: Callable, *arguments) -> "Target":
        """``make(*arguments)``, a target that travels to other processes as this call: for what cannot be pickled."""
        target = make(*arguments)
        if not isinstance(target, Target):
            raise TypeError(f"make: expected a function that returns a Target, got {checks.describe(target)}")
        target.recipe = (make, *arguments)
        return target

    @cached_property
    def on_device(self):
        """The data on a GPU, where they stay: see ``kernels.buffers.Data``."""
        from ..kernels.gpu import buffers

        return buffers.Data(self.sources)

    def value(self, z: ArrayLike, *, num_threads: int | None = None):
        """log p at one point (dim,) -> float, or at many (n, dim) -> (n,), from the compiled density.

        An exception in the density surfaces as itself; NaN and infinities are returned as they are.
        """
        points, single = checks.points(z, self.dim)
        if len(points) == 0:
            return np.empty(0)
        log_p = self._evaluate(self.trusted(lambda: points), points, checks.thread_count(num_threads))
        if log_p is None:
            for i, point in enumerate(points):
                self.in_python(point, i)
            raise RuntimeError(f"log_density: {self.name} raises when compiled and not in Python")
        return float(log_p[0]) if single else log_p

    def gradient(self, z: ArrayLike, *, num_threads: int | None = None):
        """d log p / dz at one point (dim,) -> (dim,), or at many (n, dim) -> (n, dim): exact, not differences.

        The written gradient where there is one; otherwise derived from the source by reverse-mode differentiation.
        What is not differentiable has a one-sided or zero derivative: abs at 0 has 0, max(a, b) at a == b follows a,
        sqrt at 0 has inf, floor has 0.  ``where`` passes nothing to the side that is not taken, not even a NaN.
        """
        return self.value_and_grad(z, num_threads=num_threads)[1]

    def value_and_grad(self, z: ArrayLike, *, num_threads: int | None = None):
        """(log p, d log p / dz) at one point or many; the same bits on any number of threads.

        Raises
        ------
        TypeError
            where the density uses what cannot be differentiated, with file and line
        MemoryError
            where the operations on z cannot be kept in a gibibyte for each thread
        """
        return self.derivative.value_and_grad(z, num_threads)

    def hessian(self, z: ArrayLike) -> np.ndarray:
        """The second derivatives at one point, (dim, dim): central differences of exact gradients, made symmetric.

        Their error is about 1e-9 of the largest entry for a log density that varies on a scale of 1.
        """
        return derivatives.hessian(self, z)

    def hessian_product(self, z: ArrayLike, vector: ArrayLike) -> np.ndarray:
        """hessian(z) @ vector from two gradients, with the same accuracy."""
        return derivatives.hessian_product(self, z, vector)

    def check_gradient(self, z: ArrayLike) -> derivatives.GradientCheck:
        """Compare the gradient in use at one point with central differences, and a written one with the derived."""
        return derivatives.check_gradient(self, z)

    def laplace(self, start: ArrayLike, **options):
        """The Gaussian at the mode: see :class:`LaplaceResult`; options are those of ``fitting.laplace``."""
        from ..fitting.laplace import laplace

        return laplace(self, start, **options)

    def explain(self) -> str:
        """How the density was compiled, and if draw by draw, why, with file and line."""
        compiled = self.compiled
        if compiled.vectorised:
            return f"{self.name}: vectorised, {abi.LANE_WIDTH} draws at a time"
        return f"{self.name}: one draw at a time: {compiled.reason}"


def _rebuild(log_density, dim, data, gradient, normalized, name):
    return Target(log_density, dim, data, gradient=gradient, normalized=normalized, name=name)


def _in_c(z, *data):
    raise NotImplementedError("this log density is a C function")
