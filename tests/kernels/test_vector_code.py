"""Loops over tiles: their written code has the bits of their Python, for every remainder of lanes and on every CPU."""

import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding
from numba import njit

from fastvi.kernels.arithmetic import outer_products, tiles, triangular
from fastvi.kernels.arithmetic.draw_loops import each_draw, sum_draws
from fastvi.kernels.arithmetic.primitives import fma, select
from fastvi.kernels.cpu import points
from fastvi.kernels.jit import routine
from fastvi.kernels.sums import centred, pathwise

WIDTHS = [1, 7, 8, 9, 32, 45]


@each_draw
@routine
def moved(scale, x, y):
    return fma(scale, x, y), select(x < y, x, -y)


@sum_draws
@routine
def several(x, f, less):
    s = fma(x, x, -less)
    return s, (s, f), (f * s, s)


@functools.cache
def compiled(routine_):
    return njit(lambda *args: routine_(*args), error_model="numpy")


@pytest.mark.parametrize("count", WIDTHS)
def test_loops_over_draws(count):
    rng = np.random.default_rng(count)
    x, y = rng.normal(size=(2, 50))
    found, expected = np.full((2, 50), 9.0), np.full((2, 50), 9.0)
    compiled(moved)(count, found[0], found[1], 1.5, x, y)
    moved(count, expected[0], expected[1], 1.5, x, y)
    assert np.array_equal(found, expected) and np.all(found[:, count:] == 9.0)
    sums = compiled(several)(count, x, y, 0.25)
    assert sums == several(count, x, y, 0.25)
    s = x[:count] ** 2 - 0.25
    np.testing.assert_allclose(sums, [s.sum(), s @ y[:count], s**2 @ y[:count]], rtol=1e-12, atol=1e-12)


def one_of_two(power):
    def formula(x):
        return x * x * x

    def other(x):
        return x * x

    other.__qualname__ = formula.__qualname__
    return each_draw(routine(formula if power == 3 else other))


def test_formulas_of_one_name_are_told_apart():
    cube, square = one_of_two(3), one_of_two(2)

    @njit
    def both(x, a, b):
        cube(len(x), a, x)
        square(len(x), b, x)

    x, a, b = np.arange(5.0), np.empty(5), np.empty(5)
    both(x, a, b)
    assert np.array_equal(a, x**3) and np.array_equal(b, x**2)


def test_a_formula_has_nothing_around_it():
    def around(scale):
        return each_draw(lambda x: scale * x)

    with pytest.raises(TypeError, match="has no variables of a function around it"):
        around(2.0)


def test_what_is_not_summed_may_be_anything():
    x = np.array([1.0, 2.0, 3.0, np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan, np.inf])
    assert compiled(several)(3, x, np.where(np.isfinite(x), 1.0, np.nan), 0.0)[0] == 14.0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [4, 12, 20])
def test_products_with_a_matrix(size, width):
    rng = np.random.default_rng(size + width)
    lower, offset = np.tril(rng.normal(size=(size, size))) + 2.0 * np.eye(size), rng.normal(size=size)
    square, x, given = rng.normal(size=(size, size)), rng.normal(size=(size, width)), rng.normal(size=(size, width))
    strip, before = rng.normal(size=(4, width)), np.full((4, size), 9.0)
    cases = [
        (triangular.lower_times, (lower, x, offset), given, offset[:, None] + lower @ x),
        (triangular.square_times, (square, x), given, given + square @ x),
        (triangular.negated_transpose, (square,), square, -square.T),
        (triangular.solve_transposed, (-lower.T.copy(), lower, x), given, np.linalg.solve(lower.T, x)),
        (triangular.products_of_rows, (strip, x, 4, width), before, np.c_[strip @ x[:4].T, before[:, 4:]]),
    ]
    for product, arguments, start, exact in cases:
        found, python = start.copy(), start.copy()
        compiled(product)(*arguments, found)
        product(*arguments, python)
        assert np.array_equal(found, python), product
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("count", [1, 7, 31, 32, 131])
@pytest.mark.parametrize("dim", [3, 12, 39])
def test_sums_of_products_of_rows(dim, count):
    """Squares of sums over four draws, and of the rest single, tell the squared deviations; of few all are single."""
    size, grouped = triangular.next_four(dim), count // 4 * 4 if count > 31 else 0
    rng = np.random.default_rng(dim + count)
    left, x, before = rng.normal(size=(dim, 136)), rng.normal(size=(size, 136)), 30.0
    panels = np.full((2, *outer_products.panel_shape(size, 136)), np.nan)
    for k, to_panels in enumerate((compiled(outer_products.to_panels), outer_products.to_panels)):
        to_panels(x, count, panels[k])
    assert np.array_equal(*panels, equal_nan=True) and outer_products.grouped_draws(count, 4) == grouped
    assert outer_products.grouped_draws(count, 1) == 0
    correction = outer_products.correction_of(grouped, count)
    ends = [*range(4, grouped, 4), *range(grouped, count)]
    groups = np.split(np.arange(count), [end for end in ends if end])
    assert len(groups) == 1 or np.isclose(correction, (count - 1) / (len(groups) - 1), rtol=1e-15)
    for a in range(0, size, 4):
        shape = min(4, dim - a), a + 4
        terms = left[a : a + 4, None, :count] * x[None, : a + 4, :count]
        own = terms.mean(axis=2)
        about = correction * sum(len(g) * (terms[:, :, g].mean(axis=2) - own) ** 2 for g in groups)
        known = rng.normal(size=(2, 4, a + 4)) ** 2
        merged = (30 * known[0, : shape[0]] + count * own) / (30 + count)
        squares = known[1, : shape[0]] + about + (own - known[0, : shape[0]]) ** 2 * 30 * count / (30 + count)
        for draws, mean, spread in ((0.0, own, about), (before, merged, squares)):
            start = known if draws else np.full_like(known, np.nan)  # of no draws, sums hold anything
            found, python, alone, alone_python = start.copy(), start.copy(), start[0].copy(), start[0].copy()
            given, how = (left, a, panels[0], draws, count), (grouped, correction)
            compiled(pathwise.add_products)(*given, *how, *found)
            pathwise.add_products(*given, *how, *python)
            compiled(pathwise.add_product_means)(*given, alone)
            pathwise.add_product_means(*given, alone_python)
            assert np.array_equal(found, python) and np.array_equal(alone, alone_python)
            assert np.array_equal(found[0], alone)
            by_scores, python_scores = start.copy(), start.copy()
            compiled(centred.add_products)(*given[:3], draws == 0.0, count, *how, *by_scores)
            centred.add_products(*given[:3], draws == 0.0, count, *how, *python_scores)
            assert np.array_equal(by_scores, python_scores)
            both = np.array([terms.sum(axis=2), about + count * own**2])
            both += known[:, : shape[0]] if draws else 0.0
            np.testing.assert_allclose(by_scores[:, : shape[0]], both, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(found[0, : shape[0]], mean, rtol=0, atol=1e-13)
            np.testing.assert_allclose(found[1, : shape[0]], spread, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 3, 8, 13])
