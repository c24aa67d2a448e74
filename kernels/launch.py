"""One sweep on the GPU: batches of leaves, so that Ctrl-C is answered and log w takes little memory, then groups."""

import functools
import time
from typing import NamedTuple

import numpy as np

from . import cpu, cuda, device, memo, moments, score

FIRST_BATCH, LARGEST_BATCH = 2**20, 2**25  # draws: 256 MB of log w at most
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
    return cuda.plan(family, dim, num_samples, score.SUMS if gradient else 0).leaf


def sweep(problem, gradient, terms, report=None):
    """(rows of the groups, their score sums): as the leaves of ``cpu.sweep``.

    Raises
    ------
    KeyboardInterrupt
        with what is done so far as ``.partial``
    """
    p = problem
    plan = cuda.plan(p.family, p.dim, p.num_samples, score.SUMS if gradient else 0)
    family = cpu.FAMILIES[p.family]
    weigh = weights_kernel(p, gradient, len(terms[0]) > 0)
    buffers = device.buffers()
    loc, scale = buffers.upload("loc", p.loc), buffers.upload("scale", p.scale)
    # a device has no empty arrays: what is empty is a place that the kernel is told not to look at
    terms = [buffers.upload(f"term{k}", term) for k, term in enumerate(terms)] + [len(term) for term in terms[2:]]
    rows = buffers.room("rows", (plan.leaves, moments.COLUMNS))
    sums = buffers.room("sums", (plan.leaves if gradient else 1, score.SUMS, max(1, plan.coordinates)))
    log_w = buffers.room("log_w", min(p.num_samples, max(LARGEST_BATCH, plan.leaf)) if gradient else 1)
    key, stream = np.uint64(p.key), np.uint64(p.stream)
    if gradient:
        add_scores, blocks = scores_kernel(p.family, p.dim, p.dtype)
        work = buffers.upload("work", np.ascontiguousarray(family.workspace(p.scale, 0)[0]))
    normaliser = family.log_normaliser(p.scale, p.dim)

    def leaves(first, count):
        address = key, stream, p.offset, p.num_samples, plan.group, plan.leaf, plan.each, first, plan.first_draw(first)
        device.launch(weigh, (count, 1), cuda.THREADS, loc, scale, normaliser, *address, p.data, rows, log_w, *terms)
        if gradient:
            device.launch(add_scores, (count, blocks), cuda.THREADS, loc, scale, work, *address, log_w, rows, sums)

    done, interrupt = 0, None
    batch = FIRST_BATCH
    try:
        while done < plan.leaves:
            start = time.perf_counter()
            count = min(plan.leaves - done, max(1, batch // plan.leaf))
            leaves(done, count)
            device.wait()
            done += count
            if report is not None:
                report(done)
            seconds = time.perf_counter() - start
            batch = max(1, batch // 2) if seconds > SLOW_SECONDS else batch
            batch = min(LARGEST_BATCH, 2 * batch) if seconds < QUICK_SECONDS else batch
    except KeyboardInterrupt as stopped:
        interrupt = stopped
    found = folded(plan, rows, sums, done, gradient, len(p.scale) if p.scale.ndim == 2 else 0)
    if interrupt is not None:
        interrupt.partial = found
        raise interrupt
    return found


def folded(plan, rows, sums, leaves, gradient, size):
    """The groups of the first leaves, on the host."""
    groups = -(-leaves // plan.each)
    coordinates = plan.coordinates if gradient else 0
    buffers = device.buffers()
    group_rows = buffers.room("group_rows", (max(1, groups), moments.COLUMNS))
    group_sums = buffers.room("group_sums", (max(1, groups) if gradient else 1, score.SUMS, max(1, coordinates)))
    if not leaves:
        return np.zeros((1, moments.COLUMNS)), np.zeros((0, score.SUMS, coordinates))
    grid = -(-(score.SUMS * coordinates + 1) // cuda.THREADS), groups
    wanted = leaves, plan.each, coordinates, size
    device.launch(fold_kernel(), grid, cuda.THREADS, rows, sums, *wanted, group_rows, group_sums)
    sums = device.to_host(group_sums) if gradient else np.zeros((0, 0, 0))
    return device.to_host(group_rows), sums
