"""PyTensor's Ops of linear algebra."""

import math

import numpy as np

from ..translate.arrays import as_array, positions, unrolled
from ..translate.assignment import assign
from ..translate.elementwise import map_elements
from ..translate.known import Known, Unsupported
from ..translate.movement import shuffle, take
from ..translate.nodes import ZERO
from ..translate.products import batched_dot, dot
from ..translate.triangular import cholesky, solve_last_axes, solve_triangular


class Algebra:
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
        return take(a, np.diagonal(positions(a), how.offset, how.axis1, how.axis2))

    def op_FillDiagonal(self, apply, args):
        n = min(args[0].shape)
        if args[0].ndim != 2:
            raise Unsupported(f"the Op {apply.op} of {args[0].ndim} dimensions")
        return assign(args[0], args[1], (np.arange(n), np.arange(n)), False)

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


def without_batch(a, k: int):
    return shuffle(a, range(k, len(a.shape)))
