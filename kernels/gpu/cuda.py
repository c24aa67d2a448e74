"""The sweep on CUDA: draw eps -> transform z -> log p - log q -> accumulate, a draw a thread.

The routines are those of ``cpu``.  A *block* is a fixed run of draws whose sums one CUDA block keeps; a *chunk* is a
run of blocks, added up in order, the same as on the CPU.  Both depend on the problem alone, never on the device or on
the batches that blocks are launched in, and there are no atomics, so a result has the same bits on every run.
Mean-field draws are not stored but made again from their counters; of others a batch is kept, or of what their scores
are made of: with full rank eps and y = L^-T eps, with low rank x and t, of factors what ``transform`` leaves of eps.
"""

import math

from numba import cuda, types

from ..families import registry
from ..jit import routine
from ..sums import control_variate, moments, score
from .plan import THREADS, draws_of

MAX_DIM = 1024  # a draw is in each thread's own memory
F8, I8, U8 = types.float64, types.int64, types.uint64
VECTOR, MATRIX, CUBE = F8[::1], F8[:, ::1], F8[:, :, ::1]
SCALES = {1: VECTOR, 2: MATRIX}
ADDRESS = U8, U8, I8, I8, I8, I8, I8, I8  # key, stream, offset, num_samples, chunk, block, each, first_block


def weights(
    family_name: str, dim: int, shape: tuple, call, kinds, keep: bool, surrogate_: bool, dtype: str = "float64"
):
    """(kernel, signature): the moments of each block; with ``keep`` log w of each draw and what its scores need.

    ``shape`` is that of the scale as the kernels take it.
    """
    family, draws, threads, columns = registry.FAMILIES[family_name], registry.DRAWS[dtype], THREADS, moments.COLUMNS
    height, fill_draw = family.rows(dim, shape), draws.fill_draw
    blocks = getattr(family, "basis_rows", registry.padded_rows)(dim, shape) if surrogate_ else height
    by_blocks, keep_draw = family.GPU_DRAWS_BY_BLOCKS and not surrogate_, keep and "z" in family.GPU_KEEPS
    keep_eps = keep and "eps" in family.GPU_KEEPS
    below, keep_z = height if keep_eps else 0, getattr(family, "keep", fill_draw)
    kept = draws.BLOCK if by_blocks else max(height, blocks)
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
                control_variate.subtract(*terms, eps[:blocks], v, h2, log_w)
            moments.add_tile(row, log_w, log_p, 1, offset + draw)
            if keep:
                log_ws[draw - base] = log_w[0]
            if keep_eps:
                for i in range(height):
                    drawn[i, draw - base] = eps[i, 0]
            if keep_draw:
                keep_z(work, scale, eps[:height], z)
                for i in range(height):
                    drawn[below + i, draw - base] = z[i, 0]
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


def fold():
    """(kernel, signature): the blocks of a batch added to their chunks, in order.

    The grid is (sums of a block and one, chunks of the batch).
    """
    columns = moments.COLUMNS

    def add_up(rows, sums, first_block, blocks, each, coordinates, centre, chunk_rows, chunk_sums):
        entry, which = cuda.grid(1), first_block // each + cuda.blockIdx.y
        first, last = max(first_block, which * each), min(first_block + blocks, (which + 1) * each)
        begins = first == which * each
        if entry < score.SUMS * coordinates:
            i, k = entry // coordinates, entry % coordinates
            total = 0.0 if begins else chunk_sums[which, i, k]
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

    return add_up, types.void(MATRIX, CUBE, I8, I8, I8, I8, VECTOR, MATRIX, CUBE)
