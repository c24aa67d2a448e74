"""Sums of pathwise gradients: for each variational parameter the mean of its terms and their squared deviations, or
where nobody asks for errors the mean alone: sums then have one row.
"""

from ..arithmetic.draw_loops import copy, each_draw, total_of
from ..arithmetic.emitted import emitted
from ..arithmetic.outer_products import mean_and_deviations, sums_of_products, write_sums_of_products
from ..arithmetic.primitives import fma, sqrt
from ..arithmetic.traced import DOUBLE, WORD, Exact
from ..jit import routine
from .moments import mean_and_squares, merge, number_of, write_mean_and_squares

SUMS = 2
AT_ONCE = 512  # coordinates for which all chunks are read before the next ones
MEAN, SQUARES = range(SUMS)


@routine
def clear(sums, height):
    """Let a chunk's sums know of no draws."""
    sums[:] = 0.0


def write_add_row(code, sums, k, terms, before, count):
    """See ``add_row``."""
    builder, places = code.builder, [sums.at(WORD(row), k) for row in range(SUMS)]
    numbers = [Exact(builder, x) for x in (before, code.number(places[MEAN]))]
    more, alone = Exact(builder, code.to_float(count)), builder.icmp_signed("==", sums.shape[0], WORD(1))
    with builder.if_else(alone) as (then, otherwise):
        with then:
            own = Exact(builder, total_of.write(code, count, terms)[0]) / more
            mean = numbers[1] + (own - numbers[1]) * (more / (numbers[0] + more))
            code.store(mean.value, places[MEAN])
        with otherwise:
            found = [Exact(builder, x) for x in write_mean_and_squares(code, terms, count)]
            squares = Exact(builder, code.number(places[SQUARES]))
            for value, place in zip(merge(*numbers, squares, more, *found), places, strict=True):
                code.store(value.value, place)


@emitted(write_add_row)
def add_row(sums, k, terms, before, count):
    """Take ``count`` terms of coordinate k into its sums, which know of ``before`` draws."""
    if len(sums) == 1:
        sums[MEAN, k] += (total_of(count, terms) / count - sums[MEAN, k]) * (count / (float(before) + count))
        return
    mean, squares = mean_and_squares(terms, count)
    sums[MEAN, k], sums[SQUARES, k] = merge(float(before), sums[MEAN, k], sums[SQUARES, k], float(count), mean, squares)


@routine
def merged(mean, squares, own, about, share, weight):
    """The moments of both: ``share`` is the part of the others in all, ``weight`` what the squared difference of means
    counts."""
    shift = own - mean
    return fma(shift, share, mean), fma(shift * shift, weight, squares + about)


def write_add_products(code, left, a, panels, before, count, grouped, correction, mean, squares):
    """See ``add_products``."""
    builder, more = code.builder, code.to_float(count)
    after = builder.fadd(before, more)
    numbers = [builder.fdiv(DOUBLE(1.0), more), correction]
    numbers += [builder.fdiv(more, after), builder.fdiv(builder.fmul(before, more), after)]
    part, correction, share, weight = (Exact(builder, code.splat(x)) for x in numbers)
    first = code.splat(builder.fcmp_ordered("==", before, DOUBLE(0.0)))

    def take_in(row, column, mask, total, squared):
        places = [one.at(WORD(row), column) for one in (mean, squares)]
        known = [Exact(builder, code.load(place, mask)) for place in places]
        own = mean_and_deviations(Exact(builder, total), Exact(builder, squared), part, correction)
        for place, one, both in zip(places, own, merged(*known, *own, share, weight), strict=True):
            code.store(builder.select(first, one.value, both.value), place, mask)

    write_sums_of_products(code, left, a, panels, grouped, count, take_in)


@emitted(write_add_products)
def add_products(left, a, panels, before, count, grouped, correction, mean, squares):
    """Take the terms left[a + r, j] x[c, j] of ``count`` draws j into moments (4, a + 4) that know of ``before`` draws;
    for the rest see ``sums_of_products`` and ``correction_of``."""
    before, more = float(before), float(count)
    share, weight = more / (before + more), before * more / (before + more)
    for r, c, total, squared in sums_of_products(left, a, panels, grouped, count):
        own = mean_and_deviations(total, squared, 1.0 / more, correction)
        both = merged(mean[r, c], squares[r, c], *own, share, weight) if before > 0.0 else own
        mean[r, c], squares[r, c] = both


def write_add_product_means(code, left, a, panels, before, count, mean):
    """See ``add_product_means``."""
    builder, more = code.builder, code.to_float(count)
    numbers = builder.fdiv(DOUBLE(1.0), more), builder.fdiv(more, builder.fadd(before, more))
    part, share = (Exact(builder, code.splat(x)) for x in numbers)
    first = code.splat(builder.fcmp_ordered("==", before, DOUBLE(0.0)))

    def take_in(row, column, mask, total, _):
        place = mean.at(WORD(row), column)
        known, own = Exact(builder, code.load(place, mask)), Exact(builder, total) * part
        code.store(builder.select(first, own.value, fma(own - known, share, known).value), place, mask)

    write_sums_of_products(code, left, a, panels, None, count, take_in)


