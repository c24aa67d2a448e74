"""From an expression to the tape: its partial derivatives, one for each variable it depends on."""

import operator
from contextlib import nullcontext

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_cast

from ..arithmetic.primitives import select
from ..arithmetic.traced import DOUBLE, Traced, constant, splat
from . import tape as tapes
from .powers import integer_power_partial
from .recorded_types import Expression, Leaf, Number, Recorded
from .registry import PARTIALS, Only, call
from .tape import FLAG, LINE, SINK, STALE, number, read, write
from .types import LaneMask, Lanes, pack, part

# functions whose partials are right for operands that all draws share, without making lanes of them
KEEP_SCALARS = {
    f
    for f, _ in PARTIALS
    if getattr(f, "__name__", "")
    in ("add", "iadd", "sub", "isub", "subtract", "mul", "imul", "multiply", "truediv", "itruediv", "divide")
}


# functions whose first operand is a mask and stays one
CONDITIONAL = {entry for entry, partials in PARTIALS.items() if partials and partials[0] is None}


# ---- values
def value_of(context, builder, kind, value):
    """(kind, value) of a number as lanes compute with it: anything but a recorded number is its own value."""
    if isinstance(kind, Number):
        return kind.lanes, part(context, builder, kind, value, "value")
    return kind, value


def operands_of(context, builder, kind, value):
    return [
        (a, None if isinstance(a, types.Literal) else part(context, builder, kind, value, f"operand{i}"))
        for i, a in enumerate(kind.operands)
    ]


# ---- derivatives
class Edges:
    """Where the derivative of an expression goes: partials by adjoint, and the tape they are to be written on."""

    def __init__(self, context, builder, lanes, check=True):
        self.context, self.builder, self.lanes, self.check = context, builder, lanes, check
        self.found: dict[int, list] = {}  # by id of the address: [address, partial, if it may be a constant's]
        self.tape, self.certain = None, False

    def take(self, kind, value, factor=1.0, mask=None):
        """Follow ``factor`` * d(value) down to the variables; where ``mask`` is False nothing goes down."""
        if isinstance(kind, Expression):
            self._through(kind, value, factor, mask)
        elif isinstance(kind, Number):
            self._arrive(kind, value, factor, mask)

    def _through(self, kind, value, factor, mask):
        operands = operands_of(self.context, self.builder, kind, value)
        result = self._traced(part(self.context, self.builder, kind, value, "value"))
        x = [self._operand(kind, a, v) for a, v in operands]
        rules = PARTIALS[kind.function, len(operands)]
        for k, (a, v) in enumerate(operands):
            if not isinstance(a, Number):
                continue
            if len(operands) == 2 and isinstance(kind.operands[1], types.IntegerLiteral):
                partial = integer_power_partial(kind.operands[1].literal_value)(result, *x)
            else:
                partial = rules[k](result, *x)
            if isinstance(partial, Only):
                both = partial.condition if mask is None else mask & partial.condition
                self.take(a, v, factor, both)
            else:
                self.take(a, v, self._product(factor, partial), mask)

    def _operand(self, kind, a, value):
        if isinstance(a, types.Literal):
            return None
        a, value = value_of(self.context, self.builder, a, value)
        condition = isinstance(a, LaneMask) and (kind.function, len(kind.operands)) in CONDITIONAL
        if condition or kind.function in KEEP_SCALARS and not isinstance(a, LaneMask):
            return self._traced(value)
        return self._traced(self.context.cast(self.builder, value, a, self.lanes))

    def _traced(self, value):
        return Traced(self.builder, value, self.context)

    def _product(self, a, b):
        """Of floats, traced scalars and traced lanes."""
        if isinstance(a, float) and a == 1.0:
            return b
        if isinstance(b, float) and b == 1.0:
            return a
        if isinstance(a, Traced) and isinstance(b, Traced) and a.value.type != b.value.type:
            return self._wide(a) * self._wide(b)
        return a * b

    def _wide(self, x):
        """A factor as lanes."""
        if isinstance(x, float):
            return self._traced(constant(self.lanes.vector, x))
        return (
            x
            if isinstance(x.value.type, ir.VectorType)
            else self._traced(splat(self.builder, x.value, self.lanes.vector))
        )

    def _arrive(self, kind, value, factor, mask):
        context, builder = self.context, self.builder
        adjoint, tape = (part(context, builder, kind, value, name) for name in ("adjoint", "tape"))
        if isinstance(kind, Leaf):
            self.certain = True
        key = id(adjoint)
        if mask is not None:
            factor = select(mask, self._wide(factor), 0.0)
        if key in self.found:
            entry = self.found[key]
            same = isinstance(entry[1], float) and isinstance(factor, float)
            entry[1] = entry[1] + factor if same else self._wide(entry[1]) + self._wide(factor)
            return
        self.tape = tape if self.tape is None else builder.or_(self.tape, tape)
        if isinstance(kind, Recorded) and self.check:
            checked(builder, tape, adjoint, part(context, builder, kind, value, "version"))
        self.found[key] = [adjoint, factor, isinstance(kind, Recorded)]

    def of_kind(self, spread):
        """The (address, partial) pairs with lanes for partials, or with numbers; constants go to a sink."""
        out = []
        for address, factor, may_be_constant in self.found.values():
            if isinstance(factor, float):
                factor = self._traced(ir.Constant(DOUBLE, factor))
            if isinstance(factor.value.type, ir.VectorType) == spread:
                if may_be_constant:
                    none = self.builder.icmp_signed("==", address, number(0))
                    address = self.builder.select(none, read(self.builder, self.tape, SINK), address)
                out.append((address, factor.value))
        return out

    def push(self, adjoint, fresh):
        """Record them as what ``adjoint`` passes on."""
        for spread in (False, True):
            edges = self.of_kind(spread)
            if edges:
                tapes.push_run(self.context, self.builder, self.lanes, self.tape, adjoint, edges, fresh)
                fresh = False

    def spend(self):
        """Add the partials to the adjoints at once: the way back starts here."""
        for spread in (False, True):
            for address, partial in self.of_kind(spread):
                if not spread:
                    partial = splat(self.builder, partial, self.lanes.vector)
                old = tapes.read_lanes(self.builder, self.lanes, address)
                tapes.write_lanes(self.builder, self.builder.fadd(old, partial), address)


