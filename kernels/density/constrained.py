"""Spaces around a density that is a C function already, and alone, as C functions of a tile by ``abi``."""

from llvmlite import ir
from numba.core import cgutils

from ..lanes import Lanes
from ..lanes.sequence import load, store
from ..spaces.code import InCode
from . import compilations
from .abi import FINE, LANE_WIDTH, Compiled
from .inputs import Buffer
from .tile_loop import WORD, c_function

LANES = Lanes(LANE_WIDTH)
POINTER = ir.DoubleType().as_pointer()


def constrain(stage) -> Compiled:
    """x in the place of the gradient, (stage.height, width), and log |J| in that of log p; of multiples of 32 draws."""

    def prepare(typingctx):
        def start(context, builder, tile):
            def group(first, stop):
                z, x = (builder.gep(p, [first]) for p in (tile.z, tile.gradient))
                run = InCode(builder, LANES, z, tile.width, x, step=tile.width)
                store(builder, LANES, stage.forward(run).value, builder.gep(tile.log_p, [first]))

            return group, lambda: None

        return start

    def build():
        function = c_function(prepare, (), LANE_WIDTH)
        return Compiled(function.address, True, None, (function,))

    return compilations.once(("constrain", stage), build)


def around(stage, address, gradient) -> Compiled:
    """The density at ``address`` of x, (stage.height, width), as one of z: log |J| added, gradients pulled back."""

    def prepare(typingctx):
        def start(context, builder, tile):
            rows = WORD(stage.height)
            size = builder.mul(rows, tile.width)
            buffers = [Buffer(context, builder, n) for n in (size, tile.width, size if gradient else 1)]
            x, log_j, slopes = (b.data for b in buffers)

            def at(pointer, first):
                return builder.gep(pointer, [first])

            def run_of(first, slopes=None, gradient=None):
                at_z, at_x = at(tile.z, first), at(x, first)
                return InCode(builder, LANES, at_z, tile.width, at_x, slopes, gradient, step=tile.width)

            groups = builder.sdiv(tile.width, WORD(LANE_WIDTH))
            with cgutils.for_range(builder, groups) as loop:
                first = builder.mul(loop.index, WORD(LANE_WIDTH))
                store(builder, LANES, stage.forward(run_of(first)).value, at(log_j, first))
            words = [WORD] * 2
            kind = ir.FunctionType(WORD, [POINTER, *words, WORD, POINTER, POINTER, *words])
            inner = builder.inttoptr(WORD(address), kind.as_pointer())
            asked = slopes if gradient else ir.Constant(POINTER, None)
            given = [x, rows, tile.width, tile.words, tile.log_p, asked, tile.scratch, tile.scratch_bytes]
            status = builder.call(inner, given)

            def group(first, stop):
                stop(builder.icmp_signed("!=", status, WORD(FINE)), status)
                place = at(tile.log_p, first)
                total = builder.fadd(load(builder, LANES, place), load(builder, LANES, at(log_j, first)))
                store(builder, LANES, total, place)
                if gradient:
                    with cgutils.for_range(builder, tile.dim) as row:
                        out = at(at(tile.gradient, first), builder.mul(row.index, tile.width))
                        store(builder, LANES, ir.Constant(LANES.vector, None), out)
                    stage.backward(run_of(first, at(slopes, first), at(tile.gradient, first)))

            def end():
                for each in buffers:
                    each.close()

            return group, end

        return start

    def build():
        function = c_function(prepare, (), LANE_WIDTH)
        return Compiled(function.address, True, None, (function,))

    return compilations.once(("around", stage, address, gradient), build)
