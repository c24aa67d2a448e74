"""The sweep on CUDA: draw eps -> transform z -> log p - log q -> accumulate, a draw a thread.

The routines are those of ``cpu``.  A *block* is a fixed run of draws whose sums one CUDA block keeps; a *chunk* is a
run of blocks, added up in order, the same as on the CPU.  Both depend on the problem alone, never on the device or on
the batches that blocks are launched in, and there are no atomics, so a result has the same bits on every run.
Mean-field draws are not stored but made again from their counters; of full-rank ones a batch is kept, with
y = L^-T eps.
"""

import math

from numba import cuda, types

from ..arithmetic.triangular import next_four, solve_transposed
from ..families import full_rank, mean_field, registry
from ..jit import routine
from ..sums import control_variate, moments, score
from .plan import THREADS, draws_of

TILE_BYTES = 24 * 1024  # of shared memory, for eps and y of a tile
MAX_DIM = 1024  # a draw is in each thread's own memory
F8, I8, U8 = types.float64, types.int64, types.uint64
VECTOR, MATRIX, CUBE = F8[::1], F8[:, ::1], F8[:, :, ::1]
SCALES = {1: VECTOR, 2: MATRIX}
ADDRESS = U8, U8, I8, I8, I8, I8, I8, I8  # key, stream, offset, num_samples, chunk, block, each, first_block


