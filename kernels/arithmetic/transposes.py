"""Tiles from rows of points and back, eight by eight in registers."""

from .traced import WORD, negate
from .vector_code import LANES


def transposed(code, rows):
    """Eight vectors as the columns of eight others: pairs of items change places, then pairs of pairs, then halves."""
    for step in (1, 2, 4):
        found = [None] * LANES
        for k in range(LANES):
            if not k & step:
                a, b = rows[k], rows[k + step]
                low = [p if not p & step else p - step + LANES for p in range(LANES)]
                found[k], found[k + step] = code.shuffle(a, b, low), code.shuffle(a, b, [p + step for p in low])
        rows = found
    return rows


def below(code, index, size):
    """An index, or the last there is where it lies beyond."""
    last = code.sum(size, -1)
    return code.builder.select(code.builder.icmp_signed("<", index, last), index, last)


def write_rows_to_tile(code, points, first, count, tile):
    """See ``points.rows_to_tile``."""
    builder, (dim, width) = code.builder, tile.shape
    with code.loop(0, width, LANES) as j, code.loop(0, dim, LANES) as i:
        mask, draws = code.mask(i, dim), [code.sum(j, k) for k in range(LANES)]
        here = (builder.select(builder.icmp_signed("<", d, count), d, WORD(0)) for d in draws)
        columns = transposed(code, [code.load(points.at(code.sum(first, d), i), mask) for d in here])
        for k, column in enumerate(columns):
            with builder.if_then(builder.icmp_signed("<", code.sum(i, k), dim)):
                code.store(column, tile.at(code.sum(i, k), j))


def write_tile_to_rows(code, tile, first, count, rows):
    """See ``points.tile_to_rows``."""
    builder, dim = code.builder, rows.shape[1]
    with code.loop(0, count, LANES) as j, code.loop(0, dim, LANES) as i:
        inside = code.mask(j, tile.shape[1])
        columns = transposed(
            code, [code.load(tile.at(below(code, code.sum(i, k), dim), j), inside) for k in range(LANES)]
        )
        mask = code.mask(i, dim)
        for k, column in enumerate(columns):
            with builder.if_then(builder.icmp_signed("<", code.sum(j, k), count)):
                code.store(column, rows.at(code.sum(first, j, k), i), mask)


def write_negated_transpose(code, matrix, out):
    """See ``triangular.negated_transpose``."""
    builder, (rows, columns) = code.builder, matrix.shape
    with code.loop(0, rows, LANES) as i, code.loop(0, columns, LANES) as j:
        inside, mask = code.mask(j, columns), code.mask(i, rows)
        taken = [code.load(matrix.at(below(code, code.sum(i, k), rows), j), inside) for k in range(LANES)]
        for k, column in enumerate(transposed(code, taken)):
            with builder.if_then(builder.icmp_signed("<", code.sum(j, k), columns)):
                code.store(negate(builder, column), out.at(code.sum(j, k), i), mask)
