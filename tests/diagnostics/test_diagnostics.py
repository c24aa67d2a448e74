"""Bounds, diagnosis, attribution and comparison: known values, right order, honest errors.

Statistical checks have fixed seeds and allow 5 standard errors: a false alarm in 1.7 million.
"""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.integrate import quad

import fastvi as vi
from fastvi.diagnostics.attribution import attribution
from fastvi.diagnostics.bounds import autocorrelation_time
from fastvi.execution.threads import Threads
from fastvi.families.closed_forms import as_target
from fastvi.rng import key_from

from oracles import fitted_posterior, gaussian_target, random_gaussian

MEAN, COVARIANCE = random_gaussian(3, 7)
LOG_Z = -4.0
TARGET = gaussian_target(MEAN, COVARIANCE, LOG_Z)
EXACT = vi.FullRankGaussian(MEAN, np.linalg.cholesky(COVARIANCE))
WIDE = vi.FullRankGaussian(MEAN + 0.1, 1.15 * np.linalg.cholesky(COVARIANCE))


def near(found, exact):
    return abs(found.value - exact) < 5 * found.standard_error


def test_the_second_moment_of_a_narrow_q():
    """p = N(0, I), q = N(0, .8^2 I) in 10 dimensions: E_q[w^2] = (s^2 / sqrt(2 s^2 - 1))^10 = 6.70, CUBO = 0.951, but
    k = 1 - s^2 = .36 > 1/4, so its estimate comes without an error; at s = .9 (k = .19) it has one."""
    p = vi.MeanFieldGaussian(np.zeros(10), np.ones(10))
    narrow = vi.bounds(as_target(p), vi.MeanFieldGaussian(np.zeros(10), np.full(10, 0.8)), 10**6, rng=0)
    assert math.isnan(narrow.cubo.standard_error) and "the tail of w^2 has shape" in narrow.cubo.note
    assert narrow.upper() == math.inf
    s = 0.95
    found = vi.bounds(as_target(p), vi.MeanFieldGaussian(np.zeros(10), np.full(10, s)), 10**6, rng=0)
    assert near(found.cubo, 5 * math.log(s**2 / math.sqrt(2 * s**2 - 1)))
    assert near(found.log_evidence, 0.0) and found.lower() <= 0.0 <= found.upper()


def test_iwae_and_renyi_by_quadrature():
    """One dimension, K = 2: E log mean of two weights by quadrature over both draws."""
    p, q = vi.MeanFieldGaussian([0.3], [0.9]), vi.MeanFieldGaussian([0.0], [1.0])

    def log_w(x):
        return p.log_prob([x]) - q.log_prob([x])

    def inner(x):
        return quad(
            lambda y: math.exp(q.log_prob([y])) * math.log(0.5 * (math.exp(log_w(x)) + math.exp(log_w(y)))), -7, 7
        )

    exact = quad(lambda x: math.exp(q.log_prob([x])) * inner(x)[0], -7, 7)[0]
    found = vi.bounds(as_target(p), q, 400_000, num_particles=(1, 2), orders=(1.0, 0.5, -1.0), rng=1)
    assert near(found.iwae[2], exact)
    assert found.iwae[1].value == pytest.approx(found.elbo.value, rel=1e-12) == found.renyi[1.0].value
    half = 2.0 * math.log(quad(lambda x: math.exp(q.log_prob([x]) + 0.5 * log_w(x)), -7, 7)[0])
    assert near(found.renyi[0.5], half)
    assert found.renyi[-1.0].value == pytest.approx(found.cubo.value, rel=1e-12)


@pytest.mark.slow
def test_groups_do_not_depend_on_blocks(monkeypatch):
    import fastvi.diagnostics.log_weights as module

    found = vi.bounds(TARGET, WIDE, 10_000, num_particles=(7, 64), rng=1)
    monkeypatch.setattr(module, "BLOCK", 996)
    again = vi.bounds(TARGET, WIDE, 10_000, num_particles=(7, 64), rng=1)
    for k in (7, 64):
        assert found.iwae[k].value == pytest.approx(again.iwae[k].value, rel=1e-12)
        assert found.iwae[k].num_samples == 10_000 // k * k


