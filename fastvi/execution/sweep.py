"""One sweep over the draws: hands the family, the target and the draws' address to the kernels, and reads the sums."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..errors import STOPPED, NonFiniteError
from ..families.base import Gaussian
from ..kernels.cpu import sweep as cpu
from ..kernels.plan import cut
from ..kernels.sums import moments
from ..targets.target import Target
from . import executors, gpu, threads
from .threads import Job


class Sweep(NamedTuple):
    """What a sweep brings: the moments of all draws, and for gradients those of each chunk with its score sums."""

    total: np.ndarray
    rows: np.ndarray
    sums: np.ndarray

    @property
    def num_samples(self) -> int:
        return int(self.total[moments.COUNT])

    @property
    def num_neginf(self) -> int:
        return int(self.total[moments.NEGATIVE_INFINITE])

    def mean_and_variance(self, mean) -> tuple[float, float]:
        """Of log w (``moments.MEAN_W``) or log p (``moments.MEAN_P``); the variance of one draw, nan for one draw."""
        count = self.total[moments.COUNT]
        squares = self.total[mean + 1]
        return float(self.total[mean]), float(squares / (count - 1.0)) if count > 1 else float("nan")


def check(target, q) -> None:
    """A target and an approximation that fit each other."""
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    if not isinstance(q, Gaussian):
        raise TypeError(f"q: expected a MeanFieldGaussian or FullRankGaussian, got {checks.describe(q)}")
    if q.dim != target.dim:
        raise ValueError(f"q: expected {target.dim} dimensions, as the target has, got {q.dim}")


def reporter(progress, num_samples, chunk):
    """(report, close) for ``progress``: False, True for a tqdm bar, or a function of (done, total) draws."""
    if progress is False or progress is None:
        return None, lambda: None
    if callable(progress):
        return lambda chunks: progress(min(chunks * chunk, num_samples), num_samples), lambda: None
    if progress is not True:
        raise TypeError(f"progress: expected a bool or a function of (done, total), got {checks.describe(progress)}")
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'fastvi[progress]'") from None
    bar = tqdm(total=num_samples, unit="draw", unit_scale=True)
    return lambda chunks: bar.update(min(chunks * chunk, num_samples) - bar.n), bar.close


def sweep(
    target,
    q,
    num_samples,
    key,
    stream,
    *,
    gradient=None,
    surrogate=None,
    first_draw=0,
    weights=None,
    num_threads=None,
    progress=False,
    pilot=False,
    dtype="float64",
    backend="cpu",
    executor=None,
) -> Sweep:
    """Sweep the draws first_draw … first_draw + num_samples - 1 of a stream.

    ``gradient`` is None, "score", "pathwise" or "sticking_the_landing": which sums of a gradient to take.  A
    ``surrogate`` is taken off log w, or off the gradient.  ``weights`` is an array (num_samples,) for log w itself.  A
    ``pilot`` is not judged: NaN is left to the real sweep.  The ``backend`` "cuda" has no pathwise gradients and keeps
    no weights; nor does an ``executor``.

    Raises
    ------
    NonFiniteError
        where log p is NaN or +inf
    KeyboardInterrupt, ExecutorError
        with the Sweep so far as ``.partial``
    Exception
        whatever the log density raises
    """
    if backend == "cuda":
        checks.thread_count(num_threads)
        options = dict(gradient=bool(gradient), surrogate=surrogate, first_draw=first_draw, dtype=dtype)
        return gpu_sweep(target, q, num_samples, key, stream, progress, **options)
    widest = None if target.foreign is None else target.foreign.tile
    plan = cut(q.family, q.dim, num_samples, threads.sums_of(gradient), widest)
    job = Job(q, key, stream, first_draw, num_samples, plan, gradient, surrogate, dtype)
    rows, sums = job.room()
    report, close = reporter(progress, num_samples, plan.chunk)
    try:
        num_threads = checks.thread_count(num_threads)

        def run():
            if executor is not None:
                return executors.run(executor, target, job, rows, sums, report)
            return threads.run(target, job, rows, sums, weights, num_threads, report)

        while run():
            target.derivative.take_care()
    except STOPPED as stopped:
        stopped.partial = merged(rows, sums)  # type: ignore[union-attr]
        raise
    finally:
        close()
    return judged(merged(rows, sums), target, drawn(q, key, stream, dtype), plan.tile, pilot)


def gpu_sweep(target, q, num_samples, key, stream, progress, **options) -> Sweep:
    """The same on a GPU."""

    def to_progress(chunk):
        return reporter(progress, num_samples, chunk)

    try:
        rows, sums = gpu.run(target, q, num_samples, key, stream, **options, reporter=to_progress)
    except KeyboardInterrupt as interrupt:
        if hasattr(interrupt, "partial"):
            interrupt.partial = merged(*interrupt.partial)
        raise
    return judged(merged(rows, sums), target, drawn(q, key, stream, options["dtype"]), 1)


def judged(result, target, draw_of, tile, pilot=False) -> Sweep:
    """The sweep, unless the density raised or, but for a pilot, was not finite: then its error.

    ``draw_of(index)`` is a draw.
    """
    if result.total[moments.RAISED]:
        raise_again(target, draw_of, int(result.total[moments.RAISED]) - 1, tile)
    if pilot:
        return result
    if result.total[moments.BAD] or result.total[moments.NEGATIVE_INFINITE]:
        explain_nonfinite(result, target, draw_of)
    if result.total[moments.BAD_GRADIENT] and not result.total[moments.NEGATIVE_INFINITE]:
        explain_gradient(result, target, draw_of)
    return result


def merged(rows, sums) -> Sweep:
    """The chunks of a sweep, finished or not, merged in order."""
    if len(rows) == 1:
        return Sweep(rows[0], rows, sums)
    total = np.empty(moments.COLUMNS)
    cpu.merger()(rows, total)
    return Sweep(total, rows, sums)


def partial(interrupt) -> Sweep:
    """The sweep that an interrupt stopped, of no draws where it came before the first."""
    found = getattr(interrupt, "partial", None)
    return found if isinstance(found, Sweep) else merged(np.zeros((1, moments.COLUMNS)), np.zeros((0, 0, 0)))


def drawn(q, key, stream, dtype):
    """``draw_of(index)``: one draw of a stream."""

    def draw_of(index) -> np.ndarray:
        out = np.empty((1, q.dim))
        q.fill(out, key, stream, index, dtype)
        return out[0]

    return draw_of


def raise_again(target, draw_of, first, tile):
    """The compiled density raised in the tile that starts at draw ``first``: let Python raise the same."""
    target.raise_failure()
    for index in range(first, first + tile):
        target.in_python(draw_of(index), index)
    raise RuntimeError(
        f"the compiled log density {target.name} raised between the draws {first} and {first + tile - 1}, "
        "where Python does not"
    )


def explain_gradient(result, target, draw_of):
    """Raise for a log p that is finite and its gradient not."""
    bad, n = int(result.total[moments.BAD_GRADIENT]), result.num_samples
    index = int(result.total[moments.FIRST_BAD_GRADIENT]) - 1
    z = draw_of(index)
    raise NonFiniteError(
        f"the gradient of the log density {target.name} is not finite at {bad:,} of {n:,} draws ({bad / n:.3g}), first "
        f"{target.gradient(z, num_threads=1)} at draw {index}, z = {z}",
        count=bad,
        num_samples=n,
        draw=index,
        z=z,
    )


def explain_nonfinite(result, target, draw_of):
    """Raise for NaN and +inf.  -inf is a legal value, unless it stands where Python would have raised."""
    bad = int(result.total[moments.BAD])
    index = int(result.total[moments.FIRST_BAD if bad else moments.FIRST_NEGATIVE]) - 1
    z = draw_of(index)
    if not bad:
        target.in_python(z, index)
        return
    cause = None
    try:
        found = target.in_python(z, index)
    except Exception as error:
        cause, found = error, float("nan")
    n = result.num_samples
    raise NonFiniteError(
        f"the log density {target.name} is not finite (nan or +inf) at {bad:,} of {n:,} draws ({bad / n:.3g}), first "
        f"{found} at draw {index}, z = {z}",
        count=bad,
        num_samples=n,
        draw=index,
        z=z,
    ) from cause
