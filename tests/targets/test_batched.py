"""Targets from functions of many draws at once: the numbers of the same density written for one draw."""

import math
import pickle

import numpy as np
import pytest

import fastvi as vi
from fastvi.execution import gpu

from oracles import gaussian_target, random_gaussian

MEAN, COVARIANCE = random_gaussian(4, seed=7)
PRECISION = np.linalg.inv(COVARIANCE)
LOG_Z = 1.5
ONE_DRAW = gaussian_target(MEAN, COVARIANCE, log_z=LOG_Z)
CONSTANT = LOG_Z - 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]
Q = vi.MeanFieldGaussian(MEAN + 0.1, 0.8 * np.sqrt(np.diag(COVARIANCE)))
FAR = Q.loc[0] + 2.5 * Q.scale[0]


def batch(z):
    return CONSTANT - 0.5 * np.einsum("ni,ij,nj->n", z - MEAN, PRECISION, z - MEAN)


def value_and_grad(z):
    return batch(z), -(z - MEAN) @ PRECISION


def target(**options):
    return vi.Target.from_batched(batch, 4, value_and_grad=value_and_grad, **options)


def same(found, expected):
    assert found.value == pytest.approx(expected.value, abs=1e-11)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)


@pytest.mark.parametrize("num_samples", [1, 33, 1000, 10_001])
def test_estimates_are_those_of_one_draw_at_a_time(num_samples):
    options = dict(estimator="plain", rng=3)
    found, expected = (vi.elbo(t, Q, num_samples, **options) for t in (target(), ONE_DRAW))
    assert found.value == pytest.approx(expected.value, abs=1e-11) and found.num_samples == num_samples
    if num_samples > 1:
        same(found, expected)
    assert vi.elbo(target(), Q, num_samples, **options, num_threads=1) == found


@pytest.mark.parametrize("estimator", ["leave_one_out", "optimal_baseline", "quadratic", "pathwise", "auto"])
def test_gradients_too(estimator):
    found, expected = (vi.elbo_gradient(t, Q, 5000, estimator=estimator, rng=3) for t in (target(), ONE_DRAW))
    assert found.method == expected.method
    if estimator == "optimal_baseline":  # other chunks judge each other
        assert (np.abs(found.gradient - expected.gradient) < 5 * found.standard_error).all()
    else:
        np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-9)


def test_points_hessians_laplace_and_fits():
    own, z = target(), Q.sample(2500, rng=1)
    np.testing.assert_allclose(own.value(z), ONE_DRAW.value(z), rtol=1e-12)
    np.testing.assert_allclose(own.gradient(z), ONE_DRAW.gradient(z), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.hessian(z[0]), -PRECISION, atol=1e-8)
    assert own.laplace(z[0]).log_evidence == pytest.approx(LOG_Z, abs=1e-9)
    for method in ("newton", "score"):
        found = vi.fit(own, "full_rank", method=method, rng=0)
        np.testing.assert_allclose(found.q.covariance, COVARIANCE, atol=0.02)
    assert abs(vi.diagnose(own, found.q, 20_000, rng=2).elbo.value - LOG_Z) < 0.01
    objective = vi.Objective(own, Q, 100, rng=1)
    expected = vi.Objective(ONE_DRAW, Q, 100, rng=1).value_and_grad(Q.parameters)
    np.testing.assert_allclose(objective.gradient(Q.parameters), expected[1], atol=1e-11)


def test_without_a_gradient_the_score_function_serves():
    own = vi.Target.from_batched(batch, 4)
    assert vi.elbo_gradient(own, Q, 5000, rng=1).method in ("quadratic", "optimal_baseline", "diagonal", "cubic")
    with pytest.raises(TypeError, match="value_and_grad= gives it"):
        own.gradient(MEAN)
    with pytest.raises(TypeError, match="value_and_grad= gives it"):
        vi.elbo_gradient(own, Q, 100, estimator="pathwise")
    assert vi.fit(own, "mean_field", method="score", max_samples=20_000, rng=0).elbo.value < LOG_Z
    found = vi.fit(own, "full_rank", rng=0)  # by differences
    assert found.converged and found.elbo.value == pytest.approx(LOG_Z, abs=1e-4)


@pytest.mark.parametrize("chunk, widest", [(1024, 1024), (100, 64), (5000, 4096)])
def test_few_shapes_are_seen(chunk, widest):
    seen = []

    def f(z):
        seen.append(len(z))
        return batch(z)

    own = vi.Target.from_batched(f, 4, batch_size=chunk)
    for n in (1, 50, 777, 20_011):
        vi.elbo(own, Q, n, estimator="plain", rng=1)
    own.value(Q.sample(777, rng=1))
    assert max(seen) == widest and all(n & (n - 1) == 0 and n >= 32 for n in seen)
    assert sum(seen) < 1.5 * (20_011 + 2 * 777 + 50) + 500


def test_what_f_does_wrong_is_told():
    def told(error, text, f, value_and_grad=None):
        own = vi.Target.from_batched(f, 4, value_and_grad=value_and_grad)
        with pytest.raises(error, match=text):
            vi.elbo(own, Q, 100, rng=0) if value_and_grad is None else own.gradient(MEAN)

    told(ValueError, r"f: expected shape \(32,\) for draws \(32, 4\), got \(\)", lambda z: batch(z).sum())
    told(TypeError, "f: expected float64, got float32", lambda z: batch(z).astype(np.float32))
    told(ValueError, "depend on their own row of z alone", lambda z: batch(z) - batch(z)[0])
    told(TypeError, r"value_and_grad: expected a pair", batch, batch)
    told(ValueError, r"value_and_grad: expected shape \(32, 4\)", batch, lambda z: (batch(z), batch(z)))
    with pytest.raises(TypeError, match="f: expected a function of draws"):
        vi.Target.from_batched(3, 4)
    with pytest.raises(ValueError, match="batch_size: expected an int >= 32"):
        vi.Target.from_batched(batch, 4, batch_size=8)
    told(TypeError, "f: returned a masked array", lambda z: np.ma.masked_array(batch(z), z[:, 0] > 0))
    assert "Python function of batches, which runs on backend='cpu' only" in gpu.refused(target(), Q)
    told(ValueError, "value_and_grad: expected values, those of f first,", batch, lambda z: (batch(z) + 7, z))
    mean = lambda z: (batch(z), -(z - MEAN) @ PRECISION / len(z))  # noqa: E731
    told(ValueError, "value_and_grad: expected gradients that depend on their own row", batch, mean)


