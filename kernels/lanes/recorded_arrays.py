"""Arrays that a density fills with lanes or recorded numbers: ``L = np.zeros((n, n))``, then ``L[i, j] = …``.

Only densities that assign items are compiled with them: ``with_tables`` puts ``zeros`` and its kin in the place of
NumPy's.  Items are read and written at once, never lazily.
"""

import operator
import types as python_types

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.core.typing.templates import AbstractTemplate, signature
from numba.cpython import slicing
from numba.extending import lower_builtin, models, register_model
from numba.np import arrayobj

from ..jit import template
from .recorded_types import Number
from .registry import call
from .sequence import INTP, checked_index, copies
from .tape import number, read, read_lanes, write, write_lanes
from .types import SCALARS, Lanes, LaneSequence, pack, part


def words_of(item):
    """The members of an item beside its lanes."""
    return ("adjoint", "tape", "version") if isinstance(item, Number) else ()


class Table(LaneSequence):
    """An array of lanes or recorded numbers, of one or two dimensions, or a view of one.

    One that is ``fixed``, the result of a product or a copy, is never written to: lazy expressions may read it.
    """

    def __init__(self, item, ndim, fixed=False):
        self.ndim, self.fixed, self.array = ndim, fixed, types.Array(types.float64, 1, "C")
        super().__init__(item, f"Table({item}, {ndim}, {fixed})")

    @property
    def as_it_is(self):
        """The type of a copy for a lazy expression to read later."""
        return Table(self.item, self.ndim, fixed=True)

    @property
    def step(self):
        """Bytes from item to item."""
        return 8 * (self.lanes.width + (8 if words_of(self.item) else 0))


@register_model(Table)
class TableModel(models.StructModel):
    def __init__(self, manager, kind):
        members = [("array", kind.array), ("data", types.int64), ("size", types.intp), ("stride", types.int64)]
        if kind.ndim == 2:
            members += [("rows", types.intp), ("row_stride", types.int64)]
        super().__init__(manager, kind, members)


def load_item(context, builder, kind, address):
    value = read_lanes(builder, kind.lanes, address)
    if kind.item == kind.lanes:
        return value
    members = {name: read(builder, address, kind.lanes.width + k) for k, name in enumerate(words_of(kind.item))}
    return pack(context, builder, kind.item, value=value, **members)


def store_item(context, builder, kind, address, value):
    lanes = value if kind.item == kind.lanes else part(context, builder, kind.item, value, "value")
    write_lanes(builder, lanes, address)
    for k, name in enumerate(words_of(kind.item)):
        write(builder, part(context, builder, kind.item, value, name), address, kind.lanes.width + k)


def address_of(context, builder, kind, value, i):
    """Of item i of a table of one dimension, i within bounds."""
    get = lambda name: part(context, builder, kind, value, name)  # noqa: E731
    return builder.add(get("data"), builder.mul(i, get("stride")))


