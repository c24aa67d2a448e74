"""Fits that are stopped: by a limit, an exception or a person, at every place where that may happen."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.execution.threads import Threads
from fastvi.fitting import ending
from fastvi.fitting.matched_draws import more_draws, most_draws

from oracles import fitted_posterior, gaussian_target, random_gaussian


class Failing:
    """-|z - 1|^2/2 - sum z^4 / 20 of batches, which raises at one of its calls."""

    def __init__(self, failing=0, error=None):
        self.calls, self.failing, self.error = 0, failing, error

    def value(self, z):
        self.calls += 1
        if self.calls == self.failing:
            raise self.error
        return -0.5 * np.sum((z - 1.0) ** 2, axis=1) - 0.05 * np.sum(z**4, axis=1)

    def both(self, z):
        return self.value(z), -(z - 1.0) - 0.2 * z**3

    def target(self, dim):
        return vi.Target.from_batched(self.value, dim, value_and_grad=self.both)


def quartic(z):
    return -0.5 * np.sum((z - 1.0) ** 2) - 0.05 * np.sum(z**4)


def bent(z):
    total = quartic(z)
    if z[0] > 1.0:
        total -= 0.3 * (z[0] - 1.0)
    return total


@pytest.mark.parametrize("method, log_density", [("newton", quartic), ("newton", bent), ("lbfgs", quartic)])
def test_every_evaluation_is_counted(monkeypatch, method, log_density):
    """What was asked for, but for the final estimate and a second look at the last draws, is what a fit says it took,
    and is within its limit."""
    asked, evaluate, run = [], Threads.evaluate, Threads.run

    def evaluated(self, target, points, gradient=False):
        asked.append(len(points))
        return evaluate(self, target, points, gradient)

    def ran(self, target, job, report=None):
        asked.append(job.num_samples)
        return run(self, target, job, report)

    monkeypatch.setattr(Threads, "evaluate", evaluated)
    monkeypatch.setattr(Threads, "run", ran)
    target = vi.Target(log_density, 3)
    for most in (None, 20_000, 1000, 500, 7):
        asked.clear()
        found = vi.fit(target, "mean_field", method=method, rng=0, max_samples=most)
        last = [n for n in asked if n == found.elbo.num_samples]  # and what the last draws were looked at again for
        beyond = sum(asked) - found.num_samples - len(last[-1:]) * found.elbo.num_samples
        assert beyond in (0, *asked) and found.num_samples <= (most or 4_000_000), (most, asked)
        assert found.converged or most is not None


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("mine"), OverflowError("mine"), ValueError("mine")])
@pytest.mark.parametrize("family, dim, every", [("full_rank", 3, 1), ("mean_field", 120, 9)])
def test_an_exception_of_the_density_surfaces_wherever_it_comes(family, dim, every, error):
    calls = Failing()
    vi.fit(calls.target(dim), family, rng=0)
    assert calls.calls > 10
    for failing in range(1, calls.calls + 1, every):
        with pytest.raises(type(error), match="mine"):
            vi.fit(Failing(failing, error).target(dim), family, rng=0)


@pytest.mark.slow
@pytest.mark.parametrize("method, most", [("newton", 300), ("lbfgs", 900), ("score", 60_000)])
def test_more_draws_go_on_to_the_same_bits(tmp_path, method, most):
    """What a round that was cut short took is told, and not held against the next one."""
    target, _, _ = fitted_posterior("sblri-blr")
    path = tmp_path / "fit.npz"
    cut = vi.fit(target, "mean_field", method=method, rng=3, max_samples=most, checkpoint=path)
    assert cut.message.startswith("out of draws") and cut.num_samples <= most
    whole = vi.fit(target, "mean_field", method=method, rng=3, max_rounds=12)
    resumed = vi.fit(target, "mean_field", method=method, checkpoint=path, max_rounds=12)
    assert np.array_equal(resumed.q.parameters, whole.q.parameters) and resumed.elbo.value == whole.elbo.value
    np.testing.assert_array_equal(resumed.history, whole.history)
    assert resumed.num_samples >= whole.num_samples


def test_a_fit_without_a_round_has_a_checkpoint(tmp_path):
    target, _, _ = fitted_posterior("sblri-blr")
    path = tmp_path / "fit.npz"
    nothing = vi.fit(target, "full_rank", rng=3, max_samples=5, checkpoint=path)
    assert nothing.history == [] and path.exists()
    resumed, whole = vi.fit(target, "full_rank", checkpoint=path), vi.fit(target, "full_rank", rng=3)
    assert resumed.elbo.value == whole.elbo.value


@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_at_the_end_keeps_the_fit(monkeypatch, at):
    """During the first start's estimate, and during that of the winner."""
    calls, sweep = [], ending.sweep

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            raise KeyboardInterrupt
        return sweep(*arguments)

    monkeypatch.setattr(ending, "sweep", interrupted)
    target, _, best = fitted_posterior("sblri-blr")
    found = vi.fit(target, "mean_field", rng=0, num_restarts=at)
    assert found.converged == (at == 2) and "interrupted" in found.message
    assert np.max(np.abs(found.q.loc - best["mean_field"].loc) / found.q.scale) < 0.1