def test_one_point_does_not_make_it_trusted():
    own = vi.Target.from_batched(lambda z: batch(z) + z.mean(), 4)
    with pytest.raises(ValueError, match="depend on their own row of z alone"):
        own.value(MEAN)
    with pytest.raises(ValueError, match="depend on their own row of z alone"):
        vi.elbo(own, Q, 1000, rng=0)


def test_a_density_may_use_fastvi_itself():
    def f(z):
        inner = vi.Target(lambda x: -0.5 * x[0] ** 2, 1)
        found = vi.elbo(inner, vi.MeanFieldGaussian([0.0], [1.0]), 20_000, rng=0, num_threads=1)
        return batch(z) + 0.0 * found.value

    found = vi.elbo(vi.Target.from_batched(f, 4), Q, 1000, estimator="plain", rng=1, num_threads=1)
    assert found.value == pytest.approx(vi.elbo(target(), Q, 1000, estimator="plain", rng=1).value, abs=1e-11)


def test_exceptions_and_nan_surface_as_themselves():
    class Ours(Exception):
        pass

    calls = []

    def sometimes(z):
        calls.append(len(z))
        if len(calls) > 4:
            raise Ours("no more")
        return batch(z)

    with pytest.raises(Ours, match="no more"):
        vi.elbo(vi.Target.from_batched(sometimes, 4), Q, 20_000, rng=0)
    calls.clear()
    slopes = vi.Target.from_batched(batch, 4, value_and_grad=lambda z: (sometimes(z), value_and_grad(z)[1]))
    with pytest.raises(Ours, match="no more"):
        vi.fit(slopes, "mean_field", rng=0)
    with pytest.raises(vi.NonFiniteError, match="at draw"):
        vi.elbo(vi.Target.from_batched(lambda z: np.where(z[:, 0] > FAR, np.nan, batch(z)), 4), Q, 20_000, rng=0)
    cut = vi.Target.from_batched(lambda z: np.where(z[:, 0] > FAR, -np.inf, batch(z)), 4)
    assert vi.elbo(cut, Q, 20_000, estimator="plain", rng=0).value == -np.inf


def test_it_travels():
    own = pickle.loads(pickle.dumps(target(batch_size=256, normalized=True, name="mine")))
    assert (own.name, own.normalized, own.density.batch_size) == ("mine", True, 256)
    assert vi.elbo(own, Q, 3000, rng=1) == vi.elbo(target(batch_size=256), Q, 3000, rng=1)


@pytest.mark.guests
def test_a_jax_log_density():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def one(z):
        return CONSTANT - 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN)

    f, both = (jax.jit(jax.vmap(g)) for g in (one, jax.value_and_grad(one)))
    own = vi.Target.from_batched(f, 4, value_and_grad=both)
    same(vi.elbo(own, Q, 5000, estimator="plain", rng=3), vi.elbo(ONE_DRAW, Q, 5000, estimator="plain", rng=3))
    found, expected = (vi.elbo_gradient(t, Q, 5000, estimator="pathwise", rng=3) for t in (own, ONE_DRAW))
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-10)


@pytest.mark.guests
def test_a_torch_log_density():
    torch = pytest.importorskip("torch")
    mean, precision = torch.tensor(MEAN), torch.tensor(PRECISION)

    def f(z):
        away = torch.as_tensor(z) - mean
        return CONSTANT - 0.5 * torch.sum((away @ precision) * away, 1)

    own = vi.Target.from_batched(f, 4)
    same(vi.elbo(own, Q, 5000, estimator="plain", rng=3), vi.elbo(ONE_DRAW, Q, 5000, estimator="plain", rng=3))


def test_the_cost_of_a_draw_decides_whether_a_fit_pays():
    def f(z):
        return -0.5 * np.sum(z**2, axis=1) - 0.1 * np.sum(z**4, axis=1)

    def value_and_grad(z):
        return f(z), -z - 0.4 * z**3

    q = vi.MeanFieldGaussian(np.full(4, 0.2), np.full(4, 0.8))
    dear, cheap = (vi.Target.from_batched(f, 4, value_and_grad=value_and_grad, cost=cost) for cost in (1e6, 10))
    assert vi.elbo(dear, q, 100, rng=0).method == "cubic" and vi.elbo(cheap, q, 100, rng=0).method == "plain"
    assert vi.Target.from_batched(f, 4).density.operations == 2**14
    assert dear.density.remake(dear)[0](f, 4).density.operations == 1e6


@pytest.mark.parametrize("cost, error", [(0, ValueError), (-1.0, ValueError), (math.inf, ValueError), ("1", TypeError)])
def test_a_cost_that_is_none(cost, error):
    with pytest.raises(error, match="cost: expected a"):
        vi.Target.from_batched(lambda z: -np.sum(z**2, axis=1), 2, cost=cost)
    with pytest.raises(error, match="cost: expected a"):
        vi.Target.from_address(1, 2, cost=cost)
