"""Products with a triangular matrix on a tile of draws, in register blocks; no BLAS.

Tiles are (rows, width) with the rows padded to a multiple of four, so every block is a full 4 x 4.  BLAS inside a
thread would oversubscribe the cores, and half of a general product is wasted on zeros.
"""

from ..jit import routine, widest_vectors
from . import tile_products as code
from .draw_loops import sum_draws
from .emitted import emitted
from .primitives import fma
from .transposes import write_negated_transpose


@routine
def next_four(dim):
    """dim rounded up to a multiple of four."""
    return (dim + 3) // 4 * 4


@routine
def add_block(out, i, matrix, r, c, x, k):
    """out[i : i+4] += matrix[r : r+4, c : c+4] x[k : k+4]"""
    widest_vectors()
    a00, a01, a02, a03 = matrix[r, c], matrix[r, c + 1], matrix[r, c + 2], matrix[r, c + 3]
    a10, a11, a12, a13 = matrix[r + 1, c], matrix[r + 1, c + 1], matrix[r + 1, c + 2], matrix[r + 1, c + 3]
    a20, a21, a22, a23 = matrix[r + 2, c], matrix[r + 2, c + 1], matrix[r + 2, c + 2], matrix[r + 2, c + 3]
    a30, a31, a32, a33 = matrix[r + 3, c], matrix[r + 3, c + 1], matrix[r + 3, c + 2], matrix[r + 3, c + 3]
    for j in range(out.shape[1]):
        x0, x1, x2, x3 = x[k, j], x[k + 1, j], x[k + 2, j], x[k + 3, j]
        out[i, j] = fma(a03, x3, fma(a02, x2, fma(a01, x1, fma(a00, x0, out[i, j]))))
        out[i + 1, j] = fma(a13, x3, fma(a12, x2, fma(a11, x1, fma(a10, x0, out[i + 1, j]))))
        out[i + 2, j] = fma(a23, x3, fma(a22, x2, fma(a21, x1, fma(a20, x0, out[i + 2, j]))))
        out[i + 3, j] = fma(a33, x3, fma(a32, x2, fma(a31, x1, fma(a30, x0, out[i + 3, j]))))


@emitted(code.write_lower_times)
def lower_times(lower, x, offset, out):
    """out = offset + lower x, for a lower triangle stored with its zeros."""
    rows, width = x.shape
    for i in range(0, rows, 4):
        for r in range(i, i + 4):
            for j in range(width):
                out[r, j] = offset[r]
        for k in range(0, i + 4, 4):
            add_block(out, i, lower, i, k, x, k)


@emitted(code.write_square_times)
def square_times(matrix, x, out):
    """out += matrix x"""
    for i in range(0, out.shape[0], 4):
        for k in range(0, x.shape[0], 4):
            add_block(out, i, matrix, i, k, x, k)


@emitted(write_negated_transpose)
def negated_transpose(matrix, out):
    """out = -matrix^T"""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j, i] = -matrix[i, j]


@emitted(code.write_solve_transposed)
def solve_transposed(upper_negated, lower, x, out):
    """out = lower^-T x by back substitution; ``upper_negated`` is -lower^T, whose rows are read in order."""
    widest_vectors()
    rows, width = x.shape
    for i in range(rows - 4, -1, -4):
        for r in range(i, i + 4):
            for j in range(width):
                out[r, j] = x[r, j]
        for k in range(i + 4, rows, 4):
            add_block(out, i, upper_negated, i, k, out, k)
        for r in range(i + 3, i - 1, -1):
            for s in range(r + 1, i + 4):
                factor = upper_negated[r, s]
                for j in range(width):
                    out[r, j] = fma(factor, out[s, j], out[r, j])
            inverse = 1.0 / lower[r, r]
            for j in range(width):
                out[r, j] *= inverse


@sum_draws
@routine
def product_of(x, y):
    """The sum of x y."""
    return ((x, y),)


@emitted(code.write_products_of_rows)
def products_of_rows(left, right, upto, count, out):
    """out[r, c] = sum of left[r, j] right[c, j] over the first ``count`` draws j, for four rows and c < ``upto``, a
    multiple of four."""
    for r in range(4):
        for c in range(upto):
            out[r, c] = product_of(count, left[r], right[c])
