"""Many local approximations at once: one mean-field q for each row of data, as in an amortised or a local model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..documentation import documented
from ..errors import NonFiniteError
from ..execution.nonfinite import nan_in
from ..kernels.cpu import batch as cpu
from ..kernels.cpu import pool
from ..kernels.density import abi, tape_memory
from ..rng import SAMPLE, Key, RandomSource, key_from
from ..targets.data import converted
from ..targets.local import LocalDensity, items, local_density
from ..targets.named import NamedDensity
from ..targets.python_source import PythonDensity
from ..targets.target import Target
from .batch_estimate import BatchEstimate


@documented
def elbo_batch(
    target: Target,
    loc: ArrayLike,
    scale: ArrayLike,
    num_samples: int = 32,
    *,
    rows: Sequence[int] | int = (0,),
    parameters: Sequence[int] | int = (),
    data: tuple | None = None,
    weights: ArrayLike | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
) -> BatchEstimate:
    """ELBOs of N mean-field Gaussians, each for a row of data of its own, with their gradients.

    The density is ``log_density(z, *data)``, or of named parameters, of one local z and of one row of the items of data
    that ``rows`` names: ``X[n]`` for the n-th q.  N, the number of draws and the items' values may change without
    compiling anything.

    Parameters
    ----------
    target : Target
        whose z, or named parameters, are those of one row
    loc, scale : array_like (N, dim)
        of each q
    num_samples : int
        draws of each q; there is no standard error for one
    rows : tuple of int
        numbers of the items of data that have N rows, which are seen as float64: an index is ``table[int(k)]``
    parameters : tuple of int
        numbers of items of data that are model parameters, whose gradient is wanted, summed over rows; a matrix takes
        several times longer where the density does more with it than multiply it with vectors, such as its prior,
        which may as well be added outside
    data : tuple, optional
        in place of the target's data, of the same dimensions: the rows of a minibatch, the parameters of a step
    weights : array_like (N,), optional
        of the rows in the gradient by the parameters, by default 1
    @rng
        the draws of row n do not depend on N
    @num_threads

    Returns
    -------
    BatchEstimate
        ``.value``, ``.standard_error`` (N,), ``.loc_gradient``, ``.log_scale_gradient`` (N, dim), and
        ``.parameter_gradients`` with their ``.parameter_errors``, one array an item.  At fixed draws the gradients are
        those of the values (Kingma and Welling 2014, section 2.4)

    Raises
    ------
    TypeError, ValueError
        naming the argument
    NonFiniteError
        where log p is NaN or +inf, with the row as ``draw``

    See Also
    --------
    elbo : of one approximation
    fastvi.bridges.torch.elbo_batch : the same, differentiable in torch

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, x, w):  # one latent number, two noisy readings of it
    ...     r = x - w * z[0]
    ...     return -0.5 * np.dot(r, r) - 0.5 * z[0] ** 2
    >>> X, w = np.array([[1.0, 2.0], [0.0, 0.5], [3.0, 3.0]]), np.array([1.0, 1.0])
    >>> target = vi.Target(log_density, 1, (X, w))
    >>> found = vi.elbo_batch(target, np.zeros((3, 1)), np.ones((3, 1)), 100, parameters=(1,), rng=0)
    >>> found.value.shape, found.loc_gradient.shape, found.parameter_gradients[0].shape
    ((3,), (3, 1), (2,))
    """
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    if type(target.density) not in (PythonDensity, NamedDensity) or getattr(target.density, "gradient", None):
        raise ValueError(
            f"target: elbo_batch takes a Python function without a gradient= or rows= of its own, which "
            f"{target.name} is not"
        )
    taken = target.data if data is None else in_place_of(target.data, data)
    locs, scales = positions(loc, scale, target.dim)
    count = checks.count("num_samples", num_samples)
    which = items("rows", rows, taken), items("parameters", parameters, taken)
    w = np.ones(len(locs)) if weights is None else checks.real_array("weights", weights, 1)
    if w.shape != (len(locs),):
        raise ValueError(f"weights: expected shape ({len(locs)},), got {w.shape}")
    key, threads = key_from(rng), checks.thread_count(num_threads)
    local = local_density(target, *which, taken, len(locs))
    sums, loc_slopes, scale_slopes, of_theta = swept(local, (locs, scales, w), taken, key, count, threads)
    check(local, sums, locs, taken)
    without = np.isneginf(sums[0])
    for found in (sums[1], loc_slopes, scale_slopes):
        found[without] = np.nan
    mean, error = of_theta[:, 0].sum(axis=0), np.sqrt(of_theta[:, 1].sum(axis=0))
    return BatchEstimate(
        sums[0],
        np.sqrt(sums[1]),
        loc_slopes,
        scale_slopes,
        local.shaped(mean, taken),
        local.shaped(error, taken),
        count,
        key,
    )


def in_place_of(own: tuple, data: Any) -> tuple:
    """Data in place of a target's."""
    if not isinstance(data, tuple | list) or len(data) != len(own):
        raise TypeError(f"data: expected a tuple of {len(own)} items, as the target has, got {checks.describe(data)}")
    return converted(data)


