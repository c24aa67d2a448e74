"""The tape: what a recorded density leaves behind for the way back, and the way back itself.

One piece of memory holds two stacks that grow towards each other.  From below, lanes: adjoints and partial derivatives.
From above, words: one record for each statement, the last one first.

    run      kind, adjoint, count, partials;  then count x address          (SPREAD: partials are lanes)
                                              then count x (address, number) (SCALED: partials are numbers)
    product  kind, adjoint, rows, x, row stride, column stride, columns, adjoint and stride of the operand
    rows     the same; the last row goes back first, as it would alone
    sum      kind, adjoint, function, size;  then size words of operands, see ``fused``

A run says: the adjoints at these addresses grow by their partial times the adjoint of the result.  Statements that add
to the same variable one after the other extend one run, so a sum costs one word and its partial a term.  All addresses
and strides are bytes.  The density ends with an error when the stacks meet, and is run again with more memory.
"""

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..arithmetic.traced import constant
from ..jit import c_kernel, named, raise_error, source_stamp
from .matrix import access, transposed_times
from .types import Lanes

TOP, WORDS, FLAG, SINK = range(4)  # the words of the tape's header
LINE = 64  # bytes of a cache line; of the header, and of what stands before a variable's adjoint: its version
STOP, SPREAD, SCALED, PRODUCT, SUM, ROWS = range(6)
RUN_WORDS, PRODUCT_WORDS, SUM_WORDS = 4, 9, 4
FULL, STALE = 1, 2  # flags: out of memory; a variable was used after an addition in place had replaced it
I64, DOUBLE = ir.IntType(64), ir.DoubleType()


def number(value):
    return ir.Constant(I64, value)


def pointer(builder, address, kind=I64):
    return builder.inttoptr(address, kind.as_pointer())


def read(builder, address, place=0, kind=I64):
    """Word number ``place`` at an address."""
    return builder.load(pointer(builder, builder.add(address, number(8 * place)), kind))


def write(builder, value, address, place=0):
    builder.store(value, pointer(builder, builder.add(address, number(8 * place)), value.type))


def read_lanes(builder, lanes, address):
    return builder.load(pointer(builder, address, lanes.vector), align=8)


def write_lanes(builder, value, address):
    builder.store(value, pointer(builder, address, value.type), align=8)


def lane_bytes(lanes):
    return 8 * lanes.width


def reserve(context, builder, tape, lane_room, words):
    """(top, words) of the stacks after making sure of room between them, in bytes; raises where there is none."""
    top, low = read(builder, tape, TOP), read(builder, tape, WORDS)
    room = builder.sub(low, top)
    with builder.if_then(builder.icmp_signed("<", room, builder.add(lane_room, words)), likely=False):
        raise_flag(context, builder, tape, FULL)
    return top, low


def raise_flag(context, builder, tape, flag):
    """Leave the density; the driver looks at the flag, not at the exception."""
    write(builder, number(flag), tape, FLAG)
    raise_error(context, builder, MemoryError, "the tape of the gradient")


def new_adjoint(context, builder, lanes, tape):
    """The address of a zero adjoint for a new variable, its version before it."""
    size = LINE + lane_bytes(lanes)
    top, _ = reserve(context, builder, tape, number(size), number(0))
    write(builder, number(0), top)
    adjoint = builder.add(top, number(LINE))
    write_lanes(builder, constant(lanes.vector, 0.0), adjoint)
    write(builder, builder.add(top, number(size)), tape, TOP)
    return adjoint


def new_lanes(context, builder, lanes, tape, count):
    """The address of room for ``count`` lanes in a row."""
    size = builder.mul(count, number(lane_bytes(lanes)))
    top, _ = reserve(context, builder, tape, size, number(0))
    write(builder, builder.add(top, size), tape, TOP)
    return top


def new_adjoints(context, builder, lanes, tape, count):
    """The address of ``count`` zero adjoints in a row."""
    start = new_lanes(context, builder, lanes, tape, count)
    size = builder.mul(count, number(lane_bytes(lanes)))
    cgutils.memset(builder, pointer(builder, start, ir.IntType(8)), size, 0)
    return start


def push_run(context, builder, lanes, tape, adjoint, edges, fresh):
    """Record that ``adjoint`` passes on to each (address, partial) of ``edges``, all of one kind.

    A ``fresh`` adjoint has no run that could be extended.
    """
    spread = isinstance(edges[0][1].type, ir.VectorType)
    kind, each = (SPREAD, 1) if spread else (SCALED, 2)
    room = lane_bytes(lanes) * len(edges) if spread else 0
    needed = 8 * (each * len(edges) + RUN_WORDS)
    top, low = reserve(context, builder, tape, number(room), number(needed))
    start, count, base = low, number(len(edges)), top
    if not fresh:
        before = builder.basic_block
        same = builder.and_(
            builder.icmp_signed("==", read(builder, low, 1), adjoint),
            builder.icmp_signed("==", read(builder, low), number(kind)),
        )
        if spread:  # and nothing was put on the stack since
            end = builder.add(read(builder, low, 3), builder.mul(read(builder, low, 2), number(lane_bytes(lanes))))
            same = builder.and_(same, builder.icmp_signed("==", end, top))
        with builder.if_then(same, likely=True):
            # a branch, not a select: the next statement need not wait for what this one has just written
            extended = builder.add(low, number(8 * RUN_WORDS))
            more = builder.add(read(builder, low, 2), number(len(edges)))
            first = read(builder, low, 3)
            inside = builder.basic_block
        merged = []
        for old, new in ((start, extended), (count, more), (base, first)):
            phi = builder.phi(I64)
            phi.add_incoming(old, before)
            phi.add_incoming(new, inside)
            merged.append(phi)
        start, count, base = merged
    for k, (address, partial) in enumerate(edges):
        if spread:
            write(builder, address, start, -(k + 1))
            write_lanes(builder, partial, builder.add(top, number(k * lane_bytes(lanes))))
        else:
            write(builder, address, start, -2 * (k + 1))
            write(builder, partial, start, -2 * (k + 1) + 1)
    record = builder.sub(start, number(8 * (each * len(edges) + RUN_WORDS)))
    for place, word in enumerate((number(kind), adjoint, count, base)):
        write(builder, word, record, place)
    write(builder, record, tape, WORDS)
    if spread:
        write(builder, builder.add(top, number(room)), tape, TOP)


