"""The target: a log density written in plain Python, with its data, and what compiling it brought."""

import os
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels import jit
from ..kernels.density import abi
from . import derivatives
from .batched import BatchedDensity
from .constrained import ConstrainedDensity
from .constraints import Space
from .data import converted, gpu_source
from .density import Density
from .external import Address
from .names import Names
from .parameters import Parameters
from .written import density_of


class Target(Names, derivatives.Curvature):
    """A log density, up to a constant or not: of named parameters in their own spaces, or of an unconstrained z.

    Parameters
    ----------
    log_density : callable
        ``log_density(mu, tau, …, *data) -> float`` of declared parameters, by name in any order, or
        ``log_density(z, *data) -> float`` for one draw z of shape (dim,); in ordinary Python with ``math`` and
        ``numpy``; all constants kept.  A Numba dispatcher counts as the function under it.
    dim : int, a dict of parameters, or ``q.latents``
        length of z.  ``q.latents`` of a :class:`Product` makes its factors arguments by name, as they are drawn
    data : tuple
        arrays and numbers passed after z.  Floats become C-contiguous float64, integers int64, bools stay bools; what
        is already right is not copied.  New data never recompiles.  What lies on a GPU (an array of CuPy, torch or JAX)
        is read there by ``backend="cuda"``, and copied to the host once for everything else
    parameters : dict
        of names and spaces, ``{"mu": vi.real(), "tau": vi.positive()}``, in place of ``dim``.  z holds them in this
        order, unconstrained; log |det dx/dz| is added, so that an ELBO is that of the density as written.  ``log_NAME``
        (of a positive or unit parameter or a simplex) or ``log1m_NAME`` (unit) as an argument is the exact logarithm
    gradient : callable, optional
        ``gradient(z, *data, out)`` writes d log p / dz into every place of ``out``, (dim,); it is used in place of the
        one that fastvi derives from the source (see ``check_gradient``)
    rows : tuple of int, optional
        numbers of the items of data that have a row for each observation; log_density is then a sum over the rows that
        it is given, and is computed a block of rows at a time: memory does not grow with their number, ``fit`` starts
        from a subsample, and :class:`Objective` has a ``batch_size``
    log_prior : callable, optional
        ``log_prior(z)``, or of named parameters, which is added to log_density once
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
    Before the first use a draw or two are computed in Python and must agree with the compiled function.  What it refers
    to (closure, globals) may be rebound between calls; an array changed in place is not noticed: pass it as data.

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.Target(lambda mu, y: -((mu - y) ** 2), {"mu": vi.real()}, data=(3.0,)).value([1.0])
    -4.0
    """

    def __init__(
        self,
        log_density: Callable,
        dim: int | Mapping[str, Space] | Mapping[str, tuple[int, ...]] | None = None,
        data: tuple = (),
        *,
        parameters: Mapping[str, Space] | Mapping[str, tuple[int, ...]] | None = None,
        gradient: Callable | None = None,
        rows: tuple[int, ...] | int | None = None,
        log_prior: Callable | None = None,
        normalized: bool = False,
        name: str | None = None,
    ) -> None:
        taken = converted(data)
        density = density_of(log_density, dim, parameters, taken, gradient, rows, log_prior, name)
        on_gpu = tuple(gpu_source(value, item) for value, item in zip(data, taken, strict=True))
        self._adopt(density, taken, normalized, on_gpu)

    def _adopt(self, density: Density, data: tuple, normalized: bool, on_gpu: tuple = ()) -> None:
        """Take a density, and what every target has beside it."""
        if not isinstance(normalized, bool | np.bool_):
            raise TypeError(f"normalized: expected a bool, got {checks.describe(normalized)}")
        self.density, self.dim, self.name, self.data = density, density.dim, density.name, data
        self._on_gpu = on_gpu
        self.normalized = bool(normalized)
        self.identity = os.urandom(16)  # among all processes
        self.recipe: tuple | None = None  # (function, arguments) that make this target, see ``from_factory``
        self.agreed_on_gpu: abi.Compiled | None = None

    def __repr__(self):
        of = f"dim={self.dim}" if self.parameters is None else repr(self.parameters)
        data = f", data={len(self.data)} item{'s' * (len(self.data) != 1)}" if self.data else ""
        return f"Target({self.name}, {of}{data})"

    def __reduce__(self):
        if self.recipe is not None:
            return Target.from_factory, self.recipe
        return self.density.remake(self)

    @classmethod
    def from_address(
        cls,
        address: int,
        dim: int,
        data: tuple = (),
        *,
        cost: float | None = None,
        normalized: bool = False,
        name: str = "C callback",
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
        cost : float, optional
            floating-point operations of log p at one draw, roughly; 2**14 where it is not given.  "auto" weighs it
            against the operations of a pilot and its fits, so it decides which estimator is used and never by a clock

        The caller keeps the function alive.  ``numba.cfunc(fastvi.bridges.c.SIGNATURE)`` makes such functions, in which
        ``fastvi.bridges.c.is_null(gradient)`` tells what is asked.
        """
        if isinstance(address, bool) or not isinstance(address, int) or address <= 0:
            raise TypeError(f"address: expected the address of a C function, got {checks.describe(address)}")
        taken = converted(data)
        return cls.of(Address(address, checks.count("dim", dim), name, taken, cost), taken, normalized=normalized)

    @classmethod
    def from_batched(
        cls,
        f: Callable,
        dim: int,
        *,
        value_and_grad: Callable | None = None,
        batch_size: int = 1024,
        cost: float | None = None,
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
        batch_size : int
            draws in a call at most.  Calls are made one at a time, of powers of two of draws from 32 on, the last draw
            repeated to fill them, so that JAX compiles few shapes
        cost : float, optional
            operations of a draw, as for :meth:`from_address`

        Raises
        ------
        TypeError, ValueError
            naming the argument; and, when it is called, for another shape or another precision than float64
        """
        name = str(name or getattr(f, "__name__", "batched"))
        density = BatchedDensity(f, value_and_grad, checks.count("dim", dim), batch_size, name, cost)
        return cls.of(density, normalized=normalized)

    @classmethod
    def of(cls, density: Density, data: tuple = (), *, normalized: bool = False) -> "Target":
        """A target of a density that is not Python for Numba: see :mod:`fastvi.targets.external`."""
        target = cls.__new__(cls)
        target._adopt(density, data, normalized)
        return target

    @classmethod
    def constrained(cls, inner: "Target", parameters: Mapping[str, Space]) -> "Target":
        """A target of named parameters around one of their values, laid side by side: for densities from elsewhere.

        Parameters
        ----------
        inner : Target
            a density of x, the numbers of all parameters in the order of the dict (matrices by rows)
        parameters : dict
            names and spaces.  log |det dx/dz| is added

        Examples
        --------
        >>> import numpy as np, fastvi as vi
        >>> inner = vi.Target.from_batched(lambda x: -x[:, 0], 1)  # an exponential density on x > 0
        >>> target = vi.Target.constrained(inner, {"x": vi.positive()})
        >>> target.value(np.zeros(1))
        -1.0
        """
        if not isinstance(inner, Target):
            raise TypeError(f"inner: expected a fastvi.Target, got {checks.describe(inner)}")
        return cls.of(ConstrainedDensity(inner, Parameters(parameters)), inner.data, normalized=inner.normalized)

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

        return buffers.Data(self._on_gpu)

    def value(self, z: ArrayLike, *, num_threads: int | None = None, out: np.ndarray | None = None):
        """log p at one point (dim,) -> float, or at many (n, dim) -> (n,), from the compiled density.

        An exception in the density surfaces as itself; NaN and infinities are returned as they are.  ``out`` (n,) is
        written to and returned: memory that is used again, as fresh pages take longer than a cheap density.
        """
        return self._at(z, num_threads, False, out)[0]

    def _at(self, z, num_threads, gradient, out=None) -> tuple:
        """(log p, gradients) at one point or many; without ``gradient`` the second is nothing."""
        points, single = checks.points(z, self.dim, copy=False)
        num_threads = checks.thread_count(num_threads)
        into = None if out is None else checks.outputs(out, points.shape, single, gradient)
        if len(points) == 0:
            return np.empty(0), np.empty((0, self.dim))
        self.density.trusted(lambda: points, gradient)
        found = self.density.evaluate(points, num_threads, gradient, None, into)
        if found is None:
            self.density.raise_again(points)
        log_p, slopes = found
        return (float(log_p[0]), slopes[0] if gradient else None) if single else (log_p, slopes)

    def gradient(self, z: ArrayLike, *, num_threads: int | None = None):
        """d log p / dz at one point (dim,) -> (dim,), or at many (n, dim) -> (n, dim): exact, not differences.

        The written gradient where there is one; otherwise derived from the source by reverse-mode differentiation.
        What is not differentiable has a one-sided or zero derivative: abs at 0 has 0, max(a, b) at a == b follows a,
        sqrt at 0 has inf, floor has 0.  ``where`` passes nothing to the side that is not taken, not even a NaN.
        """
        return self.value_and_grad(z, num_threads=num_threads)[1]

    def value_and_grad(
        self, z: ArrayLike, *, num_threads: int | None = None, out: tuple[np.ndarray, np.ndarray] | None = None
    ):
        """(log p, d log p / dz) at one point or many; bitwise identical for any number of threads.

        ``out`` is a pair of arrays, (n,) and (n, dim), that are written to and returned.

        Raises
        ------
        TypeError
            where the density uses what cannot be differentiated, with file and line
        MemoryError
            where the operations on z cannot be kept in a gibibyte for each thread
        """
        return self._at(z, num_threads, True, out)

    def explain(self) -> str:
        """How the density was compiled, and if draw by draw, why, with file and line."""
        compiled, slow = self.density.values(), "" if jit.has_fma() else f"; {jit.WITHOUT_FMA}"
        if compiled.vectorised:
            return f"{self.name}: vectorised, {abi.LANE_WIDTH} draws at a time{slow}"
        way = "one draw at a time" if self.density.batch_size is None else "in batches"
        return f"{self.name}: {way}: {compiled.reason}{slow}"


def named(log_density, parameters, data, normalized, name) -> Target:
    """A target of named parameters again, in another process."""
    return Target(log_density, parameters, data, normalized=normalized, name=name)
