"""The ELBO as a function of flat parameters: its values and gradients against naive sums and differences."""

import math
import pickle
from unittest import mock

import numpy as np
import pytest
from scipy.optimize import minimize

import fastvi as vi
from fastvi.rng import FIT

import naive
from oracles import fitted_posterior, gaussian_target, random_gaussian

FAMILIES = ("mean_field", "full_rank")
ALL = (*FAMILIES, "low_rank")


def schools(z, effect, error):
    mu, log_tau, theta = z[0], z[1], z[2:]
    tau = math.exp(log_tau)
    total = -0.5 * (mu / 5) ** 2 - math.log1p((tau / 5) ** 2) + log_tau - 0.5 * np.sum(theta**2)
    return total - 0.5 * np.sum(((effect - mu - tau * theta) / error) ** 2)


DATA = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
TARGET = vi.Target(schools, 10, DATA)


def family(name, dim=10):
    rng = np.random.default_rng(dim)
    loc, scale = 0.3 * rng.standard_normal(dim), 0.5 + rng.random(dim)
    if name == "mean_field":
        return vi.MeanFieldGaussian(loc, scale)
    if name == "low_rank":
        return vi.LowRankGaussian(loc, scale, 0.5 * rng.standard_normal((dim, 3)))
    return vi.FullRankGaussian(loc, 0.1 * np.tril(rng.standard_normal((dim, dim)), -1) + np.diag(scale))


def differences(function, point, step=1e-5):
    """Central differences, of fourth order."""
    out = np.empty(len(point))
    for i in range(len(point)):
        unit = np.zeros(len(point))
        unit[i] = step
        near = function(point + unit) - function(point - unit)
        far = function(point + 2 * unit) - function(point - 2 * unit)
        out[i] = (8 * near - far) / (12 * step)
    return out


