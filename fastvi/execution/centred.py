"""The second pass of a score gradient: sums of scores times f less its mean, over the same draws."""

import numpy as np

from .. import kept_memory
from ..kernels.cpu import centred as cpu
from ..kernels.cpu import pool
from ..kernels.sums import centred
from .job import Job

# A rough guess, as where work runs depends on it and nothing else
NORMAL_SECONDS, PRODUCT_SECONDS = 1e-9, 3e-11


def sums(job: Job, counts: np.ndarray, log_w: np.ndarray, mean: float, num_threads: int) -> np.ndarray:
    """(chunks, sums, places) for the first ``counts`` draws of each chunk, whose ``log_w`` are known with their mean.

    Raises
    ------
    KeyboardInterrupt
    """
    q, plan = job.q, job.plan
    found, stop = kept_memory.empty((plan.chunks, centred.SUMS, plan.coordinates)), np.zeros(1, np.int64)
    kernel = cpu.sweep(q.family, job.dtype)
    draws = np.uint64(job.key.word), job.stream, job.first_draw
    tile = min(plan.chunk, q.kernels.TILE)

    def call(first, last):
        kernel(*q.arrays, q.dim, *draws, tile, plan.chunk, first, last, stop, counts, log_w, mean, plan.group, found)

    seconds = job.num_samples * q.dim * (NORMAL_SECONDS + PRODUCT_SECONDS * q.dim)
    pool.run(plan.chunks, call, stop, num_threads, seconds, None)
    return found
