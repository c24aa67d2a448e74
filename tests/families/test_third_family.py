"""A family is one file with its mathematics, one with its routines, and a line in each registry: here is a third one.

q = N(loc, s^2 I) with one shared scale s.  Everything that asks a family works on it.
"""

import functools
import math
import pickle
import types

import numpy as np
import pytest

import fastvi as vi
from fastvi.families.base import (
    DRAW_OPERATIONS,
    LOG_2PI,
    NARROWEST,
    SCORE_OPERATIONS,
    Family,
    exp_of,
    flat_parameters,
    frozen,
)
from fastvi.kernels.arithmetic.primitives import fma
from fastvi.kernels.families import mean_field, registry
from fastvi.kernels.jit import routine
from fastvi.kernels.sums import score

import naive

pytestmark = pytest.mark.slow

# ---- what kernels/families/shared_scale.py would hold


@routine
def coordinates(dim, shape):
    return dim + 1


@routine
def log_normaliser(scale, dim):
    return dim * (0.5 * math.log(2.0 * math.pi) + math.log(scale[0]))


@routine
def transform(loc, scale, eps, z, half_square):
    for j in range(eps.shape[1]):
        half_square[j] = 0.0
    for i in range(eps.shape[0]):
        for j in range(eps.shape[1]):
            z[i, j] = fma(scale[0], eps[i, j], loc[i])
            half_square[j] = fma(0.5 * eps[i, j], eps[i, j], half_square[j])


@routine
def add_scores(loc, scale, eps, f, count, work, sums):
    dim = eps.shape[0]
    for i in range(dim):
        score.add_row(sums, i, eps[i], f, count)
    for j in range(count):
        s = -1.0 * dim
        for i in range(dim):
            s += eps[i, j] * eps[i, j]
        sums[score.S, dim] += s
        sums[score.SS, dim] += s * s
        sums[score.FS, dim] += f[j] * s
        sums[score.FSS, dim] += f[j] * s * s
        sums[score.FFSS, dim] += f[j] * f[j] * s * s


@routine
def workspace(scale, width):
    return scale, scale


def layout(loc, scale):
    dim = len(loc)
    return np.arange(dim + 1), np.append(np.full(dim, 1.0 / scale[0]), 1.0)


ROUTINES = types.ModuleType("shared_scale")
vars(ROUTINES).update(
    SCALE_NDIM=1,
    TILE=96,
    rows=mean_field.rows,
    coordinates=coordinates,
    log_normaliser=log_normaliser,
    transform=transform,
    add_scores=add_scores,
    workspace=workspace,
    layout=layout,
)


# ---- what fastvi/families/shared_scale.py would hold


def own_log_prob(z, loc, scale, log_det):
    return -0.5 * np.sum(((z - loc) / scale[0]) ** 2) - log_det - 0.5 * len(z) * LOG_2PI


class SharedScaleGaussian(Family):
    """N(loc, scale^2 I)."""

    family = "shared_scale"

    def __init__(self, loc, scale):
        self.__dict__.update(loc=frozen(loc), scale_=frozen(np.atleast_1d(scale)))

    def __reduce__(self):
        return type(self), (self.loc, self.scale)

    @classmethod
    def standard(cls, dim):
        return cls(np.zeros(dim), 1.0)

    scale = property(lambda self: self.__dict__["scale_"])
    stddev = property(lambda self: np.full(self.dim, self.scale[0]))
    covariance = property(lambda self: np.diag(self.stddev**2))
    scale_tril = property(lambda self: np.diag(self.stddev))
    log_det = property(lambda self: self.dim * math.log(self.scale[0]))
    parameters = property(lambda self: np.append(self.loc, np.log(self.scale)))
    arrays = property(lambda self: (self.loc, self.scale))
    scale_mask = property(lambda self: np.eye(self.dim))

    @property
    def target(self):
        data = self.loc, self.scale, self.log_det
        return vi.Target(own_log_prob, self.dim, data, normalized=True)

    def with_parameters(self, vector):
        vector = flat_parameters(vector, self.dim + 1)
        return type(self)(vector[:-1], exp_of("log scale", vector[-1:]))

    def standardise(self, z):
        return (z - self.loc) / self.scale[0]

    def operations(self, dim, gradient):
        return DRAW_OPERATIONS * dim + (SCORE_OPERATIONS * dim if gradient else 0)

    def transform(self, eps):
        return self.loc + eps * self.scale[0]

    def entropy_slope(self, eps):
        return eps / self.scale[0]

    def scores(self, eps):
        return np.column_stack([eps / self.scale[0], np.sum(eps**2 - 1.0, axis=1)])

    def squared_scores(self, eps):
        return np.sum(eps**2, axis=1) + np.sum(eps**2 - 1.0, axis=1) ** 2

    def scaled_slopes(self, slopes):
        return slopes * self.scale[0]

    def pathwise_terms(self, eps, slopes):
        return np.column_stack([slopes, np.sum(slopes * eps, axis=1) * self.scale[0]])

    def polynomial_gradient(self, linear, curvature):
        return np.append(linear / self.scale[0], np.trace(curvature))

    def lines_gradient(self, offset, slope):
        return np.append(offset, self.scale[0] * np.trace(slope))

    def restrict(self, matrix):
        return np.eye(self.dim) * np.trace(matrix) / self.dim

    def composed(self, member):
        return type(self)(self.transform(member.loc), self.scale * member.scale)

    def stretched(self, loc, precision, widest):
        width = np.clip(np.trace(precision) / self.dim, 1.0 / widest, NARROWEST)
        return type(self)(loc, self.scale[0] / math.sqrt(width))


