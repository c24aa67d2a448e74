"""Loops in which a step needs the one before: GARCH, filters, scans.

Within a step a state is a vector too, of the values that it has at the beginning of each step ("carry"), so that the
body is made of the same element-wise nodes as everything else; it is printed as one loop.
"""

import itertools

from .known import Unsupported
from .nodes import Node, node

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
        self.carried = [node("carry", n=steps, meta=(self.identity, k)) for k in range(number_of_states)]

    def outputs(self, starts: list[Node], after: list[Node], emitted: list[Node]) -> list[Node]:
        """Vectors (steps,) of what the body emits; ``after`` are the states at the end of a step."""
        for x in (*after, *emitted):
            if x.n not in (None, self.steps):
                raise Unsupported("a scan whose steps differ in length")
        args = (*starts, *after, *emitted)
        shape = (self.identity, len(starts), len(emitted))
        return [node("scan", args, self.steps, (*shape, k)) for k in range(len(emitted))]
