"""C functions as targets: by our contract for tiles, and one draw at a time."""

import ctypes
import math

import numpy as np
import pytest
from numba import carray, cfunc, types

import fastvi as vi
from fastvi.bridges import c
from fastvi.bridges.c import target as c_target

from subprocesses import c_library

ONE = types.int64(types.int64, *[types.CPointer(types.float64)] * 3, types.voidptr)
MEAN = np.array([1.0, -0.5, 2.0])


@cfunc(ONE)
def normal_in_c(dim, x, gradient, log_p, user_data):
    total = 0.0
    for i in range(dim):
        total -= 0.5 * (x[i] - 1.0) ** 2 * (i + 1)
        gradient[i] = -(x[i] - 1.0) * (i + 1)
    log_p[0] = total
    return 0


def normal(z):
    total = 0.0
    for i in range(len(z)):
        total -= 0.5 * (z[i] - 1.0) ** 2 * (i + 1)
    return total


SOURCE = r"""
#include <stdint.h>
#include <math.h>
int64_t f(int64_t dim, const double *x, double *gradient, double *log_p, void *user_data) {
    const double *mean = user_data;
    double total = 0.0;
    for (int64_t i = 0; i < dim; i++) {
        total -= 0.5 * (x[i] - mean[i]) * (x[i] - mean[i]);
        gradient[i] = mean[i] - x[i];
    }
    *log_p = total;
    return x[0] > 50.0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A shared library from a C compiler."""
    return ctypes.CDLL(c_library(tmp_path_factory.mktemp("c"), SOURCE))


@cfunc(c.SIGNATURE)
def values_alone(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
    draws, values = carray(z, (dim, width)), carray(log_p, width)
    for j in range(width):
        values[j] = 0.0
        for i in range(dim):
            values[j] -= 0.5 * draws[i, j] ** 2
    return 0


def test_a_function_that_writes_no_gradient_has_score_gradients():
    target, q = vi.Target.from_address(values_alone.address, 2), vi.MeanFieldGaussian([0.1, 0.0], [1.0, 0.9])
    for num_samples, method in ((32, "leave_one_out"), (2000, "optimal_baseline")):
        assert vi.elbo_gradient(target, q, num_samples, rng=0).method == method
    assert vi.elbo(target, q, 2000, rng=0).num_samples == 2000


def test_one_draw_functions_are_targets():
    target, plain = c_target(normal_in_c, 3, convention="one_draw"), vi.Target(normal, 3)
    z = np.random.default_rng(0).standard_normal((301, 3))
    np.testing.assert_allclose(target.value(z), plain.value(z), rtol=1e-14)
    np.testing.assert_allclose(target.gradient(z), plain.gradient(z), rtol=1e-13)
    q = vi.FullRankGaussian(np.zeros(3), np.eye(3) + np.tril(np.full((3, 3), 0.2), -1))
    one, other = (vi.elbo(t, q, 5000, estimator="plain", rng=1) for t in (plain, target))
    assert other.value == pytest.approx(one.value, rel=1e-13)
    for estimator in ("leave_one_out", "pathwise"):
        one, other = (vi.elbo_gradient(t, q, 5000, estimator=estimator, rng=1) for t in (plain, target))
        np.testing.assert_allclose(other.gradient, one.gradient, rtol=1e-11)
    assert vi.fit(target, "full_rank", rng=2).converged


def test_a_function_of_a_c_compiler(library):
    """Through ctypes, with data of its own; an error it reports names the draw."""
    user_data = MEAN.ctypes.data
    target = c_target(library.f, 3, convention="one_draw", user_data=user_data, name="in C")
    assert target.value(MEAN) == 0.0 and target.value(MEAN + 1.0) == -1.5
    found = vi.fit(target, "mean_field", rng=1)
    np.testing.assert_allclose(found.q.loc, MEAN, atol=1e-3)
    with pytest.raises(RuntimeError, match="in C: the C function reports an error at draw 0"):
        vi.elbo(target, vi.MeanFieldGaussian([100.0, 0, 0], [1, 1, 1]), 100, rng=1)


def test_tiles_and_what_is_kept():
    @cfunc(c.SIGNATURE)
    def tile(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        draws, values = carray(z, (dim, width)), carray(log_p, width)
        for j in range(width):
            values[j] = -0.5 * draws[0, j] ** 2
        return 0

    target = c_target(tile, 1, normalized=False, name="tiles")
    assert target.density.keep == (tile,) and target.name == "tiles"
    q = vi.MeanFieldGaussian([0.0], [1.0])
    found = vi.elbo(target, q, 100_000, estimator="plain", rng=1)
    assert found.value == pytest.approx(0.5 * math.log(2 * math.pi), abs=1e-12)


def test_bad_arguments():
    with pytest.raises(TypeError, match="function: expected an address"):
        c_target(normal, 3)
    with pytest.raises(TypeError, match="function: expected an address"):
        c_target(0, 3)
    with pytest.raises(ValueError, match="convention: expected one of 'tile', 'one_draw'"):
        c_target(normal_in_c, 3, convention="stan")
    with pytest.raises(ValueError, match="data: goes with convention='tile'"):
        c_target(normal_in_c, 3, (1.0,), convention="one_draw")
    with pytest.raises(ValueError, match="user_data: goes with convention='one_draw'"):
        c_target(normal_in_c, 3, user_data=5)
