"""The Laplace approximation and second derivatives."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.examples.models import launches

from oracles import gaussian_target, random_gaussian


@pytest.mark.parametrize("dim", [1, 2, 20])
def test_exact_for_a_gaussian(dim):
    mean, covariance = random_gaussian(dim, dim)
    result = gaussian_target(mean, covariance, log_z=-7.5).laplace(np.zeros(dim))
    assert result.converged and result.message == "the gradient vanishes"
    assert (np.abs(result.q.loc - mean) < 1e-7 * np.sqrt(np.diag(covariance))).all()
    np.testing.assert_allclose(result.q.covariance, covariance, rtol=1e-6, atol=1e-7 * np.max(covariance))
    assert abs(result.log_evidence + 7.5) < 1e-7


def test_a_gamma_posterior_gives_stirling_s_formula():
    """log of the integral of e^(n x - e^x) is log Gamma(n); Laplace's is n log n - n + log(2 pi / n) / 2."""
    n = 50.0
    result = vi.Target(lambda z, n: n * z[0] - math.exp(z[0]), 1, (n,)).laplace([0.0])
    assert abs(result.q.loc[0] - math.log(n)) < 1e-9 and abs(result.q.covariance[0, 0] - 1 / n) < 1e-9
    assert abs(result.log_evidence - (n * math.log(n) - n + 0.5 * math.log(2 * math.pi / n))) < 1e-8
    assert 0 < math.lgamma(n) - result.log_evidence < 1 / (12 * n)  # Robbins (1955)


def test_the_launches():
    """The mode of a logistic regression solves X^T (y - p) = prior precision times beta."""
    model = launches()
    result = model.target.laplace(model.loc)
    temperature, distress = model.target.data
    design = np.column_stack([np.ones(23), temperature])
    p = 1.0 / (1.0 + np.exp(-design @ result.q.loc))
    precision = np.array([1 / 25.0, 1 / 6.25])
    assert np.abs(design.T @ (distress - p) - precision * result.q.loc).max() < 1e-6
    hessian = -(design.T * (p * (1 - p))) @ design - np.diag(precision)
    np.testing.assert_allclose(np.linalg.inv(-hessian), result.q.covariance, rtol=1e-6)
    bound = vi.elbo(model.target, result.q, 200_000, rng=0)
    assert bound.value < result.log_evidence + 0.2 and bound.value > result.log_evidence - 0.5


def test_second_derivatives():
    def banana(z):
        return -((1.0 - z[0]) ** 2) - 10.0 * (z[1] - z[0] ** 2) ** 2

    target, z = vi.Target(banana, 2), np.array([0.7, -0.4])
    exact = np.array([[-2.0 + 40.0 * (z[1] - z[0] ** 2) - 80.0 * z[0] ** 2, 40.0 * z[0]], [40.0 * z[0], -20.0]])
    hessian = target.hessian(z)
    np.testing.assert_allclose(hessian, exact, rtol=0, atol=1e-8 * np.abs(exact).max())
    assert (hessian == hessian.T).all()
    vector = np.array([1.0, -2.0])
    np.testing.assert_allclose(
        target.hessian_product(z, vector), exact @ vector, rtol=0, atol=1e-7 * np.abs(exact).max()
    )
    assert (target.hessian_product(z, np.zeros(2)) == 0.0).all()


def test_what_has_no_maximum_is_refused():
    with pytest.raises(ValueError, match="start: .*no strict maximum"):
        vi.Target(lambda z: z[0] ** 2 - z[1] ** 2, 2).laplace([0.0, 0.5])
    with pytest.raises(ValueError, match="start: log p is -inf there"):
        vi.Target(lambda z: np.log(z[0]), 1).laplace([0.0])
    with pytest.raises(ValueError, match="start: expected shape"):
        vi.Target(lambda z: -(z[0] ** 2), 1).laplace([[0.0], [1.0]])
