"""Antithetic and Sobol draws: the same means, with errors that know how the draws depend on each other.

Statistical checks have fixed seeds and allow 5 standard errors: a false alarm in 1.7 million.
"""

import functools
import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.estimators import dependent_draws
from fastvi.rng import SAMPLE, key_from

import naive
from oracles import fitted_posterior, gaussian_target, random_gaussian

MEAN, COVARIANCE = random_gaussian(3, 5)
TARGET = gaussian_target(MEAN, COVARIANCE, -1.0)
WIDE = vi.MeanFieldGaussian(MEAN + 0.4, 0.8 * np.sqrt(np.diag(COVARIANCE)))
FULL = vi.FullRankGaussian(MEAN - 0.2, 1.1 * np.linalg.cholesky(COVARIANCE))
LOW = vi.LowRankGaussian(MEAN - 0.2, WIDE.scale, 0.5 * COVARIANCE[:, :2])
EXACT = vi.FullRankGaussian(MEAN, np.linalg.cholesky(COVARIANCE))


@pytest.mark.parametrize("q", [WIDE, LOW, FULL])
def test_antithetic_is_the_naive_pairs(q):
    found = vi.elbo(TARGET, q, 1000, draws="antithetic", estimator="plain", rng=2)
    eps = naive.normals(500, 3, key_from(2).word)
    pairs = [naive.log_weights(TARGET, q, q.transform(sign * eps))[1] for sign in (1, -1)]
    means = np.mean(pairs, axis=0)
    assert found.value == pytest.approx(means.mean(), rel=1e-12) and found.num_samples == 1000
    assert found.standard_error == pytest.approx(means.std(ddof=1) / math.sqrt(500), rel=1e-10)
    z = np.stack([q.transform(sign * eps) for sign in (1, -1)], axis=1)
    f, s = np.stack(pairs, axis=1), naive.scores(q, z.reshape(-1, 3)).reshape(500, 2, -1)
    baseline = (f.sum() - f.sum(1)) / 998
    terms = np.mean((f - baseline[:, None])[..., None] * s, axis=1)
    gradient = vi.elbo_gradient(TARGET, q, 1000, draws="antithetic", estimator="leave_one_out", rng=2)
    np.testing.assert_allclose(gradient.gradient, terms.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradient.standard_error, terms.std(0, ddof=1) / math.sqrt(500), rtol=1e-5)


def test_antithetic_removes_what_is_odd_and_doubles_what_is_even():
    """q = N(m, 1) against N(0, 1): log w = -m^2/2 - m eps is odd about its mean, so pairs have no variance; at m = 0
    and s = .8 it is even, and a pair is worth one draw: variance c^2 Var(eps^2) = 2 c^2 a pair, c = (1 - s^2)/2."""
    target = vi.Target(lambda z: -0.5 * z[0] ** 2 - 0.5 * math.log(2 * math.pi), 1)
    odd = vi.elbo(target, vi.MeanFieldGaussian([0.5], [1.0]), 1000, draws="antithetic", rng=0)
    assert odd.value == pytest.approx(-0.125, abs=1e-12) and odd.standard_error < 1e-14
    even = vi.elbo(target, vi.MeanFieldGaussian([0.0], [0.8]), 100_000, draws="antithetic", rng=0)
    assert even.standard_error == pytest.approx(math.sqrt(2 * 0.18**2 / 50_000), rel=0.05)


def test_sobol_points_are_scipys_in_replicates():
    groups = dependent_draws.Replicates("sobol", 3, 1100, key_from(1), SAMPLE)
    assert groups.size == 64 and groups.count == 17 and groups.num_samples == 1088
    eps = np.concatenate([block for _, block in groups.blocks(1)])
    assert eps.shape == (17, 64, 3) and np.isfinite(eps).all()
    assert not np.array_equal(eps[0], eps[1])
    # each half of the line holds half of each replicate's points
    np.testing.assert_array_equal((eps > 0).sum(axis=1), 32)


@pytest.mark.parametrize("q", [WIDE, LOW, FULL])
@pytest.mark.parametrize("estimator", ["plain", "entropy", "quadratic"])
@pytest.mark.parametrize("draws", ["antithetic", "sobol"])
def test_the_elbo_is_right(q, estimator, draws):
    exact = -1.0 - vi.kl_divergence(q, EXACT).value
    found = vi.elbo(TARGET, q, 8192, draws=draws, estimator=estimator, rng=3)
    assert abs(found.value - exact) < 6.5 * found.standard_error + 1e-10  # as far as 5 errors with 15 degrees go
    if draws == "sobol":
        low, high = found.interval(0.99)
        assert high - found.value > 2.9 * found.standard_error  # Student's t with 15 degrees of freedom: 2.947
        assert found.standard_error < 0.5 * vi.elbo(TARGET, q, 8192, estimator="plain", rng=3).standard_error + 1e-12


