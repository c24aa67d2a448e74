"""Sums of element-wise expressions, recorded whole: the way back computes the terms again rather than keep partials.

The record holds the operands of the expression and the address of a function, written here in LLVM IR, that adds the
derivative of each term straight into the adjoints.  So ``np.sum((y - X @ z) ** 2)`` costs one record, not one entry a
term, and its value is computed as fast as without a gradient.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..arithmetic.traced import Traced, constant
from . import tape as tapes
from .array_lifetime import lasting, lasting_copy
from .expression import expression_type
from .partials import Edges, edges_of, where
from .recorded_sums import tape_of
from .recorded_types import Expression, Number, Recorded
from .sequence import is_vector, item, item_type, length, total_type
from .tape import I64, number
from .types import SCALARS, LaneExpression, LaneMask, Lanes, LaneSequence, LaneVector, pack, part


def can_fuse(kind):
    """Whether a sum of this sequence can be computed again later: its operands stay where they are."""
    if isinstance(kind, LaneExpression):
        return not spills(kind) and all(can_fuse(a) for a in kind.operands)
    if isinstance(kind, LaneSequence):
        return isinstance(kind, LaneVector)
    return lasting(kind) if is_vector(kind) else isinstance(kind, (Number, Lanes, LaneMask, types.Literal, *SCALARS))


def spills(kind):
    """Whether an item has so many leaves that a part of it goes to the tape on its own."""
    pairs = zip(kind.item.operands, kind.operands, strict=True) if isinstance(kind.item, Expression) else ()
    return any(isinstance(kept, Recorded) and item_type(a) != kept for kept, a in pairs)


def operands(context, builder, kind, value):
    return [(a, part(context, builder, kind, value, f"operand{k}")) for k, a in enumerate(kind.operands)]


def unrecorded(context, builder, kind, value):
    """(kind, value) of the same expression in plain lanes."""
    if isinstance(kind, Number):
        return kind.lanes, part(context, builder, kind, value, "value")
    if isinstance(kind, LaneVector) and kind.recorded:
        plain = LaneVector(kind.lanes)
        names = ("data", "stride", "size")
        return plain, pack(context, builder, plain, **{n: part(context, builder, kind, value, n) for n in names})
    if not isinstance(kind, LaneExpression):
        return kind, value
    pairs = [unrecorded(context, builder, a, v) for a, v in operands(context, builder, kind, value)]
    plain = expression_type(context.typing_context, kind.function, [a for a, _ in pairs])
    members = {f"operand{k}": context.cast(builder, v, a, plain.operands[k]) for k, (a, v) in enumerate(pairs)}
    return plain, pack(context, builder, plain, size=part(context, builder, kind, value, "size"), **members)


def fused_sum(context, builder, kind, value, plain_sum):
    """sum_i of the items as one record; ``plain_sum(kind, value)`` computes it for plain lanes."""
    lanes = kind.lanes
    total = plain_sum(*unrecorded(context, builder, kind, value))
    tape, certain = tape_of(context, builder, kind, value)
    look_at_numbers(context, builder, kind, value)
    adjoint = cgutils.alloca_once_value(builder, number(0))
    with where(builder, tape, certain):
        value = with_lasting_arrays(context, builder, kind, value, tape)
        new = tapes.new_adjoint(context, builder, lanes, tape)
        builder.store(new, adjoint)
        model = context.data_model_manager[kind]
        stored = model.as_data(builder, value)
        words = -(-context.get_abi_sizeof(stored.type) // 8)
        place = tapes.push_sum(context, builder, tape, new, term_by_term(context, builder, kind), words)
        builder.store(stored, builder.bitcast(place, stored.type.as_pointer()), align=8)
    members = dict(adjoint=builder.load(adjoint), tape=tape, version=number(0))
    return pack(context, builder, total_type(kind), value=total, **members)


def with_lasting_arrays(context, builder, kind, value, tape):
    """The same expression with its temporary arrays copied to the tape."""
    if is_vector(kind):
        return lasting_copy(context, builder, kind, value, tape)
    if not isinstance(kind, LaneExpression):
        return value
    members = {
        f"operand{k}": with_lasting_arrays(context, builder, a, v, tape)
        for k, (a, v) in enumerate(operands(context, builder, kind, value))
    }
    return pack(context, builder, kind, size=part(context, builder, kind, value, "size"), **members)


def look_at_numbers(context, builder, kind, value):
    """Notice now whether an operand is stale: on the way back it is too late to tell."""
    if isinstance(kind, Number):
        edges_of(context, builder, kind, value)
    elif isinstance(kind, LaneExpression):
        for a, v in operands(context, builder, kind, value):
            look_at_numbers(context, builder, a, v)


def term_by_term(context, builder, kind):
    """The address of ``void f(i64 operands, i64 adjoint)``, which carries the adjoint of the sum to the operands."""
    module, lanes = builder.module, kind.lanes
    # Numba's own convention inside, for the compiled functions that some derivatives call
    signature = context.call_conv.get_function_type(types.none, (types.int64, types.int64))
    function = ir.Function(module, signature, module.get_unique_name("fastvi_terms"))
    function.linkage = "internal"
    inner = ir.IRBuilder(function.append_basic_block("entry"))
    where_they_lie, where_it_lies = context.call_conv.get_arguments(function)
    model = context.data_model_manager[kind]
    place = inner.inttoptr(where_they_lie, model.get_data_type().as_pointer())
    value = model.from_data(inner, inner.load(place, align=8))
    adjoint = tapes.read_lanes(inner, lanes, where_it_lies)
    asked = inner.fcmp_unordered("!=", adjoint, constant(lanes.vector, 0.0))
    with cgutils.for_range(inner, length(context, inner, kind, value)) as loop:
        x = item(context, inner, kind, value, loop.index)
        edges = Edges(context, inner, lanes, check=False)
        edges.take(kind.item, x, Traced(inner, adjoint, context), Traced(inner, asked, context))
        edges.spend()
    inner.ret(signature.return_type(0))
    return builder.ptrtoint(without_convention(module, function), I64)


def without_convention(module, function):
    """``void f(i64, i64)`` around a function of Numba's convention that raises nothing."""
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64]), module.get_unique_name("fastvi_way_back"))
    outer.linkage = "internal"
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    result, error = (builder.alloca(kind.pointee) for kind in function.function_type.args[:2])
    builder.call(function, [result, error, *outer.args])
    builder.ret_void()
    return outer