def test_bounds_are_in_order_and_shift_with_a_constant():
    """ELBO <= IWAE-10 <= IWAE-100 <= log Z <= CUBO, and a constant in log p moves all of them."""
    found = vi.bounds(
        TARGET, WIDE, 200_000, num_particles=(10, 100), rng=2, posterior_draws=EXACT.sample(50_000, rng=5)
    )
    ends = [found.elbo, found.iwae[10], found.iwae[100]]
    assert all(a.value < b.value for a, b in zip(ends, ends[1:], strict=False))
    assert found.iwae[100].value < LOG_Z + 5 * found.iwae[100].standard_error
    assert near(found.log_evidence, LOG_Z) and found.cubo.value > LOG_Z
    assert near(found.elbo, LOG_Z - vi.kl_divergence(WIDE, EXACT).value)
    assert near(found.eubo, LOG_Z + vi.kl_divergence(EXACT, WIDE).value)
    shifted = vi.bounds(gaussian_target(MEAN, COVARIANCE, LOG_Z - 1000.0), WIDE, 200_000, num_particles=(10,), rng=2)
    assert shifted.khat == pytest.approx(found.khat, abs=1e-6)
    assert shifted.iwae[10].value + 1000.0 == pytest.approx(found.iwae[10].value, abs=1e-9)
    assert shifted.cubo.value + 1000.0 == pytest.approx(found.cubo.value, abs=1e-9)


def test_draws_of_a_chain_have_a_larger_error():
    """An AR(1) chain with coefficient .8 has autocorrelation time 9."""
    rng = np.random.default_rng(0)
    chains = np.zeros((4, 20_000))
    for t in range(1, chains.shape[1]):
        chains[:, t] = 0.8 * chains[:, t - 1] + 0.6 * rng.normal(size=4)
    assert autocorrelation_time(chains) == pytest.approx(9.0, rel=0.15)
    assert autocorrelation_time(rng.normal(size=(4, 20_000))) == pytest.approx(1.0, abs=0.1)
    apart = chains + 5.0 * np.arange(4)[:, None]
    assert autocorrelation_time(apart) > 100.0
    draws = chains[..., None]
    found = vi.bounds(as_target(vi.MeanFieldGaussian([0.0], [1.0])), vi.MeanFieldGaussian([0.0], [1.2]), 1000,
                      posterior_draws=draws, rng=0)  # fmt: skip
    assert found.eubo.ess < 80_000 / 4 and near(found.eubo, -0.5 + math.log(1.2) + 0.5 / 1.44)


def test_diagnosis_of_good_usable_and_poor():
    good = vi.diagnose(TARGET, WIDE, 50_000, rng=0, log_evidence=LOG_Z)
    assert good.verdict.startswith("good") and not good.false_alarm and good.khat < 0.5
    assert good.log_evidence[0] < LOG_Z < good.log_evidence[1]
    assert "log p(x) = -4 = ELBO + KL(q || p)" in repr(good)
    # every mean and sd of q is within the stated deviation
    worst = np.max(np.abs(np.concatenate([WIDE.mean - MEAN, WIDE.stddev - EXACT.stddev])) / np.tile(WIDE.stddev, 2))
    assert worst < good.deviation < 1.0
    target, record, best = fitted_posterior("kidiq-kidscore_momiq")
    poor = vi.diagnose(target, best["mean_field"], 50_000, rng=0)
    assert poor.verdict.startswith("poor") and poor.log_evidence[1] == math.inf and poor.deviation == math.inf
    assert poor.misfit.largest()[0][2] == (0, 1)  # intercept and slope, of uncentred predictors
    assert poor.log_evidence[0] < record["log_z"]
    schools, _, best = fitted_posterior("eight_schools")
    assert vi.diagnose(schools, best["mean_field"], 50_000, rng=0).verdict.startswith("usable")


