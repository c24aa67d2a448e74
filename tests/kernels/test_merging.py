"""What chunks add up to: the first small calls run as Python, to the bits of what is compiled later."""

import numpy as np
import pytest

from fastvi.kernels.cpu import merging
from fastvi.kernels.sums import centred, moments, pathwise, score


def arguments(name, chunks, coordinates):
    """Of one of the kernels, with a chunk of no draws and one whose sums are not finite"""
    rng = np.random.default_rng(chunks)
    counts = rng.integers(1, 100, chunks).astype(float)
    counts[1] = 0.0
    places, alike = rng.permutation(coordinates), (0.1, 0.05)
    sums = {"path_results": pathwise.SUMS, "centred_results": centred.SUMS, "score_merger": score.SUMS}.get(name, 1)
    cube = np.abs(rng.normal(size=(chunks, sums, coordinates)))
    cube[2, :, 0] = np.inf
    if name == "merger":
        rows = np.abs(rng.normal(size=(chunks, moments.COLUMNS)))
        rows[:, moments.COUNT] = counts
        return [rows], [np.empty(moments.COLUMNS)]
    if name == "score_merger":
        shapes = (score.SUMS + 1, coordinates), (2, coordinates)
        return [counts, rng.normal(size=chunks), cube], [np.empty(shape) for shape in shapes]
    if name == "centred_results":  # errors of terms that cancel but for their last digits, which would show others
        n, full = counts.sum(), int(np.count_nonzero(counts))
        slope = np.abs(rng.normal(size=coordinates))
        cube[:, centred.FS], cube[:, centred.FFSS] = slope * (n - 1) / full, slope * slope * n / full * (1 + 1e-7)
    out = [np.empty(coordinates), np.empty(coordinates), np.empty(coordinates, bool)]
    total = np.empty((4, coordinates))
    if name == "path_results":
        return [counts, cube, total, places, rng.normal(size=coordinates), rng.normal(size=coordinates), *alike], out
    return [counts, cube, total, places, np.sort(places), 1e-9, *alike], out


@pytest.mark.parametrize("name", ["merger", "score_merger", "path_results", "centred_results"])
@pytest.mark.parametrize("chunks, coordinates", [(3, 1), (9, 7), (4, 300)])
def test_python_first_and_the_same_bits_compiled(name, chunks, coordinates):
    kernel = merging.Later(getattr(merging, name)().signature, getattr(merging, name)().function)
    given, out = arguments(name, chunks, coordinates)
    found = []
    for _ in range(merging.SELDOM + 1):
        assert "compiled" not in vars(kernel)
        for array in out:
            array[:] = 0
        kernel(*given, *out)
        found.append(b"".join(array.tobytes() for array in out))
    assert "compiled" in vars(kernel) and kernel.calls == merging.SELDOM and len(set(found)) == 1


def test_what_takes_python_long_is_compiled_at_once():
    kernel = merging.Later(merging.merger().signature, merging.merger().function)
    kernel(np.zeros((merging.SMALL, moments.COLUMNS)), np.empty(moments.COLUMNS))
    assert "compiled" in vars(kernel) and kernel.calls == 0


def test_squares_have_the_same_bits_where_terms_cancel():
    """In Python ``** 2`` of a NumPy number goes through pow, which rounds otherwise one time in a thousand: errors of
    terms that cancel show it."""
    kernel = merging.centred_results()
    for seed in range(10):
        given, out = arguments("centred_results", 3 + seed, 1500)
        with np.errstate(all="ignore"):
            kernel.function(*given, *out)
        found = [array.copy() for array in out]
        kernel.compiled(*given, *out)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found, out, strict=True))