def positions(loc, scale, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Locations and scales (N, dim)."""
    found = checks.real_array("loc", loc, 2), checks.real_array("scale", scale, 2)
    for name, value in zip(("loc", "scale"), found, strict=True):
        if value.shape[1] != dim or value.shape != found[0].shape:
            raise ValueError(f"{name}: expected shape ({len(found[0])}, {dim}), got {value.shape}")
    if not (found[1] > 0.0).all():
        raise ValueError(f"scale: expected numbers > 0, got {found[1].min()}")
    return found


def swept(local: LocalDensity, q, data: tuple, key: Key, count: int, num_threads: int):
    """(moments of log w, gradients by loc and log scale, sums by theta), from ``count`` draws of each row of
    ``q``, locations, scales and weights."""
    locs, scales, weights = q
    (number, dim), (of_rows, theta, rest) = locs.shape, local.split(data, len(locs))
    given, summed = (locs, scales, of_rows, theta, weights), local.entries
    chunks = -(-number // cpu.CHUNK)
    sums, slopes = np.empty((3, number)), [np.empty((number, dim)) for _ in range(2)]
    of_theta, stop, found = np.zeros((chunks, 2, len(theta) + summed)), np.zeros(1, np.int64), []
    compiled = local.density.trusted(lambda: local.points(given), True)
    kernel = cpu.sweep_rows()

    def call(first, last):
        def chunks_from(first, scratch):
            where = compiled.address, rest.words.copy(), summed, stop, sums, *slopes, of_theta, scratch
            return kernel(*given, np.uint64(key.word), SAMPLE, count, first, last, *where)

        status, _ = tape_memory.with_room(chunks_from, first, abi.SCRATCH_SMALL)
        if status:
            found.append(status)
        return bool(status)

    with np.errstate(divide="ignore", invalid="ignore"):
        pool.run(chunks, call, stop, num_threads, 0.0 if chunks == 1 else None, None)
    if abi.NEEDS_CARE in found:
        local.density.recompile()
        return swept(local, q, data, key, count, num_threads)
    if found and local.summed:  # all of theta as coordinates can tell where it failed
        return swept(local.by_coordinates(data), q, data, key, count, num_threads)
    if found:
        local.density.raise_again(local.points(given, number))
    return sums, *slopes, of_theta


def check(local: LocalDensity, sums, locs, data) -> None:
    """NaN and +inf."""
    bad = sums[2] > 0.0
    if bad.any():
        row = int(np.argmax(bad))
        raise NonFiniteError(
            f"the log density {local.target.name} is not finite (nan or +inf) at draws of {int(bad.sum()):,} of "
            f"{len(bad):,} rows, first of row {row}, whose q has loc = {locs[row]}{nan_in(data)}",
            count=int(bad.sum()),
            num_samples=len(bad),
            draw=row,
            z=locs[row],
        )