def draws(objective, q, first=0):
    z = np.empty((objective.num_samples, q.dim))
    q.fill(z, objective.key, FIT, first)
    return z


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_pathwise_is_the_mean_over_fixed_draws_and_its_gradient(name):
    start = family(name)
    objective = vi.Objective(TARGET, start, 60, rng=1)
    moved = objective.parameters + 0.1 * np.random.default_rng(0).standard_normal(len(objective.parameters))
    for parameters in (objective.parameters, moved):
        q = objective.q(parameters)
        log_p, _ = naive.log_weights(TARGET, q, draws(objective, q))
        value, gradient = objective.value_and_grad(parameters)
        assert value == pytest.approx(np.mean(log_p) + q.entropy(), rel=1e-12)
        assert value == objective.value(parameters) and np.array_equal(gradient, objective.gradient(parameters))
        np.testing.assert_allclose(gradient, differences(objective.value, parameters), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_a_bank_is_reweighted_without_the_model(name):
    start = family(name)
    objective = vi.Objective(TARGET, start, 400, estimator="bank", rng=1)
    z = draws(objective, start)
    log_p, log_w = naive.log_weights(TARGET, start, z)
    assert objective.value(objective.parameters) == pytest.approx(np.mean(log_w), rel=1e-12)
    assert objective.ess(objective.parameters) == pytest.approx(400, rel=1e-12)
    moved = objective.parameters + 0.03 * np.random.default_rng(0).standard_normal(len(objective.parameters))
    q = objective.q(moved)
    ratio = np.exp(q.log_prob(z) - start.log_prob(z))
    weights = ratio / np.sum(ratio)
    expected = np.sum(weights * (log_p - q.log_prob(z))) + math.log(np.mean(ratio))
    with mock.patch.object(TARGET, "value", side_effect=AssertionError("the model was called")):
        value, gradient = objective.value_and_grad(moved)
        assert value == pytest.approx(expected, rel=1e-12)
        assert objective.ess(moved) == pytest.approx(1.0 / np.sum(weights**2), rel=1e-9)
        np.testing.assert_allclose(gradient, differences(objective.value, moved), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bank_finds_a_gaussian_exactly(name):
    """The maximum over any bank is q = p, with the log of p's integral, and nothing is left to chance."""
    if name == "mean_field":
        mean, covariance = np.array([1.0, -0.5, 0.3]), np.diag([0.5, 2.0, 1.0])
    else:
        mean, covariance = random_gaussian(3, seed=2)
    target = gaussian_target(mean, covariance, log_z=-7.5)
    start = type(family(name, 3))(mean + 0.3, np.ones(3) if name == "mean_field" else np.eye(3))
    objective = vi.Objective(target, start, 500, estimator="bank", rng=3)
    parameters = objective.parameters
    for _ in range(12):
        found = minimize(objective.negative_value_and_grad, parameters, jac=True, method="L-BFGS-B", tol=1e-14)
        parameters = found.x
        objective.refresh(parameters)
    q = objective.q(parameters)
    np.testing.assert_allclose(q.loc, mean, atol=1e-5)
    np.testing.assert_allclose(q.covariance, covariance, atol=1e-4)
    assert objective.value(parameters) == pytest.approx(-7.5, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("family_name", FAMILIES)
@pytest.mark.parametrize("estimator", ["pathwise", "bank"])
def test_lbfgs_reaches_the_published_optimum(estimator, family_name):
    """kidiq's regression of posteriordb, to within 0.01 nat of the best ELBO known, on fresh draws."""
    target, _, best = fitted_posterior("kidiq-kidscore_momiq")
    q = best[family_name]
    start = type(q)(q.loc + 0.5 * q.stddev, 1.5 * q.scale)
    objective = vi.Objective(target, start, 4000, estimator=estimator, rng=5)
    parameters = objective.parameters
    for _ in range(1 if estimator == "pathwise" else 15):
        options = dict(maxiter=3000, maxfun=5000, ftol=1e-13, gtol=1e-7, maxcor=30)
        found = minimize(objective.negative_value_and_grad, parameters, jac=True, method="L-BFGS-B", options=options)
        parameters = found.x
        if estimator == "bank":
            objective.refresh(parameters)
    gap = vi.compare(target, objective.q(parameters), q, 40_000, rng=6)
    assert gap.value > -0.02 - 5 * gap.standard_error


def test_steps_have_draws_of_their_own():
    objective = vi.Objective(TARGET, family("mean_field"), 32, rng=1)
    runs = [objective.value_and_grad(objective.parameters, step=step) for step in (0, 1, 2, 1)]
    assert runs[1][0] == runs[3][0] and np.array_equal(runs[1][1], runs[3][1])
    assert len({value for value, _ in runs}) == 3
    assert runs[0][0] == objective.value(objective.parameters)
    q = objective.q(objective.parameters)
    log_p, _ = naive.log_weights(TARGET, q, draws(objective, q, 64))
    assert runs[2][0] == pytest.approx(np.mean(log_p) + q.entropy(), rel=1e-12)


@pytest.mark.parametrize("estimator", ["leave_one_out", "optimal_baseline", "sticking_the_landing", "quadratic"])
def test_adam_by_steps(estimator):
    """Estimators whose gradient is not that of a value: for fresh draws, and they say so."""
    target = gaussian_target(np.array([1.0, -1.0]), np.diag([0.5, 2.0]))
    objective = vi.Objective(target, vi.MeanFieldGaussian([0, 0], [1, 1]), 1000, estimator=estimator, rng=1)
    with pytest.raises(
        ValueError, match=f"step: estimator='{estimator}' gives a gradient that is not that of its value"
    ):
        objective.value_and_grad(objective.parameters)
    p, m, v = objective.parameters, 0.0, 0.0
    for step in range(300):
        _, slope = objective.negative_value_and_grad(p, step=step)
        m, v = 0.9 * m + 0.1 * slope, 0.99 * v + 0.01 * slope**2
        rate = 0.1 / (1 + step / 30)
        p = p - rate * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8)
    np.testing.assert_allclose(objective.q(p).loc, [1.0, -1.0], atol=0.05)
    np.testing.assert_allclose(objective.q(p).scale, np.sqrt([0.5, 2.0]), rtol=0.05)


def test_a_bank_by_steps_is_drawn_anew_when_it_runs_low():
    objective = vi.Objective(TARGET, family("mean_field"), 300, estimator="bank", rng=1)
    far = objective.parameters + np.r_[3.0 * np.ones(10), np.zeros(10)]
    near = objective.parameters + 0.4 * (far - objective.parameters)
    assert objective.ess(near) < 30 and objective.value(near) < objective.value(objective.parameters) - 10.0
    np.testing.assert_allclose(objective.gradient(near), differences(objective.value, near), rtol=1e-6, atol=1e-5)
    assert objective.fillings == 0
    value, gradient = objective.value_and_grad(far, step=7)
    assert objective.fillings == 1 and math.isfinite(value) and np.isfinite(gradient).all()
    assert objective.ess(far) == pytest.approx(300)


def test_walls():
    for estimator in ("pathwise", "bank"):
        objective = vi.Objective(TARGET, family("mean_field"), 50, estimator=estimator, rng=1)
        for extreme in (1e4, -1e4):
            value, gradient = objective.negative_value_and_grad(np.r_[np.zeros(10), np.full(10, extreme)])
            assert value == math.inf and np.isnan(gradient).all()
    cut = vi.Target(lambda z: -math.inf if z[0] > 1.0 else -(z[0] ** 2), 1)
    for estimator in ("pathwise", "bank"):
        objective = vi.Objective(cut, vi.MeanFieldGaussian([0.0], [1.0]), 50, estimator=estimator, rng=1)
        assert objective.value(objective.parameters) == -math.inf


@pytest.mark.parametrize("estimator", ["pathwise", "bank", "leave_one_out"])
def test_objectives_travel(estimator):
    objective = vi.Objective(TARGET, family("full_rank"), 100, estimator=estimator, rng=1)
    again = pickle.loads(pickle.dumps(objective))
    for step in (0, 1):
        one, other = (o.value_and_grad(objective.parameters, step=step) for o in (objective, again))
        assert one[0] == other[0] and np.array_equal(one[1], other[1])


def test_the_same_bits_on_any_number_of_threads():
    values = {
        vi.Objective(TARGET, family("full_rank"), 5000, rng=1, num_threads=n)
        .gradient(family("full_rank").parameters)
        .tobytes()
        for n in (1, 2, 3)
    }
    assert len(values) == 1


def test_bad_arguments():
    q = family("mean_field")
    with pytest.raises(TypeError, match="target: expected a fastvi.Target"):
        vi.Objective(None, q)
    with pytest.raises(ValueError, match="estimator: expected one of 'auto', 'pathwise'"):
        vi.Objective(TARGET, q, estimator="best")
    with pytest.raises(ValueError, match="num_samples: expected an int >= 2"):
        vi.Objective(TARGET, q, 1)
    objective = vi.Objective(TARGET, q, 10)
    with pytest.raises(ValueError, match="vector: expected 20 parameters, got 3"):
        objective.value(np.zeros(3))
    with pytest.raises(ValueError, match="vector: expected finite values"):
        objective.value(np.full(20, np.nan))
    with pytest.raises(ValueError, match="only 'bank' keeps draws to refresh"):
        objective.refresh(objective.parameters)
    bad = vi.Target(lambda z: math.nan if z[0] > 0 else 0.0, 1)
    with pytest.raises(vi.NonFiniteError):
        vi.Objective(bad, vi.MeanFieldGaussian([0.0], [1.0]), 50, estimator="bank", rng=1)
