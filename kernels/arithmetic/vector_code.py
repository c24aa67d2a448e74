"""Tools to write loops over tiles as vector code: LLVM need not find the vectors, which takes it ten times as long,
and as many sums stay in registers as fit.
"""

import contextlib
import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np import arrayobj

from ..jit import has_wide_registers
from .traced import DOUBLE, HALF_WORD, WORD, constant, emit_fma, splat

LANES = 8  # of a vector, on every CPU, so that sums over them have the same bits
VECTOR, WORDS = ir.VectorType(DOUBLE, LANES), ir.VectorType(WORD, LANES)
TILE, WORD_TILE = types.Array(types.float64, 2, "C"), types.Array(types.uint64, 2, "C")
NUMBERS = types.Array(types.float64, 1, "C")
WIDE, NARROW = (4, 4), (4, 1)  # rows and vectors of a block of sums: 32 registers of 64 bytes, or 16 of 32


class Array:
    """A C-contiguous array of 64-bit items in code that is being written."""

    def __init__(self, code, data, shape):
        self.data, self.shape, self.builder = data, shape, code.builder

    def at(self, *index):
        """The address of an item, or of the first of a row."""
        builder, place = self.builder, WORD(0)
        for k, size in enumerate(self.shape):
            step = index[k] if k < len(index) else 0
            place = builder.add(builder.mul(place, size), WORD(step) if isinstance(step, int) else step)
        return builder.add(self.data, builder.shl(place, WORD(3)))

    def row(self, index):
        """The part at an index of the first axis, as an array."""
        return Array(self, self.at(index), self.shape[1:])

    def after(self, start):
        """The numbers of a vector from ``start`` on."""
        return Array(self, self.at(start), (self.builder.sub(self.shape[0], start),))


