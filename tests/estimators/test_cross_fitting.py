"""Cross-fitting: every draw counts, corrected by a surrogate that the others fitted.

Statistical checks have fixed seeds.  Means are allowed 5 standard errors for each of at most 65 entries: a false alarm
in 26,000.  The ratio of reported to true standard deviations over 200 seeds is known to 5 % and allowed 15 %: a false
alarm in 370.
"""

import concurrent.futures
import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.estimators import cross_fitting
from fastvi.slope_surrogates import fit_slopes, lines_of, lines_without

from oracles import logistic


def full_rank():
    target, q = logistic()
    return target, target.laplace(q.loc).q


@pytest.mark.parametrize("case", [logistic, full_rank])
def test_the_gradient_is_the_mean_of_corrected_terms(case):
    """The same from the definition: each fold's terms less the others' lines, whose part is added in closed form."""
    target, q = case()
    found = vi.elbo_gradient(target, q, 70, estimator="pathwise_quadratic", rng=5)
    z = q.sample(70, rng=5)
    eps, slopes = q.standardise(z), target.gradient(z)
    terms = []
    for own in np.split(np.arange(70), 5):
        others = np.setdiff1d(np.arange(70), own)
        lines = lines_of(fit_slopes(eps[others], q.scaled_slopes(slopes[others]) + eps[others], "quadratic"), q)
        left = slopes[own] - lines.offset - eps[own] @ lines.slope.T
        terms.append(q.pathwise_terms(eps[own], left) + lines.gradient(q))
    terms = np.concatenate(terms)
    np.testing.assert_allclose(found.gradient, terms.mean(0) + q.kernels.path_layout(q.loc, q.scale)[2], atol=1e-10)
    np.testing.assert_allclose(found.standard_error, terms.std(0, ddof=1) / math.sqrt(70), rtol=1e-8)
    value = vi.elbo(target, q, 70, estimator="plain", rng=5)  # of the same draws
    assert found.elbo.value == pytest.approx(value.value, abs=1e-10)
    assert found.elbo.standard_error == pytest.approx(value.standard_error, rel=1e-8)


def test_lines_from_the_sums_of_folds():
    target, q = full_rank()
    z = q.sample(60, rng=1)
    eps, gradients = q.standardise(z), target.gradient(z)
    slopes = q.scaled_slopes(gradients) + eps
    for own, lines in zip(
        (slice(0, 20), slice(20, 60)), lines_without((slice(0, 20), slice(20, 60)), eps, slopes, q), strict=True
    ):
        others = np.r_[own.stop : 60, : own.start]
        wanted = lines_of(fit_slopes(eps[others], slopes[others], "quadratic"), q)
        np.testing.assert_allclose(lines.offset, wanted.offset, atol=1e-10)
        np.testing.assert_allclose(lines.slope, wanted.slope, atol=1e-10)


@pytest.mark.parametrize("family", [vi.MeanFieldGaussian, vi.FullRankGaussian])
def test_powers_of_pathwise_terms(family):
    rng = np.random.default_rng(0)
    scale = [0.5, 1.0, 2.0] if family is vi.MeanFieldGaussian else np.linalg.cholesky(np.cov(rng.normal(size=(3, 9))))
    q, eps, slopes = family(np.zeros(3), scale), rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    terms = q.pathwise_terms(eps, slopes)
    squares, fourth = q.pathwise_powers(eps, slopes)
    np.testing.assert_allclose(squares, (terms**2).sum(0))
    np.testing.assert_allclose(fourth, (terms**4).sum(0))


@pytest.mark.slow
@pytest.mark.parametrize("case, num_samples", [(logistic, 64), (full_rank, 256)])
def test_it_is_unbiased_and_calibrated(case, num_samples):
    target, q = case()
    exact = vi.elbo_gradient(target, q, 500_000, estimator="pathwise_quadratic", rng=77)
    value = vi.elbo(target, q, 500_000, estimator="cubic", rng=78)
    slopes = [vi.elbo_gradient(target, q, num_samples, rng=seed) for seed in range(200)]
    assert {s.method for s in slopes} == {"pathwise_quadratic"}
    runs = [
        ([s.gradient for s in slopes], [s.standard_error for s in slopes], exact.gradient, exact.standard_error),
    ]
    for name in ("quadratic", "cubic"):
        found = [vi.elbo(target, q, num_samples, estimator=name, rng=seed) for seed in range(200)]
        runs.append(([v.value for v in found], [v.standard_error for v in found], value.value, value.standard_error))
    for found, error, right, its_error in runs:
        spread = np.std(found, axis=0, ddof=1)
        assert np.all(np.abs(np.mean(found, axis=0) - right) < 5 * np.hypot(spread / math.sqrt(200), its_error))
        assert np.median(np.sqrt(np.mean(np.square(error), axis=0)) / spread) == pytest.approx(1.0, abs=0.15)