@functools.cache
def away(family):
    """A skewed posterior, a q off its optimum, and the gradient there from a long run."""
    target, _, best = fitted_posterior("sblri-blr")
    q = type(best[family])(best[family].loc + 0.3 * best[family].stddev, best[family].scale)
    return target, q, vi.elbo_gradient(target, q, 1_000_000, estimator="cubic", rng=77)


@pytest.mark.slow
@pytest.mark.parametrize("draws, family", [("antithetic", "mean_field"), ("sobol", "full_rank")])
@pytest.mark.parametrize(
    "estimator",
    ["score", "leave_one_out", "quadratic", "cubic", "pathwise", "sticking_the_landing", "pathwise_quadratic"],
)
def test_gradients_are_unbiased(draws, estimator, family):
    """40 seeds of 512 draws on a skewed posterior, against a long run."""
    target, q, exact = away(family)
    found = [vi.elbo_gradient(target, q, 512, draws=draws, estimator=estimator, rng=seed) for seed in range(40)]
    gradients = np.array([f.gradient for f in found])
    spread = gradients.std(0, ddof=1)
    error = np.hypot(spread / math.sqrt(40), exact.standard_error)
    assert np.all(np.abs(gradients.mean(0) - exact.gradient) < 5 * error + 1e-12)
    reported = np.sqrt(np.mean([f.standard_error**2 for f in found], axis=0))
    assert np.median(reported / spread) == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_errors_are_calibrated():
    """Reported and actual spread agree within four errors of the latter: 300 seeds know it to 4 %, 100 to 7 %."""
    target, _, best = fitted_posterior("sblri-blr")
    q = best["mean_field"]
    for draws, seeds in (("antithetic", 300), ("sobol", 100)):
        found = [vi.elbo(target, q, 256, draws=draws, rng=seed) for seed in range(seeds)]
        spread = np.std([f.value for f in found], ddof=1)
        assert math.sqrt(np.mean([f.standard_error**2 for f in found])) == pytest.approx(
            spread, rel=4 / math.sqrt(2 * seeds)
        )


def test_atol_and_the_same_bits():
    found = vi.elbo(TARGET, WIDE, 1024, draws="sobol", atol=1e-3, rng=0)
    assert found.converged and found.standard_error <= 1e-3
    again = [vi.elbo(TARGET, WIDE, 2048, draws="sobol", rng=found.key, num_threads=n).value for n in (1, 2)]
    assert again[0] == again[1]
    short = vi.elbo_gradient(
        TARGET, WIDE, 1000, draws="antithetic", estimator="score", atol=1e-9, max_samples=2001, rng=0
    )
    assert not short.converged and short.num_samples == 2000


def test_bad_input():
    with pytest.raises(
        ValueError, match="num_samples: expected an even number of at least 4 for draws='antithetic', got 999"
    ):
        vi.elbo(TARGET, WIDE, 999, draws="antithetic")
    with pytest.raises(ValueError, match="of at least 4 for draws='antithetic', got 2"):
        vi.elbo_gradient(TARGET, WIDE, 2, draws="antithetic", estimator="pathwise")
    with pytest.raises(ValueError, match="num_samples: expected at least 32 for draws='sobol', got 31"):
        vi.elbo(TARGET, WIDE, 31, draws="sobol")
    with pytest.raises(ValueError, match="draws: expected one of 'iid', 'antithetic', 'sobol'"):
        vi.elbo(TARGET, WIDE, draws="halton")
    with pytest.raises(ValueError, match="'optimal_baseline' needs draws='iid'"):
        vi.elbo_gradient(TARGET, WIDE, 1000, draws="sobol", estimator="optimal_baseline")

    def half(z):
        return vi.where(z[0] > 0.0, -0.5 * z[0] ** 2, -np.inf)

    q = vi.MeanFieldGaussian([0.0], [1.0])
    assert vi.elbo(vi.Target(half, 1), q, 64, draws="antithetic", rng=0).value == -math.inf
    with pytest.raises(vi.NonFiniteError, match="is not finite"):
        vi.elbo(vi.Target(lambda z: np.sqrt(z[0]), 1), q, 64, draws="sobol", rng=0)
