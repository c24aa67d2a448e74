"""A PyTensor graph of a log density of z, evaluated on arrays of nodes: one method for each Op."""

import numpy as np

from ..translate.arrays import Array, as_array, of_z, positions
from ..translate.elementwise import broadcast, map_elements
from ..translate.known import Known, Unsupported
from ..translate.movement import index, join, reshape, shuffle, stack, take
from ..translate.nodes import FALSE, Node, data, value_of
from ..translate.reductions import cumulate, log_sum_exp, reduce, softmax
from ..translate.simplify import op
from ..translate.translation import Translation, translation
from . import guest
from .pytensor_algebra import Algebra
from .pytensor_indices import Indices
from .pytensor_scalars import function_of
from .pytensor_scan import Scans

pytensor = guest("pytensor", "pymc")
REWRITES = dict(
    include=("canonicalize", "stabilize"),
    exclude=("fusion", "inplace", "BlasOpt", "local_careduce_fusion", "local_log_sum_exp"),
)
REDUCTIONS = {"Add": "sum", "Mul": "prod", "ScalarMaximum": "max", "ScalarMinimum": "min", "Maximum": "max",
              "Minimum": "min", "AND": "all", "OR": "any"}  # fmt: skip


def rewritten(log_p):
    """The graph in PyTensor's canonical and stable form, nothing fused."""
    return pytensor.graph.rewriting.utils.rewrite_graph([log_p], **REWRITES)[0]


def translate(log_p, x, dim: int, name: str, labels=None) -> Translation:
    """The source of a graph that :func:`rewritten` gave, of the vector x.

    Raises
    ------
    Unsupported
        naming the Op
    """
    found = Graph(x, dim)
    result = found.value(log_p)
    if isinstance(result, Known):
        raise Unsupported("a density that does not depend on z")
    return translation(result.number(), found.conditions, name, labels, found.fixed)


