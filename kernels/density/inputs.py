"""What a density is called with, group by group: z itself, or named parameters that spaces make of it.

``kinds`` are the Numba types of the arguments before the data, and ``data_kinds`` those of the data where a derivative
is taken.  ``open`` writes what comes once a tile and returns a *group*: ``values(first)`` gives the arguments for the
draws from ``first`` on, ``log_j`` is what is added to the log density (None for nothing), ``way_back(first)`` carries
gradients on to z, and ``close()`` ends the tile.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np import arrayobj

from ..lanes import LaneVector
from ..lanes.types import pack
from .tile_loop import copy_column, new_draw

WORD = ir.IntType(64)
ON_STACK, ALIGNMENT = 2048, 64  # float64s, bytes
HEAP = types.Array(types.float64, 1, "C")


class AsItIs:
    """Data that a derivative is not taken by."""

    @staticmethod
    def data_kinds(kinds):
        return list(kinds)

    @staticmethod
    def data_values(context, builder, kinds, tile, first):
        return tile.data


class Flat(AsItIs):
    """z as one argument."""

    @staticmethod
    def kinds(item):
        return [LaneVector(item)]

    @staticmethod
    def kinds_of_one():
        return [types.Array(types.float64, 1, "C")]

    open = staticmethod(lambda *given: FlatGroup(*given))
    open_recorded = staticmethod(lambda *given: FlatRecorded(*given))
    open_one = staticmethod(lambda *given: FlatDraw(*given))


class FlatGroup:
    """A group of draws as a LaneVector."""

    log_j = None

    def __init__(self, context, builder, tile, item):
        self.context, self.builder, self.tile, self.kind = context, builder, tile, LaneVector(item)

    def values(self, first):
        return [view_of(self.context, self.builder, self.kind, self.tile, first)]

    def close(self):
        """Nothing is left behind."""


class FlatRecorded(FlatGroup):
    """The same as recorded numbers, whose adjoints are the gradient."""

    def values(self, first, tape=None):
        builder, tile = self.builder, self.tile
        adjoint = builder.ptrtoint(builder.gep(tile.gradient, [first]), WORD)
        recorded = dict(adjoint=adjoint, spacing=builder.mul(tile.width, WORD(8)), tape=tape)
        members = dict(data=builder.gep(tile.z, [first]), stride=tile.width, size=tile.dim)
        return [pack(self.context, builder, self.kind, **recorded, **members)]

    def way_back(self, first):
        """They are where they belong."""


class FlatDraw:
    """One draw as an array of its own."""

    log_j = None

    def __init__(self, context, builder, tile):
        self.context, self.builder, self.tile, (self.kind,) = context, builder, tile, Flat.kinds_of_one()
        self.draw, self.place = new_draw(context, builder, self.kind, tile)

    def values(self, first):
        source = self.builder.gep(self.tile.z, [first])
        copy_column(self.builder, self.tile, source, self.tile.width, self.place, WORD(1))
        return [self.draw]

    def close(self):
        self.context.nrt.decref(self.builder, self.kind, self.draw)


def view_of(context, builder, kind, tile, first):
    """The draws first … first + 31 of a tile as a LaneVector."""
    return pack(context, builder, kind, data=builder.gep(tile.z, [first]), stride=tile.width, size=tile.dim)


class Buffer:
    """Aligned memory for ``size`` float64s: on the stack where that is known to be little, or on the heap."""

    def __init__(self, context, builder, size):
        self.context, self.builder, self.owned = context, builder, None
        if isinstance(size, int) and size <= ON_STACK:
            place = cgutils.alloca_once(builder, ir.ArrayType(ir.DoubleType(), max(size, 1)))
            place.align = ALIGNMENT
            self.data = builder.bitcast(place, ir.DoubleType().as_pointer())
            return
        size = WORD(size) if isinstance(size, int) else size
        array = arrayobj._empty_nd_impl(context, builder, HEAP, [builder.add(size, WORD(ALIGNMENT // 8))])
        self.owned = array._getvalue()
        address = builder.add(builder.ptrtoint(array.data, WORD), WORD(ALIGNMENT - 1))
        self.data = builder.inttoptr(builder.and_(address, WORD(-ALIGNMENT)), array.data.type)

    def close(self):
        if self.owned is not None:
            self.context.nrt.decref(self.builder, HEAP, self.owned)