def checked(builder, tape, adjoint, version):
    """Raise the flag where an addition in place has replaced this value: its adjoint is another's by now."""
    somewhere = builder.icmp_signed("!=", tape, number(0))
    with builder.if_then(somewhere):
        stale = builder.icmp_signed("!=", read(builder, builder.sub(adjoint, number(LINE))), version)
        with builder.if_then(stale, likely=False):
            write(builder, number(STALE), tape, FLAG)


def where(builder, tape, certain):
    """``with where(…):`` code that runs where there is a tape: variables may all be constants."""
    return nullcontext() if certain else builder.if_then(builder.icmp_signed("!=", tape, number(0)))


def edges_of(context, builder, kind, value):
    edges = Edges(context, builder, kind.lanes)
    edges.take(kind, value)
    return edges


# ---- from an expression to a variable
def materialise(context, builder, source, target, value):
    """An expression as a variable: one statement on the tape."""
    lanes = source.lanes
    edges = edges_of(context, builder, source, value)
    adjoint = cgutils.alloca_once_value(builder, number(0))

    def record():
        new = tapes.new_adjoint(context, builder, lanes, edges.tape)
        edges.push(new, fresh=True)
        builder.store(new, adjoint)

    with where(builder, edges.tape, edges.certain):
        record()
    return pack(
        context,
        builder,
        target,
        value=part(context, builder, source, value, "value"),
        adjoint=builder.load(adjoint),
        tape=edges.tape,
        version=number(0),
    )


lower_cast(Expression, Recorded)(materialise)
lower_cast(Leaf, Recorded)(materialise)


@lower_cast(Lanes, Recorded)
@lower_cast(types.Integer, Recorded)
@lower_cast(types.Float, Recorded)
@lower_cast(types.Boolean, Recorded)
def constant_to_recorded(context, builder, source, target, value):
    lanes = context.cast(builder, value, source, target.lanes)
    return pack(context, builder, target, value=lanes, adjoint=number(0), tape=number(0), version=number(0))


def add_in_place(context, builder, kind, total, sign, term_kind, term):
    """total + sign * term in the place of ``total``: its adjoint serves the sum, and another use of it is stale."""
    lanes = kind.lanes
    function = operator.add if sign > 0 else operator.sub
    value = call(
        context,
        builder,
        function,
        *zip(*(value_of(context, builder, k, v) for k, v in ((kind, total), (term_kind, term))), strict=True),
    )
    old, tape, version = (part(context, builder, kind, total, name) for name in ("adjoint", "tape", "version"))
    if not isinstance(term_kind, Number):
        return pack(context, builder, kind, value=value, adjoint=old, tape=tape, version=version)
    edges = Edges(context, builder, lanes)
    edges.take(term_kind, term, 1.0 if sign > 0 else -1.0)
    edges.tape = builder.or_(edges.tape, tape)
    adjoint = cgutils.alloca_once_value(builder, old)
    next_version = cgutils.alloca_once_value(builder, builder.add(version, number(1)))

    def record():
        checked_here = builder.icmp_signed("==", old, number(0))
        for address, _, may_be_itself in edges.found.values():
            if may_be_itself:  # total += total * z: the old total is asked for too
                checked_here = builder.or_(checked_here, builder.icmp_signed("==", old, address))
        with builder.if_else(checked_here, likely=False) as (then, otherwise):
            with then:
                new = tapes.new_adjoint(context, builder, lanes, edges.tape)
                builder.store(new, adjoint)
                builder.store(number(0), next_version)
                with builder.if_then(builder.icmp_signed("!=", old, number(0))):
                    unit = [(old, ir.Constant(DOUBLE, 1.0))]
                    tapes.push_run(context, builder, lanes, edges.tape, new, unit, fresh=True)
            with otherwise:
                checked(builder, edges.tape, old, version)
                write(builder, builder.load(next_version), builder.sub(old, number(LINE)))
        edges.push(builder.load(adjoint), fresh=False)

    with where(builder, edges.tape, edges.certain):
        record()
    return pack(
        context,
        builder,
        kind,
        value=value,
        adjoint=builder.load(adjoint),
        tape=edges.tape,
        version=builder.load(next_version),
    )