def test_a_false_alarm_is_recognised():
    """A nearly perfect fit with one heavy tail: w = 1 + 1e-4 exp(.47 z^2) has population k = .94,
    and its weights hardly differ."""

    def bump(z):
        return -0.5 * z[0] ** 2 - 0.5 * math.log(2 * math.pi) + np.log1p(1e-4 * np.exp(0.47 * z[0] ** 2))

    found = vi.diagnose(vi.Target(bump, 1), vi.MeanFieldGaussian([0.0], [1.0]), 400_000, rng=0)
    assert found.khat > 0.7 and found.ess > 0.95 * found.num_samples
    assert found.false_alarm and found.verdict.startswith("good where q has mass: k-hat is a false alarm")


def test_equal_weights_and_none():
    found = vi.diagnose(TARGET, EXACT, 5000, rng=0)
    assert found.ess == pytest.approx(5000) and found.elbo.value == pytest.approx(LOG_Z, abs=1e-10)

    def half(z):
        return vi.where(z[0] > 0.0, -0.5 * z[0] ** 2, -np.inf)

    none = vi.diagnose(vi.Target(half, 1), vi.MeanFieldGaussian([0.0], [1.0]), 5000, rng=0)
    assert none.elbo.value == -math.inf and "where p is 0" in none.verdict and none.misfit is None
    assert near(none.bounds.iwae[100], 0.5 * math.log(2 * math.pi) - math.log(2)) or none.bounds.iwae[100].value < 0.226


@pytest.mark.slow
def test_attribution_errors_are_honest():
    """200 seeds on a quartic target, where what is left grows with the polynomials: the reported errors of the masses
    are right within a third, and the mean mass within 5 errors of a long run's."""
    target, q = (
        vi.Target(lambda z: -0.5 * np.sum(z**2) - 0.1 * np.sum(z**4), 2),
        vi.MeanFieldGaussian([0, 0], [0.7, 0.8]),
    )
    found = [attribution(target, q, key_from(seed), 4096, Threads()) for seed in range(200)]
    mass = np.array([f.coordinates[0] for f in found])
    error = np.array([f.coordinate_errors[0] for f in found])
    exact = attribution(target, q, key_from(9999), 400_000, Threads(), most=400_000).coordinates[0]
    assert abs(mass.mean() - exact) < 5 * mass.std() / math.sqrt(200) + 0.02 * exact
    assert np.sqrt(np.mean(error**2)) == pytest.approx(mass.std(), rel=0.34)


def test_renyi_beyond_order_one_needs_the_other_tail():
    """E_q[1/w] for q wider than p: 1/w has a tail of its own, and no error is offered where it has no variance."""
    p, q = vi.MeanFieldGaussian([0.0], [1.0]), vi.MeanFieldGaussian([0.0], [1.9])
    found = vi.bounds(as_target(p), q, 100_000, orders=(2.0,), rng=0)
    assert math.isnan(found.renyi[2.0].standard_error) and "the tail of w^-1" in found.renyi[2.0].note
    fine = vi.bounds(as_target(p), vi.MeanFieldGaussian([0.0], [1.1]), 100_000, orders=(2.0,), rng=0).renyi[2.0]
    # E_q[1/w] = E_q[q/p]: integral q^2/p = s^-2 / sqrt(2/s^2 - 1)
    assert near(fine, -math.log(1.1**-2 / math.sqrt(2 / 1.21 - 1)))


