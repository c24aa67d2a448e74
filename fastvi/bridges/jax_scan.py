"""``jax.lax.scan`` and ``while_loop`` as a loop of numbers, or as all of their steps one after the other."""

import numpy as np

from ..translate.arrays import as_array, positions, unrolled, vector_of
from ..translate.known import Known, Unsupported
from ..translate.movement import join, shuffle, take
from ..translate.recurrence import Recurrence, by_steps, in_a_step, outside
from .jax_counters import Counted, history, in_a_loop, known_carries, number_of_steps

MOST_STEPS = 64  # that are written one after the other
MOST_EQUATIONS = 3000  # of all these steps


def scan(equation, inputs, evaluated):
    """Carries of a few numbers, sequences by their first axis."""
    p = equation.params
    consts, carry = p["num_consts"], p["num_carry"]
    fixed, starts, sequences = inputs[:consts], inputs[consts : consts + carry], inputs[consts + carry :]
    return loop(p["jaxpr"], fixed, starts, sequences, p["length"], p["reverse"], evaluated)


def while_loop(equation, inputs, evaluated):
    """Where the number of steps does not depend on z."""
    p = equation.params
    asked, consts = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    fixed, starts = inputs[asked:consts], inputs[consts:]
    steps = number_of_steps(p, inputs[:asked], fixed, starts)
    return loop(p["body_jaxpr"], fixed, starts, [], steps, False, evaluated) if steps else list(starts)


def loop(closed, *inputs):
    """As a recurrence of numbers where it is one, and written out where it has few steps."""
    *arrays, steps, backwards, evaluated = inputs
    if not any(in_a_loop(a) for group in arrays for a in group):
        try:
            return recurrence(closed, *inputs)
        except Unsupported as error:
            try:
                return written_out(closed, *inputs)
            except Unsupported:
                raise error from None
    return written_out(closed, *inputs)


def recurrence(closed, fixed, starts, sequences, steps, backwards, evaluated):
    """The last states, and what the steps emit."""
    carry, known = len(starts), known_carries(closed, fixed, starts, sequences)
    never = [closed.jaxpr.outvars[k] is closed.jaxpr.invars[len(fixed) + k] for k in range(carry)]
    states = [k for k in range(carry) if k not in known and not never[k]]
    sizes = [starts[k].size for k in states]
    rows = [
        Counted(x.value[::-1] if backwards else x.value) if isinstance(x, Known) else in_a_step(x, steps, backwards)
        for x in sequences
    ]
    before, last = history(closed, fixed, starts, rows, known, steps)
    body = Recurrence(steps, sum(sizes))
    ends = np.cumsum([0, *sizes])
    seen = [before.get(k, a) for k, a in enumerate(starts)]
    for k, i, j in zip(states, ends, ends[1:], strict=False):
        seen[k] = unrolled(body.carried[i:j], starts[k].shape)
    found = evaluated(closed, [*fixed, *seen, *rows])
    after = [x for k in states for x in numbers(found[k])]
    emitted = [x for a in found[carry:] if not isinstance(a, Known | Counted) for x in numbers(a)]
    begin = [as_array(starts[k]).at(i) for k in states for i in range(starts[k].size)]
    # the last values of the states are emitted too; without states, what is emitted needs no loop
    vectors = body.outputs(begin, after, [*after, *emitted]) if states else [outside(x) for x in emitted]
    out = [last.get(k, a) for k, a in enumerate(starts)]
    for k, i, j in zip(states, ends, ends[1:], strict=False):
        out[k] = unrolled([vector_of(((steps, x),)).at(steps - 1) for x in vectors[i:j]], starts[k].shape)
    rest = iter(vectors[len(after) :])
    return out + [collected(a, rest, steps, backwards) for a in found[carry:]]


def collected(a, vectors, steps, backwards):
    """What all steps emit, by their first axis."""
    if isinstance(a, Known | Counted):
        values = a.values if isinstance(a, Counted) else np.repeat(a.value[None], steps, 0)
        return Known(values[::-1] if backwards else values)
    whole = by_steps([next(vectors) for _ in range(a.size)], steps, a.shape)
    return take(whole, positions(whole)[::-1]) if backwards else whole


def numbers(a):
    a = a.array() if isinstance(a, Counted) else as_array(a, None)
    if a.axis is not None:
        a = a.unrolled()
    return list(a.items.flat)


def written_out(closed, fixed, starts, sequences, steps, backwards, evaluated):
    """Each step on its own, with its counters as numbers."""
    if steps > MOST_STEPS or steps * len(closed.jaxpr.eqns) > MOST_EQUATIONS:
        raise Unsupported(f"a loop of {steps} steps in a loop, or over vectors,")
    state, emitted = list(starts), []
    for t in range(steps)[:: -1 if backwards else 1]:
        found = evaluated(closed, [*fixed, *state, *(at(x, t) for x in sequences)])
        state = found[: len(starts)]
        emitted.append(found[len(starts) :])
    return state + [stacked(rows) for rows in zip(*emitted[:: -1 if backwards else 1], strict=True)]


def at(x, t):
    """What a step sees of a sequence."""
    if isinstance(x, Known):
        return Known(x.value[t])
    return Counted(x.values[:, t]) if isinstance(x, Counted) else take(x, positions(x)[t])


def stacked(rows):
    """Along a new first axis."""
    if all(isinstance(a, Known) for a in rows):
        return Known(np.stack([a.value for a in rows]))
    rows = [a.array() if isinstance(a, Counted) else a for a in rows]
    return join(0, [shuffle(a, ("x", *range(len(a.shape)))) for a in rows])