def test_numbers_of_draws_are_even():
    """They come in mirrored pairs, also where a fit may keep no more of them."""
    for dim in range(1, 3000, 7):
        most = most_draws(dim, 8)
        assert most % 2 == 0 and more_draws(most - 2, 1.7, most) % 2 == 0


def censored_weibull(k, b0, b, x, t, died):
    u = k * (np.log(t) - b0 - x @ b)
    prior = vi.gamma_logpdf(k, 2.0, 1.0) + vi.normal_logpdf(b0, 0.0, 3.0) + np.sum(vi.normal_logpdf(b, 0.0, 1.0))
    return prior + np.sum(np.where(died, math.log(k) - np.log(t) + u, 0.0) - np.exp(u))


@pytest.mark.parametrize("seed", [12, 33])
def test_a_climb_into_overflow_is_given_up(seed):
    """From two of the scattered starts L-BFGS meets slopes of 1e195, whose squares it cannot follow"""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    t, c = np.exp(1.0 + x @ [0.5, -0.3]) * rng.weibull(1.5, 100), rng.exponential(5.0, 100)
    spaces = dict(k=vi.positive(), b0=vi.real(), b=vi.real(2))
    target = vi.Target(censored_weibull, spaces, (x, np.minimum(t, c), t <= c))
    found = vi.fit(target, "mean_field", rng=seed, num_restarts=4)
    best = vi.fit(target, "mean_field", rng=0)
    assert found.converged and abs(found.elbo.value - best.elbo.value) < 0.05


def test_a_start_whose_covariance_underflows_is_named():
    target, start = gaussian_target(*random_gaussian(3, 1)), vi.MeanFieldGaussian(np.zeros(3), np.full(3, 1e-200))
    with pytest.raises(ValueError, match="^start: expected standard deviations of 1e-150 to 1e"):
        vi.fit(target, "full_rank", rng=0, start=start)


def test_coordinate_ascent_in_many_dimensions():
    """A Gaussian is told exactly by 4 d + 4 gradients."""
    mean, covariance = random_gaussian(200, 3)
    found = vi.fit(gaussian_target(mean, covariance), "mean_field", method="coordinate_ascent", rng=0)
    assert found.converged and found.num_samples == 4 * 200 + 4
    np.testing.assert_allclose(found.q.loc, mean, atol=1e-6 * np.max(np.abs(mean)))
    np.testing.assert_allclose(found.q.scale**-2, np.diag(np.linalg.inv(covariance)), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mean_field", "full_rank"])
def test_the_natural_gradient_that_is_left(family):
    """In units of q's deviations it is E_q[grad log p] for a mean-field q, and small against what was to gain."""
    target, _, _ = fitted_posterior("kidiq-kidscore_momiq")
    found = vi.fit(target, family, rng=0)
    assert found.natural_gradient.shape == (3,) and np.max(np.abs(found.natural_gradient)) < 0.1
    gradient = vi.elbo_gradient(target, found.q, 100_000, estimator="pathwise_quadratic", rng=5)
    loc, error = gradient.gradient[:3], gradient.standard_error[:3]
    expected = (found.q.covariance @ loc) / found.q.stddev
    errors = np.sqrt(found.q.covariance**2 @ error**2) / found.q.stddev
    assert np.max(np.abs(expected)) < 0.1 + 5 * np.max(errors)
    assert vi.fit(target, family, rng=0, max_rounds=1).natural_gradient is None
