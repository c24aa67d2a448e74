"""Score gradients: the estimators that their docstrings name, unbiased, with errors that are right."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.control_variates import Surrogate
from fastvi.estimators.score import FORMULAS, centred, read
from fastvi.execution.job import Sums, job_of
from fastvi.execution.sweep import Sweep, merged
from fastvi.execution.sweep import sweep as swept
from fastvi.execution.threads import Threads
from fastvi.kernels.families import mean_field
from fastvi.kernels.plan import cut
from fastvi.kernels.sums import centred as about_mean
from fastvi.kernels.sums import moments, score
from fastvi.rng import Key

import naive
from gaussian_case import COVARIANCE, FULL, LOW, MEAN, TARGET, WIDE, exact_gradient
from oracles import gaussian_target, load

ESTIMATORS = ["score", "leave_one_out", "optimal_baseline"]


@pytest.mark.parametrize("q", [WIDE, LOW, FULL])
@pytest.mark.parametrize("num_samples", [65, 200, 500])
def test_they_are_the_naive_estimators(q, num_samples):
    z = q.sample(num_samples, rng=1)
    _, f = naive.log_weights(TARGET, q, z)
    s = naive.scores(q, z)
    chunk = cut(q.family, q.dim, q.arrays[1].shape, num_samples, 5).chunk
    expected = {
        "score": naive.score(f, s)[0],
        "leave_one_out": naive.leave_one_out(f, s),
        "optimal_baseline": naive.optimal_baseline(f, s, chunk),
    }
    for estimator, gradient in expected.items():
        found = vi.elbo_gradient(TARGET, q, num_samples, estimator=estimator, rng=1)
        np.testing.assert_allclose(found.gradient, gradient, rtol=1e-6, atol=1e-8)  # the scores are differences
        assert found.method == estimator
    found = vi.elbo_gradient(TARGET, q, num_samples, estimator="score", rng=1)
    np.testing.assert_allclose(found.standard_error, naive.score(f, s)[1], rtol=1e-6)


def test_the_fixed_draw_case():
    """Seven draws worked out by algebra: data/score.json."""
    case = load("score")
    eps, scale = np.array(case["eps"]), np.array(case["sigma"])
    z = np.array(case["mu"]) + scale * eps
    delta = z - case["target_mean"]
    log_p = -0.5 * np.einsum("si,ij,sj->s", delta, np.array(case["target_precision"]), delta)
    q = vi.MeanFieldGaussian(case["mu"], scale)
    f = log_p - q.log_prob(z)
    rows, sums = np.zeros((1, moments.COLUMNS)), np.zeros((1, score.SUMS, 6))
    moments.add_tile(rows[0], f, log_p, 7, 0)
    rows[0, moments.CENTRE] = score.centre_of(f, 7)
    mean_field.add_scores(q.loc, scale, np.ascontiguousarray(eps.T), f - rows[0, moments.CENTRE], 7, None, sums[0])
    sweep = merged(Sums(rows, sums, np.empty(0)))
    assert sweep.total[moments.MEAN_W] == pytest.approx(case["elbo"], rel=1e-12)
    units = np.concatenate([1 / scale, np.ones(3)])
    for name, key in (("score", "naive"), ("leave_one_out", "loo")):
        gradient = FORMULAS[name](*centred(sweep, name))[0] * units
        np.testing.assert_allclose(gradient, case[key]["mu"] + case[key]["logsigma"], rtol=1e-11)
    assert isinstance(sweep, Sweep)


@pytest.mark.slow
@pytest.mark.parametrize("q", [WIDE, LOW, FULL])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unbiased_with_right_errors_and_coverage(q, estimator):
    """2000 seeds: the mean within 5 standard errors in every coordinate, the reported error within 10 % of the true
    (12 % is 5 standard errors of the sample's own), 95 % intervals cover within 5 standard errors."""
    runs = [vi.elbo_gradient(TARGET, q, 512, estimator=estimator, rng=seed) for seed in range(2000)]
    gradients, errors = (np.array([getattr(r, name) for r in runs]) for name in ("gradient", "standard_error"))
    exact = exact_gradient(q)
    spread = gradients.std(0, ddof=1)
    assert np.all(np.abs(gradients.mean(0) - exact) < 5 * spread / math.sqrt(len(runs)))
    assert np.mean(np.sqrt(np.mean(errors**2, 0)) / spread) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2, 0)), spread, rtol=0.12)
    covered = np.mean(np.abs(gradients - exact) < 1.959964 * errors)
    assert abs(covered - 0.95) < 0.02


