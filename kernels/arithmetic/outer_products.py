"""Sums over the draws of a tile of x_i y_j for pairs of rows, and of their squares.

Columns are the lanes of vectors and the sums of a block stay in registers while all draws pass, so no sum needs a
horizontal reduction.  Squares may be taken of sums over groups of four draws: these are independent, with four times
the variance, and cost half of the operations.
"""

from ..jit import routine
from .emitted import emitted
from .primitives import fma, select
from .traced import DOUBLE, WORD, Exact
from .transposes import transpose
from .vector_code import LANES

ROWS, PANEL = 4, 2 * LANES  # rows of a strip, and of a panel
GROUP, LEAST_DRAWS = 4, 32  # draws of a group; a tile of fewer has none


@routine
def panel_shape(rows, width):
    """The shape of the panels of a tile."""
    return (rows + PANEL - 1) // PANEL, PANEL * width


@routine
def grouped_draws(count, group):
    """How many of the first of ``count`` draws are squared in groups of ``group``, which is 1 or four."""
    return count // GROUP * GROUP if group > 1 and count >= LEAST_DRAWS else 0


@routine
def correction_of(grouped, count):
    """The expected ratio of the squared deviations of ``count`` draws to those of their groups and single draws; 0 of
    one alone."""
    several = count - grouped + grouped // GROUP
    return (count - 1.0) / (several - 1.0) if several > 1 else 0.0


@routine
def mean_and_deviations(total, squared, part, correction):
    """The mean and the squared deviations of terms, from their sum and the sum of squares of their groups; ``part`` is
    one over their number."""
    mean = total * part
    about = fma(-total, mean, squared) * correction
    return mean, select(about < 0.0, 0.0, about)


def below(code, index, size):
    """An index, or the last there is where it lies beyond."""
    last = code.sum(size, -1)
    return code.builder.select(code.builder.icmp_signed("<", index, last), index, last)


def write_to_panels(code, x, count, panels):
    """See ``to_panels``."""
    builder = code.builder
    with code.stretches(x.shape[0], PANEL) as (start, height):
        panel = panels.row(builder.sdiv(start, WORD(PANEL)))
        transpose(
            code,
            height,
            count,
            lambda k, j: x.at(code.sum(start, k), j),
            lambda j, k: panel.at(code.sum(builder.mul(j, WORD(PANEL)), k)),
        )


@emitted(write_to_panels)
def to_panels(x, count, panels):
    """The rows of a tile in panels of sixteen, draw by draw; the last may hold fewer."""
    for i in range(len(x)):
        for j in range(count):
            panels[i // PANEL, PANEL * j + i % PANEL] = x[i, j]


def write_sums_of_products(code, left, a, panels, grouped, count, finish):
    """Write ``sums_of_products``; ``finish(row, column, mask, total, squared)`` takes vectors of them."""
    builder, upto = code.builder, code.sum(a, ROWS)
    tall, wide = (ROWS, 2) if code.block()[1] > 1 else (2, 1)  # with three numbers for each pair in registers
    several = builder.mul(builder.sdiv(code.sum(upto, LANES - 1), WORD(PANEL)), WORD(PANEL)) if wide > 1 else WORD(0)
    for first in range(0, ROWS, tall):
        rows = [below(code, code.sum(a, first + r), left.shape[0]) for r in range(tall)]
        for start, stop, vectors in ((0, several, 2), (several, upto, 1))[2 - wide :]:
            with code.loop(start, stop, LANES * vectors) as c:
                block = write_block(code, left, rows, panels, c, vectors, grouped, count)
                for k, (total, squared) in enumerate(block):
                    column = code.sum(c, LANES * (k % vectors))
                    finish(first + k // vectors, column, code.mask(column, upto), total, squared)


def write_block(code, left, rows, panels, c, vectors, grouped, count):
    """(sum, sum of squares) for some rows and vectors of columns from c on."""
    builder, number = code.builder, len(rows) * vectors
    panel = panels.row(builder.sdiv(c, WORD(PANEL)))
    offset = builder.srem(c, WORD(PANEL))

    def factors(j):
        place = code.sum(builder.mul(j, WORD(PANEL)), offset)
        x = [code.load(panel.at(code.sum(place, LANES * v))) for v in range(vectors)]
        f = [code.splat(code.number(left.at(row, j))) for row in rows]
        return [(Exact(builder, f[k // vectors]), Exact(builder, x[k % vectors])) for k in range(number)]

    def add(j, totals):
        return [fma(*pair, Exact(builder, t)).value for pair, t in zip(factors(j), totals, strict=True)]

    def add_group(j, values):
        totals = values[:number]
        for k in range(GROUP):
            totals = add(code.sum(j, k), totals)
        more = [builder.fsub(new, old) for new, old in zip(totals, values[:number], strict=True)]
        return totals + [code.fma(m, m, q) for m, q in zip(more, values[number:], strict=True)]

    def add_one(j, values):
        found = []
        for (f, x), t, q in zip(factors(j), values[:number], values[number:], strict=True):
            term = f * x
            found.append((fma(f, x, Exact(builder, t)).value, fma(term, term, Exact(builder, q)).value))
        return [t for t, _ in found] + [q for _, q in found]

    if grouped is None:
        return [(t, None) for t in code.follow(0, count, [code.zero()] * number, add)]
    values = code.follow(0, grouped, [code.zero()] * (2 * number), add_group, GROUP)
    part = code.splat(DOUBLE(1.0 / GROUP))
    values = values[:number] + [builder.fmul(q, part) for q in values[number:]]
    values = code.follow(grouped, count, values, add_one)
    return list(zip(values[:number], values[number:], strict=True))


def sums_of_products(left, a, panels, grouped, count):
    """(row, column, sum, sum of squares) of left[a + row, j] x[column, j] over the first ``count`` draws j, for four
    rows and the columns up to a + 3, where ``panels`` has x.

    Of the first ``grouped`` draws sums over four are squared, and their squares divided by four; no squares are wanted
    where that is None.
    """
    last = -1 if grouped is None else grouped - 1
    for row in range(ROWS):
        y = left[min(a + row, len(left) - 1)]
        for column in range(a + ROWS):
            x = panels[column // PANEL, column % PANEL :: PANEL]
            total = squared = before = 0.0
            for j in range(count):
                total = fma(y[j], x[j], total)
                if j > last:
                    squared = fma(y[j] * x[j], y[j] * x[j], squared)
                elif j % GROUP == GROUP - 1:
                    squared, before = fma(total - before, total - before, squared), total
                if j == last:
                    squared /= GROUP
            yield row, column, total, squared
