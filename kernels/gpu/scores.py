"""The score sums of each block on CUDA, a kernel a family: draws are shared out among tasks, a few parameters each."""

from numba import cuda, types

from ..arithmetic.triangular import next_four
from ..families import full_rank, low_rank, mean_field, product, registry, runs
from ..jit import routine
from ..sums import score
from .cuda import ADDRESS, CUBE, F8, MATRIX, VECTOR
from .plan import THREADS, draws_of

TILE_BYTES = 24 * 1024  # of shared memory, for what is kept of the draws of a tile


def mean_field_scores(dim: int, shape: tuple, dtype: str = "float64"):
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


def full_rank_scores(dim: int, shape: tuple, dtype: str = "float64"):
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
                        for k in range(4):
                            score.add_product(own, k, y[a + k // 2, one], eps[b + k % 2, one], 0.0, f[one], 1)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(kinds):
                if task < size:
                    sums[which - first_block, row, task] = parts[places * row, thread]
                    sums[which - first_block, row, size + task] = parts[places * row + 1, thread]
                else:
                    for k in range(4):
                        place = full_rank.row_place(size, a + k // 2) + b + k % 2
                        sums[which - first_block, row, place] = parts[places * row + k, thread]
                        if a == b and a % 4 == 0:  # a row of four goes on here, above the diagonal
                            sums[which - first_block, row, place + 2] = 0.0

    return add_blocks, types.void(VECTOR, MATRIX, *ADDRESS, VECTOR, MATRIX, VECTOR, CUBE), -(-tasks // threads)


def low_rank_scores(dim: int, shape: tuple, dtype: str = "float64"):
    """(kernel, signature, CUDA blocks for a block of draws): its score sums, from the x and t that ``weights`` kept.

    A task is loc_i and log scale_i, or a square of two rows and two columns of the factors.
    """
    threads, kinds, places, rank = THREADS, score.SUMS, 4, low_rank.padded_rank(shape)
    size, entries, half = shape[0] - rank, kinds * places, rank // 2
    height, own_column, column = shape[0], low_rank.OWN, low_rank.sections(shape)[3]
    tasks = size + size // 2 * half
    tile = max(1, min(threads, TILE_BYTES // (8 * height + 8)))

    def add_blocks(
        loc, scale, key, stream, offset, num_samples, chunk, block, each, first_block, log_ws, drawn, centre, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_block + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        x = cuda.shared.array((height, tile), F8)
        f = cuda.shared.array(tile, F8)
        here, lanes, task, lane = share(tasks, threads, thread, cuda.blockIdx.y)
        own = cuda.local.array((kinds, places), F8)
        a, b = (task - size) // half * 2, (task - size) % half * 2
        clear(own)
        base, _ = draws_of(first_block, chunk, block, each, num_samples)
        start, end = draws_of(which, chunk, block, each, num_samples)
        for first in range(start, end, tile):
            count, at = min(tile, end - first), first - base
            cuda.syncthreads()
            for entry in range(thread, height * count, threads):
                i, j = entry // count, entry % count
                x[i, j] = drawn[i, at + j]
            for j in range(thread, count, threads):
                f[j] = log_ws[at + j] - centre[0]
            cuda.syncthreads()
            if lane < lanes:
                for j in range(lane, count, lanes):
                    one = slice(j, j + 1)
                    if task < size:
                        score.add_pair(own, 0, 1, scale[task, own_column], x[task, one], f[one], 1)
                    else:
                        for k in range(4):
                            i, c = a + k // 2, b + k % 2
                            score.add_product(own, k, x[i, one], x[size + c, one], scale[i, column + c], f[one], 1)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(kinds):
                if task < size:
                    sums[which - first_block, row, task] = parts[places * row, thread]
                    sums[which - first_block, row, size + task] = parts[places * row + 1, thread]
                else:
                    for k in range(4):
                        place = 2 * size + (a + k // 2) * rank + b + k % 2
                        sums[which - first_block, row, place] = parts[places * row + k, thread]

    return add_blocks, types.void(VECTOR, MATRIX, *ADDRESS, VECTOR, MATRIX, VECTOR, CUBE), -(-tasks // threads)


def product_scores(dim: int, shape: tuple, dtype: str = "float64"):
    """(kernel, signature, CUDA blocks for a block of draws): its score sums, from the rows that ``weights`` kept.

    A task is a row, which no other task reads.
    """
    threads, kinds, places, tasks = THREADS, score.SUMS, 2, shape[0]
    entries = kinds * places

    def add_blocks(
        loc, scale, key, stream, offset, num_samples, chunk, block, each, first_block, log_ws, drawn, centre, sums
    ):  # fmt: skip
        thread, which = cuda.threadIdx.x, first_block + cuda.blockIdx.x
        parts = cuda.shared.array((entries, threads), F8)
        here, lanes, task, lane = share(tasks, threads, thread, cuda.blockIdx.y)
        own, f = cuda.local.array((kinds, places), F8), cuda.local.array(1, F8)
        clear(own)
        base, _ = draws_of(first_block, chunk, block, each, num_samples)
        first, end = draws_of(which, chunk, block, each, num_samples)
        if lane < lanes:
            kind, p = runs.kind_of(loc, task), scale[task, runs.PROBABILITY]
            for draw in range(first + lane, end, lanes):
                at = draw - base
                f[0] = log_ws[at] - centre[0]
                product.add_row(kind, own, 0, 1, p, drawn[task, at : at + 1], f, 1)
        fold_lanes(own, parts, thread, here, lanes)
        if lane == 0:
            for row in range(kinds):
                for k in range(places):
                    sums[which - first_block, row, tasks * k + task] = parts[places * row + k, thread]

    return add_blocks, types.void(VECTOR, MATRIX, *ADDRESS, VECTOR, MATRIX, VECTOR, CUBE), -(-tasks // threads)


SCORES = {
    "mean_field": mean_field_scores,
    "low_rank": low_rank_scores,
    "full_rank": full_rank_scores,
    "product": product_scores,
}


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
