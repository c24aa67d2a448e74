"""One sweep on the GPU, in batches of leaves, so that Ctrl-C is answered and memory is bounded."""

import functools
import time
from typing import NamedTuple

import numpy as np

from ..density import compilations
from ..families import registry
from ..sums import moments, score
from . import cuda, device
from . import plan as gpu_plan
from .buffers import lent_buffers
from .plan import THREADS

FIRST_BATCH, BATCH_BYTES = 4096, 2**29  # leaves of the first launch; device memory for a batch of leaves
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


def weights_kernel(problem, keep, surrogate):
    """The compiled kernel of log w; compiled once for what the density means now, of which ``compiled`` is the mark."""
    family, dim, kinds = problem.family, problem.dim, problem.kinds

    def build(call):
        return device.jit(*cuda.weights(family, dim, call, kinds, keep, surrogate, problem.dtype))

    key = (compilations.Kept(problem.compiled), kinds, family, dim, keep, surrogate, problem.dtype)
    return compilations.once(key, lambda: device.compile_for_density(problem.function, kinds, dim, build))


@functools.cache
def scores_kernel(family, dim, dtype):
    """(compiled kernel of the score sums, blocks for a leaf)"""
    function, signature, blocks = cuda.SCORES[family](dim, dtype)
    return device.jit(function, signature), blocks


@functools.cache
def fold_kernel():
    """The compiled kernel that adds leaves up to groups."""
    return device.jit(*cuda.fold())


def leaf_of(family, dim, num_samples, gradient):
    """Draws in a leaf, for telling how far a sweep is."""
    return gpu_plan.plan(family, dim, num_samples, score.SUMS if gradient else 0).leaf


def sweep(problem, gradient, terms, report=None):
    """(rows of the groups, their score sums): as the leaves of ``cpu.sweep``.

    Raises
    ------
    KeyboardInterrupt
        with what is done so far as ``.partial``
    """
    with lent_buffers() as buffers:
        return in_batches(Launches(buffers, problem, gradient, terms), report)


def in_batches(launches, report):
    """Launch all leaves, some at a time."""
    done, batch, leaves = 0, FIRST_BATCH, launches.plan.leaves
    try:
        while done < leaves:
            start = time.perf_counter()
            count = min(leaves - done, batch, launches.most)
            launches.leaves(done, count)
            device.wait()
            done += count
            if report is not None:
                report(done)
            seconds = time.perf_counter() - start
            batch = 2 * batch if seconds < QUICK_SECONDS else max(1, batch // 2) if seconds > SLOW_SECONDS else batch
    except KeyboardInterrupt as interrupt:
        interrupt.partial = launches.groups(done)
        raise
    return launches.groups(done)


class Launches:
    """The kernels of a sweep with the memory that they work in."""

    def __init__(self, buffers, problem, gradient, terms):
        p = self.problem = problem
        plan = self.plan = gpu_plan.plan(p.family, p.dim, p.num_samples, score.SUMS if gradient else 0)
        self.gradient, self.rows_of_scale = gradient, len(p.scale) if p.scale.ndim == 2 else 0
        self.coordinates = plan.coordinates if gradient else 0
        self.weigh, self.fold = weights_kernel(p, gradient, len(terms[0]) > 0), fold_kernel()
        if gradient:
            self.add_scores, self.blocks = scores_kernel(p.family, p.dim, p.dtype)
        kept = 2 * self.rows_of_scale if gradient else 0  # rows of eps and y, for the scores of full rank
        each = 8 * moments.COLUMNS + 8 * score.SUMS * self.coordinates + (8 * plan.leaf * (1 + kept) if gradient else 0)
        self.most = max(1, min(plan.leaves, BATCH_BYTES // each))  # leaves that may be on the device at once
        draws = min(p.num_samples, self.most * plan.leaf) if gradient else 1

        def sums(name, leaves):
            return buffers.room(name, (leaves if gradient else 1, score.SUMS, max(1, self.coordinates)))

        self.centre, self.rows = buffers.room("centre", 1), buffers.room("rows", (self.most, moments.COLUMNS))
        self.sums, self.log_w = sums("sums", self.most), buffers.room("log_w", draws)
        self.drawn = buffers.room("drawn", (max(1, kept), draws if kept else 1))
        self.group_rows, self.group_sums = (
            buffers.room("group_rows", (plan.groups, moments.COLUMNS)),
            sums("group_sums", plan.groups),
        )
        self.q = buffers.upload("loc", p.loc), buffers.upload("scale", p.scale)
        family = registry.FAMILIES[p.family]
        work = family.workspace(p.scale, 0)[0] if gradient else p.scale
        self.work, self.normaliser = buffers.upload("work", work), family.log_normaliser(p.scale, p.dim)
        # what is empty is uploaded as a single place, which the kernel is told not to look at
        terms_there = [buffers.upload(f"term{k}", term) for k, term in enumerate(terms)]
        self.terms = *terms_there, *map(len, terms[2:])

    def leaves(self, first, count):
        """Sweep the leaves ``first`` … ``first + count - 1`` and add them to their groups."""
        p, plan = self.problem, self.plan
        cut = p.num_samples, plan.group, plan.leaf, plan.each, first
        address = np.uint64(p.key), np.uint64(p.stream), p.offset, *cut
        results = self.rows, self.centre, self.log_w, self.drawn
        weights = *self.q, self.work, self.normaliser, *address, p.data, *results, *self.terms
        device.launch(self.weigh, (count, 1), THREADS, *weights)
        if self.gradient:
            scores = *self.q, *address, self.log_w, self.drawn, self.centre, self.sums
            device.launch(self.add_scores, (count, self.blocks), THREADS, *scores)
        groups = (first + count - 1) // plan.each - first // plan.each + 1
        entries = -(-(score.SUMS * self.coordinates + 1) // THREADS)
        which = first, count, plan.each, self.coordinates, self.rows_of_scale
        into = self.centre, self.group_rows, self.group_sums
        device.launch(self.fold, (entries, groups), THREADS, self.rows, self.sums, *which, *into)

    def groups(self, leaves):
        """(rows, sums) of the groups that the first ``leaves`` leaves are in, on the host."""
        if not leaves:
            return np.zeros((1, moments.COLUMNS)), np.zeros((0, score.SUMS, self.coordinates))
        count = -(-leaves // self.plan.each)
        sums = device.to_host(self.group_sums)[:count] if self.gradient else np.zeros((0, score.SUMS, 0))
        return device.to_host(self.group_rows)[:count], sums
