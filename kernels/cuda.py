"""The sweep on CUDA: draw eps -> transform z -> log p - log q -> accumulate, a draw a thread and a leaf a block.

The routines are those of ``cpu``.  A *leaf* is a fixed run of draws whose sums one block keeps; a *group* is a run of
leaves, added up in order: what ``cpu`` calls a leaf.  Both depend on the problem alone, never on the device, and there
are no atomics, so a result has the same bits on every run.  Draws are not stored but made again from their counters:
memory is O(S).
"""

import functools
import math
from typing import NamedTuple

from numba import cuda, types

from . import cpu, full_rank, mean_field, moments, score, surrogate
from .device import SIMULATED
from .jit import routine
from .triangular import next_four, solve_transposed

THREADS = 8 if SIMULATED else 128  # of a block: a power of two
MAX_LEAVES, LEAF_BYTES = 8192, 2**26
TILE_BYTES = 24 * 1024  # of shared memory, for eps and y of a tile
MAX_DIM = 1024  # a draw is in each thread's own memory
F8, I8, U8 = types.float64, types.int64, types.uint64
VECTOR, MATRIX, CUBE = F8[::1], F8[:, ::1], F8[:, :, ::1]
SCALES = {1: VECTOR, 2: MATRIX}
ADDRESS = U8, U8, I8, I8, I8, I8, I8, I8, I8  # key, stream, offset, num_samples, group, leaf, each, first_leaf, base


class Plan(NamedTuple):
    """How a sweep is cut: draws in a group, groups, draws in a leaf, leaves in a group, places for scores in a leaf."""

    group: int
    groups: int
    leaf: int
    each: int
    coordinates: int

    @property
    def leaves(self) -> int:
        return self.groups * self.each

    def first_draw(self, leaf) -> int:
        """The draw that a leaf starts with."""
        return leaf // self.each * self.group + leaf % self.each * self.leaf


