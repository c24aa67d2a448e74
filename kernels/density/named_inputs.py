"""Named parameters as the arguments of a density: z by z where they are real, or what a stage of spaces writes."""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..lanes import LaneMatrix, Lanes, LaneVector, SummedMatrix
from ..lanes.sequence import load, struct
from ..lanes.types import pack
from ..spaces import Stage
from ..spaces.code import InCode
from ..spaces.stage import InPython
from .abi import LANE_WIDTH
from .inputs import WORD, Buffer


class Argument(NamedTuple):
    """A parameter as the density has it: where its first row is, in z or in what the stage writes."""

    shape: tuple[int, ...]
    row: int
    in_z: bool = False


class Named(NamedTuple):
    """Named parameters.

    ``stage`` leaves what is real where it is, and ``copied`` writes it beside the others, for densities of one draw,
    whose arguments must be contiguous.
    """

    arguments: tuple[Argument, ...]
    stage: Stage
    separate: tuple[Argument, ...]
    copied: Stage
    summed: int = (
        0  # matrices whose gradient is summed over lanes: the last data but two, the lanes' weights and the sums
    )

    def data_kinds(self, kinds):
        n = len(kinds) - 2 - self.summed
        return [*kinds[:n], *map(SummedMatrix, kinds[n:-2]), *kinds[-2:]] if self.summed else list(kinds)

    def data_values(self, context, builder, kinds, tile, first):
        """For the draws from ``first`` on, where weights come round after 32"""
        if not self.summed:
            return tile.data
        n = len(kinds) - 2 - self.summed
        weights, sums = (
            builder.ptrtoint(struct(k)(context, builder, v).data, WORD)
            for k, v in zip(kinds[-2:], tile.data[-2:], strict=True)
        )
        weights = builder.add(weights, builder.mul(builder.and_(first, WORD(LANE_WIDTH - 1)), WORD(8)))
        found = []
        for kind, array in zip(kinds[n:-2], tile.data[n:-2], strict=True):
            found.append(pack(context, builder, SummedMatrix(kind), array=array, sums=sums, weights=weights))
            sums = builder.add(sums, builder.mul(struct(kind)(context, builder, array).nitems, WORD(8)))
        return [*tile.data[:n], *found, *tile.data[-2:]]

    def kinds(self, item):
        """Of lanes, or of what stands for them."""
        return [(item, LaneVector(item), LaneMatrix(item))[len(a.shape)] for a in self.arguments]

    def kinds_of_one(self):
        return [types.Array(types.float64, len(a.shape), "C") if a.shape else types.float64 for a in self.separate]

    def open(self, context, builder, tile, lanes):
        return Group(self, context, builder, tile, lanes)

    def open_recorded(self, context, builder, tile, leaf):
        return RecordedGroup(self, context, builder, tile, leaf)

    def open_one(self, context, builder, tile):
        return OneDraw(self, context, builder, tile)

    def in_python(self, z):
        """(arguments, log |J|) of one draw as lists and floats, to the bits that compiled code has."""
        x = [0.0] * self.copied.height
        log_j = self.copied.forward(InPython(z, x))
        return [items_of(a, x) for a in self.separate], log_j


def items_of(argument, x):
    """One number, or a list of them by rows."""
    count = 1
    for extent in argument.shape:
        count *= extent
    return x[argument.row : argument.row + count] if argument.shape else x[argument.row]


