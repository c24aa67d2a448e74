"""Few points of a large model: the density compiled for eight draws at a time, once that has paid.

A group of 32 draws costs the same whether one is wanted or all, and a climb asks for one at a time.  Compiling again
takes a second, so it waits until calls of few points have lost as much; the clock decides where a point is computed and
never what comes out, as both give the same bits, which is looked at before the narrow form is used.  Fewer than eight
draws gain little more and leave registers half empty, which LLVM then fills by adding in another order.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..kernels.density import abi, tape_memory

EIGHT = 8
LARGE = 2.0**18  # operations a draw, below which a group of 32 takes a fraction of a millisecond
LOST = 1.0  # seconds


class Form(NamedTuple):
    """A narrow compilation of the density whose wide one is ``wide``; None where there is none or bits differ."""

    wide: abi.Compiled
    narrow: abi.Compiled | None


class FewPoints:
    """The narrow forms of one density, and what calls without them have lost."""

    def __init__(self) -> None:
        self.forms: dict[bool, Form] = {}  # by whether it has the gradient
        self.lost = {False: 0.0, True: 0.0}  # seconds

    def evaluate(self, density: Any, wide: abi.Compiled, points: np.ndarray, gradient: bool, by_wide: Callable) -> Any:
        """(log p, gradients) of points, or None, as :meth:`Density.evaluate`; ``by_wide()`` is the usual way."""
        form = self.forms.get(gradient)
        if form is None or form.wide is not wide:
            start = time.perf_counter()
            found = by_wide()
            self.lost[gradient] += time.perf_counter() - start
            if self.lost[gradient] > LOST and found is not None:
                self.lost[gradient] = 0.0
                narrow = density.few(EIGHT, gradient)
                same = narrow is not None and equal(found, run(narrow, density.memory(), points, gradient))
                self.forms[gradient] = Form(wide, narrow if same else None)
            return found
        found = None if form.narrow is None else run(form.narrow, density.memory(), points, gradient)
        return by_wide() if found is None else found


def suits(density: Any, points: np.ndarray) -> bool:
    """Whether so few points of so large a model may have a form of their own."""
    return density.operations > LARGE and len(points) <= EIGHT


def run(compiled: abi.Compiled, memory: abi.Memory, points: np.ndarray, gradient: bool) -> Any:
    """(log p, gradients) of points (n, dim); None where that is left to the usual way, which knows what to raise."""
    n, dim = points.shape
    tile = np.repeat(points[0][:, None], EIGHT, axis=1)
    tile[:, :n] = points.T
    log_p, slopes = np.empty(EIGHT), np.empty_like(tile) if gradient else None

    def call(first, room):
        return abi.call(compiled.address, tile, memory.words, log_p, slopes, room), first

    status, _ = tape_memory.with_room(call, 0, abi.SCRATCH_SMALL)
    if status != abi.FINE:
        return None
    return log_p[:n], np.empty((0, dim)) if slopes is None else np.ascontiguousarray(slopes[:, :n].T)


def equal(found: Any, other: Any) -> bool:
    """Whether two evaluations have the same bits."""
    return other is not None and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, other, strict=True))
