"""Random words and standard normals of a tile as vector code.

LLVM's cost model leaves the integer rounds of Philox scalar on some CPUs (AMD's Zen 4), where vectors are four times as
fast.  The formulas are those of ``philox`` and ``normal``, traced: none is written twice.
"""

from llvmlite import ir

from ..arithmetic.traced import WORD, Unsigned
from ..arithmetic.vector_code import LANES, WORDS
from .philox import HALF, LOW_WORD, rounds_of

ROUNDS = 10


def write_words(code, scratch, width, first, block, stream, key):
    """See ``normal.fill_words``."""

    def splat(word):
        return Unsigned(code.builder, code.splat(word))

    k0, k1 = splat(key) & LOW_WORD, splat(key) >> HALF
    x2, x3 = splat(block), splat(stream)
    lanes = ir.Constant(WORDS, list(range(LANES)))

    def across(j, mask, store):
        draw = Unsigned(code.builder, code.builder.add(lanes, code.splat(code.sum(first, j))))
        w0, w1, w2, w3 = rounds_of(draw & LOW_WORD, draw >> HALF, x2, x3, k0, k1, ROUNDS)
        for row, low, high in ((0, w0, w1), (1, w2, w3)):
            word = (low & LOW_WORD) | ((high & LOW_WORD) << HALF)
            store(word.value, scratch.at(WORD(row), j))

    code.across_once(width, across)


def normals_by(pair_of_words):
    """The code of ``normal.fill``, for a map from two random words to two normals."""

    def write(code, eps, dim, first, stream, key, scratch):
        builder, (height, width) = code.builder, eps.shape
        with code.loop(0, builder.lshr(code.sum(dim, 1), WORD(1))) as pair:
            write_words(code, scratch, width, first, pair, stream, key)
            row = builder.shl(pair, WORD(1))
            both = builder.icmp_signed("<", code.sum(row, 1), dim)

            def across(j, mask, store, row=row, both=both):
                words = (code.load(scratch.at(WORD(k), j), mask, WORDS) for k in (0, 1))
                x, y = pair_of_words(*(Unsigned(builder, word) for word in words))
                store(x.value, eps.at(row, j))
                with builder.if_then(both):
                    store(y.value, eps.at(code.sum(row, 1), j))

            code.across_once(width, across)
        with code.loop(dim, height) as row:
            code.across(width, lambda j, count, mask: code.store(code.zero(), eps.at(row, j), mask))

    return write