@pytest.mark.parametrize("dim", [1, 10, 100])
def test_variances_are_the_closed_forms(dim):
    """q = N(m, s^2 I), p = N(0, I), m = 0.5, s = 0.8: S times the variance of the loc gradient, within 5 %.

    f_i = a + b eps + c eps^2; the moments are those of the standard normal.
    """
    m, s, n = 0.5, 0.8, 4000
    a, b, c = -m * m / 2 + math.log(s), -m * s, (1 - s * s) / 2
    rest_mean, rest_variance = (dim - 1) * (a + c), (dim - 1) * (b * b + 2 * c * c)
    naive_form = (
        a * a + 3 * b * b + 15 * c * c + 6 * a * c + 2 * rest_mean * (a + 3 * c) + rest_variance + rest_mean**2 - b * b
    ) / s**2
    mean_form = (10 * c * c + 2 * b * b + rest_variance) / s**2
    loo_form = mean_form + (b * b + dim * (b * b + 2 * c * c)) / (s * s * (n - 1))
    best_form = (6 * c * c + 2 * b * b + rest_variance) / s**2
    target = gaussian_target(np.zeros(dim), np.eye(dim))
    q = vi.MeanFieldGaussian(np.full(dim, m), np.full(dim, s))
    runs = 40 if dim < 100 else 4
    for estimator, form in zip(ESTIMATORS, (naive_form, loo_form, best_form), strict=True):
        found = [
            vi.elbo_gradient(target, q, n, estimator=estimator, rng=seed).standard_error[:dim] ** 2 * n
            for seed in range(runs)
        ]
        assert np.mean(found) == pytest.approx(form, rel=0.05)
        gradient = np.mean(
            [vi.elbo_gradient(target, q, n, estimator=estimator, rng=k).gradient[:dim] for k in range(9)]
        )
        assert gradient == pytest.approx(-m, abs=5 * math.sqrt(form / (9 * n * dim)) + 1e-3 * (dim == 1))


def test_a_constant_in_log_p_does_not_move_leave_one_out():
    for constant in (-1e3, 1e6):
        shifted = gaussian_target(MEAN, COVARIANCE, log_z=-2.0 + constant)
        for q in (WIDE, LOW, FULL):
            one = vi.elbo_gradient(TARGET, q, 3000, estimator="leave_one_out", rng=0)
            two = vi.elbo_gradient(shifted, q, 3000, estimator="leave_one_out", rng=0)
            np.testing.assert_allclose(two.gradient, one.gradient, rtol=0, atol=abs(constant) * 1e-14)
            np.testing.assert_allclose(two.standard_error, one.standard_error, rtol=abs(constant) * 1e-13)
            plain = vi.elbo_gradient(shifted, q, 3000, estimator="score", rng=0)
            assert plain.standard_error.mean() > 20 * two.standard_error.mean()


def test_at_the_posterior_leave_one_out_is_exactly_zero():
    """and the naive estimator's variance is c^2 E[score^2], c the log normaliser"""
    fit = vi.FullRankGaussian(MEAN, np.linalg.cholesky(COVARIANCE))
    for estimator in ("leave_one_out", "optimal_baseline"):
        found = vi.elbo_gradient(TARGET, fit, 2000, estimator=estimator, rng=0)
        assert np.abs(found.gradient).max() < 1e-13 and found.standard_error.max() < 1e-13
    plain = vi.elbo_gradient(TARGET, fit, 100_000, estimator="score", rng=0)
    expected = 2.0 * np.sqrt(np.diag(np.linalg.inv(COVARIANCE)))
    np.testing.assert_allclose(plain.standard_error[:5] * math.sqrt(100_000), expected, rtol=0.03)