def test_attribution_of_a_gaussian():
    """log w of q = N(m, s^2) against N(0, I) is a + b eps + c eps^2, b = -m s, c = (1 - s^2)/2: half its variance is
    b^2/2 + c^2 in each coordinate; a correlation of p appears as a pair."""
    m, s = np.array([0.5, 0.0, 0.0]), np.array([0.8, 0.7, 1.0])
    target = vi.Target(lambda z: -0.5 * np.sum(z**2), 3)
    found = vi.diagnose(target, vi.MeanFieldGaussian(m, s), 20_000, rng=0).misfit
    np.testing.assert_allclose(found.coordinates, (m * s) ** 2 / 2 + ((1 - s**2) / 2) ** 2, atol=1e-9)
    assert found.rest == pytest.approx(0.0, abs=1e-12) and found.pairs.max() < 1e-9
    rho = 0.3
    p = vi.FullRankGaussian(np.zeros(2), np.linalg.cholesky([[1, rho], [rho, 1]]))
    found = vi.diagnose(
        as_target(p), vi.MeanFieldGaussian(np.zeros(2), np.full(2, math.sqrt(1 - rho**2))), rng=0
    ).misfit
    assert found.pairs[0, 1] == pytest.approx(0.5 * rho**2, abs=1e-9)  # log w = rho eps_1 eps_2 + constant
    assert "z[0] with z[1]" in repr(found)


@pytest.mark.slow
def test_compare_has_the_error_of_the_difference():
    target, _, best = fitted_posterior("sblri-blr")
    q = best["mean_field"]
    other = vi.MeanFieldGaussian(q.loc + 0.05 * q.scale, q.scale)
    found = vi.compare(target, q, other, 20_000, rng=0)
    apart = [vi.elbo(target, each, 20_000, estimator="plain", rng=k) for k, each in enumerate((q, other))]
    assert found.standard_error < 0.5 * math.hypot(*(e.standard_error for e in apart))
    long = [vi.elbo(target, each, 2_000_000, estimator="cubic", rng=9).value for each in (q, other)]
    assert near(found, long[0] - long[1])
    assert vi.compare(target, q, q, 1000, rng=0).value == 0.0
    shifted = vi.compare(TARGET, WIDE, WIDE, 1000, target2=gaussian_target(MEAN, COVARIANCE, LOG_Z - 2.0), rng=0)
    assert shifted.value == pytest.approx(2.0, abs=1e-9) and shifted.standard_error < 1e-9


def test_bad_input():
    for options, message in (
        ({"num_particles": (0,)}, "num_particles: expected an int >= 1, got 0"),
        ({"num_particles": (2000,)}, "num_particles: expected at most num_samples, 1000, got 2000"),
        ({"posterior_draws": np.zeros((5, 2))}, r"posterior_draws: expected shape \(n, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            vi.bounds(TARGET, WIDE, 1000, **options)
    with pytest.raises(ValueError, match="q: expected 3 dimensions"):
        vi.compare(TARGET, WIDE, vi.MeanFieldGaussian([0.0], [1.0]))


def test_compare_with_infinite_sides():
    half = vi.Target(lambda z: vi.where(z[0] > 0.0, -0.5 * z[0] ** 2, -np.inf), 1)
    near, far = vi.MeanFieldGaussian([0.0], [1.0]), vi.MeanFieldGaussian([100.0], [1.0])
    for count in (1000, 600_000):
        assert vi.compare(half, near, far, count, rng=0).value == -math.inf
        assert vi.compare(half, far, near, count, rng=0).value == math.inf
    assert math.isnan(vi.compare(half, near, near, 1000, rng=0).value)


def many_dimensions(z):
    return -0.5 * np.dot(z, z) - 0.2 * z[3] - 0.05 * z[7] ** 2


@pytest.mark.slow
@pytest.mark.parametrize("dim, level", [(60, "quadratic"), (300, "diagonal"), (4000, "diagonal, by projection")])
def test_attribution_in_bounded_memory(dim, level):
    """0.2^2 / 2 nat in one coordinate and 0.05^2 in another, whatever the dimension."""
    tracemalloc.start()
    q = vi.MeanFieldGaussian.standard(dim)
    found = attribution(vi.Target(many_dimensions, dim), q, key_from(0), 40_000, Threads())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.level == level and peak < 2**28
    (first, error, place), (second, other, where) = found.largest(2)
    assert place == (3,) and where == (7,)
    assert abs(first - 0.02) < 5 * error + 1e-12 and abs(second - 0.0025) < 5 * other + 1e-12