class Code:
    """The code that is being written: vectors of eight float64, at addresses."""

    def __init__(self, builder, context):
        self.builder, self.context = builder, context

    def tile(self, owner, address, height, width, kind=TILE):
        """The struct of a tile at an address in memory that ``owner`` keeps."""
        return self.array(owner, address, (height, width), (self.builder.mul(width, WORD(8)), WORD(8)), kind)

    def array(self, owner, address, shape, strides, kind):
        """The struct of an array at an address in memory that ``owner`` keeps, or that is kept elsewhere."""
        array = self.context.make_array(kind)(self.context, self.builder)
        data = self.builder.inttoptr(address, array.data.type)
        arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=WORD(8), meminfo=owner)
        return array._getvalue()

    @staticmethod
    def block():
        """Rows and vectors of the largest block of sums that stays in registers."""
        return WIDE if has_wide_registers() else NARROW

    def sum(self, *numbers):
        """The sum of some integers."""
        return functools.reduce(self.builder.add, (n if isinstance(n, ir.Value) else WORD(n) for n in numbers))

    @contextlib.contextmanager
    def loop(self, start, stop, step=1):
        """A loop over ``range(start, stop, step)``, which yields its index."""
        first, end = (n if isinstance(n, ir.Value) else WORD(n) for n in (start, stop))
        with cgutils.for_range_slice(self.builder, first, end, WORD(step), inc=step > 0) as (index, _):
            yield index

    @contextlib.contextmanager
    def stretches(self, size, longest):
        """A loop over stretches of up to so many places, which yields the first and the number of each."""
        with self.loop(0, size, longest) as start:
            left = self.builder.sub(size, start)
            short = self.builder.icmp_signed("<", left, WORD(longest))
            yield start, self.builder.select(short, left, WORD(longest))

    def across(self, width, body, vectors=1):
        """``body(j, count, mask)`` for the lanes from j on, ``count`` vectors of them: ``vectors`` while there are so
        many, then one by one under a mask."""
        step = LANES * vectors
        whole = self.whole(width, step)
        with self.loop(0, whole, step) as j:
            body(j, vectors, None)
        with self.loop(whole, width, LANES) as j:
            body(j, 1, self.mask(j, width))

    def across_once(self, width, body):
        """``body(j, mask, store)`` for each vector of lanes: for long bodies, which are written once and not again for
        the last lanes; they ``store(value, address)``."""
        whole = self.whole(width)
        with self.loop(0, width, LANES) as j:
            mask, full = self.mask(j, width), self.builder.icmp_signed("<", j, whole)

            def store(value, address):
                with self.builder.if_else(full, likely=True) as (then, otherwise):
                    with then:
                        self.store(value, address)
                    with otherwise:
                        self.store(value, address, mask)

            body(j, mask, store)

    def whole(self, width, step=LANES):
        """The largest multiple of ``step`` in a number of lanes."""
        return self.builder.sub(width, self.builder.srem(width, WORD(step)))

    def mask(self, j, width):
        """Which of the lanes from j on lie below ``width``."""
        lanes = ir.Constant(WORDS, list(range(LANES)))
        return self.builder.icmp_signed("<", lanes, self.splat(self.builder.sub(width, j)))

    def follow(self, start, stop, values, step, stride=1):
        """The values after a loop over ``range(start, stop, stride)`` whose each turn makes ``step(index, values)`` of
        them."""
        builder = self.builder
        before = builder.basic_block
        head, body, end = (builder.append_basic_block(f"follow.{name}") for name in ("head", "body", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        index, found = builder.phi(WORD), [builder.phi(v.type) for v in values]
        builder.cbranch(builder.icmp_signed("<", index, stop), body, end)
        builder.position_at_end(body)
        after = [builder.add(index, WORD(stride)), *step(index, found)]
        for phi, first, last in zip([index, *found], [self.sum(start), *values], after, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(last, builder.basic_block)
        builder.branch(head)
        builder.position_at_end(end)
        return found

    def load(self, address, mask=None, kind=VECTOR):
        """The vector at an address, with zeros where the mask is not set."""
        place = self.builder.inttoptr(address, kind.as_pointer())
        if mask is None:
            return self.builder.load(place, align=8)
        name = f"llvm.masked.load.v{LANES}{'i' if kind == WORDS else 'f'}64.p0"
        arguments = [place, HALF_WORD(8), mask, ir.Constant(kind, None)]
        return self.builder.call(self._intrinsic(name, kind, arguments), arguments)

    def store(self, value, address, mask=None):
        """A vector into memory, where the mask is set."""
        place = self.builder.inttoptr(address, value.type.as_pointer())
        if mask is None:
            self.builder.store(value, place, align=8)
        else:
            arguments = [value, place, HALF_WORD(8), mask]
            name = f"llvm.masked.store.v{LANES}{'i' if value.type == WORDS else 'f'}64.p0"
            self.builder.call(self._intrinsic(name, ir.VoidType(), arguments), arguments)

    def prefetch(self, address, count):
        """Have so many float64 from an address on brought near."""
        pointer = ir.PointerType(ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer] + [HALF_WORD] * 3)
        fetch = self.builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        with self.loop(0, count, LANES) as j:
            place = self.builder.inttoptr(self.sum(address, self.builder.mul(j, WORD(8))), pointer)
            self.builder.call(fetch, [place, HALF_WORD(0), HALF_WORD(2), HALF_WORD(1)])

    def _intrinsic(self, name, result, arguments):
        kind = ir.FunctionType(result, [a.type for a in arguments])
        return self.builder.module.declare_intrinsic(name, (), kind)

    def number(self, address):
        """The float64 at an address."""
        return self.builder.load(self.builder.inttoptr(address, DOUBLE.as_pointer()))

    def to_float(self, word):
        """A signed integer as a float64."""
        return self.builder.sitofp(word, DOUBLE)

    def splat(self, scalar):
        """A vector whose every element is ``scalar``."""
        return splat(self.builder, scalar, ir.VectorType(scalar.type, LANES))

    def shuffle(self, a, b, places):
        """The elements of a and b, one after the other, at these places."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(HALF_WORD, len(places)), places))

    def sum_each(self, vectors):
        """One vector, of the sum of each of ``vectors``: their halves are added, and the halves of those."""
        width = LANES
        while width > 1:
            half = width // 2
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True)) if len(vectors) > 1 else [(vectors[0], None)]
            vectors = []
            for a, b in pairs:
                starts = range(0, a.type.count * (1 if b is None else 2), width)
                low = [start + k for start in starts for k in range(half)]
                ends = (self.shuffle(a, a if b is None else b, [p + k for p in low]) for k in (0, half))
                vectors.append(self.builder.fadd(*ends))
            width = half
        return self.builder.extract_element(vectors[0], HALF_WORD(0)) if vectors[0].type.count == 1 else vectors[0]

    def struct(self, numbers):
        """Some float64 as one value."""
        found = ir.Constant(ir.LiteralStructType([DOUBLE] * len(numbers)), ir.Undefined)
        for k, number in enumerate(numbers):
            found = self.builder.insert_value(found, number, k)
        return found

    def fma(self, x, y, z):
        return emit_fma(self.builder, x, y, z)

    @staticmethod
    def zero():
        return constant(VECTOR, 0.0)
