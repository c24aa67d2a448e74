"""One sweep on the GPU, in batches of blocks, so that Ctrl-C is answered and memory is bounded."""

import functools
import time
from typing import NamedTuple

import numpy as np

from ..density import compilations
from ..families import registry
from ..sums import moments, score
from . import cuda, device, scores
from . import plan as gpu_plan
from .buffers import lent_buffers
from .plan import THREADS

FIRST_BATCH, BATCH_BYTES = 4096, 2**29  # blocks of the first launch; device memory for a batch of blocks
QUICK_SECONDS, SLOW_SECONDS = 0.05, 0.2  # a batch is made larger or smaller outside these; no number depends on it


class Problem(NamedTuple):
    """What to sweep: a density, how the CPU has it compiled, its data; a family with its arrays; the draws' address."""

    function: object
    compiled: object
    kinds: tuple
    data: tuple
    family: str
    dim: int
    loc: np.ndarray
    scale: np.ndarray
    key: int
    stream: int
    offset: int
    num_samples: int
    dtype: str = "float64"
    inputs: object = None


def weights_kernel(problem, keep, surrogate):
    """The compiled kernel of log w; compiled once for what the density means now, of which ``compiled`` is the mark."""
    family, dim, shape, kinds, inputs = problem.family, problem.dim, problem.scale.shape, problem.kinds, problem.inputs

    def build(call):
        return device.jit(*cuda.weights(family, dim, shape, call, kinds, keep, surrogate, problem.dtype))

    key = (compilations.Kept(problem.compiled), kinds, family, dim, shape, keep, surrogate, problem.dtype)
    return compilations.once(key, lambda: device.compile_for_density(problem.function, kinds, dim, build, inputs))


@functools.cache
def scores_kernel(family, dim, shape, dtype):
    """(compiled kernel of the score sums, CUDA blocks for a block of draws)"""
    function, signature, blocks = scores.SCORES[family](dim, shape, dtype)
    return device.jit(function, signature), blocks


@functools.cache
def fold_kernel():
    """The compiled kernel that adds blocks up to chunks."""
    return device.jit(*cuda.fold())


def block_of(family, dim, shape, num_samples, gradient):
    """Draws in a block, for telling how far a sweep is."""
    return gpu_plan.plan(family, dim, shape, num_samples, score.SUMS if gradient else 0).block


def sweep(problem, gradient, terms, report=None):
    """(rows of the chunks, their score sums): as the chunks of ``cpu.sweep``.

    Raises
    ------
    KeyboardInterrupt
        with what is done so far as ``.partial``
    """
    with lent_buffers() as buffers:
        return in_batches(Launches(buffers, problem, gradient, terms), report)


def in_batches(launches, report):
    """Launch all blocks, some at a time."""
    done, batch, blocks = 0, FIRST_BATCH, launches.plan.blocks
    try:
        while done < blocks:
            start = time.perf_counter()
            count = min(blocks - done, batch, launches.most)
            launches.blocks(done, count)
            device.wait()
            done += count
            if report is not None:
                report(done)
            seconds = time.perf_counter() - start
            batch = 2 * batch if seconds < QUICK_SECONDS else max(1, batch // 2) if seconds > SLOW_SECONDS else batch
    except KeyboardInterrupt as interrupt:
        interrupt.partial = launches.chunks(done)
        raise
    return launches.chunks(done)


class Launches:
    """The kernels of a sweep with the memory that they work in."""

    def __init__(self, buffers, problem, gradient, terms):
        p = self.problem = problem
        plan = self.plan = gpu_plan.plan(p.family, p.dim, p.scale.shape, p.num_samples, score.SUMS if gradient else 0)
        family, self.gradient = registry.FAMILIES[p.family], gradient
        self.coordinates = plan.coordinates if gradient else 0
        self.weigh, self.fold = weights_kernel(p, gradient, len(terms[0]) > 0), fold_kernel()
        if gradient:
            self.add_scores, self.cuda_blocks = scores_kernel(p.family, p.dim, p.scale.shape, p.dtype)
        kept = len(family.GPU_KEEPS) * len(p.scale) if gradient else 0  # rows of what scores need of each draw
        each = (
            8 * moments.COLUMNS + 8 * score.SUMS * self.coordinates + (8 * plan.block * (1 + kept) if gradient else 0)
        )
        self.most = max(1, min(plan.blocks, BATCH_BYTES // each))  # blocks that may be on the device at once
        draws = min(p.num_samples, self.most * plan.block) if gradient else 1

        def sums(name, blocks):
            return buffers.room(name, (blocks if gradient else 1, score.SUMS, max(1, self.coordinates)))

        self.centre, self.rows = buffers.room("centre", 1), buffers.room("rows", (self.most, moments.COLUMNS))
        self.sums, self.log_w = sums("sums", self.most), buffers.room("log_w", draws)
        self.drawn = buffers.room("drawn", (max(1, kept), draws if kept else 1))
        self.chunk_rows, self.chunk_sums = (
            buffers.room("chunk_rows", (plan.chunks, moments.COLUMNS)),
            sums("chunk_sums", plan.chunks),
        )
        self.q = buffers.upload("loc", p.loc), buffers.upload("scale", p.scale)
        work = family.workspace(p.scale, 0)[0] if gradient else p.scale
        self.work, self.normaliser = buffers.upload("work", work), family.log_normaliser(p.scale, p.dim)
        # what is empty is uploaded as a single place, which the kernel is told not to look at
        terms_there = [buffers.upload(f"term{k}", term) for k, term in enumerate(terms)]
        self.terms = *terms_there, *map(len, terms[2:])

    def blocks(self, first, count):
        """Sweep the blocks ``first`` … ``first + count - 1`` and add them to their chunks."""
        p, plan = self.problem, self.plan
        cut = p.num_samples, plan.chunk, plan.block, plan.each, first
        address = np.uint64(p.key), np.uint64(p.stream), p.offset, *cut
        results = self.rows, self.centre, self.log_w, self.drawn
        weights = *self.q, self.work, self.normaliser, *address, p.data, *results, *self.terms
        device.launch(self.weigh, (count, 1), THREADS, *weights)
        if self.gradient:
            scores = *self.q, *address, self.log_w, self.drawn, self.centre, self.sums
            device.launch(self.add_scores, (count, self.cuda_blocks), THREADS, *scores)
        chunks = (first + count - 1) // plan.each - first // plan.each + 1
        entries = -(-(score.SUMS * self.coordinates + 1) // THREADS)
        which = first, count, plan.each, self.coordinates
        into = self.centre, self.chunk_rows, self.chunk_sums
        device.launch(self.fold, (entries, chunks), THREADS, self.rows, self.sums, *which, *into)

    def chunks(self, blocks):
        """(rows, sums) of the chunks that the first ``blocks`` blocks are in, on the host."""
        if not blocks:
            return np.zeros((1, moments.COLUMNS)), np.zeros((0, score.SUMS, self.coordinates))
        count = -(-blocks // self.plan.each)
        sums = device.to_host(self.chunk_sums)[:count] if self.gradient else np.zeros((0, score.SUMS, 0))
        return device.to_host(self.chunk_rows)[:count], sums
