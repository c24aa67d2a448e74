"""KL(q || p): the closed form on every published Gaussian pair, and Monte Carlo around it."""

import math

import numpy as np
import pytest

import fastvi as vi

from oracles import gaussian, load

CASES = load("gaussian_kl")["cases"]
IDS = [f"{c['family']}-{len(c['p']['loc'])}-{k}" for k, c in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_closed_form(case):
    p, q = gaussian(case["p"]), gaussian(case["q"])
    found = vi.kl_divergence(p, q)
    assert found.method == "exact" and found.standard_error == 0.0 and found.num_samples == 0
    assert found.value == pytest.approx(case["kl_pq"], rel=1e-9)
    if case["kl_qp"] is not None:
        assert vi.kl_divergence(q, p).value == pytest.approx(case["kl_qp"], rel=1e-9)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_monte_carlo(case):
    """Within 5 standard errors; the reported error within 20 % of the published one."""
    p, q, n = gaussian(case["p"]), gaussian(case["q"]), 20_000
    found = vi.kl_divergence(p, q, n, method="monte_carlo", rng=6)
    assert found.method == "monte_carlo" and found.num_samples == n
    # an ill-conditioned pair: log p and log q cancel to about 1e-8
    assert abs(found.value - case["kl_pq"]) < 5 * found.standard_error + 1e-7
    if case["sd"] is not None:
        assert abs(found.value - case["kl_pq"]) < 5 * case["sd"] / math.sqrt(n)
        if found.standard_error < 1.05 * case["sd"] / math.sqrt(n):  # "entropy" may have been the better estimator
            assert found.standard_error <= 1.2 * case["sd"] / math.sqrt(n)


@pytest.mark.parametrize("family", ["mean_field", "full_rank"])
def test_zero_between_equals_and_accurate_near_them(family):
    scale = np.array([0.5, 2.0, 30.0])
    make = (
        (lambda s: vi.MeanFieldGaussian(np.ones(3), s))
        if family == "mean_field"
        else (lambda s: vi.FullRankGaussian(np.ones(3), np.diag(s)))
    )
    q = make(scale)
    assert vi.kl_divergence(q, q).value == 0.0
    h = 1e-6  # KL = sum h^2 + O(h^3) for log scales that differ by h
    assert vi.kl_divergence(make(scale * math.exp(h)), q).value == pytest.approx(3 * h * h, rel=1e-3)


def test_the_factorised_gaussian_of_a_correlated_one():
    """Bishop 2006, section 10.1.2, correlation rho = 0.9: the reverse-KL fit has variances 1 - rho^2 and
    KL = -log(1 - rho^2)/2."""
    rho = 0.9
    p = vi.FullRankGaussian(np.zeros(2), np.linalg.cholesky([[1, rho], [rho, 1]]))
    q = vi.MeanFieldGaussian(np.zeros(2), np.full(2, math.sqrt(1 - rho**2)))
    assert vi.kl_divergence(q, p).value == pytest.approx(0.8303656034108255, rel=1e-12)
    marginal = vi.MeanFieldGaussian(np.zeros(2), np.ones(2))
    assert vi.kl_divergence(p, marginal).value == pytest.approx(0.8303656034108255, rel=1e-12)


def test_low_rank_is_full_rank_with_another_root():
    """Every pair with the closed form of the same Gaussians, and Monte Carlo within 5 standard errors."""
    rng = np.random.default_rng(4)
    low, other = (
        vi.LowRankGaussian(rng.normal(size=4), 0.5 + rng.random(4), rng.normal(size=(4, 2))) for _ in range(2)
    )
    same, others = (vi.FullRankGaussian(q.loc, np.linalg.cholesky(q.covariance)) for q in (low, other))
    assert abs(vi.kl_divergence(low, low).value) < 1e-14 and abs(vi.kl_divergence(low, same).value) < 1e-14
    for p, full in ((other, others), (others, others), *[(vi.MeanFieldGaussian(np.zeros(4), np.ones(4)),) * 2]):
        assert vi.kl_divergence(low, p).value == pytest.approx(vi.kl_divergence(same, full).value, rel=1e-12)
        assert vi.kl_divergence(p, low).value == pytest.approx(vi.kl_divergence(full, same).value, rel=1e-12)
        for kind, options in (("hellinger", {}), ("renyi", {"order": 0.3}), ("jeffreys", {})):
            found, expected = vi.divergence(low, p, kind, **options), vi.divergence(same, full, kind, **options)
            assert found.method == "exact" and found.value == pytest.approx(expected.value, rel=1e-10)
        sampled = vi.kl_divergence(low, p, 20_000, method="monte_carlo", rng=1)
        assert abs(sampled.value - vi.kl_divergence(same, full).value) < 5 * sampled.standard_error + 1e-12


def laplace(z, loc, scale):
    return -abs(z[0] - loc) / scale - math.log(2 * scale)


def test_a_target_as_p():
    """KL(N(0.2, 1.3) || Laplace(0, 1)) = 0.0613453048693574, by quadrature"""
    target = vi.Target(laplace, 1, (0.0, 1.0), normalized=True)
    found = vi.kl_divergence(vi.MeanFieldGaussian([0.2], [1.3]), target, 200_000, rng=0)
    assert found.method == "monte_carlo" and abs(found.value - 0.06134530486935741) < 5 * found.standard_error
    fine = vi.kl_divergence(vi.MeanFieldGaussian([0.2], [1.3]), target, atol=1e-3, rng=0)
    assert fine.converged and fine.standard_error <= 1e-3


def test_support_mismatch_is_infinite():
    """KL(N(0, 1) || Gamma(2, 1)) = inf"""
    target = vi.Target(lambda z: vi.where(z[0] > 0.0, np.log(abs(z[0])) - z[0], -np.inf), 1, normalized=True)
    assert vi.kl_divergence(vi.MeanFieldGaussian([0.0], [1.0]), target, rng=0).value == math.inf


def test_what_is_refused():
    q = vi.MeanFieldGaussian([0.0], [1.0])
    unnormalized, normalized = vi.Target(laplace, 1, (0.0, 1.0)), vi.Target(laplace, 1, (0.0, 1.0), normalized=True)
    with pytest.raises(ValueError, match="normalized"):
        vi.kl_divergence(q, unnormalized)
    with pytest.raises(ValueError, match="closed form"):
        vi.kl_divergence(q, normalized, method="exact")
    with pytest.raises(ValueError, match="method: expected one of"):
        vi.kl_divergence(q, q, method="k3")
    with pytest.raises(ValueError, match="p: expected 1 dimensions"):
        vi.kl_divergence(q, vi.MeanFieldGaussian([0.0, 1.0], [1.0, 1.0]))
    with pytest.raises(TypeError, match="p: expected"):
        vi.kl_divergence(q, laplace)


@pytest.mark.parametrize("ratio", [1e-3, 1e-6, 1e-9, 1e-150, 1e3, 1e150])
@pytest.mark.parametrize("family", [vi.MeanFieldGaussian, lambda loc, s: vi.FullRankGaussian(loc, np.diag(s))])
def test_very_different_scales(ratio, family):
    """(r^2 - 1)/2 - log r"""
    found = vi.kl_divergence(family([0.0], [ratio]), family([0.0], [1.0]))
    assert found.value == pytest.approx(0.5 * (ratio**2 - 1.0) - math.log(ratio), rel=1e-14)


def test_the_exact_path_checks_its_arguments_too():
    q = vi.MeanFieldGaussian([0.0], [1.0])
    for options in (dict(rng="abc"), dict(atol=-3.0), dict(backend="tpu"), dict(num_samples=0)):
        with pytest.raises((TypeError, ValueError), match=next(iter(options))):
            vi.kl_divergence(q, q, **options)