def weights(family_name: str, dim: int, call, kinds, keep: bool, surrogate_: bool, dtype: str = "float64"):
    """(kernel, signature): the moments of each block; with ``keep`` log w of each draw, and eps and y for full rank."""
    family, draws, threads, columns = registry.FAMILIES[family_name], registry.DRAWS[dtype], THREADS, moments.COLUMNS
    height = family.rows(dim)
    blocks = next_four(dim) if surrogate_ else height
    by_blocks, keep_draw = family.GPU_DRAWS_BY_BLOCKS and not surrogate_, keep and family.GPU_KEEPS_DRAWS
    kept = draws.BLOCK if by_blocks else blocks
    fill_draw = draws.fill_draw
    draw_by_blocks = by_blocks_of(family, draws, dim) if by_blocks else fill_draw

    def weigh_blocks(
        loc, scale, work, normaliser, key, stream, offset, num_samples, chunk, block, each, first_block,
        data, rows, centre, log_ws, drawn, linear, squares, pairs, cubic, num_pairs, num_cubic,
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_block + cuda.blockIdx.x
        parts = cuda.shared.array((threads, columns), F8)
        eps, z = cuda.local.array((kept, 1), F8), cuda.local.array((height, 1), F8)
        half_square, log_p, log_w = cuda.local.array(1, F8), cuda.local.array(1, F8), cuda.local.array(1, F8)
        if surrogate_:
            terms = linear, squares, pairs[:num_pairs], cubic[:num_cubic]
            v, h2 = cuda.local.array((blocks, 1), F8), cuda.local.array((blocks, 1), F8)
        row = parts[thread]
        for k in range(columns):
            row[k] = 0.0
        base, _ = draws_of(first_block, chunk, block, each, num_samples)
        first, end = draws_of(which, chunk, block, each, num_samples)
        for draw in range(first + thread, end, threads):
            if by_blocks:
                draw_by_blocks(loc, scale, offset + draw, stream, key, eps, z, half_square)
            else:
                fill_draw(eps, dim, offset + draw, stream, key)
                family.transform(loc, scale, eps[:height], z, half_square)
            raised, log_p[0] = call(z, data)
            if raised:
                row[moments.RAISED] = moments.earlier(row[moments.RAISED], offset + draw + 1.0)
            log_w[0] = log_p[0] + (half_square[0] + normaliser)
            if surrogate_:
                control_variate.subtract(terms, eps, v, h2, log_w)
            moments.add_tile(row, log_w, log_p, 1, offset + draw)
            if keep:
                log_ws[draw - base] = log_w[0]
            if keep_draw:
                solve_transposed(work, scale, eps, z)
                for i in range(height):
                    drawn[i, draw - base], drawn[height + i, draw - base] = eps[i, 0], z[i, 0]
        cuda.syncthreads()
        step = threads // 2
        while step > 0:
            if thread < step:
                moments.merge_row(parts[thread + step], row)
            cuda.syncthreads()
            step //= 2
        if thread == 0:
            for k in range(columns):
                rows[which - first_block, k] = row[k]
            if which == 0:
                centre[0] = row[moments.MEAN_W] if math.isfinite(row[moments.MEAN_W]) else 0.0

    data = types.Tuple(tuple(mutable(k) for k in kinds))
    results, terms = (MATRIX, VECTOR, VECTOR, MATRIX), (VECTOR, VECTOR, MATRIX, MATRIX, I8, I8)
    scale = SCALES[family.SCALE_NDIM]
    return weigh_blocks, types.void(VECTOR, scale, scale, F8, *ADDRESS, data, *results, *terms)


def by_blocks_of(family, draws, dim):
    """A draw of independent coordinates that keeps no more eps than come from one block of random words."""
    fill_block, step, transform_row = draws.fill_block, draws.BLOCK, family.transform_row

    @routine
    def draw_by_blocks(loc, scale, draw, stream, key, eps, z, half_square):
        half_square[0] = 0.0
        for block in range(dim // step):
            fill_block(eps, draw, block, stream, key)
            for k in range(step):
                i = step * block + k
                transform_row(loc[i], scale[i], eps[k], z[i], half_square)
        if dim % step > 0:
            fill_block(eps, draw, dim // step, stream, key)
            for i in range(dim // step * step, dim):
                transform_row(loc[i], scale[i], eps[i % step], z[i], half_square)

    return draw_by_blocks


def mutable(kind):
    """The type that a device array has for numba-cuda."""
    return kind.copy(readonly=False) if isinstance(kind, types.Array) else kind


def mean_field_scores(dim: int, dtype: str = "float64"):
    """(kernel, signature, CUDA blocks for a block of draws): the score sums of each block.

    A task is the dimensions of one block of normals, which are a mean-field Gaussian of their own.
    """
    fill_block, step = registry.DRAWS[dtype].fill_block, registry.DRAWS[dtype].BLOCK
    threads, kinds, places, tasks = THREADS, score.SUMS, 2 * step, -(-dim // step)
    entries = kinds * places

    def add_blocks(
        loc, scale, key, stream, offset, num_samples, chunk, block, each, first_block, log_ws, drawn, centre, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_block + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        here, lanes, task, lane = share(tasks, threads, thread, cuda.blockIdx.y)
        eps, own, f = cuda.local.array((step, 1), F8), cuda.local.array((kinds, places), F8), cuda.local.array(1, F8)
        clear(own)
        base, _ = draws_of(first_block, chunk, block, each, num_samples)
        first, end = draws_of(which, chunk, block, each, num_samples)
        if lane < lanes:
            for draw in range(first + lane, end, lanes):
                fill_block(eps, offset + draw, task, stream, key)
                f[0] = log_ws[draw - base] - centre[0]
                mean_field.add_scores(loc, scale, eps, f, 1, eps, own)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(kinds):
                for i in range(step * task, min(dim, step * (task + 1))):
                    place = places * row + i % step
                    sums[which - first_block, row, i] = parts[place, thread]
                    sums[which - first_block, row, dim + i] = parts[place + step, thread]

    return add_blocks, types.void(VECTOR, VECTOR, *ADDRESS, VECTOR, MATRIX, VECTOR, CUBE), -(-tasks // threads)


def full_rank_scores(dim: int, dtype: str = "float64"):
    """(kernel, signature, CUDA blocks for a block of draws): its score sums, from the eps and y that ``weights`` kept.

    A task is loc_i and log L_ii, or a square of two rows and two columns of L.
    """
    threads, kinds, places, size = THREADS, score.SUMS, 4, next_four(dim)
    entries, half = kinds * places, size // 2
    tasks = size + half * (half + 1) // 2
    tile = min(threads, TILE_BYTES // (16 * size + 8))

    def add_blocks(
        loc, scale, key, stream, offset, num_samples, chunk, block, each, first_block, log_ws, drawn, centre, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_block + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        eps = cuda.shared.array((size, tile), F8)
        y = cuda.shared.array((size, tile), F8)
        f = cuda.shared.array(tile, F8)
        here, lanes, task, lane = share(tasks, threads, thread, cuda.blockIdx.y)
        own, scratch = cuda.local.array((kinds, places), F8), cuda.local.array(1, F8)
        a, b = square_of(task - size)
        clear(own)
        base, _ = draws_of(first_block, chunk, block, each, num_samples)
        start, end = draws_of(which, chunk, block, each, num_samples)
        for first in range(start, end, tile):
            count, at = min(tile, end - first), first - base
            cuda.syncthreads()
            for entry in range(thread, size * count, threads):
                i, j = entry // count, entry % count
                eps[i, j], y[i, j] = drawn[i, at + j], drawn[size + i, at + j]
            for j in range(thread, count, threads):
                f[j] = log_ws[at + j] - centre[0]
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
            for row in range(kinds):
                if task < size:
                    sums[which - first_block, row, task] = parts[places * row, thread]
                    sums[which - first_block, row, size + task] = parts[places * row + 1, thread]
                else:
                    for k in range(4):
                        place = (2 + a + k // 2) * size + b + k % 2
                        sums[which - first_block, row, place] = parts[places * row + k, thread]

    return add_blocks, types.void(VECTOR, MATRIX, *ADDRESS, VECTOR, MATRIX, VECTOR, CUBE), -(-tasks // threads)


SCORES = {"mean_field": mean_field_scores, "full_rank": full_rank_scores}


@routine
def share(tasks, threads, thread, block):
    """(tasks of this block, threads to each, this thread's task, which of the task's threads it is)"""
    here = min(threads, tasks - block * threads)
    return here, threads // here, block * threads + thread % here, thread // here


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
    """(kernel, signature): the blocks of a batch added to their chunks, in order.

    The grid is (sums of a block and one, chunks of the batch).  ``size`` is the rows of a full-rank scale, or 0.
    """
    columns = moments.COLUMNS

    def add_up(rows, sums, first_block, blocks, each, coordinates, size, centre, chunk_rows, chunk_sums):
        entry, which = cuda.grid(1), first_block // each + cuda.blockIdx.y
        first, last = max(first_block, which * each), min(first_block + blocks, (which + 1) * each)
        begins = first == which * each
        if entry < score.SUMS * coordinates:
            i, k = entry // coordinates, entry % coordinates
            total = 0.0 if begins else chunk_sums[which, i, k]
            if not above_diagonal(k, size):
                for block in range(first, last):
                    total += sums[block - first_block, i, k]
            chunk_sums[which, i, k] = total
        elif entry == score.SUMS * coordinates:
            row = chunk_rows[which]
            if begins:
                for k in range(columns):
                    row[k] = 0.0
                row[moments.CENTRE] = centre[0]
            for block in range(first, last):
                moments.merge_row(rows[block - first_block], row)

    return add_up, types.void(MATRIX, CUBE, I8, I8, I8, I8, I8, VECTOR, MATRIX, CUBE)


@routine
def above_diagonal(k, size):
    """Whether a full-rank place lies above the triangle of ``size`` rows, where nothing was written."""
    return size > 0 and k >= 2 * size and k % size // 2 > (k // size - 2) // 2