@pytest.mark.parametrize("q", [WIDE, LOW, FULL])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_bits_on_any_number_of_threads(q, estimator):
    results = [vi.elbo_gradient(TARGET, q, 20_000, estimator=estimator, rng=1, num_threads=n) for n in (1, 2, 3, 7)]
    for other in results[1:]:
        assert np.array_equal(results[0].gradient, other.gradient)
        assert np.array_equal(results[0].standard_error, other.standard_error)


def test_auto_and_atol():
    """By gradients of log p where they are right; "leave_one_out" and "optimal_baseline" where log p has a step."""
    alone = vi.elbo_gradient(TARGET, WIDE, 1, rng=0)
    assert alone.method == "sticking_the_landing" and np.isnan(alone.standard_error).all()
    assert vi.elbo_gradient(TARGET, WIDE, 32, rng=0).method == "sticking_the_landing"
    assert vi.elbo_gradient(TARGET, WIDE, 1000, rng=0).method == "pathwise_quadratic"
    step = vi.Target(lambda z: np.floor(z[0]) - 0.5 * np.dot(z, z), 5)
    assert vi.elbo_gradient(step, WIDE, 100, rng=0).method == "leave_one_out"
    assert vi.elbo_gradient(step, WIDE, 4000, rng=0).method in ("optimal_baseline", "quadratic", "cubic")
    with pytest.raises(ValueError, match="num_samples: expected at least 2"):
        vi.elbo_gradient(step, WIDE, 1, rng=0)
    found = vi.elbo_gradient(TARGET, WIDE, 1000, atol=0.01, rng=0)
    assert found.converged and found.standard_error.max() <= 0.01
    short = vi.elbo_gradient(TARGET, WIDE, 1000, estimator="score", atol=1e-5, max_samples=2000, rng=0)
    assert not short.converged and short.num_samples == 2000


@pytest.mark.parametrize("estimator, least", [("leave_one_out", 2), ("optimal_baseline", 64)])
def test_too_few_draws_are_refused(estimator, least):
    with pytest.raises(ValueError, match=f"num_samples: expected at least {least}"):
        vi.elbo_gradient(TARGET, WIDE, least - 1, estimator=estimator, rng=0)
    vi.elbo_gradient(TARGET, WIDE, least, estimator=estimator, rng=0)
    assert math.isnan(vi.elbo_gradient(TARGET, WIDE, 1, estimator="score", rng=0).standard_error[0])


def test_minus_infinity_leaves_no_gradient():
    target = vi.Target(lambda z: vi.where(z[0] > 0.0, -z[0], -np.inf), 1)
    found = vi.elbo_gradient(target, vi.MeanFieldGaussian([0.0], [1.0]), 1000, rng=0)
    assert found.elbo.value == -math.inf and np.isnan(found.gradient).all() and np.isnan(found.standard_error).all()


def test_the_norm_at_an_optimum_covers_zero():
    """At the best q the true norm is 0: over 200 seeds it is within 5 of its errors, and 0 in about half of them."""
    target = gaussian_target(np.zeros(20), 2.0 * np.eye(20) - np.diag(np.ones(20)))
    q = vi.MeanFieldGaussian(np.zeros(20), np.full(20, 1.1))
    best = vi.MeanFieldGaussian(np.zeros(20), np.ones(20))
    norms = [vi.elbo_gradient(TARGET_20, best, 300, estimator="score", rng=seed).norm() for seed in range(200)]
    assert all(norm <= 5 * error for norm, error in norms)
    assert 0.3 < np.mean([norm == 0.0 for norm, _ in norms]) < 0.7
    far = vi.elbo_gradient(target, q, 20_000, rng=0)
    exact = np.linalg.norm(20 * [1 - 1.1**2])
    assert abs(far.norm()[0] - exact) < 5 * far.norm()[1]


