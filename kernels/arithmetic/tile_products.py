"""What ``triangular`` compiles to on a CPU: products of a matrix and a tile in blocks of four rows, whose sums stay in
registers while a whole dot product passes.

Sums take their terms one after the other by fma, as the Python of those routines does, so that both have the same bits.
"""

import functools

from .traced import DOUBLE, WORD
from .vector_code import LANES

ROWS = 4


def rows_from(code, index):
    """The indices of four rows."""
    return [code.sum(index, r) for r in range(ROWS)]


def block(code, tile, rows, j, count, mask):
    """The vectors of some rows of a tile, from lane j on."""
    return [code.load(code.sum(tile.at(row, j), 8 * LANES * n), mask) for row in rows for n in range(count)]


def keep(code, tile, rows, j, count, mask, values):
    """The way back of ``block``."""
    for r, row in enumerate(rows):
        for n in range(count):
            code.store(values[r * count + n], code.sum(tile.at(row, j), 8 * LANES * n), mask)


def add_product(code, matrix, rows, x, start, stop, j, count, mask, values):
    """values + matrix[rows, start:stop] x[start:stop] for the lanes from j on."""

    def step(k, sums):
        terms = block(code, x, [k], j, count, mask)
        factors = [code.splat(code.number(matrix.at(row, k))) for row in rows]
        return [code.fma(factors[i // count], terms[i % count], total) for i, total in enumerate(sums)]

    return code.follow(start, stop, values, step)


def vectors(code):
    """How many vectors of four rows stay in registers."""
    return code.block()[1]


def write_lower_times(code, lower, x, offset, out):
    """See ``triangular.lower_times``."""
    with code.loop(0, x.shape[0], ROWS) as i:
        rows = rows_from(code, i)
        firsts = [code.splat(code.number(offset.at(row))) for row in rows]

        def across(j, count, mask):
            values = [firsts[k // count] for k in range(ROWS * count)]
            values = add_product(code, lower, rows, x, 0, code.sum(i, ROWS), j, count, mask, values)
            keep(code, out, rows, j, count, mask, values)

        code.across(x.shape[1], across, vectors(code))


def write_square_times(code, matrix, x, out):
    """See ``triangular.square_times``."""
    with code.loop(0, out.shape[0], ROWS) as i:
        rows = rows_from(code, i)

        def across(j, count, mask):
            values = block(code, out, rows, j, count, mask)
            values = add_product(code, matrix, rows, x, 0, x.shape[0], j, count, mask, values)
            keep(code, out, rows, j, count, mask, values)

        code.across(out.shape[1], across, vectors(code))


def write_solve_transposed(code, upper_negated, lower, x, out):
    """See ``triangular.solve_transposed``."""
    builder, size = code.builder, x.shape[0]
    with code.loop(code.sum(size, -ROWS), -1, -ROWS) as i:
        rows = rows_from(code, i)
        inverses = [code.splat(builder.fdiv(DOUBLE(1.0), code.number(lower.at(row, row)))) for row in rows]

        def across(j, count, mask):
            values = block(code, x, rows, j, count, mask)
            values = add_product(code, upper_negated, rows, out, code.sum(i, ROWS), size, j, count, mask, values)
            for r in reversed(range(ROWS)):
                for s in range(r + 1, ROWS):
                    factor = code.splat(code.number(upper_negated.at(rows[r], rows[s])))
                    for n in range(count):
                        values[r * count + n] = code.fma(factor, values[s * count + n], values[r * count + n])
                for n in range(count):
                    values[r * count + n] = builder.fmul(values[r * count + n], inverses[r])
            keep(code, out, rows, j, count, mask, values)

        code.across(x.shape[1], across, vectors(code))


def write_products_of_rows(code, left, right, upto, count, out):
    """See ``triangular.products_of_rows``."""
    side = ROWS if code.block()[1] > 1 else 2
    whole = code.whole(count)
    with code.loop(0, upto, side) as c:
        columns = [code.sum(c, k) for k in range(side)]
        for r in range(0, ROWS, side):
            rows = [WORD(r + k) for k in range(side)]

            def add(j, sums, rows=rows, last=False):
                mask = code.mask(j, count) if last else None
                a, b = block(code, left, rows, j, 1, mask), block(code, right, columns, j, 1, mask)
                return [code.fma(a[k // side], b[k % side], total) for k, total in enumerate(sums)]

            sums = code.follow(0, whole, [code.zero()] * side**2, add, LANES)
            sums = code.follow(whole, count, sums, functools.partial(add, last=True), LANES)
            for k, row in enumerate(rows):
                code.store(code.sum_each(sums[k * side : (k + 1) * side]), out.at(row, c))
