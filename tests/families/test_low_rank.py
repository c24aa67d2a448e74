"""The low-rank Gaussian: its algebra against dense matrices and differences, in NumPy and in the routines."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.control_variates import Surrogate
from fastvi.kernels.families import factors, low_rank

import naive
from gaussian_case import COVARIANCE, MEAN, TARGET
from oracles import gaussian_target

SHAPES = [(1, 1), (4, 1), (5, 2), (7, 3), (8, 8), (33, 6)]


def member(dim, rank, size=1.0):
    rng = np.random.default_rng(dim)
    return vi.LowRankGaussian(rng.normal(size=dim), 0.3 + rng.random(dim), size * rng.normal(size=(dim, rank)))


@pytest.mark.parametrize("dim, rank", SHAPES)
def test_the_root_and_its_inverse(dim, rank):
    """R R^T is the covariance, R^T maps slopes and R^-T scores; draws are those of the kernel."""
    q, eye = member(dim, rank), np.eye(dim)
    root = (q.transform(eye) - q.loc).T
    np.testing.assert_allclose(root @ root.T, q.covariance, rtol=0, atol=1e-13 * dim)
    np.testing.assert_allclose(q.scaled_slopes(eye), root, rtol=0, atol=1e-13)
    np.testing.assert_allclose(q.entropy_slope(eye).T, np.linalg.inv(root).T, rtol=0, atol=1e-11)
    np.testing.assert_allclose(q.scale_tril @ q.scale_tril.T, q.covariance, rtol=0, atol=1e-13 * dim)
    eps = vi.MeanFieldGaussian.standard(dim).sample(50, rng=1)
    np.testing.assert_allclose(q.sample(50, rng=1), q.transform(eps), rtol=0, atol=1e-13)
    np.testing.assert_allclose(q.standardise(q.transform(eps)), eps, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim, rank", SHAPES)
def test_scores_are_derivatives_of_log_q(dim, rank):
    q, eps = member(dim, rank), np.random.default_rng(1).normal(size=(9, dim))
    scores = q.scores(eps)
    np.testing.assert_allclose(scores, naive.scores(q, q.transform(eps)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(q.squared_scores(eps), np.sum((scores * q.steps) ** 2, axis=1), rtol=1e-12)


def test_their_means_are_those_of_polynomials():
    """E[score] = 0 and E[f score] for a quadratic f, within 5 standard errors of 200,000 draws."""
    q, rng = member(4, 2), np.random.default_rng(2)
    f = Surrogate("quadratic", 0.0, rng.normal(size=4), rng.normal(size=4), np.tril(rng.normal(size=(4, 4)), -1))
    eps = rng.normal(size=(200_000, 4))
    for values, expected in ((np.ones(len(eps)), 0.0), (f.value(eps), q.polynomial_gradient(f.linear, f.curvature))):
        terms = values[:, None] * q.scores(eps)
        assert np.all(np.abs(terms.mean(0) - expected) < 5 * terms.std(0) / math.sqrt(len(eps)))
    np.testing.assert_allclose(q.polynomial_gradient(np.zeros(4), np.eye(4)), q.entropy_gradient, atol=1e-14)


@pytest.mark.parametrize("dim, rank", SHAPES)
def test_paths_are_derivatives_of_the_very_map(dim, rank):
    """Those of each draw, their mean, and the mean from E[slope eps^T]."""
    q, rng, step = member(dim, rank), np.random.default_rng(3), 1e-5
    eps, slopes = rng.normal(size=(2, 6, dim))
    terms = q.pathwise_terms(eps, slopes)
    for k, unit in enumerate(step * np.eye(len(q.parameters))):
        up, down = (q.with_parameters(q.parameters + sign * unit) for sign in (1, -1))
        moved = np.sum(slopes * (up.transform(eps) - down.transform(eps)), axis=1) / (2 * step)
        np.testing.assert_allclose(terms[:, k], moved, rtol=1e-6, atol=1e-8)
        assert q.entropy_gradient[k] == pytest.approx((up.entropy() - down.entropy()) / (2 * step), rel=1e-6, abs=1e-8)
    np.testing.assert_allclose(q.pathwise_gradient(eps, slopes), terms.mean(0), atol=1e-12)
    np.testing.assert_allclose(q.lines_gradient(slopes.mean(0), slopes.T @ eps / 6), terms.mean(0), atol=1e-12)


@pytest.mark.parametrize("dim, rank", SHAPES)
def test_the_routines_for_adam_see_the_same_member(dim, rank):
    """Uncompiled: what they make of the parameters is what NumPy makes of the member."""
    q = member(dim, rank)
    loc, scale = q.arrays
    unpacked = member(dim, rank, 0.1).arrays[1].copy()
    own = 0.0 * loc
    low_rank.unpack(q.parameters, dim, own, unpacked)
    eps, z, x = np.zeros((3, len(scale), 4))
    eps[:dim] = np.random.default_rng(0).normal(size=(dim, 4))
    low_rank.transform(own, unpacked, eps, z, np.empty(4))
    low_rank.keep(None, unpacked, eps, x)
    size = len(own)
    np.testing.assert_allclose(z[:dim].T, q.transform(eps[:dim].T), rtol=0, atol=1e-12)
    for found, expected in zip((x[:dim].T, x[size : size + rank].T), q.standard_scores(eps[:dim].T), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    fourth = factors.sections(scale.shape)[3]
    np.testing.assert_allclose(unpacked[:dim, fourth:], scale[:dim, fourth:], rtol=0, atol=1e-12)
    assert low_rank.log_normaliser(unpacked, dim) == pytest.approx(low_rank.log_normaliser(scale, dim), rel=1e-12)
    sums = np.random.default_rng(0).normal(size=low_rank.coordinates(dim, scale.shape))
    places, units = q.layout
    out = np.empty(len(q.parameters))
    low_rank.collect_scores(sums, scale, dim, 1.0, out)
    np.testing.assert_allclose(out, sums[places] * units + q.entropy_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ratio", [1e-8, 1e4, 1e9])
def test_factors_far_from_the_scale(ratio):
    """Two nearly parallel factors: eps comes back from z, and log q agrees with 50 digits."""
    mpmath = pytest.importorskip("mpmath")
    factors = ratio * np.array([[1.0, 1.0], [0.5, 0.5 + 1e-3], [-1.0, -1.0]])
    q, eps = vi.LowRankGaussian(np.zeros(3), np.array([1.0, 0.5, 2.0]), factors), np.array([[0.3, -1.0, 0.7]])
    np.testing.assert_allclose(q.standardise(q.transform(eps)), eps, atol=1e-15 * max(1.0, ratio))
    with mpmath.workdps(50):
        a = mpmath.matrix((factors / q.scale[:, None]).tolist())
        log_det = mpmath.log(mpmath.det(mpmath.eye(2) + a.T * a)) / 2
    assert q.log_det == pytest.approx(float(log_det), rel=1e-9 if ratio > 1 else 1e-6, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["cubic", "pathwise_quadratic", "auto"])
def test_it_has_the_gradients_of_a_gaussian(estimator):
    """Against the closed form on a Gaussian target, by surrogates that leave nothing to chance."""
    q = vi.LowRankGaussian(MEAN + 0.1, 0.8 * np.sqrt(np.diag(COVARIANCE)), 0.5 * COVARIANCE[:, 1:3])
    change = np.linalg.inv(q.covariance) - np.linalg.inv(COVARIANCE)
    exact = [np.linalg.inv(COVARIANCE) @ (MEAN - q.loc), np.diag(change) * q.scale**2, (change @ q.factors).ravel()]
    found = vi.elbo_gradient(TARGET, q, 5000, estimator=estimator, rng=1)
    np.testing.assert_allclose(found.gradient, np.concatenate(exact), atol=1e-10)
    assert np.all(np.abs(found.gradient - np.concatenate(exact)) < 5 * found.standard_error + 1e-12)


@pytest.mark.slow
def test_it_is_the_full_rank_gaussian_to_estimators():
    """Skewed target, the same covariance, draws of their own: every estimate within 5 standard errors of a long run
    of the other."""
    q = member(5, 2, 0.5)
    same = vi.FullRankGaussian(q.loc, q.scale_tril)
    target = vi.Target(lambda z: -0.5 * np.dot(z, z) - 0.1 * np.sum(np.exp(0.5 * z)), 5)
    other = vi.elbo(target, same, 100_000, estimator="quadratic", rng=1)
    for options in ({}, {"draws": "antithetic"}, {"draws": "sobol"}, {"dtype": "float32"}, {"atol": 0.02}):
        for estimator in ("plain", "entropy", "quadratic", "auto"):
            one = vi.elbo(target, q, 4096, estimator=estimator, rng=0, **options)
            assert abs(one.value - other.value) < 5 * math.hypot(one.standard_error, other.standard_error)
    reference = vi.elbo_gradient(target, q, 100_000, estimator="pathwise_quadratic", rng=3)
    for options in ({}, {"draws": "antithetic"}, {"draws": "sobol"}):
        for estimator in ("leave_one_out", "quadratic", "sticking_the_landing", "pathwise_quadratic"):
            found = vi.elbo_gradient(target, q, 4096, estimator=estimator, rng=4, **options)
            error = np.hypot(found.standard_error, reference.standard_error)
            assert np.all(np.abs(found.gradient - reference.gradient) < 5 * error)
    one, other = (vi.diagnose(target, p, 20_000, rng=5) for p in (q, same))
    error = math.hypot(one.elbo.standard_error, other.elbo.standard_error)
    assert abs(one.elbo.value - other.elbo.value) < 5 * error and one.verdict == other.verdict


@pytest.mark.slow
def test_adam_climbs_to_a_gaussian_of_its_family():
    p = vi.LowRankGaussian([0.5, -0.5, 0.0, 1.0], [0.5, 1.0, 0.7, 0.6], [[1.0], [-0.8], [0.5], [0.0]])
    start = vi.LowRankGaussian(np.zeros(4), np.ones(4), np.full((4, 1), 0.1) * [[1], [-1], [1], [1]])
    found = vi.fit(gaussian_target(p.loc, p.covariance), start, method="score", tolerance=0.005, rng=0)
    assert isinstance(found.q, vi.LowRankGaussian) and vi.kl_divergence(found.q, p).value < 0.02


def test_units_and_members():
    """What optimizers ask: composition with diagonal units is exact, any other leaves the family."""
    q, other, eps = member(5, 2), member(5, 2, 0.3), np.random.default_rng(0).normal(size=(4, 5))
    np.testing.assert_allclose(q.units.composed(other).transform(eps), q.units.transform(other.transform(eps)))
    again = q.units.composed(q.units.with_parameters([*np.zeros(10), *(q.factors / q.scale[:, None]).ravel()]))
    np.testing.assert_allclose(again.parameters, q.parameters)
    np.testing.assert_allclose(q.resized(2.0).covariance, 4.0 * q.covariance)
    with pytest.raises(ValueError, match="composed: expected a q without factors, such as q.units"):
        q.composed(other)
    for refused in (lambda: q.restrict(np.eye(5)), lambda: q.stretched(q.loc, np.eye(5), 2.0)):
        with pytest.raises(TypeError, match="use method='lbfgs'"):
            refused()
    assert vi.LowRankGaussian.standard(5, 2).entropy() == pytest.approx(vi.MeanFieldGaussian.standard(5).entropy())
    assert repr(q) == "LowRankGaussian(dim=5, rank=2)"
