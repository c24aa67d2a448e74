"""Transposes in memory: rows of points to tiles of draws and back, and what else is read the other way.

In blocks of four by four, whose pairs are loaded into their places, so that one shuffle of 32 bytes is left for each
vector stored: with vectors of 64 bytes there are three, each at half the rate on a CPU that splits them.
"""

from llvmlite import ir

from .traced import DOUBLE, WORD, negate
from .vector_code import LANES

SIDE = 4
PAIR = ir.VectorType(DOUBLE, SIDE // 2)


def transposed(code, rows):
    """The columns of the four numbers at each of four addresses."""
    columns = []
    for half in (0, 8 * PAIR.count):
        a, b, c, d = (code.load(code.sum(row, half), kind=PAIR) for row in rows)
        even, odd = code.shuffle(a, c, [0, 1, 2, 3]), code.shuffle(b, d, [0, 1, 2, 3])
        columns += [code.shuffle(even, odd, [0, 4, 2, 6]), code.shuffle(even, odd, [1, 5, 3, 7])]
    return columns


def transpose(code, height, width, at, to, change=lambda x: x, by_columns=False):
    """Write ``change`` of the number at ``at(i, j)`` to ``to(j, i)`` for i < height and j < width; along the last index
    numbers lie side by side.  In strips of eight rows, or ``by_columns`` of columns, so that whole cache lines are
    written."""

    def block(i, j):
        for k, column in enumerate(transposed(code, [at(code.sum(i, k), j) for k in range(SIDE)])):
            code.store(change(column), to(code.sum(j, k), i))

    def single(i, j):
        code.store(change(code.load(at(i, j), kind=DOUBLE)), to(j, i))

    def in_order(function, a, b):
        function(*((b, a) if by_columns else (a, b)))

    outer, inner = (width, height) if by_columns else (height, width)
    whole_outer, whole_inner = code.whole(outer), code.whole(inner, SIDE)
    with code.loop(0, whole_outer, LANES) as a, code.loop(0, whole_inner, SIDE) as b:
        for k in range(0, LANES, SIDE):
            in_order(block, code.sum(a, k), b)
    with code.loop(0, outer) as a:
        done = code.builder.select(code.builder.icmp_signed("<", a, whole_outer), whole_inner, WORD(0))
        with code.loop(done, inner) as b:
            in_order(single, a, b)


def write_rows_to_tile(code, points, first, count, tile):
    """See ``points.rows_to_tile``."""
    builder, (dim, width) = code.builder, tile.shape

    def at(j, i):
        draw = builder.select(builder.icmp_signed("<", j, count), j, WORD(0))
        return points.at(code.sum(first, draw), i)

    transpose(code, width, dim, at, tile.at)


def write_tile_to_rows(code, tile, first, count, rows):
    """See ``points.tile_to_rows``."""
    transpose(code, rows.shape[1], count, tile.at, lambda j, i: rows.at(code.sum(first, j), i), by_columns=True)


def write_negated_transpose(code, matrix, out):
    """See ``triangular.negated_transpose``."""
    rows, columns = matrix.shape
    transpose(code, rows, columns, matrix.at, out.at, change=lambda x: negate(code.builder, x))
