"""Functions that are formulas of others: written where they are called, with nothing compiled for themselves.

``compose(function)`` runs the Python source of ``function`` twice on stand-ins for its arguments, once with types and
once with values, which write the code of each operation.  So it takes whatever the operations take, recorded numbers,
vectors and arrays beside them included, and its derivative is theirs.
"""

import inspect
import operator
import types as python_types

import numpy as np
from numba.core import types
from numba.core.imputils import impl_ret_new_ref
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, overload

from ..arithmetic import functions
from ..jit import DENSITY_FASTMATH, template
from .recorded_types import Number
from .registry import call
from .types import SCALARS, LaneMask, Lanes, LaneSequence
from .whole_matrix import WHOLE

ONE = (Number, Lanes, *SCALARS)
OURS = (Number, Lanes, LaneMask, LaneSequence, *WHOLE)


class StandIn:
    """An argument or an intermediate result; ``run`` applies functions to them."""

    def __init__(self, run, kind, value=None):
        self.run, self.kind, self.value = run, kind, value

    def __neg__(self):
        return self.run(operator.neg, self)


def operation(name, function):
    setattr(StandIn, f"__{name}__", lambda x, y: x.run(function, x, y))
    setattr(StandIn, f"__r{name}__", lambda y, x: y.run(function, x, y))


for name in ("add", "sub", "mul", "truediv"):
    operation(name, getattr(operator, name))


class Typing:
    """Applies functions to types."""

    def __init__(self, typingctx):
        self.typingctx = typingctx

    def __call__(self, function, *operands):
        kinds = tuple(x.kind if isinstance(x, StandIn) else types.float64 for x in operands)
        found = self.typingctx.resolve_value_type(function).get_call_type(self.typingctx, kinds, {})
        return StandIn(self, found.return_type)


class Writing(Typing):
    """Applies functions to values: writes their code, and keeps what must be released."""

    def __init__(self, context, builder):
        super().__init__(context.typing_context)
        self.context, self.builder, self.made = context, builder, []

    def __call__(self, function, *operands):
        result = super().__call__(function, *operands)
        pairs = [self.pair(x) for x in operands]
        result.value = call(self.context, self.builder, function, *zip(*pairs, strict=True))
        self.made.append(result)
        return result

    def pair(self, x):
        if isinstance(x, StandIn):
            return x.kind, x.value
        return types.float64, self.context.get_constant(types.float64, float(x))

    def release(self, result):
        """All that was made on the way to a result, which owns what it needs."""
        for each in self.made:
            if each is not result and self.context.enable_nrt:  # a GPU has no memory to give back
                self.context.nrt.decref(self.builder, each.kind, each.value)


def applied(function):
    return lambda x: x.run(function, x)


NUMPY = python_types.SimpleNamespace(**{name: applied(getattr(np, name)) for name in ("log", "log1p", "exp", "sum")})
NAMES = dict(
    np=NUMPY,
    gammaln=applied(functions.gammaln),
    softplus=applied(functions.softplus),
    within=lambda margin, value: margin.run(functions.within, margin, value),
    spread=lambda number, x: number + 0.0 * x if isinstance(number.kind, ONE) else number,
)


def kept(kind):
    """The type that an argument is taken as."""
    return types.float64 if isinstance(kind, SCALARS) else kind


def compose(function):
    """Teach a formula of numbers and vectors to compiled densities."""
    formula = python_types.FunctionType(function.__code__, {**function.__globals__, **NAMES}, function.__name__)
    pysig = inspect.signature(function)

    @template(function)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            args = pysig.bind(*args, **kws).args
            of_arrays = any(isinstance(a, types.Array) for a in args) and not any(isinstance(a, OURS) for a in args)
            if of_arrays or not all(isinstance(a, (*OURS, *SCALARS, types.Array)) for a in args):
                return None
            kinds = [kept(a) for a in args]
            run = Typing(self.context)
            result = formula(*(StandIn(run, kind) for kind in kinds))
            return signature(result.kind, *kinds).replace(pysig=pysig)

    @lower_builtin(function, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        run = Writing(context, builder)
        result = formula(*(StandIn(run, kind, value) for kind, value in zip(sig.args, args, strict=True)))
        run.release(result)
        return impl_ret_new_ref(context, builder, sig.return_type, result.value)

    compile_itself(function, lambda args: not any(isinstance(a, OURS) for a in args) and has_array(args))


def has_array(args):
    return any(isinstance(a, types.Array) for a in args)


def compile_itself(function, when=lambda args: True):
    """Let a function be compiled from its source where it is called with such types."""
    names = list(inspect.signature(function).parameters)
    scope = dict(when=when, function=function)
    text = f"def choose({', '.join(names)}):\n    return function if when(({', '.join(names)},)) else None\n"
    exec(text, scope)  # Numba compares the names of arguments
    overload(function, jit_options=dict(error_model="numpy", fastmath=DENSITY_FASTMATH), strict=False)(scope["choose"])