class Graph(Indices, Algebra, Scans):
    """
    Attributes
    ----------
    env : dict
        the value of each variable: an Array, a Known, or what indices are made of
    conditions : list of Node
        that PyMC checks: -inf where one does not hold
    fixed : list of Known
        data that decide shapes and places: where they change, the source does
    """

    def __init__(self, x, dim: int) -> None:
        self.env: dict = {x: of_z(dim)}
        self.conditions: list[Node] = []
        self.fixed: list[Known] = []

    def again(self, env) -> "Graph":
        """Another graph, of which these variables are known already: the body of a loop."""
        found = Graph(None, 1)
        found.env = env
        return found

    def value(self, variable):
        for apply in toposort([variable]):
            for each in apply.inputs:
                self.leaf(each)
            if apply.outputs[0] not in self.env:
                self.apply(apply)
        self.leaf(variable)
        return self.env[variable]

    def leaf(self, variable) -> None:
        if variable in self.env or variable.owner is not None:
            return
        if isinstance(variable, pytensor.graph.basic.Constant):
            value = variable.data
            self.env[variable] = Known(value) if isinstance(value, NUMBERS) else value
        elif isinstance(variable, pytensor.compile.SharedVariable):
            self.env[variable] = Known(
                variable.get_value(borrow=True),
                lambda env: np.asarray(variable.get_value(borrow=True)),
                False,
                label=str(variable.name or ""),
            )
        else:
            raise Unsupported(f"an input {variable} that is neither z nor data")

    def apply(self, apply) -> None:
        args = [self.env[i] for i in apply.inputs]
        name = type(apply.op).__name__
        if not any(isinstance(a, Array) for a in args) and name not in CHECKS:
            self.known(apply, args)
            return
        method = getattr(self, "op_" + name, None)
        if method is None:
            raise Unsupported(f"the Op {apply.op}")
        out = method(apply, args)
        outs = out if isinstance(out, list) else [out]
        self.env.update(zip(apply.outputs, outs, strict=True))

    def known(self, apply, args) -> None:
        """What does not depend on z: PyTensor's own ``perform``, now and whenever the data change."""

        def perform(env):
            if apply not in env:
                inputs = [
                    np.asarray(a.now(env), dtype=i.type.dtype)
                    if isinstance(a, Known) and hasattr(i.type, "dtype")
                    else a
                    for a, i in zip(args, apply.inputs, strict=True)
                ]
                store: list = [[None] for _ in apply.outputs]
                apply.op.perform(apply, inputs, store)
                env[apply] = [s[0] for s in store]
            return env[apply]

        values = perform({})
        constant = all(a.constant for a in args if isinstance(a, Known))
        for k, (variable, value) in enumerate(zip(apply.outputs, values, strict=True)):
            if isinstance(value, NUMBERS):
                value = Known(value, lambda env, k=k: np.asarray(perform(env)[k]), constant)
            self.env[variable] = value

    # ---- element by element
    def op_Elemwise(self, apply, args):
        if type(apply.op.scalar_op).__name__ == "Log":
            whole = self.log_of_sum(apply)
            if whole is not None:
                return whole
        if type(apply.op.scalar_op).__name__ == "Ive" and args[0].size > 1:
            args = [as_array(args[0], args[0].ndim - 1), args[1]]  # long series: never unrolled over their orders
        return map_elements(function_of(apply.op.scalar_op), args)

    def log_of_sum(self, apply):
        """log(sum(exp(x), axis)) seen whole, or None."""
        inner, order = apply.inputs[0], None
        if inner.owner is not None and type(inner.owner.op).__name__ == "DimShuffle":
            order, inner = inner.owner.op.new_order, inner.owner.inputs[0]
        if inner.owner is None or type(inner.owner.op).__name__ != "Sum":
            return None
        each, axes = inner.owner.inputs[0], inner.owner.op.axis
        if each.owner is None or type(getattr(each.owner.op, "scalar_op", None)).__name__ != "Exp":
            return None
        x = self.env[each.owner.inputs[0]]
        axes = range(x.ndim) if axes is None else axes
        if not isinstance(x, Array) or len(axes) != 1:
            return None
        out = log_sum_exp(x, axes[0] % x.ndim)
        return out if order is None else shuffle(out, order)

    def op_Softmax(self, apply, args):
        return softmax(args[0], apply.op.axis, False)

    def op_LogSoftmax(self, apply, args):
        return softmax(args[0], apply.op.axis, True)

    # ---- shapes
    def op_DimShuffle(self, apply, args):
        return shuffle(args[0], apply.op.new_order)

    def op_Reshape(self, apply, args):
        return reshape(args[0], self.fixed_value(args[1]))

    def same(self, apply, args):
        return args[0]

    op_ScalarFromTensor = op_TensorFromScalar = op_SpecifyShape = op_Unbroadcast = op_DeepCopyOp = op_ViewOp = same

    def op_Shape(self, apply, args):
        return Known(np.array(args[0].shape, dtype=np.int64))

    def op_Shape_i(self, apply, args):
        return Known(np.array(args[0].shape[apply.op.i], dtype=np.int64))

    def op_MakeVector(self, apply, args):
        return stack([shuffle(a, ()) for a in args], 0)

    def op_Join(self, apply, args):
        return join(int(self.fixed_value(args[0])), args[1:])

    def op_Alloc(self, apply, args):
        return broadcast(args[0], [int(self.fixed_value(s)) for s in args[1:]])

    def op_Split(self, apply, args):
        a, axis, sizes = args[0], int(self.fixed_value(args[1])), self.fixed_value(args[2])
        ends, places = np.cumsum([0, *sizes]), np.arange(args[0].size).reshape(args[0].shape)
        return [take(a, np.take(places, range(i, j), axis)) for i, j in zip(ends, ends[1:], strict=False)]

    def op_Repeat(self, apply, args):
        a = args[0]
        return take(a, np.repeat(positions(a), self.fixed_value(args[1]), axis=apply.op.axis))

    def op_Subtensor(self, apply, args):
        at = self.places(apply.op.idx_list, args[1:])
        return index(args[0], tuple(i if isinstance(i, slice) else int(i) for i in at))

    # ---- sums
    def op_CAReduce(self, apply, args):
        return reduce(REDUCTIONS[type(apply.op.scalar_op).__name__], args[0], apply.op.axis)

    op_Sum = op_Prod = op_Max = op_Min = op_All = op_Any = op_CAReduce

    def op_CumOp(self, apply, args):
        return cumulate(args[0], apply.op.axis, apply.op.mode == "mul")

    # ---- checks: a sum of log densities is -inf where one of them is
    def op_CheckParameterValue(self, apply, args):
        for condition in args[1:]:
            if isinstance(condition, Known):
                holds = data(condition.derive("all", lambda v: np.asarray(bool(np.all(v)))))
            else:
                holds = reduce("all", condition).number()
            if value_of(holds) is not True:
                self.conditions.append(holds if holds.is_bool else op("ne", holds, FALSE))
        return args[0]

    op_CheckAndRaise = op_Assert = op_CheckParameterValue

    def op_OpFromGraph(self, apply, args):
        graph = apply.op.fgraph
        for each in [v for a in toposort(graph.outputs) for v in a.outputs]:
            self.env.pop(each, None)
        self.env.update(zip(graph.inputs, args, strict=True))
        return [self.value(out) for out in graph.outputs]


NUMBERS = (np.ndarray, np.generic, int, float, bool)
CHECKS = ("CheckParameterValue", "CheckAndRaise", "Assert")


def toposort(outputs):
    """The nodes of a graph in order, by whichever name PyTensor has for it."""
    graph = pytensor.graph
    sort = getattr(getattr(graph, "traversal", None), "toposort", None)
    if sort is not None:
        return list(sort(outputs))
    return graph.basic.io_toposort(list(graph.basic.graph_inputs(outputs)), outputs)
