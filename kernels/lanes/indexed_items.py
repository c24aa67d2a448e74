"""What ``int(z[i])`` reads: ``table[int(z[i])]`` and ``table[j, int(z[i])]`` of data, ``theta[int(z[i])]`` and
``theta[j, int(z[i])]`` of latents.

Each draw reads an item of its own, so that the derivative in a latent theta goes to another item in each: the tape
holds an address for every draw.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin
from numba.np import arrayobj

from ..arithmetic.traced import splat
from ..jit import template
from . import tape as tapes
from .index import WORD, LaneIndex, checked, entries, gathered, parts_of
from .lane_matrix import LaneMatrix
from .types import DOUBLE, LaneVector, pack, part

SIZES = {1: ["size"], 2: ["rows", "columns"]}  # members of vectors and of matrices of latents
known: set = set()


def ndim_of(latents) -> int:
    return 2 if isinstance(latents, LaneMatrix) else 1


@template(operator.getitem)
class ItemOfEachDraw(AbstractTemplate):
    def generic(self, args, kws):
        if kws or len(args) != 2:
            return None
        sequence, index = args
        parts = parts_of(index)
        found = [p for p in parts if isinstance(p, LaneIndex)]
        if not found or not all(isinstance(p, LaneIndex | types.Integer) for p in parts):
            return None
        lanes = found[0].lanes
        table = isinstance(sequence, types.Array) and sequence.dtype == types.float64 and sequence.ndim == len(parts)
        latents = type(sequence) is LaneVector or isinstance(sequence, LaneMatrix)
        if not table and not (latents and len(parts) == ndim_of(sequence)):
            return None
        if (sequence, index) not in known:  # for these types alone: other tuples stay Numba's
            known.add((sequence, index))
            how = item_of_table if table else item_of_latents
            lower_builtin(operator.getitem, sequence, index)(how)
        return signature(lanes if table else sequence.item, sequence, index)


def item_of_table(context, builder, sig, args):
    """Of an array of data."""
    lanes, vector = sig.return_type, ir.VectorType(WORD, sig.return_type.width)
    array = arrayobj.make_array(sig.args[0])(context, builder, args[0])
    shape, strides = (cgutils.unpack_tuple(builder, each) for each in (array.shape, array.strides))
    address = splat(builder, builder.ptrtoint(array.data, WORD), vector)
    for (kind, value), size, stride in zip(
        entries(context, builder, sig.args[1], args[1]), shape, strides, strict=True
    ):
        index = checked(context, builder, kind, value, size, vector)
        address = builder.add(address, builder.mul(index, splat(builder, stride, vector)))
    return gathered(builder, lanes, address)


def item_of_latents(context, builder, sig, args):
    """Of a vector or matrix of latents, whose items are a row of draws each."""
    kind, lanes = sig.args[0], sig.args[0].lanes
    vector = ir.VectorType(WORD, lanes.width)
    sizes = [part(context, builder, kind, args[0], name) for name in SIZES[ndim_of(kind)]]
    item = ir.Constant(vector, None)
    for (own, value), size in zip(entries(context, builder, sig.args[1], args[1]), sizes, strict=True):
        index = checked(context, builder, own, value, size, vector)
        item = builder.add(builder.mul(item, splat(builder, size, vector)), index)
    stride, data = (part(context, builder, kind, args[0], name) for name in ("stride", "data"))
    start, step = builder.ptrtoint(data, WORD), builder.mul(stride, WORD(8))
    value = gathered(builder, lanes, addresses_of(builder, item, start, step))
    if not kind.recorded:
        return value
    tape, spacing, adjoint = (part(context, builder, kind, args[0], name) for name in ("tape", "spacing", "adjoint"))
    new = tapes.new_adjoint(context, builder, lanes, tape)
    operands = tapes.push_sum(context, builder, tape, new, scattered(builder, lanes), lanes.width)
    addresses = addresses_of(builder, item, adjoint, spacing)
    builder.store(addresses, builder.bitcast(operands, vector.as_pointer()), align=8)
    return pack(context, builder, kind.item, value=value, adjoint=new, tape=tape)


def addresses_of(builder, item, start, step):
    """Where the item of each draw lies, of rows of draws ``step`` bytes apart."""
    row = builder.mul(item, splat(builder, step, item.type))
    first = builder.add(row, splat(builder, start, item.type))
    return builder.add(first, ir.Constant(item.type, list(range(0, 8 * item.type.count, 8))))


def scattered(builder, lanes):
    """The address of ``void f(i64 addresses, i64 adjoint)``, which adds the adjoint of each draw to what lies at its
    address."""
    name = f"fastvi_scattered_{lanes.width}"
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [WORD, WORD])
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        addresses, adjoints = (inner.inttoptr(each, WORD.as_pointer()) for each in function.args)
        adjoints = inner.bitcast(adjoints, DOUBLE.as_pointer())
        with cgutils.for_range(inner, WORD(lanes.width)) as loop:
            address = inner.inttoptr(inner.load(inner.gep(addresses, [loop.index])), DOUBLE.as_pointer())
            adjoint = inner.load(inner.gep(adjoints, [loop.index]))
            inner.store(inner.fadd(inner.load(address), adjoint), address)
        inner.ret_void()
    return builder.ptrtoint(function, WORD)
