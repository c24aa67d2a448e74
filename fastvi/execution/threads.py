"""A job on this machine: the arguments of a compiled sweep, and the threads it runs on."""

import numpy as np

from .. import checks
from ..errors import STOPPED
from ..kernels.cpu import mixed, pool, values
from ..kernels.cpu import sweep as cpu
from ..kernels.density import tape_memory
from ..kernels.sums.control_variate import NOTHING
from ..path_surrogates import NO_PATHS
from .job import Job, Sums

# To enter a compiled sweep and leave it, and to draw one normal at the very least: where work runs depends on these,
# its result does not.
CALL_SECONDS, NORMAL_SECONDS = 8e-6, 1e-9
NO_LINES = np.empty(0), np.empty((0, 0))


class Threads:
    """The CPUs of this process, or so many of them."""

    def __init__(self, num_threads: int | None = None) -> None:
        self.num_threads = checks.thread_count(num_threads)

    @property
    def options(self) -> dict:
        """For an estimator that is to run at the same place."""
        return dict(num_threads=self.num_threads)

    def run(self, target, job: Job, report=None) -> Sums:
        """All chunks of a job; ``report`` is told how many draws are done.

        Raises
        ------
        KeyboardInterrupt
            with the Sums so far as ``.partial``
        """
        room = job.room()
        try:
            while swept(target, job, room, self.num_threads, report):
                target.density.recompile()
        except STOPPED as stopped:
            stopped.partial = room  # type: ignore[union-attr]
            raise
        return room

    def evaluate(self, target, points, gradient: bool = False):
        """log p at points (n, dim), or (log p, gradients)."""
        if gradient:
            return target.value_and_grad(points, num_threads=self.num_threads)
        return target.value(points, num_threads=self.num_threads)


def swept(target, job: Job, room: Sums, num_threads: int, report=None) -> bool:
    """Sweep a job into ``room``; True if the gradient must be recompiled without accumulation in place."""
    q, plan, variate, density = job.q, job.plan, job.control_variate, target.density
    compiled = density.trusted(lambda: q.sample(2, rng=job.key), job.pathwise)
    memory, stop, careless = density.memory(), np.zeros(1, np.int64), []
    draws = np.uint64(job.key.word), job.stream, job.first_draw, job.num_samples, plan.tile, plan.chunk, compiled.step
    what = (*q.arrays, q.dim, *draws) if job.gradient else (*q.of_values, *draws)
    where = compiled.address, memory.address, stop, room.rows
    if job.gradient is None:
        kernel = values.sweep(job.dtype)
        where = *where, room.log_w, job.keep == "left", *(variate.arrays if variate else NOTHING), 0
    elif job.mixed:
        kernel = mixed.sweep(q.family, job.dtype)
        wanted = q.path_rows(job.gradient)  # type: ignore[attr-defined]
        tables = q.path_tables if job.gradient == "mixed" else np.empty(0)  # type: ignore[attr-defined]
        variates = (*variate.arrays, *variate.path_arrays) if variate else (*NOTHING, *NO_PATHS)  # type: ignore
        where = *where, room.sums, not compiled.whole, wanted, tables, *variates
    elif job.pathwise:
        kernel = cpu.path_sweep(q.family, job.dtype)
        stick, lines = job.gradient == "sticking_the_landing", variate.arrays if variate else NO_LINES
        where = *where, room.sums, plan.group, not compiled.whole, stick, *lines
    else:
        kernel = cpu.score_sweep(q.family, job.dtype)
        where = *where, room.sums, *(variate.arrays if variate else NOTHING)

    def call(first, last):
        if not job.pathwise:
            return kernel(*what, first, last, *where) == cpu.RAISED

        def chunks_from(first, scratch):
            return kernel(*what, first, last, *where, scratch)

        status, first = tape_memory.with_room(chunks_from, first, cpu.NEEDS_SCRATCH)
        if status == cpu.NEEDS_CARE:
            careless.append(first)
        return status in (cpu.RAISED, cpu.NEEDS_CARE)

    def chunks_done(count):
        report(count * plan.chunk)

    batched = density.batch_size is not None
    kind = q.family, job.gradient, job.errors, variate is None, job.dtype
    rate = None if batched else density.rates.get(kind)
    expected = None if rate is None else rate * job.num_samples
    num_threads = 1 if batched else num_threads
    seconds = pool.run(plan.chunks, call, stop, num_threads, expected, None if report is None else chunks_done)
    seconds = max(seconds - CALL_SECONDS, job.num_samples * q.dim * NORMAL_SECONDS) / job.num_samples
    density.rates[kind] = seconds if rate is None else min(rate, seconds)
    return bool(careless)