MEAN = np.array([0.5, -0.3, 1.0])


def log_density(z, mean):
    total = 0.0
    for i in range(len(z)):
        total += -0.5 * (z[i] - mean[i]) ** 2 - 0.1 * math.exp(0.5 * z[i])
    return total


TARGET = vi.Target(log_density, 3, (MEAN,))
Q = SharedScaleGaussian([0.2, 0.1, 0.7], 0.8)
SAME = vi.MeanFieldGaussian(Q.loc, Q.stddev)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The line in the registry."""
    monkeypatch.setitem(registry.FAMILIES, "shared_scale", ROUTINES)


def test_it_draws_what_the_same_gaussian_of_another_family_draws():
    assert np.array_equal(Q.sample(1000, rng=1), SAME.sample(1000, rng=1))
    np.testing.assert_allclose(Q.log_prob(MEAN), SAME.log_prob(MEAN), rtol=1e-14)
    assert np.array_equal(pickle.loads(pickle.dumps(Q)).parameters, Q.parameters)
    np.testing.assert_allclose(Q.with_parameters(Q.parameters).parameters, Q.parameters)


@pytest.mark.parametrize("estimator", ["auto", "plain", "entropy", "quadratic", "cubic"])
def test_it_has_an_elbo(estimator):
    found, same = (vi.elbo(TARGET, q, 20_000, estimator=estimator, rng=2) for q in (Q, SAME))
    assert found.method == same.method and found.value == pytest.approx(same.value, abs=1e-12)


@pytest.mark.parametrize("draws", ["antithetic", "sobol"])
def test_it_takes_dependent_draws(draws):
    found, same = (vi.elbo(TARGET, q, 512, draws=draws, rng=2) for q in (Q, SAME))
    assert found.value == pytest.approx(same.value, abs=1e-12)


@functools.cache
def long_run():
    return vi.elbo_gradient(TARGET, SAME, 400_000, estimator="cubic", rng=4)


@pytest.mark.parametrize("estimator", ["score", "leave_one_out", "optimal_baseline", "quadratic"])
def test_it_has_score_gradients(estimator):
    """Those in log s are sums of the mean-field ones, by the chain rule; the naive scores are differences."""
    found = vi.elbo_gradient(TARGET, Q, 5000, estimator=estimator, rng=3)
    assert found.method == estimator and len(found.gradient) == 4
    if estimator == "leave_one_out":
        z = Q.sample(5000, rng=3)
        expected = naive.leave_one_out(naive.log_weights(TARGET, Q, z)[1], Q.scores(Q.standardise(z)))
        np.testing.assert_allclose(found.gradient, expected, rtol=1e-9)
    exact = long_run()
    expected = np.append(exact.gradient[:3], exact.gradient[3:].sum())
    error = np.append(exact.standard_error[:3], np.linalg.norm(exact.standard_error[3:]))
    assert np.all(np.abs(found.gradient - expected) < 5 * np.hypot(found.standard_error, error))


def test_it_has_divergences_and_a_diagnosis():
    p = vi.FullRankGaussian(MEAN, np.eye(3))
    found = vi.kl_divergence(Q, p, 50_000, rng=5)
    assert found.method == "monte_carlo"
    assert abs(found.value - vi.kl_divergence(SAME, p).value) < 5 * found.standard_error + 1e-12
    assert vi.divergence(Q, p, "hellinger", 20_000, rng=5).value == pytest.approx(
        vi.divergence(SAME, p, "hellinger").value, rel=0.05
    )
    assert vi.diagnose(TARGET, Q, 20_000, rng=6).khat == pytest.approx(vi.diagnose(TARGET, SAME, 20_000, rng=6).khat)


def test_it_is_fitted():
    found = vi.fit(TARGET, SharedScaleGaussian.standard(3), rng=7)
    assert found.converged
    gradient = vi.elbo_gradient(TARGET, found.q, 200_000, rng=8)
    assert np.all(np.abs(gradient.gradient) < 5 * gradient.standard_error + 0.05)
