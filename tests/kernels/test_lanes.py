"""The lane type: the zoo runs in lanes and agrees with Python; what cannot falls back and says why."""

import ctypes
import math
import re

import numpy as np
import pytest
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

import fastvi as vi
from fastvi.kernels.density import abi
from fastvi.kernels.density import values as density

from zoo import DATA, DRAW_BY_DRAW, MATRIX, MODELS, VECTORISED

Z = np.random.default_rng(5).normal(size=(96, 5))


def target_of(entry, dim=5):
    function, data = entry
    return vi.Target(function, dim, data)


def in_python(target, points):
    with np.errstate(all="ignore"):
        return np.array([float(target.density.source(z, *target.data)) for z in points])


def close(found, expected, rtol=3e-14):
    scale = max(1.0, np.max(np.abs(expected)))  # sums that cancel are right to their terms
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-15 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTORISED)
def test_the_zoo_is_vectorised_and_right(name):
    target = target_of(VECTORISED[name])
    assert target.density.values().vectorised, target.explain()
    assert "vectorised" in target.explain()
    close(target.value(Z), in_python(target, Z))


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAW_BY_DRAW)
def test_what_cannot_vectorise_falls_back_with_a_reason(name):
    target = target_of(DRAW_BY_DRAW[name])
    assert not target.density.values().vectorised
    assert re.search(r"\.py:\d+\]$", target.explain()), target.explain()
    assert len(target.explain().splitlines()) == 1
    close(target.value(Z), in_python(target, Z))


def test_a_branch_is_explained_in_words_with_its_line():
    explanation = target_of(DRAW_BY_DRAW["if"]).explain()
    assert "depends on a value of z" in explanation and "fastvi.where" in explanation
    line = DRAW_BY_DRAW["if"][0].__code__.co_firstlineno + 1
    assert explanation.endswith(f"zoo.py:{line}]")


@pytest.mark.parametrize("name", MODELS)
def test_each_lane_keeps_to_itself(name):
    """Permuting the draws permutes the values to the bit; NaN and inf in one draw leave the others alone."""
    target = target_of(MODELS[name])
    value = target.value(Z)
    order = np.random.default_rng(1).permutation(len(Z))
    assert np.array_equal(target.value(Z[order]), value[order])
    spoilt = Z.copy()
    spoilt[5, 0], spoilt[7, 4], spoilt[40, 0], spoilt[41, 1] = math.nan, math.inf, -math.inf, 800.0
    others = np.setdiff1d(np.arange(len(Z)), [5, 7, 40, 41])
    assert np.array_equal(target.value(spoilt)[others], value[others])


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 95, 96, 97])
def test_any_number_of_points(count):
    target = target_of(MODELS["logistic, matrix"])
    assert np.array_equal(
        target.value(Z[:count] if count <= 96 else np.vstack([Z, Z[:1]])),
        np.concatenate([target.value(Z), target.value(Z[:1])])[:count],
    )


# ---- the pitfalls that the type met, so that it does not meet them again
def test_reassociation_cannot_touch_compensated_steps():
    """A helper with fastmath=True once lost every digit of log1p: its flags must not reach inside."""

    @njit(fastmath=True)
    def helper(x):
        return np.log1p(x) + np.expm1(x) + np.tanh(x)

    target = vi.Target(lambda z: helper(z[0] * 1e-9), 1)
    points = np.linspace(0.1, 3.0, 64)[:, None]
    close(target.value(points), in_python(target, points), rtol=1e-15)


def test_lists_of_lanes_do_not_fault():
    """A 64-byte aligned load from Numba's 16-byte aligned heap is a segmentation fault."""

    def listed(z):
        kept = [z[k] * 2.0 for k in range(len(z))]
        positive = [z[k] > 0 for k in range(len(z))]
        return kept[0] + kept[4] + positive[1]

    def floats(z):
        kept = []
        for k in range(len(z)):
            kept.append(z[k] * 2.0)
        total = 0.0
        for x in kept:
            total += x
        return total

    for function in (floats, listed):
        target = vi.Target(function, 5)
        assert target.density.values().vectorised
        for _ in range(20):
            close(target.value(Z), in_python(target, Z))


