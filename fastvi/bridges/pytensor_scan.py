"""PyTensor's Scan as a loop."""

import math
from typing import Any

import numpy as np

from ..translate.arrays import as_array, unrolled
from ..translate.known import Known, Unsupported
from ..translate.movement import join, take
from ..translate.nodes import Node
from ..translate.recurrence import Recurrence, by_steps, in_a_step, numbers


class Scans:
    fixed_value: Any
    again: Any
    conditions: list[Node]
    fixed: list[Known]

    def op_Scan(self, apply, args):
        """States of a few numbers, one or more steps back, sequences by their first axis; no ``until``."""
        info, steps = apply.op.info, int(self.fixed_value(args[0]))
        if info.as_while or info.n_mit_mot or info.n_shared_outs or getattr(info, "n_untraced_sit_sot", 0):
            raise Unsupported("the Op Scan with until, or with shared states")
        sequences, rest = args[1 : 1 + info.n_seqs], args[1 + info.n_seqs :]
        taps = [*info.mit_sot_in_slices, *info.sit_sot_in_slices]
        buffers, rest = rest[: len(taps)], rest[len(taps) + info.n_nit_sot :]
        depths = [-min(of) for of in taps]
        sizes = [math.prod(x.shape[1:]) for x in buffers]
        loop = Recurrence(steps, sum(depth * size for depth, size in zip(depths, sizes, strict=True)))
        slots, free = {}, iter(loop.carried)
        for k, depth in enumerate(depths):  # a state of several steps back is as many states
            for back in range(1, depth + 1):
                slots[k, -back] = [next(free) for _ in range(sizes[k])]
        inputs = [in_a_step(x, steps) for x in sequences]
        inputs += [unrolled(slots[k, tap], buffers[k].shape[1:]) for k, of in enumerate(taps) for tap in of]
        body = self.again(dict(zip(apply.op.fgraph.inputs, [*inputs, *rest], strict=True)))
        left = [body.value(out) for out in apply.op.fgraph.outputs]
        nodes = [numbers(x) for x in left]
        if any(condition.n is not None for condition in body.conditions):
            raise Unsupported("the Op Scan with checks of each step")
        self.conditions += body.conditions
        self.fixed += body.fixed
        starts, after = [], []
        for k, (depth, size) in enumerate(zip(depths, sizes, strict=True)):
            given = as_array(buffers[k], 0)
            starts += [given.at((depth - back) * size + i) for back in range(1, depth + 1) for i in range(size)]
            after += [*nodes[k], *(x for back in range(1, depth) for x in slots[k, -back])]
        free = iter(loop.outputs(starts, after, [x for each in nodes for x in each]))
        found = [by_steps([next(free) for _ in each], steps, x.shape) for x, each in zip(left, nodes, strict=True)]
        for k, depth in enumerate(depths):
            before = take(as_array(buffers[k], 0), np.arange(depth * sizes[k]).reshape(depth, *buffers[k].shape[1:]))
            found[k] = join(0, [before, found[k]])
        return found
