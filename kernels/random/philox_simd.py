"""Random words for eight draws at a time, written as vector code.

LLVM's cost model leaves the integer rounds of Philox scalar on some CPUs (AMD's Zen 4), where vectors are four times as
fast.  The rounds are those of ``philox``, traced: no formula is written twice.
"""

from llvmlite import ir
from numba import types

from ..arithmetic.traced import WORD, Traced
from ..jit import on_gpu, primitive
from .philox import HALF, LOW_WORD, rounds_of

LANES = 8
VECTOR = ir.VectorType(WORD, LANES)
ROUNDS = 10


class Unsigned(Traced):
    """A traced unsigned word: its shifts bring in zeros."""

    def __rshift__(self, count):
        return self._new(self.builder.lshr(self.value, self._lift(count)))


def wide_words(radius, angle, width, first, pair, stream, key):
    """Write the two random words of draws first, first + 1, … to two addresses; returns for how many.

    Compiled for a CPU, that is ``width`` without its last few; in Python and on a GPU, none.
    """
    return 0


def emit(builder, radius, angle, width, first, pair, stream, key):
    if on_gpu(builder):
        return WORD(0)

    def splat(scalar):
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), zeros)

    whole = builder.and_(width, ir.Constant(WORD, -LANES))
    k0, k1 = (Unsigned(builder, splat(key)) & LOW_WORD, Unsigned(builder, splat(key)) >> HALF)
    x2, x3 = (Unsigned(builder, splat(word)) for word in (pair, stream))
    lanes = Unsigned(builder, ir.Constant(VECTOR, list(range(LANES))))
    before = builder.basic_block
    head, body, end = (builder.append_basic_block(f"words.{name}") for name in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    j = builder.phi(WORD)
    j.add_incoming(ir.Constant(WORD, 0), before)
    builder.cbranch(builder.icmp_signed("<", j, whole), body, end)
    builder.position_at_end(body)
    draw = lanes + Unsigned(builder, splat(builder.add(first, j)))
    w0, w1, w2, w3 = rounds_of(draw & LOW_WORD, draw >> HALF, x2, x3, k0, k1, ROUNDS)
    for address, low, high in ((radius, w0, w1), (angle, w2, w3)):
        word = (low & LOW_WORD) | ((high & LOW_WORD) << HALF)
        place = builder.inttoptr(builder.add(address, builder.shl(j, ir.Constant(WORD, 3))), VECTOR.as_pointer())
        builder.store(word.value, place, align=8)
    j.add_incoming(builder.add(j, ir.Constant(WORD, LANES)), builder.basic_block)
    builder.branch(head)
    builder.position_at_end(end)
    return whole


I8, U8 = types.int64, types.uint64
primitive(wide_words, I8, emit, (I8, I8, I8, U8, U8, U8, U8))
