"""One sweep on the GPU, in batches of leaves, so that Ctrl-C is answered and memory is bounded."""

import functools
import time
from typing import NamedTuple

import numpy as np

from . import cpu, cuda, device, memo, moments, partition, score
from .buffers import lent_buffers
from .partition import THREADS

FIRST_BATCH, BATCH_BYTES = 1024, 2**29  # leaves of the first launch; device memory for a batch of leaves
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

    key = (memo.Kept(problem.compiled), kinds, family, dim, keep, surrogate, problem.dtype)
    return memo.once(key, lambda: device.compile_for_density(problem.function, kinds, dim, build))


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
    return partition.plan(family, dim, num_samples, score.SUMS if gradient else 0).leaf


def largest_batch(problem, plan, gradient):
    """Leaves that may be on the device at once."""
    bytes_ = 8 * moments.COLUMNS
    if gradient:
        bytes_ += 8 * score.SUMS * plan.coordinates + 8 * plan.leaf * (1 + kept_rows(problem, gradient))
    return max(1, min(plan.leaves, BATCH_BYTES // bytes_))


def kept_rows(problem, gradient):
    """Rows of eps and y that are kept for the scores of a draw."""
    return 2 * len(problem.scale) if gradient and problem.scale.ndim == 2 else 0


def sweep(problem, gradient, terms, report=None):
    """(rows of the groups, their score sums): as the leaves of ``cpu.sweep``.

    Raises
    ------
    KeyboardInterrupt
        with what is done so far as ``.partial``
    """
    with lent_buffers() as buffers:
        return sweep_in(buffers, problem, gradient, terms, report)


def sweep_in(buffers, p, gradient, terms, report):
    """The same with memory that is nobody else's for the time."""
    plan = partition.plan(p.family, p.dim, p.num_samples, score.SUMS if gradient else 0)
    family = cpu.FAMILIES[p.family]
    weigh = weights_kernel(p, gradient, len(terms[0]) > 0)
    most, coordinates, size = largest_batch(p, plan, gradient), plan.coordinates if gradient else 0, len(p.scale)
    size = size if p.scale.ndim == 2 else 0
    loc, scale = buffers.upload("loc", p.loc), buffers.upload("scale", p.scale)
    # what is empty is uploaded as a single place, which the kernel is told not to look at
    terms = [buffers.upload(f"term{k}", term) for k, term in enumerate(terms)] + [len(term) for term in terms[2:]]
    rows, centre = buffers.room("rows", (most, moments.COLUMNS)), buffers.room("centre", 1)
    sums = buffers.room("sums", (most if gradient else 1, score.SUMS, max(1, coordinates)))
    room = min(p.num_samples, most * plan.leaf) if gradient else 1
    log_w = buffers.room("log_w", room)
    drawn = buffers.room("drawn", (max(1, kept_rows(p, gradient)), room if kept_rows(p, gradient) else 1))
    group_rows = buffers.room("group_rows", (plan.groups, moments.COLUMNS))
    group_sums = buffers.room("group_sums", (plan.groups if gradient else 1, score.SUMS, max(1, coordinates)))
    key, stream = np.uint64(p.key), np.uint64(p.stream)
    work = buffers.upload("work", np.ascontiguousarray(family.workspace(p.scale, 0)[0])) if gradient else scale
    if gradient:
        add_scores, blocks = scores_kernel(p.family, p.dim, p.dtype)
    normaliser = family.log_normaliser(p.scale, p.dim)
    entries = -(-(score.SUMS * coordinates + 1) // THREADS)

    def leaves(first, count):
        address = key, stream, p.offset, p.num_samples, plan.group, plan.leaf, plan.each, first
        kept = rows, centre, log_w, drawn
        device.launch(weigh, (count, 1), THREADS, loc, scale, work, normaliser, *address, p.data, *kept, *terms)
        if gradient:
            device.launch(add_scores, (count, blocks), THREADS, loc, scale, *address, log_w, drawn, centre, sums)
        groups = (first + count - 1) // plan.each - first // plan.each + 1
        cut = first, count, plan.each, coordinates, size
        device.launch(fold_kernel(), (entries, groups), THREADS, rows, sums, *cut, centre, group_rows, group_sums)

    done, batch, interrupt = 0, FIRST_BATCH, None
    try:
        while done < plan.leaves:
            start = time.perf_counter()
            count = min(plan.leaves - done, batch, most)
            leaves(done, count)
            device.wait()
            done += count
            if report is not None:
                report(done)
            seconds = time.perf_counter() - start
            batch = 2 * batch if seconds < QUICK_SECONDS else max(1, batch // 2) if seconds > SLOW_SECONDS else batch
    except KeyboardInterrupt as stopped:
        interrupt = stopped
    groups = -(-done // plan.each)
    found = device.to_host(group_rows)[:groups], device.to_host(group_sums)[: groups if gradient else 0]
    if not done:
        found = np.zeros((1, moments.COLUMNS)), np.zeros((0, score.SUMS, coordinates))
    if interrupt is not None:
        interrupt.partial = found
        raise interrupt
    return found
