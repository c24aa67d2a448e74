"""What is made of the sums of a sweep's chunks, in their order: the same bits whoever computed them."""

import functools

from numba import types

from ..jit import kernel, source_stamp
from ..sums import centred, moments, pathwise, score

VECTOR, MATRIX, CUBE = types.float64[::1], types.float64[:, ::1], types.float64[:, :, ::1]
NUMBERS, PLACES = (types.Array(kind, 1, "C", readonly=True) for kind in (types.float64, types.int64))
FOUND = VECTOR, VECTOR, types.boolean[::1]  # gradients, errors, whether these hold


@functools.cache
def merger():
    """The compiled merge of chunk rows."""
    stamp = source_stamp()

    def merge(rows, total):
        stamp  # noqa: B018
        moments.merge_rows(rows, total)

    return kernel(types.void(MATRIX, VECTOR), merge)


@functools.cache
def score_merger():
    """The compiled merge of the chunks' score sums; it also takes the baselines off where ``result`` has room."""
    stamp = source_stamp()

    def merge(counts, shifts, chunks, total, result):
        stamp  # noqa: B018
        score.merge_chunks(counts, shifts, chunks, total)
        if result.size > 0:
            score.subtract_baselines(counts, shifts, chunks, total, result)

    return kernel(types.void(VECTOR, VECTOR, CUBE, MATRIX, MATRIX), merge)


@functools.cache
def path_results():
    """The compiled reading of pathwise sums."""
    stamp = source_stamp()

    def read(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable):
        stamp  # noqa: B018
        pathwise.results(counts, chunks, total, places, units, entropy, alike, limit, gradient, error, reliable)

    numbers = types.float64, types.float64
    return kernel(types.void(VECTOR, CUBE, MATRIX, PLACES, NUMBERS, NUMBERS, *numbers, *FOUND), read)


@functools.cache
def centred_results():
    """The compiled reading of score sums about the mean of f."""
    stamp = source_stamp()

    def read(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable):
        stamp  # noqa: B018
        centred.results(counts, chunks, total, places, squares_at, variance, alike, limit, gradient, error, reliable)

    numbers = types.float64, types.float64, types.float64
    return kernel(types.void(VECTOR, CUBE, MATRIX, PLACES, PLACES, *numbers, *FOUND), read)