@emitted(write_add_product_means)
def add_product_means(left, a, panels, before, count, mean):
    """The same for means alone."""
    before, more = float(before), float(count)
    for r, c, total, _ in sums_of_products(left, a, panels, None, count):
        own = total * (1.0 / more)
        mean[r, c] = fma(own - mean[r, c], more / (before + more), mean[r, c]) if before > 0.0 else own


@each_draw
@routine
def mean_with_chunk(mean, own, share):
    """The mean with that of one chunk more."""
    return mean + (own - mean) * share


@each_draw
@routine
def merged_chunk(mean, squares, squared, own_mean, own_squares, share, weight):
    """The moments with those of one chunk more, and the sum of the chunks' squared deviations squared."""
    shift = own_mean - mean
    return mean + shift * share, squares + own_squares + shift * shift * weight, squared + own_squares * own_squares


@each_draw
@routine
def error_and_share(squares, squared, n, others, alike):
    """The standard error of a mean from squared deviations, and how much of these lies with few chunks."""
    return sqrt(squares / others / n), squared / (squares * squares) - alike


def write_merge_chunks(code, counts, chunks, n, alike, total):
    """See ``merge_chunks``."""
    builder, (_, kinds, size) = code.builder, chunks.shape
    both, others = builder.icmp_signed(">", kinds, WORD(1)), builder.fsub(n, DOUBLE(1.0))
    with code.stretches(size, AT_ONCE) as (start, count):
        mean, squares, squared = (total.row(row).after(start) for row in range(3))
        for one in (mean, squares, squared):
            copy.write(code, count, one, DOUBLE(0.0))

        def merge_one(which, before):
            own = code.number(counts.at(which))
            after = builder.fadd(before[0], own)
            with builder.if_then(builder.fcmp_ordered(">", own, DOUBLE(0.0))):
                share = builder.fdiv(own, after)
                weight = builder.fdiv(builder.fmul(before[0], own), after)
                own_mean, own_squares = (chunks.row(which).row(kind).after(start) for kind in (MEAN, SQUARES))
                with builder.if_else(both) as (then, otherwise):
                    with then:
                        for one in (own_mean, own_squares):  # the next stretch: hardware stops at a page's boundary
                            code.prefetch(one.at(count), count)
                        given = squares, squared, own_mean, own_squares, share, weight
                        merged_chunk.write(code, count, mean, squares, squared, mean, *given)
                    with otherwise:
                        mean_with_chunk.write(code, count, mean, mean, own_mean, share)
            return [after]

        code.follow(0, counts.shape[0], [DOUBLE(0.0)], merge_one)
        with builder.if_then(both):
            error_and_share.write(code, count, squares, squared, squares, squared, n, others, alike)


@emitted(write_merge_chunks)
def merge_chunks(counts, chunks, n, alike, total):
    """Merge the chunks in their order, of n draws, into three rows of ``total``: the means, and where there are squared
    deviations their errors and how much more of the squares than ``alike`` lies with few chunks."""
    size = chunks.shape[2]
    for start in range(0, size, AT_ONCE):
        count, before = min(AT_ONCE, size - start), 0.0
        mean, squares, squared = (total[row, start : start + count] for row in range(3))
        for one in (mean, squares, squared):
            copy(count, one, 0.0)
        for which in range(len(chunks)):
            own, after = counts[which], before + counts[which]
            if own > 0.0:
                share, weight = own / after, before * own / after
                parts = [sums[start : start + count] for sums in chunks[which]]
                if len(parts) > 1:
                    merged_chunk(count, mean, squares, squared, mean, squares, squared, *parts, share, weight)
                else:
                    mean_with_chunk(count, mean, mean, *parts, share)
            before = after
        if chunks.shape[1] > 1:
            error_and_share(count, squares, squared, squares, squared, n, n - 1.0, alike)


@routine
def results(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable):
    """Merge the chunks, and read for each parameter its gradient, its error and whether that holds.

    ``total`` is room for three sums of each coordinate, ``places`` are those of a parameter's, ``units`` what a term
    is multiplied by, ``entropy`` the entropy's derivatives or nothing.  An error holds if no part of the squared
    deviations above ``limit`` lies with few chunks; ``alike`` is that part where all draws have the same.  ``error``
    may have no room.
    """
    errors = error.size > 0
    merge_chunks(counts, chunks, number_of(counts), alike, total)
    for k in range(len(places)):
        p = places[k]
        gradient[k] = total[0, p] * units[k]
        if entropy.size > 0:
            gradient[k] += entropy[k]
        if errors:
            error[k] = total[1, p] * abs(units[k])
            reliable[k] = not total[2, p] > limit