@pytest.mark.parametrize("function", [lambda z, y: np.sum(y[:3] * z), lambda z, y: np.dot(np.ones((3, 4)), z).sum()])
def test_different_lengths_raise_as_in_numba(function):
    target = vi.Target(function, 5, (DATA,))
    with pytest.raises(ValueError):
        target.value(Z)


def test_ufuncs_are_registered_whatever_module_they_claim():
    assert target_of((lambda z: np.exp(z[0]) + np.sum(np.exp(z)), ())).density.values().vectorised


@pytest.mark.parametrize(
    "function, points",
    [
        (math.expm1, [0.0, -0.0, 1e-300, 709.7, -800.0, 1e-17]),
        (np.logaddexp, None),
        (math.exp, [-745.0, -708.5, -750.0, 709.7, 0.0]),
        (math.log, [5e-324, 1e-310, 1.0, 1e308]),
    ],
)
def test_edges_of_the_elementary_functions(function, points):
    if function is np.logaddexp:
        target = vi.Target(lambda z: np.logaddexp(z[0], z[1]), 2)
        points = np.array(
            [
                [-math.inf, 1.0],
                [1.0, -math.inf],
                [-math.inf, -math.inf],
                [math.inf, math.inf],
                [800.0, -800.0],
                [3.0, 3.0],
            ]
        )
        expected = np.logaddexp(points[:, 0], points[:, 1])
    else:
        target = vi.Target(lambda z: function(z[0]), 1)
        points = np.array(points)[:, None]
        expected = np.array([function(x) for x in points[:, 0]])
    np.testing.assert_allclose(target.value(points), expected, rtol=1e-15)


def test_any_failure_of_the_attempt_falls_back(monkeypatch):
    """Lowering can raise a KeyError or worse; the draw-by-draw compilation then decides."""

    def broken(*_):
        raise KeyError("lowering")

    monkeypatch.setattr(density, "in_lanes", broken)
    compiled = density.compile_density(lambda z: z[0], ())
    assert not compiled.vectorised and "lowering" in compiled.reason


def test_temporaries_are_freed():
    """X @ z owns memory: as much is freed as was allocated."""
    target = vi.Target(lambda z, X: np.sum((X @ z) ** 2) + (X @ z).max() + np.sum(np.exp(X @ z[::-1])), 5, (MATRIX,))
    assert target.density.values().vectorised
    target.value(Z)
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    for _ in range(300):
        target.value(Z)
    after = rtsys.get_allocation_stats()
    assert (after.alloc - before.alloc) - (after.free - before.free) == 0
    assert after.alloc > before.alloc


def test_code_without_lanes_is_left_alone():
    @njit
    def ordinary(x):
        return np.exp(x) + np.logaddexp(0.0, x) + max(x, 1.0) + np.sum(np.ones(3) * x)

    assert ordinary(0.5) == pytest.approx(math.exp(0.5) + np.logaddexp(0, 0.5) + 1.0 + 1.5, rel=1e-15)


def test_the_tile_contract():
    """The C function's own contract: row stride is the width, 0 fine, 1 for an exception."""
    target = vi.Target(lambda z, y: np.sum(y * z), 5, (DATA,))
    tile = np.ascontiguousarray(Z[:64].T)
    log_p = np.empty(64)
    assert abi.call(target.density.values().address, tile, target.density.memory().words, log_p) == 0
    close(log_p, Z[:64] @ DATA)

    def raising(z, y):
        if y[0] < 10:
            raise ValueError("no")
        return z[0]

    bad = vi.Target(raising, 5, (DATA,))
    assert abi.call(bad.density.values().address, tile, bad.density.memory().words, log_p) == 1
    assert ctypes.sizeof(ctypes.c_void_p) == 8


def test_division_by_a_shared_number_is_exact():
    """x / s through the reciprocal of s and one correction: IEEE division to the last bit, special values included."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=500) * np.exp(rng.normal(size=500) * 30), [0.0, -0.0, 1e308, 5e-324]])
    x = np.concatenate([x, [math.inf, -math.inf, math.nan]])
    for s in [3.0, 7.0, 0.1, -5.0, 1e-10, 1e149, 1e-149, 1e-310, 1e300, *np.exp(rng.normal(size=30) * 20)]:
        with np.errstate(all="ignore"):
            expected = x / s
        assert np.array_equal(
            vi.Target(lambda z, s: z[0] / s, 1, (float(s),)).value(x[:, None]), expected, equal_nan=True
        )
