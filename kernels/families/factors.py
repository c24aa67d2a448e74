"""A covariance diag(scale^2) + F F^T as the kernels take it, by products with the few columns of F alone.

With A = F / scale = U diag(s) V^T, thin, B = A V and r = sqrt(1 + s^2), I + A A^T has the symmetric root
I + B diag(1 / (1 + r)) B^T of determinant prod r, whose inverse is I - B diag(1 / (r (1 + r))) B^T.

All of that is packed into one matrix.  Its first rows, dim padded to blocks of four, hold the columns scale and
P = diag (I + A A^T)^-1, and the sections B, scale B diag(1 / (1 + r)), -B diag(1 / (r (1 + r))), N = (I + A A^T)^-1 A
and A, each of ``padded_rank`` columns; its last ``padded_rank`` rows hold below those sections V diag(1 / r), V,
diag(r) and 1 / (r_a + r_b).  In a tile of eps the rows from dim, padded, on hold u = B^T eps.
"""

from ..arithmetic.primitives import fma
from ..jit import routine, widest_vectors

SPREAD, OWN = 0, 1  # columns: the scale, and P
VECTORS, SECTIONS = 2, 5  # columns before the sections; sections


@routine
def padded_rank(shape):
    """Columns of a section of a matrix of this shape: the number of factors, or one more to make it even."""
    return (shape[1] - VECTORS) // SECTIONS


@routine
def sections(shape):
    """The first column of each section."""
    rank = padded_rank(shape)
    return VECTORS, VECTORS + rank, VECTORS + 2 * rank, VECTORS + 3 * rank, VECTORS + 4 * rank


@routine
def add_times(out, matrix, column, x, top, rank, size, width):
    """out[:size] += section x[top : top + rank]"""
    widest_vectors()
    for i in range(0, size, 4):
        for k in range(0, rank, 2):
            c, x0, x1 = column + k, x[top + k], x[top + k + 1]
            a00, a01, a10, a11 = matrix[i, c], matrix[i, c + 1], matrix[i + 1, c], matrix[i + 1, c + 1]
            a20, a21, a30, a31 = matrix[i + 2, c], matrix[i + 2, c + 1], matrix[i + 3, c], matrix[i + 3, c + 1]
            for j in range(width):
                out[i, j] = fma(a01, x1[j], fma(a00, x0[j], out[i, j]))
                out[i + 1, j] = fma(a11, x1[j], fma(a10, x0[j], out[i + 1, j]))
                out[i + 2, j] = fma(a21, x1[j], fma(a20, x0[j], out[i + 2, j]))
                out[i + 3, j] = fma(a31, x1[j], fma(a30, x0[j], out[i + 3, j]))


@routine
def transposed_times(matrix, column, x, out, top, rank, size, width):
    """out[top : top + rank] = section^T x[:size]"""
    widest_vectors()
    for k in range(top, top + rank):
        for j in range(width):
            out[k, j] = 0.0
    for i in range(0, size, 4):
        for k in range(0, rank, 2):
            c, out0, out1 = column + k, out[top + k], out[top + k + 1]
            a00, a01, a10, a11 = matrix[i, c], matrix[i, c + 1], matrix[i + 1, c], matrix[i + 1, c + 1]
            a20, a21, a30, a31 = matrix[i + 2, c], matrix[i + 2, c + 1], matrix[i + 3, c], matrix[i + 3, c + 1]
            for j in range(width):
                x0, x1, x2, x3 = x[i, j], x[i + 1, j], x[i + 2, j], x[i + 3, j]
                out0[j] = fma(a30, x3, fma(a20, x2, fma(a10, x1, fma(a00, x0, out0[j]))))
                out1[j] = fma(a31, x3, fma(a21, x2, fma(a11, x1, fma(a01, x0, out1[j]))))


@routine
def small_times(scale, size, column, x, top, out, place, rank, width):
    """out[place : place + rank] = M x[top : top + rank] for the matrix (rank, rank) below a section"""
    for k in range(rank):
        for j in range(width):
            out[place + k, j] = 0.0
        for m in range(rank):
            a = scale[size + k, column + m]
            for j in range(width):
                out[place + k, j] = fma(a, x[top + m, j], out[place + k, j])


@routine
def keep(work, scale, eps, out):
    """x, and below it t, for a tile that ``transform`` has seen."""
    rank, width = padded_rank(scale.shape), eps.shape[1]
    size, (first, _, third, _, _) = len(scale) - rank, sections(scale.shape)
    for i in range(size):
        for j in range(width):
            out[i, j] = eps[i, j]
    add_times(out, scale, third, eps, size, rank, size, width)
    small_times(scale, size, first, eps, size, out, size, rank, width)
