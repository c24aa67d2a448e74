"""Loops in which a step needs the one before: GARCH, filters, scans.

Within a step a state is a vector too, of the values that it has at the beginning of each step ("carry"), and so is an
item of a sequence ("at_step"), so that the body is made of the same element-wise nodes as everything else; it is
printed as one loop.
"""

import itertools

import numpy as np

from .arrays import Array, as_array, object_array, unrolled
from .known import Unsupported
from .movement import take
from .nodes import INSIDE, Node, node
from .pieces import single
from .simplify import op

MOST_NUMBERS = 24  # of all states, or of a row of a sequence
_counter = itertools.count()


class Recurrence:
    """States that are numbers, and a body of ``steps`` steps.

    Attributes
    ----------
    carried : list of Node
        each state as the body sees it
    """

    def __init__(self, steps: int, number_of_states: int) -> None:
        if steps < 2:
            raise Unsupported("a scan of fewer than two steps")
        self.steps, self.identity = steps, next(_counter)
        if number_of_states > MOST_NUMBERS:
            raise Unsupported(f"a scan with {number_of_states} numbers in its states")
        self.carried = [node("carry", n=INSIDE, meta=(self.identity, k)) for k in range(number_of_states)]

    def outputs(self, starts: list[Node], after: list[Node], emitted: list[Node]) -> list[Node]:
        """Vectors (steps,) of what the body emits; ``after`` are the states at the end of a step."""
        for x in (*after, *emitted):
            if x.n not in (None, INSIDE):
                raise Unsupported("a scan with vectors within a step")
        args = (*starts, *after, *emitted)
        shape = (self.identity, len(starts), len(emitted))
        return [node("scan", args, self.steps, (*shape, k)) for k in range(len(emitted))]


def in_a_step(x, steps: int, backwards: bool = False) -> Array:
    """A row of a sequence as a step sees it."""
    x = as_array(x, 0)
    places = np.arange(x.size).reshape(x.shape[0], -1)[:steps]
    places = places[::-1] if backwards else places
    if places.shape[1] > MOST_NUMBERS:
        raise Unsupported("a scan over sequences of large arrays")
    columns = [take(x, places[:, k].copy(), vector=True).vector() for k in range(places.shape[1])]
    return unrolled([at_step(column) for column in columns], x.shape[1:])


def at_step(column) -> Node:
    if len(column) == 1 and column[0][1].n is None:
        return column[0][1]  # one number at all steps
    vector = single(column)
    return node("at_step", (vector,), INSIDE, is_bool=vector.is_bool)


def numbers(a) -> list[Node]:
    """What a step leaves, by rows."""
    a = as_array(a)
    if a.axis is not None:
        raise Unsupported("a scan with vectors within a step")
    return list(a.items.flat)


def outside(x: Node, known: dict[Node, Node] | None = None) -> Node:
    """What steps without states leave, as a vector over the steps."""
    known = {} if known is None else known
    if x.n != INSIDE:
        return x
    if x not in known:
        known[x] = x.args[0] if x.op == "at_step" else op(x.op, *(outside(a, known) for a in x.args), meta=x.meta)
    return known[x]


def by_steps(vectors: list[Node], steps: int, shape) -> Array:
    """Vectors (steps,), or numbers that are the same at all of them, one for each item of a step's array, as an array
    (steps, *shape)."""
    return Array((steps, *shape), 0, object_array([((steps, x),) for x in vectors], (1, *shape)))
