"""``jax.lax.scan`` as a loop."""

import numpy as np

from ..translate.arrays import as_array, unrolled, vector_of
from ..translate.known import Unsupported
from ..translate.movement import join, shuffle, take
from ..translate.pieces import single
from ..translate.recurrence import Recurrence

MOST_NUMBERS = 24  # of a state, or of a row of a sequence


def scan(equation, inputs, evaluated):
    """Carries of a few numbers, sequences by their first axis."""
    p = equation.params
    consts, carry, steps = p["num_consts"], p["num_carry"], p["length"]
    fixed, starts, sequences = inputs[:consts], inputs[consts : consts + carry], inputs[consts + carry :]
    sizes = [int(np.prod(a.shape)) for a in starts]
    if sum(sizes) > MOST_NUMBERS:
        raise Unsupported(f"the primitive scan with {sum(sizes)} numbers in its states")
    loop = Recurrence(steps, sum(sizes))
    ends = np.cumsum([0, *sizes])
    carried = [unrolled(loop.carried[i:j], a.shape) for a, i, j in zip(starts, ends, ends[1:], strict=False)]
    found = evaluated(p["jaxpr"], [*fixed, *carried, *(in_a_step(x, p["reverse"]) for x in sequences)])
    after = [x for a in found[:carry] for x in numbers(a)]
    emitted = [x for a in found[carry:] for x in numbers(a)]
    begin = [as_array(a).at(i) for a in starts for i in range(a.size)]
    # the last values of the states are emitted too
    vectors = loop.outputs(begin, after, [*after, *emitted])
    rows = [vector_of(((steps, x),)) for x in vectors]
    last = [row.at(steps - 1) for row in rows[: len(after)]]
    out = [unrolled(last[i:j], a.shape) for a, i, j in zip(starts, ends, ends[1:], strict=False)]
    at = len(after)
    for a in found[carry:]:
        columns = [shuffle(row, (0, "x")) for row in rows[at : at + a.size]]
        at += a.size
        whole = join(1, columns) if len(columns) > 1 else columns[0]
        whole = take(whole, positions(whole)[::-1]) if p["reverse"] else whole
        shape = (steps, *a.shape)
        out.append(whole if whole.shape == shape else take(whole, positions(whole).reshape(shape)))
    return out


def positions(a) -> np.ndarray:
    return np.arange(a.size).reshape(a.shape)


def in_a_step(x, backwards):
    """A sequence as a step sees it: numbers that are vectors over the steps."""
    x = as_array(x, 0)
    places = positions(x).reshape(x.shape[0], -1)
    places = places[::-1] if backwards else places
    if places.shape[1] > MOST_NUMBERS:
        raise Unsupported("the primitive scan over sequences of large arrays")
    columns = [single(take(x, places[:, k].copy(), vector=True).vector()) for k in range(places.shape[1])]
    return unrolled(columns, x.shape[1:])


def numbers(a):
    a = as_array(a)
    if a.axis is not None:
        raise Unsupported("the primitive scan with vectors within a step")
    return list(a.items.flat)
