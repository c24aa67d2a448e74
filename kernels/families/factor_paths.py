"""Pathwise terms of a covariance with factors, through the very map from eps to z, its symmetric root included."""

from ..arithmetic.primitives import fma
from ..jit import routine, widest_vectors
from ..sums import pathwise
from .factors import SPREAD, keep, padded_rank, sections, small_times, transposed_times


@routine
def through_the_root(scale, size, cells, rank, width):
    """v = diag(1 / (1 + r)) u at 0 of ``cells`` and w, the same of B^T h, at ``rank``: V v and V w go to 2 ``rank`` and
    3 ``rank``, and S V^T with S_ab = -(w_a v_b + w_b v_a) / (r_a + r_b), the part of the derivative in A that comes
    through r and V (that of a square root of a matrix, a Sylvester equation: Higham 2008, section 6.1), to 4 ``rank``.
    """
    second, fourth = sections(scale.shape)[1], sections(scale.shape)[3]
    small_times(scale, size, second, cells, 0, cells, 2 * rank, rank, width)
    small_times(scale, size, second, cells, rank, cells, 3 * rank, rank, width)
    entry, out = cells[4 * rank + rank * rank], 4 * rank
    for a in range(rank):
        for k in range(rank):
            for j in range(width):
                cells[out + a * rank + k, j] = 0.0
        for b in range(rank):
            gap = -scale[size + a, fourth + b]
            for j in range(width):
                entry[j] = gap * fma(cells[rank + a, j], cells[b, j], cells[rank + b, j] * cells[a, j])
            for k in range(rank):
                turn, place = scale[size + k, second + b], out + a * rank + k
                for j in range(width):
                    cells[place, j] = fma(turn, entry[j], cells[place, j])


@routine
def add_paths(loc, scale, eps, gradient, stick, work, row, before, count, group, sums):
    """Add the terms of a tile, through the very map from eps to z, with h the gradient of log p in z times the scale;
    with ``stick`` that of log p - log q.

    Those of factors_ik are h_i (V v)_k + eps_i (V w)_k + (B S V^T)_ik, in units of the scale, and those of log scale_i
    are h_i eps_i less A_ik times the same but for h_i (V v)_k.
    """
    widest_vectors()
    rank, width, dim = padded_rank(scale.shape), eps.shape[1], gradient.shape[0]
    size, (first, _, third, _, fifth) = len(scale) - rank, sections(scale.shape)
    h, cells = work
    if stick:
        keep(h, scale, eps, h)
    else:
        for i in range(size):
            for j in range(width):
                h[i, j] = 0.0
    for i in range(dim):
        for j in range(width):
            h[i, j] = fma(scale[i, SPREAD], gradient[i, j], h[i, j])
    transposed_times(scale, first, h, cells, rank, rank, size, width)
    for k in range(rank):
        share = 1.0 / (1.0 + scale[size + k, third + k])
        for j in range(width):
            cells[k, j] = share * eps[size + k, j]
            cells[rank + k, j] *= share
    through_the_root(scale, size, cells, rank, width)
    spread = cells[4 * rank + rank * rank]
    for i in range(dim):
        pathwise.add_row(sums, i, h[i], before, count)
        for j in range(count):
            spread[j] = h[i, j] * eps[i, j]
        for k in range(rank):
            for j in range(count):
                row[j] = eps[i, j] * cells[3 * rank + k, j]
            for m in range(0, rank, 2):
                b0, b1, s0 = scale[i, first + m], scale[i, first + m + 1], 4 * rank + m * rank + k
                for j in range(count):
                    row[j] = fma(b1, cells[s0 + rank, j], fma(b0, cells[s0, j], row[j]))
            a = -scale[i, fifth + k]
            for j in range(count):
                spread[j] = fma(a, row[j], spread[j])
                row[j] = fma(h[i, j], cells[2 * rank + k, j], row[j])
            pathwise.add_row(sums, 2 * size + i * rank + k, row, before, count)
        pathwise.add_row(sums, size + i, spread, before, count)
