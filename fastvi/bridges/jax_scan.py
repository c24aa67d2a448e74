"""``jax.lax.scan`` as a loop."""

import numpy as np

from ..translate.arrays import as_array, unrolled, vector_of
from ..translate.movement import take
from ..translate.recurrence import Recurrence, by_steps, in_a_step, numbers


def scan(equation, inputs, evaluated):
    """Carries of a few numbers, sequences by their first axis."""
    p = equation.params
    consts, carry, steps = p["num_consts"], p["num_carry"], p["length"]
    fixed, starts, sequences = inputs[:consts], inputs[consts : consts + carry], inputs[consts + carry :]
    sizes = [int(np.prod(a.shape)) for a in starts]
    loop = Recurrence(steps, sum(sizes))
    ends = np.cumsum([0, *sizes])
    carried = [unrolled(loop.carried[i:j], a.shape) for a, i, j in zip(starts, ends, ends[1:], strict=False)]
    found = evaluated(p["jaxpr"], [*fixed, *carried, *(in_a_step(x, steps, p["reverse"]) for x in sequences)])
    after = [x for a in found[:carry] for x in numbers(a)]
    emitted = [x for a in found[carry:] for x in numbers(a)]
    begin = [as_array(a).at(i) for a in starts for i in range(a.size)]
    # the last values of the states are emitted too
    vectors = loop.outputs(begin, after, [*after, *emitted])
    last = [vector_of(((steps, x),)).at(steps - 1) for x in vectors[: len(after)]]
    out = [unrolled(last[i:j], a.shape) for a, i, j in zip(starts, ends, ends[1:], strict=False)]
    at = len(after)
    for a in found[carry:]:
        whole = by_steps(vectors[at : at + a.size], a.shape)
        at += a.size
        out.append(take(whole, np.arange(whole.size).reshape(whole.shape)[::-1]) if p["reverse"] else whole)
    return out