def test_the_gain_from_very_few_draws():
    """S x variance of 64 draws: the gradient 11 by "sticking_the_landing" and 1.1, the ELBO 0.42 and 0.02."""
    target, q = logistic()

    def total(found):
        return 64 * np.mean([np.sum(np.square(f.standard_error)) for f in found])

    slopes = [vi.elbo_gradient(target, q, 64, rng=seed) for seed in range(40)]
    landing = [vi.elbo_gradient(target, q, 64, rng=seed, estimator="sticking_the_landing") for seed in range(40)]
    assert total(landing) > 7 * total(slopes)
    values = [vi.elbo(target, q, 64, rng=seed, estimator="cubic") for seed in range(40)]
    plain = [vi.elbo(target, q, 64, rng=seed, estimator="plain") for seed in range(40)]
    assert total(plain) > 10 * total(values)


def test_a_gaussian_target_has_no_error_but_rounding():
    target = vi.Target(lambda z: -0.5 * np.dot(z, z) + z[0] * z[1], 3)
    q = vi.FullRankGaussian([0.1, 0.2, 0.3], [[1.0, 0, 0], [0.3, 0.5, 0], [0.1, 0.1, 2.0]])
    found = vi.elbo(target, q, 40, estimator="quadratic", rng=0)
    exact = -0.5 * (np.trace(q.covariance) + q.loc @ q.loc) + q.covariance[0, 1] + 0.02 + q.entropy()
    assert found.value == pytest.approx(exact, abs=1e-12) and 0 < found.standard_error < 1e-12
    assert 0 < np.max(vi.elbo_gradient(target, q, 40, rng=0).standard_error) < 1e-12


def test_the_bits_are_the_same_everywhere():
    target, q = logistic()
    here = vi.elbo_gradient(target, q, 200, rng=3, num_threads=1), vi.elbo(target, q, 200, estimator="cubic", rng=3)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for options in (dict(num_threads=2), dict(executor=pool)):
            slope = vi.elbo_gradient(target, q, 200, rng=3, **options)
            assert slope.gradient.tobytes() == here[0].gradient.tobytes()
            assert slope.standard_error.tobytes() == here[0].standard_error.tobytes()
            assert vi.elbo(target, q, 200, estimator="cubic", rng=3, **options) == here[1]


def test_where_it_is_used(monkeypatch):
    target, q = logistic()
    used = []
    whole = cross_fitting.Draws
    monkeypatch.setattr(cross_fitting, "Draws", lambda r, *rest: used.append(r.num_samples) or whole(r, *rest))
    for num_samples in (32, 43, 44, 399, 400):
        vi.elbo_gradient(target, q, num_samples, rng=0)
        vi.elbo(target, q, num_samples, rng=0)  # cheap: no fit pays
    assert used == [44, 399]
    for options in (dict(draws="antithetic"), dict(atol=1.0), dict(dtype="float32")):
        vi.elbo_gradient(target, q, 100, estimator="pathwise_quadratic", rng=0, **options)
    assert used == [44, 399]
    vi.elbo(target, q, 299, estimator="quadratic", rng=0)
    vi.elbo(target, q, 300, estimator="quadratic", rng=0)
    assert used == [44, 399, 299]


def test_minus_infinity_and_nan():
    def walled(z):
        return -math.inf if z[0] > 1.0 else -0.5 * np.dot(z, z)

    def broken(z):
        return -0.5 * np.dot(z, z) + math.sqrt(z[0])

    q = vi.MeanFieldGaussian(np.zeros(3), np.ones(3))
    found = vi.elbo_gradient(vi.Target(walled, 3), q, 60, rng=0)
    assert found.elbo.value == -math.inf and found.elbo.num_neginf > 0 and np.isnan(found.gradient).all()
    assert vi.elbo(vi.Target(walled, 3), q, 60, estimator="quadratic", rng=0).value == -math.inf
    target = vi.Target(broken, 3)
    with pytest.raises((vi.NonFiniteError, ValueError)):
        vi.elbo_gradient(target, q, 60, rng=0)
