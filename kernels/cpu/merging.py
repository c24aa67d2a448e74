"""What is made of the sums of a sweep's chunks, in their order: the same bits whoever computed them."""

import functools

import numpy as np
from numba import types

from ..interrupts import held_back
from ..jit import kernel, source_stamp
from ..sums import centred, moments, pathwise, score

VECTOR, MATRIX, CUBE = types.float64[::1], types.float64[:, ::1], types.float64[:, :, ::1]
NUMBERS, PLACES = (types.Array(kind, 1, "C", readonly=True) for kind in (types.float64, types.int64))
FOUND = VECTOR, VECTOR, types.boolean[::1]  # gradients, errors, whether these hold
# Numbers of a call that Python is done with in less time than compilation takes, and such calls
SMALL, SELDOM = 2**14, 4


class Later:
    """A kernel that is compiled for its first large call, or its fifth: until then its Python does the work, to the
    same bits, as in a new process compilation would take a hundred times as long."""

    def __init__(self, signature, function) -> None:
        self.signature, self.function, self.calls = signature, function, 0

    @functools.cached_property
    def compiled(self):
        return kernel(self.signature, self.function)

    def __call__(self, *arguments) -> None:
        if self.calls < SELDOM and sum(a.size for a in arguments if isinstance(a, np.ndarray)) <= SMALL:
            self.calls += 1
            with np.errstate(all="ignore"), held_back():
                self.function(*arguments)
        else:
            self.compiled(*arguments)


@functools.cache
def merger():
    """The merge of chunk rows."""
    stamp = source_stamp()

    def merge(rows, total):
        stamp  # noqa: B018
        moments.merge_rows(rows, total)

    return Later(types.void(MATRIX, VECTOR), merge)


@functools.cache
def score_merger():
    """The merge of the chunks' score sums; it also takes the baselines off where ``result`` has room."""
    stamp = source_stamp()

    def merge(counts, shifts, chunks, total, result):
        stamp  # noqa: B018
        score.merge_chunks(counts, shifts, chunks, total)
        if result.size > 0:
            score.subtract_baselines(counts, shifts, chunks, total, result)

    return Later(types.void(VECTOR, VECTOR, CUBE, MATRIX, MATRIX), merge)


@functools.cache
def path_results():
    """The reading of pathwise sums."""
    stamp = source_stamp()

    def read(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable):
        stamp  # noqa: B018
        pathwise.results(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable)

    numbers = types.float64, types.float64
    return Later(types.void(VECTOR, CUBE, MATRIX, PLACES, NUMBERS, NUMBERS, *numbers, *FOUND), read)


@functools.cache
def centred_results():
    """The reading of score sums about the mean of f."""
    stamp = source_stamp()

    def read(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable):
        stamp  # noqa: B018
        centred.results(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable)

    numbers = types.float64, types.float64, types.float64
    return Later(types.void(VECTOR, CUBE, MATRIX, PLACES, PLACES, *numbers, *FOUND), read)