@functools.lru_cache(maxsize=4096)
def plan(family: str, dim: int, num_samples: int, sums: int) -> Plan:
    """Cut ``num_samples`` draws, with so many ``sums`` for each variational parameter.

    Groups are the leaves of the CPU's plan, as the optimal baseline depends on them.
    """
    whole = cpu.plan(family, dim, num_samples, sums)
    most = min(MAX_LEAVES, LEAF_BYTES // (8 * max(1, sums * whole.coordinates)))
    each = max(1, min(most // whole.leaves, -(-whole.leaf // THREADS)))
    leaf = -(-whole.leaf // (each * THREADS)) * THREADS
    return Plan(whole.leaf, whole.leaves, leaf, -(-whole.leaf // leaf), whole.coordinates)


@routine
def draws_of(which, group, leaf, each, num_samples):
    """(first, end): the draws of a leaf."""
    start = which // each * group
    first = start + which % each * leaf
    return first, min(num_samples, first + leaf, start + group)


def weights(family_name: str, dim: int, call, kinds, keep: bool, surrogate_: bool, dtype: str = "float64"):
    """(kernel, signature): the moments of each leaf, and with ``keep`` log w of each draw."""
    family, threads, columns = cpu.FAMILIES[family_name], THREADS, moments.COLUMNS
    height = family.rows(dim)
    blocks = next_four(dim) if surrogate_ else height
    by_pairs, fill_draw = family is mean_field and not surrogate_, cpu.DRAWS[dtype].fill_draw
    pair_of = cpu.DRAWS[dtype].pair_of
    kept = 2 if by_pairs else blocks

    def weigh_leaves(
        loc, scale, normaliser, key, stream, offset, num_samples, group, leaf, each, first_leaf, base,
        data, rows, log_ws, linear, squares, pairs, cubic, num_pairs, num_cubic,
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_leaf + cuda.blockIdx.x
        parts = cuda.shared.array((threads, columns), F8)
        eps, z = cuda.local.array((kept, 1), F8), cuda.local.array((height, 1), F8)
        half_square, log_p, log_w = cuda.local.array(1, F8), cuda.local.array(1, F8), cuda.local.array(1, F8)
        if surrogate_:
            terms = linear, squares, pairs[:num_pairs], cubic[:num_cubic]
            v, h2 = cuda.local.array((blocks, 1), F8), cuda.local.array((blocks, 1), F8)
        row = parts[thread]
        for k in range(columns):
            row[k] = 0.0
        first, end = draws_of(which, group, leaf, each, num_samples)
        for draw in range(first + thread, end, threads):
            if by_pairs:
                draw_by_pairs(pair_of, loc, scale, dim, offset + draw, stream, key, eps, z, half_square)
            else:
                fill_draw(eps, dim, offset + draw, stream, key)
                family.transform(loc, scale, eps[:height], z, half_square)
            raised, log_p[0] = call(z, data)
            if raised:
                row[moments.RAISED] = moments.earlier(row[moments.RAISED], offset + draw + 1.0)
            log_w[0] = log_p[0] + (half_square[0] + normaliser)
            if surrogate_:
                surrogate.subtract(terms, eps, v, h2, log_w)
            moments.add_tile(row, log_w, log_p, 1, offset + draw)
            if keep:
                log_ws[draw - base] = log_w[0]
        cuda.syncthreads()
        step = threads // 2
        while step > 0:
            if thread < step:
                moments.merge_row(parts[thread + step], row)
            cuda.syncthreads()
            step //= 2
        if thread == 0:
            row[moments.CENTRE] = row[moments.MEAN_W] if math.isfinite(row[moments.MEAN_W]) else 0.0
            for k in range(columns):
                rows[which, k] = row[k]

    sample = (VECTOR, SCALES[family.SCALE_NDIM], F8, *ADDRESS)
    surrogate_kinds = (VECTOR, VECTOR, MATRIX, MATRIX, I8, I8)
    data = types.Tuple(tuple(mutable(k) for k in kinds))
    return weigh_leaves, types.void(*sample, data, MATRIX, VECTOR, *surrogate_kinds)


@routine
def draw_by_pairs(pair_of, loc, scale, dim, draw, stream, key, eps, z, half_square):
    """A mean-field draw, in whose memory no more than two eps are kept."""
    half_square[0] = 0.0
    for pair in range(dim // 2):
        i = 2 * pair
        eps[0, 0], eps[1, 0] = pair_of(draw, pair, stream, key)
        mean_field.transform_row(loc[i], scale[i], eps[0], z[i], half_square)
        mean_field.transform_row(loc[i + 1], scale[i + 1], eps[1], z[i + 1], half_square)
    if dim % 2 == 1:
        eps[0, 0], _ = pair_of(draw, dim // 2, stream, key)
        mean_field.transform_row(loc[dim - 1], scale[dim - 1], eps[0], z[dim - 1], half_square)


def mutable(kind):
    """The type that a device array has for numba-cuda."""
    return kind.copy(readonly=False) if isinstance(kind, types.Array) else kind


def mean_field_scores(dim: int, dtype: str = "float64"):
    """(kernel, signature, blocks for a leaf): the score sums of each leaf.

    A thread takes two dimensions, which are a mean-field Gaussian of their own, of every ``lanes``-th draw.
    """
    threads, sums_, entries, tasks = THREADS, score.SUMS, 4 * score.SUMS, (dim + 1) // 2
    pair_of = cpu.DRAWS[dtype].pair_of

    def add_leaves(
        loc, scale, work, key, stream, offset, num_samples, group, leaf, each, first_leaf, base, log_ws, rows, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_leaf + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        here = min(threads, tasks - cuda.blockIdx.y * threads)
        lanes = threads // here
        pair, lane = cuda.blockIdx.y * threads + thread % here, thread // here
        eps, own, f = cuda.local.array((2, 1), F8), cuda.local.array((sums_, 4), F8), cuda.local.array(1, F8)
        clear(own)
        if lane < lanes:
            first, end = draws_of(which, group, leaf, each, num_samples)
            for draw in range(first + lane, end, lanes):
                eps[0, 0], eps[1, 0] = pair_of(offset + draw, pair, stream, key)
                f[0] = log_ws[draw - base] - rows[0, moments.CENTRE]
                mean_field.add_scores(loc, scale, eps, f, 1, work, own)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(sums_):
                for i in range(2 * pair, min(dim, 2 * pair + 2)):
                    sums[which, row, i] = parts[4 * row + i - 2 * pair, thread]
                    sums[which, row, dim + i] = parts[4 * row + 2 + i - 2 * pair, thread]

    return add_leaves, types.void(VECTOR, VECTOR, VECTOR, *ADDRESS, VECTOR, MATRIX, CUBE), -(-tasks // threads)


def full_rank_scores(dim: int, dtype: str = "float64"):
    """(kernel, signature, blocks for a leaf): the score sums of each leaf.

    The block makes eps and y = L^-T eps for a tile of draws; then a thread takes loc_i and log L_ii, or a square of two
    rows and two columns of L, of every ``lanes``-th draw.
    """
    threads, sums_, entries, size = THREADS, score.SUMS, 4 * score.SUMS, next_four(dim)
    half, fill_draw = size // 2, cpu.DRAWS[dtype].fill_draw
    tasks = size + half * (half + 1) // 2
    tile = min(threads, TILE_BYTES // (16 * size + 8))

    def add_leaves(
        loc, scale, work, key, stream, offset, num_samples, group, leaf, each, first_leaf, base, log_ws, rows, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_leaf + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        eps = cuda.shared.array((size, tile), F8)
        y = cuda.shared.array((size, tile), F8)
        f = cuda.shared.array(tile, F8)
        own, scratch = cuda.local.array((sums_, 4), F8), cuda.local.array(1, F8)
        here = min(threads, tasks - cuda.blockIdx.y * threads)
        lanes = threads // here
        task, lane = cuda.blockIdx.y * threads + thread % here, thread // here
        a, b = square_of(task - size)
        clear(own)
        start, end = draws_of(which, group, leaf, each, num_samples)
        for first in range(start, end, tile):
            count = min(tile, end - first)
            cuda.syncthreads()
            if thread < count:
                column = slice(thread, thread + 1)
                fill_draw(eps[:, column], dim, offset + first + thread, stream, key)
                solve_transposed(work, scale, eps[:, column], y[:, column])
                f[thread] = log_ws[first + thread - base] - rows[0, moments.CENTRE]
            cuda.syncthreads()
            if lane < lanes:
                for j in range(lane, count, lanes):
                    one = slice(j, j + 1)
                    if task < size:
                        e, w = eps[task, one], y[task, one]
                        full_rank.add_own(own, 0, 1, scale[task, task], w, e, scratch, f[one], 1)
                    else:
                        full_rank.add_block(own, 0, 2, y[:, one], a, eps[:, one], b, f[one], 1)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(sums_):
                if task < size:
                    sums[which, row, task] = parts[4 * row, thread]
                    sums[which, row, size + task] = parts[4 * row + 1, thread]
                else:
                    for k in range(4):
                        sums[which, row, (2 + a + k // 2) * size + b + k % 2] = parts[4 * row + k, thread]

    return add_leaves, types.void(VECTOR, MATRIX, MATRIX, *ADDRESS, VECTOR, MATRIX, CUBE), -(-tasks // threads)


@routine
def square_of(number):
    """The even (a, b), b <= a, of the ``number``-th square of the triangle, row by row."""
    half = 0
    while (half + 1) * (half + 2) // 2 <= number:
        half += 1
    return 2 * half, 2 * (number - half * (half + 1) // 2)


@routine
def clear(own):
    """Set a matrix to zero."""
    for i in range(own.shape[0]):
        for k in range(own.shape[1]):
            own[i, k] = 0.0


@routine
def fold_lanes(own, parts, thread, here, lanes):
    """Add up the sums of the threads that share a task, in order, at the place of the first of them."""
    for i in range(own.shape[0]):
        for k in range(own.shape[1]):
            parts[own.shape[1] * i + k, thread] = own[i, k]
    cuda.syncthreads()
    if thread < here:
        for entry in range(len(parts)):
            for lane in range(1, lanes):
                parts[entry, thread] += parts[entry, thread + lane * here]


def fold():
    """(kernel, signature): leaves added up to groups, in order; the grid is (sums of a leaf and one, groups)."""
    columns = moments.COLUMNS

    def add_up(rows, sums, leaves, each, coordinates, size, group_rows, group_sums):
        entry, which = cuda.grid(1), cuda.blockIdx.y
        first, last = which * each, min(leaves, (which + 1) * each)
        if entry < score.SUMS * coordinates:
            i, k = entry // coordinates, entry % coordinates
            total = 0.0
            if not above_diagonal(k, size):
                for leaf in range(first, last):
                    total += sums[leaf, i, k]
            group_sums[which, i, k] = total
        elif entry == score.SUMS * coordinates:
            row = group_rows[which]
            for k in range(columns):
                row[k] = 0.0
            for leaf in range(first, last):
                moments.merge_row(rows[leaf], row)
            row[moments.CENTRE] = rows[0, moments.CENTRE]

    return add_up, types.void(MATRIX, CUBE, I8, I8, I8, I8, MATRIX, CUBE)


@routine
def above_diagonal(k, size):
    """Whether a full-rank place lies above the triangle of ``size`` rows, where nothing was written; 0 for no rows."""
    return size > 0 and k >= 2 * size and k % size // 2 > (k // size - 2) // 2


SCORES = {"mean_field": mean_field_scores, "full_rank": full_rank_scores}