def push_product(context, builder, tape, *words, kind=PRODUCT):
    """Record y = X v: see the module's docstring for the words after ``kind``; returns the address of the record."""
    _, low = reserve(context, builder, tape, number(0), number(8 * PRODUCT_WORDS))
    record = builder.sub(low, number(8 * PRODUCT_WORDS))
    for place, word in enumerate((number(kind), *words)):
        write(builder, word, record, place)
    write(builder, record, tape, WORDS)
    return record


def push_sum(context, builder, tape, adjoint, function, size):
    """Record a sum whose way back is a function; returns the place of its ``size`` words of operands."""
    _, low = reserve(context, builder, tape, number(0), number(8 * (SUM_WORDS + size)))
    record = builder.sub(low, number(8 * (SUM_WORDS + size)))
    for place, word in enumerate((number(SUM), adjoint, function, number(size))):
        write(builder, word, record, place)
    write(builder, record, tape, WORDS)
    return pointer(builder, builder.add(record, number(8 * SUM_WORDS)))


# ---- the way back
def _access(lanes):
    """Intrinsics of the way back: a word of a record, an addition to an adjoint, a call of a record's function."""

    @intrinsic
    def word(typingctx, address):
        return signature(types.int64, types.int64), lambda context, builder, sig, args: read(builder, args[0])

    @intrinsic
    def add(typingctx, address, partial, adjoint):
        """Add partial * adjoint, but nothing where the adjoint is 0: there even an infinite partial has no effect."""

        def codegen(context, builder, sig, args):
            # the partial is masked, not the sum: a masked store cannot be read again for many cycles
            zero = constant(lanes.vector, 0.0)
            asked = builder.fcmp_unordered("!=", args[2], zero)
            partial = builder.select(asked, context.cast(builder, args[1], sig.args[1], lanes), zero)
            product = builder.fmul(partial, args[2], flags=("contract",))
            old = read_lanes(builder, lanes, args[0])
            write_lanes(builder, builder.fadd(old, product, flags=("contract",)), args[0])
            return context.get_dummy_value()

        return signature(types.none, types.int64, partial, lanes), codegen

    @intrinsic
    def call(typingctx, function, operands, adjoint):
        def codegen(context, builder, sig, args):
            kind = ir.FunctionType(ir.VoidType(), [I64, I64])
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
            return context.get_dummy_value()

        return signature(types.none, *[types.int64] * 3), codegen

    return tuple(named(each, "tape", place, lanes.width) for place, each in enumerate((word, add, call)))


@functools.cache
def way_back(width: int):
    """The compiled ``void f(tape)`` that carries adjoints from the last record to the first."""
    stamp, lanes = source_stamp(), Lanes(width)
    word, add, call = _access(lanes)
    entry, get, *_ = access(lanes)
    transposed_product = transposed_times(width)
    step = 8 * width

    def backwards(tape):
        stamp  # noqa: B018  (in the closure: part of the cache key)
        record = word(tape + 8 * WORDS)
        while True:
            kind = word(record)
            if kind == SPREAD:
                adjoint, count, partials = get(word(record + 8)), word(record + 16), word(record + 24)
                record += 8 * RUN_WORDS
                for k in range(count):
                    add(word(record + 8 * (count - 1 - k)), get(partials + k * step), adjoint)
                record += 8 * count
            elif kind == SCALED:
                adjoint, count = get(word(record + 8)), word(record + 16)
                record += 8 * RUN_WORDS
                for k in range(count):
                    add(word(record + 16 * k), entry(record + 16 * k + 8), adjoint)
                record += 16 * count
            elif kind == PRODUCT or kind == ROWS:
                y, rows, x, row = word(record + 8), word(record + 16), word(record + 24), word(record + 32)
                by = step
                if kind == ROWS:  # from the last to the first
                    y, x, by, row = y + (rows - 1) * step, x + (rows - 1) * row, -step, -row
                column, columns, out, stride = (
                    word(record + 40),
                    word(record + 48),
                    word(record + 56),
                    word(record + 64),
                )
                transposed_product(y, by, rows, x, row, column, columns, out, stride)
                record += 8 * PRODUCT_WORDS
            elif kind == SUM:
                call(word(record + 16), record + 8 * SUM_WORDS, word(record + 8))
                record += 8 * (SUM_WORDS + word(record + 24))
            else:
                return

    return c_kernel(types.void(types.int64), backwards)
