"""``np.dot(X[i], z)`` in a loop over rows: a block of rows is computed when they are asked for in order.

``density.row_loops`` puts ``row_dot`` in the place of such products.  What is known of a block lies in the frame of the
user's function, so it begins anew with each group of draws.  A row that does not follow the last is computed alone.
A row is the same to the last bit as it would be alone, and so is its way back; where a loop also uses z itself, or two
products, what they add to a derivative is added in another order.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin
from numba.np import arrayobj

from ..jit import template
from . import tape as tapes
from .matrix import emit_times, rows_times
from .products import dot_vectors
from .sequence import INTP, checked_index, length, load, rows_of, same_length, struct
from .tape import number
from .types import LaneVector, pack, part

FIRST, LARGEST = 4, 64  # rows: each block has twice those of the one before, so few are computed in vain
SHORTEST = 8  # a shorter row is sooner computed than looked up


def row_dot(x, i, z):
    """np.dot(x[i], z)"""
    return np.dot(x[i], z)


def takes(matrix, vector):
    """Whether ``row_dot`` knows these types: data, and z or a slice of it."""
    data = isinstance(matrix, types.Array) and matrix.ndim == 2 and not matrix.mutable
    return data and matrix.dtype == types.float64 and type(vector) is LaneVector and vector.lanes.width > 1


@template(row_dot)
class RowDot(AbstractTemplate):
    def generic(self, args, kws):
        x, i, z = args
        if takes(x, z) and isinstance(i, types.Integer):
            return signature(z.item.leaf if z.recorded else z.lanes, x, types.intp, z)


class Block:
    """The rows computed last by one product of the source, in cells of the frame that are zero at its entry."""

    def __init__(self, context, builder, sig, args):
        self.context, self.builder, self.lanes = context, builder, sig.args[2].lanes
        self.kind, self.z, self.result = sig.args[2], args[2], sig.return_type
        self.matrix = struct(sig.args[0])(context, builder, args[0])
        self.rows, self.columns = cgutils.unpack_tuple(builder, self.matrix.shape, 2)
        self.row, self.column = cgutils.unpack_tuple(builder, self.matrix.strides, 2)
        self.data, self.stride = rows_of(context, builder, self.kind, self.z)
        names = ("start", "count", "after", "data", "stride", "ahead", "record", "adjoints")
        self.cells = {name: cgutils.alloca_once(builder, INTP) for name in names}
        with builder.goto_entry_block():
            self.values = builder.alloca(self.lanes.vector, size=LARGEST)
        self.value = cgutils.alloca_once(builder, self.lanes.vector)
        self.adjoint = cgutils.alloca_once(builder, INTP)

    def get(self, name):
        return self.builder.load(self.cells[name])

    def put(self, **values):
        for name, value in values.items():
            self.builder.store(value, self.cells[name])

    def operand(self):
        """What tells one z from another: its address and its stride."""
        return dict(data=self.builder.ptrtoint(self.data, INTP), stride=self.stride)

    def is_next(self, i):
        return self.builder.icmp_signed("==", i, self.get("after"))

    def holds(self, i):
        """Whether row i is the next one and in the block."""
        builder, place = self.builder, self.builder.sub(i, self.get("start"))
        found = builder.and_(self.is_next(i), builder.icmp_unsigned("<", place, self.get("count")))
        return builder.and_(found, self.same_z())

    def same_z(self):
        builder = self.builder
        same = [builder.icmp_signed("==", self.get(name), now) for name, now in self.operand().items()]
        return builder.and_(*same)

    def address(self, i):
        return self.builder.add(self.builder.ptrtoint(self.matrix.data, INTP), self.builder.mul(i, self.row))

    def compute(self, i):
        """Row i and those after it."""
        builder, context = self.builder, self.context
        more = builder.select(self.same_z(), builder.shl(self.get("ahead"), number(1)), number(0))
        ahead = builder.select(builder.icmp_signed("<", more, number(FIRST)), number(FIRST), more)
        ahead = builder.select(builder.icmp_signed(">", ahead, number(LARGEST)), number(LARGEST), ahead)
        left = builder.sub(self.rows, i)
        count = builder.select(builder.icmp_signed("<", left, ahead), left, ahead)
        start, z, out = self.address(i), self.operand()["data"], builder.ptrtoint(self.values, INTP)
        stride = builder.mul(self.stride, number(8))
        words = start, self.row, self.column, count, self.columns, z, stride, out
        emit_times(builder, rows_times(self.lanes.width), *words)
        self.put(start=i, count=count, ahead=ahead, **self.operand())
        if self.kind.recorded:
            to, spacing, tape = (part(context, builder, self.kind, self.z, n) for n in ("adjoint", "spacing", "tape"))
            new = tapes.new_adjoints(context, builder, self.lanes, tape, count)
            words = new, number(1), start, self.row, self.column, self.columns, to, spacing
            self.put(adjoints=new, record=tapes.push_product(context, builder, tape, *words, kind=tapes.ROWS))

    def take(self, i):
        """Row i out of the block, whose record grows with it: a row that nobody asks for is not on the way back."""
        builder = self.builder
        place = builder.sub(i, self.get("start"))
        builder.store(load(builder, self.lanes, builder.gep(self.values, [place])), self.value)
        if self.kind.recorded:
            tapes.write(builder, builder.add(place, number(1)), self.get("record"), 2)
            step = builder.mul(place, number(tapes.lane_bytes(self.lanes)))
            builder.store(builder.add(self.get("adjoints"), step), self.adjoint)

    def alone(self, i):
        """Row i, and an end to the block: what is recorded stays in order."""
        context, builder = self.context, self.builder
        self.put(count=number(0), ahead=number(0))
        kind = types.Array(types.float64, 1, "A", readonly=True)
        row = struct(kind)(context, builder)
        arrayobj.populate_array(
            row,
            data=builder.inttoptr(self.address(i), self.matrix.data.type),
            shape=[self.columns],
            strides=[self.column],
            itemsize=self.matrix.itemsize,
            meminfo=None,
        )
        value = dot_vectors(context, builder, signature(self.result, kind, self.kind), [row._getvalue(), self.z])
        if self.kind.recorded:
            builder.store(part(context, builder, self.result, value, "adjoint"), self.adjoint)
            value = part(context, builder, self.result, value, "value")
        builder.store(value, self.value)

    def answer(self):
        context, builder = self.context, self.builder
        value = builder.load(self.value)
        if not self.kind.recorded:
            return value
        tape = part(context, builder, self.kind, self.z, "tape")
        return pack(context, builder, self.result, value=value, adjoint=builder.load(self.adjoint), tape=tape)


@lower_builtin(row_dot, types.Array, types.Integer, LaneVector)
def lower_row_dot(context, builder, sig, args):
    block = Block(context, builder, sig, args)
    i = checked_index(context, builder, args[1], block.rows)
    same_length(context, builder, [block.columns, length(context, builder, block.kind, block.z)])
    with builder.if_else(block.holds(i), likely=True) as (known, unknown):
        with known:
            block.take(i)
        with unknown:
            in_order = builder.and_(block.is_next(i), builder.icmp_signed(">=", block.columns, number(SHORTEST)))
            with builder.if_else(in_order, likely=True) as (then, otherwise):
                with then:
                    block.compute(i)
                    block.take(i)
                with otherwise:
                    block.alone(i)
    block.put(after=builder.add(i, number(1)))
    return block.answer()