# ---- making one
def new_table(context, builder, kind, shape, fill=0.0):
    """A table of constants."""
    total = shape[0] if len(shape) == 1 else builder.mul(*shape)
    words = builder.mul(total, INTP(kind.step // 8))
    array = arrayobj._empty_nd_impl(context, builder, kind.array, [words])
    data = builder.ptrtoint(array.data, ir.IntType(64))
    start = context.cast(builder, ir.Constant(ir.DoubleType(), fill), types.float64, kind.item)
    with cgutils.for_range(builder, total) as loop:
        store_item(context, builder, kind, builder.add(data, builder.mul(loop.index, number(kind.step))), start)
    members = dict(array=array._getvalue(), data=data, size=shape[-1], stride=number(kind.step))
    if kind.ndim == 2:
        members.update(rows=shape[0], row_stride=builder.mul(shape[1], number(kind.step)))
    return pack(context, builder, kind, **members)


def fixed_copy(context, builder, kind, value):
    """The items of a table of one dimension as they are now."""
    size = part(context, builder, kind, value, "size")
    copy = new_table(context, builder, kind.as_it_is, [size])
    with cgutils.for_range(builder, size) as loop:
        x = load_item(context, builder, kind, address_of(context, builder, kind, value, loop.index))
        store_item(context, builder, kind, address_of(context, builder, kind.as_it_is, copy, loop.index), x)
    return copy


copies[Table] = fixed_copy


def makers(item):
    """NumPy's makers of arrays, for tables of ``item``: {name: function}."""
    return {name: maker(item, name) for name in ("zeros", "empty", "ones", "zeros_like", "empty_like", "ones_like")}


def maker(item, name):
    numpys = getattr(np, name)
    fill = 1.0 if name.startswith("ones") else 0.0

    def make(*args, **kws):
        return numpys(*args, **kws)

    @template(make)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            given = [*args, *kws.values()]
            shape, rest = given[0], given[1:]
            if isinstance(shape, LaneSequence):
                return signature(Table(item, 1), *args) if not rest else None
            count = {types.UniTuple: getattr(shape, "count", 0)}.get(type(shape), isinstance(shape, types.Integer))
            real = not rest or getattr(rest[0], "instance_type", getattr(rest[0], "dtype", None)) == types.float64
            if count in (1, 2) and real and not name.endswith("like"):
                return signature(Table(item, int(count)), *args)
            return self.context.resolve_value_type(numpys).get_call_type(self.context, args, kws)

    def lower(context, builder, sig, args):
        if not isinstance(sig.return_type, Table):
            return call(context, builder, numpys, sig.args, args)
        kind, given = sig.return_type, sig.args[0]
        if isinstance(given, LaneSequence):
            shape = [part(context, builder, given, args[0], "size")]
        elif isinstance(given, types.UniTuple):
            shape = [context.cast(builder, v, given.dtype, types.intp) for v in cgutils.unpack_tuple(builder, args[0])]
        else:
            shape = [context.cast(builder, args[0], given, types.intp)]
        return impl_ret_new_ref(context, builder, kind, new_table(context, builder, kind, shape, fill))

    lower_builtin(make, types.Any)(lower)
    lower_builtin(make, types.Any, types.Any)(lower)
    return make


def with_tables(function, item):
    """A copy of a function whose ``np`` makes tables."""
    module = python_types.ModuleType("numpy")
    vars(module).update(vars(np))
    vars(module).update(makers(item))
    scope = {name: module if value is np else value for name, value in function.__globals__.items()}
    copy = python_types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


# ---- items
def plain_index(index):
    return isinstance(index, types.Integer) or (
        isinstance(index, types.BaseTuple) and all(isinstance(t, types.Integer) for t in index)
    )


def cut_index(index):
    """A row, a slice, or a slice of a row."""
    return isinstance(index, types.SliceType) or (
        isinstance(index, types.BaseTuple)
        and len(index) == 2
        and isinstance(index[0], types.Integer)
        and isinstance(index[1], types.SliceType)
    )


@template(operator.getitem)
class GetItem(AbstractTemplate):
    def generic(self, args, kws):
        table, index = args
        if not isinstance(table, Table):
            return None
        if table.ndim == 2 and isinstance(index, types.Integer):
            return signature(Table(table.item, 1), table, types.intp)
        if plain_index(index) and (table.ndim == 1) == isinstance(index, types.Integer):
            return signature(table.item, table, index)
        if cut_index(index) and (table.ndim == 1) == isinstance(index, types.SliceType):
            return signature(Table(table.item, 1, table.fixed), table, index)


@template(operator.setitem)
class SetItem(AbstractTemplate):
    def generic(self, args, kws):
        table, index, value = args
        if (
            isinstance(table, Table)
            and not table.fixed
            and plain_index(index)
            and (table.ndim == 1) == isinstance(index, types.Integer)
        ):
            if isinstance(value, (Number, Lanes, *SCALARS)):
                return signature(types.none, table, index, table.item)


def row_of(context, builder, kind, value, i):
    """Row i of a table of two dimensions, as one of one."""
    get = lambda name: part(context, builder, kind, value, name)  # noqa: E731
    i = checked_index(context, builder, i, get("rows"))
    data = builder.add(get("data"), builder.mul(i, get("row_stride")))
    row = Table(kind.item, 1)
    return row, pack(context, builder, row, array=get("array"), data=data, size=get("size"), stride=get("stride"))


def place_of(context, builder, kind, value, index_kind, index):
    """The address of one item."""
    if isinstance(index_kind, types.Integer):
        indices = [context.cast(builder, index, index_kind, types.intp)]
    else:
        indices = [
            context.cast(builder, v, t, types.intp)
            for v, t in zip(cgutils.unpack_tuple(builder, index), index_kind, strict=True)
        ]
    if kind.ndim == 2:
        kind, value = row_of(context, builder, kind, value, indices[0])
    i = checked_index(context, builder, indices[-1], part(context, builder, kind, value, "size"))
    return address_of(context, builder, kind, value, i)


def get_item(context, builder, sig, args):
    kind, value = sig.args[0], args[0]
    if sig.return_type == kind.item:
        return load_item(context, builder, kind, place_of(context, builder, kind, value, sig.args[1], args[1]))
    if isinstance(sig.args[1], types.Integer):
        return impl_ret_borrowed(context, builder, sig.return_type, row_of(context, builder, kind, value, args[1])[1])
    cut, cut_kind = args[1], sig.args[1]
    if isinstance(cut_kind, types.BaseTuple):
        i, cut = cgutils.unpack_tuple(builder, cut)
        kind, value = row_of(context, builder, kind, value, context.cast(builder, i, cut_kind[0], types.intp))
        cut_kind = cut_kind[1]
    get = lambda name: part(context, builder, kind, value, name)  # noqa: E731
    piece = context.make_helper(builder, cut_kind, cut)
    slicing.guard_invalid_slice(context, builder, cut_kind, piece)
    slicing.fix_slice(builder, piece, get("size"))
    out = pack(
        context,
        builder,
        sig.return_type,
        array=get("array"),
        data=address_of(context, builder, kind, value, piece.start),
        size=slicing.get_slice_length(builder, piece),
        stride=builder.mul(get("stride"), piece.step),
    )
    return impl_ret_borrowed(context, builder, sig.return_type, out)


def set_item(context, builder, sig, args):
    kind = sig.args[0]
    place = place_of(context, builder, kind, args[0], sig.args[1], args[1])
    store_item(context, builder, kind, place, args[2])
    return context.get_dummy_value()


for index in (types.Integer, types.BaseTuple, types.SliceType):
    lower_builtin(operator.getitem, Table, index)(get_item)
    lower_builtin(operator.setitem, Table, index, types.Any)(set_item)
