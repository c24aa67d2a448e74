"""Spaces around densities from elsewhere: batched, by address, and Python's own."""

import math
import pickle

import numpy as np
import pytest

import fastvi as vi

NAMES = dict(mu=vi.real(), tau=vi.positive(), w=vi.simplex(3), o=vi.ordered(2))
Z = np.random.default_rng(0).normal(size=(70, 6))
Q = vi.MeanFieldGaussian(np.zeros(6), np.full(6, 0.5))


def of_x(x):
    mu, tau, w, o = x[:, 0], x[:, 1], x[:, 2:5], x[:, 5:]
    return (
        -0.5 * (mu / tau) ** 2 - np.log(tau) + np.sum(np.log(w) * [1.0, 2.0, 3.0], axis=1) - 0.5 * np.sum(o**2, axis=1)
    )


def slopes_of_x(x):
    mu, tau = x[:, 0], x[:, 1]
    by_tau = mu**2 / tau**3 - 1.0 / tau
    return of_x(x), np.column_stack([-mu / tau**2, by_tau, np.array([1.0, 2.0, 3.0]) / x[:, 2:5], -x[:, 5:]])


def by_name(mu, tau, w, o):
    total = -0.5 * (mu / tau) ** 2 - math.log(tau) - 0.5 * (o[0] ** 2 + o[1] ** 2)
    return total + math.log(w[0]) + 2.0 * math.log(w[1]) + 3.0 * math.log(w[2])


def flat(x):
    return by_name(x[0], x[1], x[2:5], x[5:])


NAMED = vi.Target(by_name, NAMES)
INNER = {
    "batched": lambda: vi.Target.from_batched(of_x, 7, value_and_grad=slopes_of_x),
    "python": lambda: vi.Target(flat, 7),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INNER)
def test_it_is_the_named_density(name):
    target = vi.Target.constrained(INNER[name](), NAMES)
    assert target.dim == 6 and repr(target.parameters) == repr(NAMED.parameters)
    np.testing.assert_allclose(target.value(Z), NAMED.value(Z), rtol=1e-13)
    np.testing.assert_allclose(target.gradient(Z), NAMED.gradient(Z), rtol=1e-12, atol=1e-12)
    assert target.check_gradient(Z[0]).ok
    expected = vi.elbo(NAMED, Q, 3000, estimator="plain", rng=0)
    assert math.isclose(vi.elbo(target, Q, 3000, estimator="plain", rng=0).value, expected.value, rel_tol=1e-12)
    for estimator in ("leave_one_out", "pathwise"):
        one, other = (vi.elbo_gradient(t, Q, 3000, estimator=estimator, rng=0) for t in (target, NAMED))
        np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-9, atol=1e-11)
    again = pickle.loads(pickle.dumps(target))
    np.testing.assert_array_equal(again.value(Z), target.value(Z))
    assert again.density.fingerprint() == target.density.fingerprint() != INNER[name]().density.fingerprint()


def test_by_address_and_errors():
    from numba import carray, cfunc

    from fastvi.bridges.c import SIGNATURE, is_null

    @cfunc(SIGNATURE)
    def exponential(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        x, out = carray(z, (dim, width)), carray(log_p, width)
        for j in range(width):
            if x[0, j] > 1e6:
                return 1
            out[j] = -x[0, j]
            if not is_null(gradient):
                carray(gradient, (dim, width))[0, j] = -1.0
        return 0

    inner = vi.Target.from_address(exponential.address, 1)
    target = vi.Target.constrained(inner, {"x": vi.positive()})
    np.testing.assert_allclose(target.value([0.5]), 0.5 - math.exp(0.5), rtol=1e-14)
    np.testing.assert_allclose(target.gradient([0.5]), [1.0 - math.exp(0.5)], rtol=1e-14)
    with pytest.raises(RuntimeError, match="reports an error at draw 0"):
        target.value([15.0])
    assert abs(vi.fit(target, "mean_field", rng=0).summary()["x"]["mean"] - 1.0) < 0.2
    with pytest.raises(ValueError, match="parameters: expected 1 numbers, as C callback takes, got 2"):
        vi.Target.constrained(inner, {"x": vi.positive(2)})
    with pytest.raises(TypeError, match="inner: expected a fastvi.Target, got 3"):
        vi.Target.constrained(3, {"x": vi.positive()})


def test_values_that_are_not_finite_are_told_by_name():
    def logarithm(x):
        with np.errstate(invalid="ignore"):
            return np.log(2.0 - x[:, 0])

    target = vi.Target.constrained(vi.Target.from_batched(logarithm, 1), {"tau": vi.positive()})
    with pytest.raises(vi.NonFiniteError, match=r"first nan at draw \d+, tau = \d"):
        vi.elbo(target, vi.MeanFieldGaussian([0.0], [1.0]), 1000, rng=0)