TARGET_20 = gaussian_target(np.zeros(20), np.eye(20), log_z=-3.0)


def of_many_dimensions(dim=33):
    """(target, q) of a full-rank q whose scores have a pass of their own"""
    rng = np.random.default_rng(dim)
    root = np.eye(dim) + np.tril(rng.normal(size=(dim, dim)), -1) / dim
    return gaussian_target(0.1 * np.ones(dim), root @ root.T), vi.FullRankGaussian(np.zeros(dim), 0.9 * root @ root)


def test_a_second_pass_that_knows_the_mean_of_f_has_the_same_gradient():
    """Scores of a full-rank q of many dimensions are summed where f is about its mean already; the errors' term of
    order 1/S takes the mean square of y_i eps_j to be that of y_i.  Of plain draws and of what a surrogate leaves.
    Of many draws the errors come from sums over four: other numbers, of the same mean (0.03 apart for one, of 561)."""
    target, q = of_many_dimensions()
    n, dim = 400, q.dim
    z = q.sample(n, rng=1)
    f, s = naive.log_weights(target, q, z)[1], naive.scores(q, z)
    i, j = np.tril_indices(dim)
    of = np.concatenate([np.arange(dim), np.where(i == j, dim + np.arange(len(i)), i)])
    f0, g = f - f.mean(), naive.leave_one_out(f, s)
    squares = np.mean(f0[:, None] ** 2 * s**2, axis=0)
    variance = squares - g**2 + (g**2 + f0 @ f0 / (n - 1) * np.mean(s[:, of] ** 2, axis=0)) / (n - 1)
    found = vi.elbo_gradient(target, q, n, estimator="leave_one_out", rng=1)
    np.testing.assert_allclose(found.gradient, g, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.standard_error, np.sqrt(variance / n), rtol=1e-6)

    pairs = 0.01 * np.tril(np.ones((dim, dim)), -1)
    surrogate = Surrogate("quadratic", 0.1, 0.02 * np.arange(dim), np.full(dim, -0.1), pairs)
    for num_samples in (1, 2, 33, 5000):
        what = q, num_samples, Key(3), 0
        one, two = (
            swept(target, job_of(target, *what, gradient=kind, control_variate=surrogate), Threads(2))
            for kind in ("score", "centred")
        )
        assert (one.sums.shape[1], two.sums.shape[1]) == (score.SUMS, about_mean.SUMS)
        one, two = (read(found, q, "quadratic", Key(3), surrogate) for found in (one, two))
        np.testing.assert_allclose(two.gradient, one.gradient, rtol=1e-9, atol=1e-11)
        ratio = two.standard_error / one.standard_error
        if num_samples < 512:
            np.testing.assert_allclose(two.standard_error, one.standard_error, rtol=1e-9, atol=1e-12)
        else:
            np.testing.assert_allclose(ratio[:dim], 1.0, rtol=1e-9)
            assert 1e-3 < ratio[dim:].std() < 0.05 and abs(np.mean(ratio[dim:] ** 2) - 1) < 0.01
    assert job_of(target, q, 2**25, Key(0), 0, gradient="centred").gradient == "score"  # log w of all is too much


@pytest.mark.parametrize("estimator", ["score", "leave_one_out", "optimal_baseline"])
def test_a_log_density_whose_square_overflows_has_a_gradient_and_no_error(estimator):
    target = vi.Target(lambda z: 1e160 * z[0] - 0.5 * z[1] * z[1], 2)
    found = vi.elbo_gradient(target, vi.MeanFieldGaussian(np.zeros(2), np.ones(2)), 1000, estimator=estimator, rng=0)
    assert 0.5e160 < found.gradient[0] < 2e160 and not np.isfinite(found.standard_error[0])
