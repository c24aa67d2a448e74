"""Gradients that users bring: written in Python, or behind the address of a C function."""

import ctypes
import math
import pickle

import numpy as np
import pytest
from numba import carray, cfunc

import fastvi as vi
from fastvi.bridges import c

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(60, 4)), (RNG.random(60) < 0.5).astype(float)
POINTS = RNG.normal(size=(500, 4))
Q = vi.MeanFieldGaussian(np.zeros(4), np.full(4, 0.3))


def logistic(beta, X, y):
    eta = X @ beta
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.dot(beta, beta)


def by_items(beta, X, y, out):
    for k in range(len(beta)):
        out[k] = -beta[k]
    for i in range(X.shape[0]):
        r = y[i] - vi.expit(np.dot(X[i], beta))
        for k in range(len(beta)):
            out[k] += r * X[i, k]


def by_slices(beta, X, y, out):
    out[:] = X.T @ (y - vi.expit(X @ beta)) - beta
    out[1:] += 1.0
    out[1:] -= np.ones(len(beta) - 1)
    out *= 1.0


def by_branches(beta, X, y, out):
    by_items(beta, X, y, out)
    if beta[0] > 1e9:
        out[0] = 0.0


def wrong(beta, X, y, out):
    by_items(beta, X, y, out)
    out[2] *= 1.001


def incomplete(beta, X, y, out):
    out[0] = 1.0


@pytest.mark.parametrize("gradient, lanes", [(by_items, True), (by_slices, True), (by_branches, False)])
def test_a_written_gradient_is_used_and_right(gradient, lanes):
    derived, target = vi.Target(logistic, 4, (X, Y)), vi.Target(logistic, 4, (X, Y), gradient=gradient)
    value, found = target.value_and_grad(POINTS)
    np.testing.assert_allclose(found, derived.gradient(POINTS), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(value, derived.value(POINTS), rtol=1e-12)
    assert target.density.gradients().vectorised == lanes
    check = target.check_gradient(POINTS[0])
    assert check.ok and check.written_error < 1e-12 and check.difference_error < 1e-8
    for estimator in ("pathwise", "sticking_the_landing"):
        ours, theirs = (vi.elbo_gradient(t, Q, 2000, estimator=estimator, rng=1) for t in (derived, target))
        np.testing.assert_allclose(ours.gradient, theirs.gradient, rtol=1e-10, atol=1e-12)
    again = pickle.loads(pickle.dumps(target))
    assert np.array_equal(again.gradient(POINTS), found)


def test_check_gradient_finds_a_wrong_one():
    check = vi.Target(logistic, 4, (X, Y), gradient=wrong).check_gradient(POINTS[0])
    assert not check.ok and check.worst == 2 and check.written_error > 1e-5 < check.difference_error
    assert vi.Target(logistic, 4, (X, Y)).check_gradient(POINTS[0]).written_error is None


def test_places_that_a_gradient_does_not_write_are_not_numbers():
    """Nothing is assumed of what is left out: the call says so."""
    target = vi.Target(logistic, 4, (X, Y), gradient=incomplete)
    with pytest.raises(ValueError, match=r"gradient: incomplete leaves out\[1\] unwritten or nan, at z = "):
        target.gradient(POINTS[0])


def test_a_gradient_that_cannot_compile_says_so():
    def unknown(beta, X, y, out):
        out[:] = np.gradient(beta)

    with pytest.raises(TypeError, match="gradient: .*test_user_gradient.py"):
        vi.Target(logistic, 4, (X, Y), gradient=unknown).gradient(POINTS[0])
    with pytest.raises(TypeError, match="gradient: expected a Python function"):
        vi.Target(logistic, 4, (X, Y), gradient=3)


# ---- a C function with a gradient
@cfunc(c.SIGNATURE, nopython=True)
def c_normal(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
    """N(0, 2^2) in every dimension; its gradient asks for some scratch."""
    draws, out = carray(z, (dim, width)), carray(log_p, (width,))
    if not c.is_null(gradient) and scratch_bytes < 2**23:
        return 2
    for j in range(width):
        out[j] = 0.0
        for i in range(dim):
            if draws[i, j] > 1e6:
                return 1
            out[j] -= 0.125 * draws[i, j] ** 2
    if not c.is_null(gradient):
        slope = carray(gradient, (dim, width))
        for i in range(dim):
            for j in range(width):
                slope[i, j] = -0.25 * draws[i, j]
    return 0


def test_a_c_function_enters_by_the_same_door():
    target = vi.Target.from_address(c_normal.address, 3)
    z = RNG.normal(size=(100, 3))
    value, gradient = target.value_and_grad(z)
    np.testing.assert_allclose(value, -0.125 * np.sum(z * z, 1), rtol=1e-14)
    np.testing.assert_array_equal(gradient, -0.25 * z)
    q = vi.MeanFieldGaussian(np.ones(3), np.full(3, 1.5))
    plain = vi.Target(lambda z: -0.125 * np.dot(z, z), 3)
    for estimator in ("pathwise", "sticking_the_landing", "leave_one_out"):
        ours, theirs = (vi.elbo_gradient(t, q, 5000, estimator=estimator, rng=2) for t in (plain, target))
        np.testing.assert_allclose(ours.gradient, theirs.gradient, rtol=1e-9, atol=1e-9)
    ours, theirs = (vi.elbo(t, q, 1000, estimator="plain", rng=0) for t in (plain, target))
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    assert target.laplace(np.ones(3)).log_evidence == pytest.approx(1.5 * math.log(8 * math.pi), rel=1e-9)


def test_what_a_c_function_reports_is_said():
    target = vi.Target.from_address(c_normal.address, 3, name="three normals")
    with pytest.raises(RuntimeError, match="three normals: the C function reports an error"):
        target.gradient([1e7, 0.0, 0.0])
    with pytest.raises(RuntimeError, match="three normals: the C function reports an error"):
        vi.elbo(target, vi.MeanFieldGaussian(np.full(3, 1e7), np.ones(3)), 100, rng=0)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(target)
    with pytest.raises(TypeError, match="address: expected"):
        vi.Target.from_address(None, 3)


def test_a_ctypes_callback_works_too():
    """The contract is C's, not Numba's: a Python function behind ctypes, slow but legal."""
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_double),
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
    )

    def cauchy(z, dim, width, data, log_p, gradient, scratch, size):
        draws = np.ctypeslib.as_array(z, (dim, width))
        np.ctypeslib.as_array(log_p, (width,))[:] = -np.log1p(draws**2).sum(0)
        if gradient:
            out = np.ctypeslib.as_array(ctypes.cast(gradient, ctypes.POINTER(ctypes.c_double)), (dim, width))
            out[:] = -2 * draws / (1 + draws**2)
        return 0

    callback = kind(cauchy)
    target = vi.Target.from_address(ctypes.cast(callback, ctypes.c_void_p).value, 2)
    z = RNG.normal(size=(40, 2))
    np.testing.assert_allclose(target.gradient(z, num_threads=2), -2 * z / (1 + z * z), rtol=1e-14)
    assert target.check_gradient(z[0]).ok