def test_rows_to_a_tile_and_back(dim):
    rows, tile = np.random.default_rng(dim).normal(size=(60, dim)), np.empty((dim, 40))
    compiled(points.rows_to_tile)(rows, 5, 33, tile)
    assert np.array_equal(tile[:, :33], rows[5:38].T) and np.all(tile[:, 33:] == rows[5][:, None])
    back = np.full((60, dim), 9.0)
    compiled(points.tile_to_rows)(tile, 5, 33, back)
    assert np.array_equal(back[5:38], rows[5:38]) and np.all(back[:5] == 9.0) and np.all(back[38:] == 9.0)


def test_the_memory_of_tiles_lives_as_long_as_a_view_of_it():
    @njit
    def views():
        tile = tiles.aligned(5, 32)
        return tiles.columns(tile, 5, 8)

    narrow = views()
    narrow[:] = 1.0
    assert narrow.shape == (5, 8) and narrow.ctypes.data % 64 == 0 and narrow.sum() == 40.0


ESTIMATES = """
import hashlib, numpy as np, fastvi as vi
def log_density(z, X):
    return -0.5 * np.sum(z * z) - np.sum(np.log1p(np.exp(X @ z)))
X = np.random.default_rng(0).normal(size=(20, 5))
target, found = vi.Target(log_density, 5, (X,)), hashlib.sha256()
for q in (vi.MeanFieldGaussian(np.zeros(5), np.ones(5)), vi.FullRankGaussian(np.zeros(5), 0.7 * np.eye(5))):
    for estimator in ("leave_one_out", "pathwise", "pathwise_quadratic"):
        g = vi.elbo_gradient(target, q, 1000, estimator=estimator, rng=0)
        found.update(g.gradient.tobytes() + g.standard_error.tobytes() + np.array(g.elbo.value).tobytes())
    found.update(np.array(vi.elbo(target, q, 1000, estimator="cubic", rng=0).value).tobytes())
wide, q = vi.Target(lambda z: -0.5 * np.sum(z * z), 37), vi.FullRankGaussian(np.zeros(37), 0.7 * np.eye(37))
for estimator in ("leave_one_out", "sticking_the_landing"):
    g = vi.elbo_gradient(wide, q, 1000, estimator=estimator, rng=0)
    found.update(g.gradient.tobytes() + g.standard_error.tobytes())
print(found.hexdigest())
"""


@pytest.mark.slow
def test_the_bits_of_estimates_are_those_of_narrower_registers():
    """With AVX2 products are cut into other blocks than with AVX-512, and none of that may show."""
    features = {k: on and "avx512" not in k for k, on in binding.get_host_cpu_features().items()}
    narrow = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": ",".join(("+" if on else "-") + k for k, on in features.items()),
    }
    found = set()
    for environment in ({}, narrow):
        done = subprocess.run(
            [sys.executable, "-c", ESTIMATES], env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1 and len(found.pop().strip()) == 2 * hashlib.sha256().digest_size