class Group:
    """The parameters of a group of draws in lanes."""

    def __init__(self, inputs, context, builder, tile, lanes):
        self.inputs, self.context, self.builder, self.tile, self.lanes = inputs, context, builder, tile, lanes
        self.height = inputs.stage.height
        self.x = Buffer(context, builder, self.height * lanes.width)
        self.log_j = None

    def at(self, pointer, row, width):
        return self.builder.gep(pointer, [self.builder.mul(WORD(row), width)])

    def values(self, first):
        z = self.builder.gep(self.tile.z, [first])
        run = InCode(self.builder, self.lanes, z, self.tile.width, self.x.data)
        if self.inputs.stage.rows:
            self.log_j = self.inputs.stage.forward(run).value
        width = WORD(self.lanes.width)
        return [
            self.argument(a, self.at(z, a.row, self.tile.width), self.tile.width)
            if a.in_z
            else self.argument(a, self.at(self.x.data, a.row, width), width)
            for a in self.inputs.arguments
        ]

    def argument(self, argument, data, stride):
        if not argument.shape:
            return load(self.builder, self.lanes, data)
        return pack(self.context, self.builder, self.kind(argument), **members(argument.shape, data, stride))

    def kind(self, argument):
        return (LaneVector, LaneMatrix)[len(argument.shape) - 1](self.lanes)

    def close(self):
        self.x.close()


def members(shape, data, stride):
    if len(shape) == 1:
        return dict(data=data, stride=stride, size=WORD(shape[0]))
    return dict(data=data, stride=stride, rows=WORD(shape[0]), columns=WORD(shape[1]))


class RecordedGroup(Group):
    """The same as recorded numbers, whose adjoints lie in the gradient or beside x."""

    def __init__(self, inputs, context, builder, tile, leaf):
        super().__init__(inputs, context, builder, tile, leaf.lanes)
        self.leaf = leaf
        self.slopes = Buffer(context, builder, self.height * leaf.lanes.width)

    def values(self, first, tape=None):
        self.tape, self.gradient = tape, self.builder.gep(self.tile.gradient, [first])
        size = 8 * self.height * self.lanes.width
        cgutils.memset(self.builder, self.slopes.data, WORD(size), 0)
        return super().values(first)

    def argument(self, argument, data, stride):
        base = self.gradient if argument.in_z else self.slopes.data
        adjoint = self.builder.ptrtoint(self.at(base, argument.row, stride), WORD)
        recorded = dict(adjoint=adjoint, tape=self.tape)
        if not argument.shape:
            value = load(self.builder, self.lanes, data)
            return pack(self.context, self.builder, self.leaf, value=value, **recorded)
        kind = (LaneVector, LaneMatrix)[len(argument.shape) - 1](self.leaf)
        recorded["spacing"] = self.builder.mul(stride, WORD(8))
        return pack(self.context, self.builder, kind, **members(argument.shape, data, stride), **recorded)

    def way_back(self, first):
        if self.inputs.stage.rows:
            z = self.builder.gep(self.tile.z, [first])
            pointers = self.slopes.data, self.gradient
            self.inputs.stage.backward(InCode(self.builder, self.lanes, z, self.tile.width, self.x.data, *pointers))

    def close(self):
        super().close()
        self.slopes.close()


class OneDraw:
    """The parameters of one draw, as numbers and arrays."""

    def __init__(self, inputs, context, builder, tile):
        self.inputs, self.context, self.builder, self.tile, self.lanes = inputs, context, builder, tile, Lanes(1)
        self.x = Buffer(context, builder, inputs.copied.height)
        self.log_j = None

    def values(self, first):
        z = self.builder.gep(self.tile.z, [first])
        run = InCode(self.builder, self.lanes, z, self.tile.width, self.x.data)
        log_j = self.inputs.copied.forward(run).value
        self.log_j = self.builder.extract_element(log_j, ir.IntType(32)(0))
        kinds = self.inputs.kinds_of_one()
        return [self.argument(a, kind) for a, kind in zip(self.inputs.separate, kinds, strict=True)]

    def argument(self, argument, kind):
        data = self.builder.gep(self.x.data, [WORD(argument.row)])
        if not argument.shape:
            return self.builder.load(data)
        array = self.context.make_array(kind)(self.context, self.builder)
        shape = [WORD(extent) for extent in argument.shape]
        strides = [WORD(8)] if len(shape) == 1 else [WORD(8 * argument.shape[1]), WORD(8)]
        described = dict(data=data, shape=shape, strides=strides, itemsize=WORD(8), meminfo=None)
        self.context.populate_array(array, **described)
        return array._getvalue()

    def close(self):
        self.x.close()
