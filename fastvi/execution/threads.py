"""A run of chunks, swept on this machine: the arguments of a compiled sweep, and the threads it runs on."""

from typing import NamedTuple

import numpy as np

from ..control_variates import Surrogate
from ..families.base import Gaussian
from ..kernels.cpu import pool
from ..kernels.cpu import sweep as cpu
from ..kernels.density import abi, tape_memory
from ..kernels.plan import Plan
from ..kernels.sums import moments, pathwise, score
from ..kernels.sums.control_variate import NOTHING
from ..rng import Key

# To enter a compiled sweep and leave it, and to draw one normal at the very least: where work runs depends on these,
# its result does not.
CALL_SECONDS, NORMAL_SECONDS = 8e-6, 1e-9
NO_WEIGHTS = np.empty(0)
NO_LINES = np.empty(0), np.empty((0, 0))


class Job(NamedTuple):
    """All that the numbers of a sweep depend on, but for the target.

    ``gradient`` is None, "score", "pathwise" or "sticking_the_landing"; ``plan`` says how the draws are cut.
    """

    q: Gaussian
    key: Key
    stream: int
    first_draw: int
    num_samples: int
    plan: Plan
    gradient: str | None
    surrogate: Surrogate | None
    dtype: str

    @property
    def paths(self) -> bool:
        return self.gradient not in (None, "score")

    def room(self) -> tuple[np.ndarray, np.ndarray]:
        """For the sums: (moments of each chunk, its sums of gradients)."""
        chunks, each = self.plan.chunks, sums_of(self.gradient)
        return (
            np.zeros((chunks, moments.COLUMNS)),
            np.zeros((chunks if self.gradient else 0, each, self.plan.coordinates)),
        )

    def fingerprint(self) -> bytes:
        """Equal for jobs with equal numbers."""
        arrays = [*self.q.arrays, *(self.surrogate.arrays if self.surrogate else ())]
        words = self.q.family, self.key.word, *self[2:5], *self.plan, self.gradient, self.dtype
        return repr((words, [a.shape for a in arrays])).encode() + b"".join(a.tobytes() for a in arrays)

    def part(self, first, last) -> "Job":
        """The chunks first … last - 1 as a job of their own, with the same numbers."""
        start, end = first * self.plan.chunk, min(self.num_samples, last * self.plan.chunk)
        plan = self.plan._replace(chunks=last - first)
        return self._replace(first_draw=self.first_draw + start, num_samples=end - start, plan=plan)


def sums_of(gradient) -> int:
    """How many sums a gradient takes for each variational parameter."""
    return {None: 0, "score": score.SUMS}.get(gradient, pathwise.SUMS)


def run(target, job: Job, rows, sums, weights, num_threads, report) -> bool:
    """Sweep all chunks of a job into ``rows`` and ``sums``, and log w into ``weights`` unless that is None.

    Whether the density must be differentiated again, with care, for what it did with ``total += x``.
    """
    q, plan, paths, surrogate = job.q, job.plan, job.paths, job.surrogate
    trusted = target.derivative.trusted if paths else target.trusted
    compiled = trusted(lambda: q.sample(2, rng=job.key))
    memory, stop, careless = target.memory, np.zeros(1, np.int64), []
    followed = surrogate is not None
    kernel = (
        cpu.path_sweep(q.family, followed, job.dtype)
        if paths
        else cpu.sweep(q.family, bool(job.gradient), followed, job.dtype)
    )
    draws = np.uint64(job.key.word), job.stream, job.first_draw, job.num_samples
    lane_width = abi.LANE_WIDTH if compiled.vectorised else 1
    what = *q.arrays, q.dim, *draws, plan.tile, plan.chunk, lane_width
    where = compiled.address, memory.address, stop, rows, sums
    if paths:
        lines = surrogate.arrays if surrogate else NO_LINES
        where = *where, job.gradient == "sticking_the_landing", *lines
    else:
        where = *where, NO_WEIGHTS if weights is None else weights, *(surrogate.arrays if surrogate else NOTHING)

    def call(first, last):
        if not paths:
            return kernel(*what, first, last, *where) == cpu.RAISED

        def chunks_from(first, room):
            return kernel(*what, first, last, *where, room)

        status, first = tape_memory.with_room(chunks_from, first, cpu.NEEDS_SCRATCH)
        if status == cpu.NEEDS_CARE:
            careless.append(first)
        return status in (cpu.RAISED, cpu.NEEDS_CARE)

    batched = target.foreign is not None and target.foreign.tile is not None
    kind = q.family, job.gradient, surrogate is None, job.dtype
    rate = None if batched else target.rates.get(kind)
    expected = None if rate is None else rate * job.num_samples
    seconds = pool.run(plan.chunks, call, stop, 1 if batched else num_threads, expected, report)
    seconds = max(seconds - CALL_SECONDS, job.num_samples * q.dim * NORMAL_SECONDS) / job.num_samples
    target.rates[kind] = seconds if rate is None else min(rate, seconds)
    if careless and target.foreign is not None:
        raise RuntimeError(f"{target.name}: the {target.foreign.what} returned 3, which the contract does not know")
    return bool(careless)
