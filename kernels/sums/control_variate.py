"""A polynomial of eps that follows log w, whose mean under q is known: what is left of log w varies far less.

With Hermite polynomials h2(x) = x^2 - 1 and h3(x) = x^3 - 3x it is

    sum_i a_i eps_i + b_i h2(eps_i) + sum_{i > j} T_ij eps_i eps_j + sum_{i != j} C_ij eps_i h2(eps_j) + C_ii h3(eps_i),

of mean 0 under eps ~ N(0, I), every term orthogonal to every other.  Written as sum_i eps_i v_i - sum_i b_i with
v = a' + b eps + T eps + C h2(eps), a' = a - 2 diag C, it takes two triangular or square products a tile.
"""

import numpy as np

from ..arithmetic.draw_loops import copy, each_draw, plus
from ..arithmetic.emitted import emitted
from ..arithmetic.primitives import fma
from ..arithmetic.traced import DOUBLE, WORD
from ..arithmetic.triangular import lower_times, next_four, square_times
from ..jit import routine


@each_draw
@routine
def second_hermite(x):
    """x^2 - 1"""
    return fma(x, x, -1.0)


@each_draw
@routine
def less_row(value, x, b, v):
    """value - x (b x + v)"""
    return fma(-x, fma(b, x, v), value)


def write_subtract(code, linear, squares, pairs, cubic, eps, v, h2, values):
    """See ``subtract``."""
    builder, (size, width) = code.builder, eps.shape

    def some(array):
        return builder.icmp_signed(">", array.shape[0], WORD(0))

    with builder.if_else(some(pairs)) as (then, otherwise):
        with then:
            lower_times.write(code, pairs, eps, linear, v)
        with otherwise, code.loop(0, size) as i:
            copy.write(code, width, v.row(i), code.number(linear.at(i)))
    with builder.if_then(some(cubic)):
        with code.loop(0, size) as i:
            second_hermite.write(code, width, h2.row(i), eps.row(i))
        square_times.write(code, cubic, h2, v)
    (total,) = code.follow(
        0, size, [DOUBLE(0.0)], lambda i, total: [builder.fadd(total[0], code.number(squares.at(i)))]
    )
    plus.write(code, width, values, values, total)
    with code.loop(0, size) as i:
        less_row.write(code, width, values, values, eps.row(i), code.number(squares.at(i)), v.row(i))


@emitted(write_subtract)
def subtract(linear, squares, pairs, cubic, eps, v, h2, values):
    """Take the surrogate off ``values`` for a tile of eps, whose rows are padded to blocks of four with zeros.

    ``v`` is a tile to work in, and so is ``h2`` where there are cubic terms.
    """
    size, width = eps.shape
    if len(pairs) > 0:
        lower_times(pairs, eps, linear, v)
    else:
        for i in range(size):
            copy(width, v[i], linear[i])
    if len(cubic) > 0:
        for i in range(size):
            second_hermite(width, h2[i], eps[i])
        square_times(cubic, h2, v)
    total = 0.0
    for i in range(size):
        total += squares[i]
    plus(width, values, values, total)
    for i in range(size):
        less_row(width, values, values, eps[i], squares[i], v[i])


def write_add_lines(code, offset, slope, eps, gradient):
    """See ``add_lines``."""
    with code.loop(0, offset.shape[0]) as i:
        plus.write(code, eps.shape[1], gradient.row(i), gradient.row(i), code.number(offset.at(i)))
    square_times.write(code, slope, eps, gradient)


@emitted(write_add_lines)
def add_lines(offset, slope, eps, gradient):
    """gradient += offset + slope eps, rows and columns padded to blocks of four: a surrogate of the gradient itself."""
    for i in range(len(offset)):
        plus(eps.shape[1], gradient[i], gradient[i], offset[i])
    square_times(slope, eps, gradient)


def padded(linear, squares, pairs=None, cubic=None):
    """The coefficients a (dim,), b (dim,), T (dim, dim) or None, C (dim, dim) or None as the kernels take them."""
    dim, size = len(linear), next_four(len(linear))
    vectors, matrices = np.zeros((2, size)), []
    vectors[0, :dim], vectors[1, :dim] = linear, squares
    if cubic is not None:
        vectors[0, :dim] -= 2.0 * np.diag(cubic)
    for matrix in (pairs, cubic):
        matrices.append(np.zeros((0, 0) if matrix is None else (size, size)))
        if matrix is not None:
            matrices[-1][:dim, :dim] = matrix
    return vectors[0], vectors[1], *matrices


def padded_lines(offset, slope):
    """offset (dim,) and slope (dim, dim) as ``add_lines`` takes them."""
    dim, size = len(offset), next_four(len(offset))
    wide_offset, wide_slope = np.zeros(size), np.zeros((size, size))
    wide_offset[:dim], wide_slope[:dim, :dim] = offset, slope
    return wide_offset, wide_slope


NOTHING = padded(np.empty(0), np.empty(0))  # what stands for no surrogate