def answers(status):
    @cfunc(c.SIGNATURE, nopython=True)
    def callback(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        out = carray(log_p, (width,))
        for j in range(width):
            out[j] = 0.0
        return 0 if c.is_null(gradient) else status

    return callback


@pytest.mark.parametrize("status", [1, 3, 7])
def test_any_other_status_is_an_error(status):
    callback = answers(status)
    target = vi.Target.from_address(callback.address, 2)
    with pytest.raises(RuntimeError):
        target.gradient([0.0, 0.0])
    with pytest.raises(RuntimeError):
        vi.elbo_gradient(target, vi.MeanFieldGaussian([0, 0], [1, 1]), 100, estimator="pathwise", rng=0)


def test_a_callback_that_writes_no_gradient_gives_none():
    callback = answers(0)
    target = vi.Target.from_address(callback.address, 2)
    assert np.isnan(target.gradient([0.0, 0.0])).all()
    with pytest.raises(vi.NonFiniteError, match="the gradient of"):
        vi.elbo_gradient(target, vi.MeanFieldGaussian([0, 0], [1, 1]), 100, estimator="pathwise", rng=0)


def test_what_a_written_gradient_raises_is_raised():
    def short(beta, X, y, out):
        out[:] = beta[:2]

    def with_arguments_swapped(out, X, y, beta):
        out[:] = -beta

    with pytest.raises(ValueError, match="could not broadcast"):
        vi.Target(logistic, 4, (X, Y), gradient=short).gradient(POINTS[0])
    with pytest.raises(ValueError, match="read-only"):
        vi.Target(logistic, 4, (X, Y), gradient=with_arguments_swapped).gradient(POINTS[0])
    with pytest.raises(TypeError, match="positional argument"):
        vi.Target(logistic, 4, (X, Y), gradient=lambda beta, out: None).gradient(POINTS[0])
