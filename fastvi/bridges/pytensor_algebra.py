"""PyTensor's Ops of linear algebra, and Scan."""

import math
from typing import Any

import numpy as np

from ..translate.arrays import Array, as_array, unrolled, vector_of
from ..translate.arrays import number as number_array
from ..translate.elementwise import map_elements
from ..translate.known import Known, Unsupported
from ..translate.movement import join, shuffle, take
from ..translate.nodes import ZERO, Node
from ..translate.pieces import between, single
from ..translate.products import batched_dot, dot
from ..translate.recurrence import Recurrence
from ..translate.triangular import cholesky, solve_last_axes, solve_triangular


class Algebra:
    fixed_value: Any
    again: Any
    conditions: list[Node]
    fixed: list[Known]

    def op_Dot(self, apply, args):
        return dot(*args)

    op_MatMul = op_Dot

    def op_BatchedDot(self, apply, args):
        return batched_dot(*args)

    def op_Cholesky(self, apply, args):
        return cholesky(args[0], apply.op.lower)

    def op_SolveTriangular(self, apply, args):
        return solve_triangular(args[0], args[1], apply.op.lower, apply.op.unit_diagonal)

    def op_Blockwise(self, apply, args):
        core = apply.op.core_op
        name = type(core).__name__
        axes = [len(s) for s in apply.op.inputs_sig]
        batches = [a.shape[: len(a.shape) - k] for a, k in zip(args, axes, strict=True)]
        batch = np.broadcast_shapes(*batches)
        if math.prod(batch) == 1:
            method = getattr(self, "op_" + name, None)
            if method is None:
                raise Unsupported(f"the Op {core}")
            plain = [without_batch(a, len(b)) for a, b in zip(args, batches, strict=True)]
            apply_core = type("Core", (), dict(op=core))
            out = method(apply_core, plain)
            return shuffle(out, ("x",) * len(batch) + tuple(range(out.ndim)))
        if name in ("Dot", "MatMul"):
            return batched_dot(*args)
        if name == "SolveTriangular" and math.prod(batches[0]) == 1:
            L = without_batch(args[0], len(batches[0]))
            return solve_last_axes(L, args[1], core.lower, axes[1] == 2, core.unit_diagonal)
        raise Unsupported(f"the Op {core} over a batch of {batch}")

    def op_ExtractDiag(self, apply, args):
        a, how = args[0], apply.op
        return take(a, np.diagonal(np.arange(a.size).reshape(a.shape), how.offset, how.axis1, how.axis2))

    def op_AllocDiag(self, apply, args):
        a = args[0]
        if a.ndim != 1 or getattr(apply.op, "offset", 0):
            raise Unsupported(f"the Op {apply.op} of {a.ndim} dimensions")
        n = a.shape[0]
        if n > 5:
            rows = shuffle(a, (0, "x"))
            return map_elements("mul", [Known(np.eye(n)), rows])
        items = as_array(a).unrolled()
        return unrolled([items.at(i) if i == j else ZERO for i in range(n) for j in range(n)], (n, n))

    def op_Scan(self, apply, args):
        """States that are numbers (one or more steps back), sequences of numbers; no ``until``."""
        info, steps = apply.op.info, int(self.fixed_value(args[0]))
        if info.as_while or info.n_mit_mot or info.n_shared_outs or getattr(info, "n_untraced_sit_sot", 0):
            raise Unsupported("the Op Scan with until, or with shared states")
        sequences, rest = args[1 : 1 + info.n_seqs], args[1 + info.n_seqs :]
        taps = [*info.mit_sot_in_slices, *info.sit_sot_in_slices]
        buffers, rest = rest[: len(taps)], rest[len(taps) + info.n_nit_sot :]
        if any(len(x.shape) != 1 for x in (*sequences, *buffers)):
            raise Unsupported("the Op Scan over vectors")
        depths = [-min(of) for of in taps]
        loop = Recurrence(steps, sum(depths))
        # a state of several steps back is as many states
        slots = dict(
            zip(((k, -b) for k, depth in enumerate(depths) for b in range(1, depth + 1)), loop.carried, strict=True)
        )
        inputs = [in_a_step(x, steps) for x in sequences]
        inputs += [number_array(slots[k, tap]) for k, of in enumerate(taps) for tap in of]
        body = self.again(dict(zip(apply.op.fgraph.inputs, [*inputs, *rest], strict=True)))
        nodes = [of_a_step(body.value(out)) for out in apply.op.fgraph.outputs]
        if any(condition.n is not None for condition in body.conditions):
            raise Unsupported("the Op Scan with checks of each step")
        self.conditions += body.conditions
        self.fixed += body.fixed
        starts, after = [], []
        for k, depth in enumerate(depths):
            given = as_array(buffers[k], 0)
            starts += [given.at(depth - back) for back in range(1, depth + 1)]
            after += [nodes[k], *(slots[k, -back] for back in range(1, depth))]
        found = [vector_of(((steps, x),)) for x in loop.outputs(starts, after, nodes)]
        for k, depth in enumerate(depths):
            found[k] = join(0, [take(as_array(buffers[k], 0), np.arange(depth)), found[k]])
        return found


def in_a_step(x, steps: int) -> Array:
    """A sequence as the number that a step sees."""
    return number_array(single(between(as_array(x, 0).vector(), 0, steps)))


def of_a_step(x) -> Node:
    if x.size != 1 or getattr(x, "axis", None) is not None:
        raise Unsupported("the Op Scan with vectors within a step")
    return as_array(x).at(0)


def without_batch(a, k: int):
    return shuffle(a, range(k, len(a.shape)))
