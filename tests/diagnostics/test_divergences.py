"""Divergences: every published Gaussian pair in closed form and by weights, and honesty where the weights fail.

Statistical checks have fixed seeds and allow 5 standard errors: a false alarm in 1.7 million.
"""

import math

import numpy as np
import pytest
from scipy.integrate import quad

import fastvi as vi
from fastvi.families.closed_forms import as_target

import naive
from oracles import load

CASES = load("divergences")


def pairs():
    """(p, q, kind, options, published value)"""
    for case in CASES["gauss1d"]:
        p, q = (vi.MeanFieldGaussian([case[k][0]], [case[k][1]]) for k in "pq")
        yield from alphas(p, q, case)
        for order, value in case["renyi"].items():
            yield p, q, "renyi", {"order": float(order)}, float(value)
        yield p, q, "hellinger", {}, float(case["hellinger_sq_bishop"]) / 2.0
        yield p, q, "chi2", {}, float(case["chi2_p_q"])
        for kind in ("jeffreys", "total_variation", "jensen_shannon"):
            yield p, q, kind, {}, float(case[kind])
    for case in CASES["gaussNd"]:
        p, q = (vi.FullRankGaussian(case[k]["mean"], np.linalg.cholesky(case[k]["cov"])) for k in "pq")
        yield from alphas(p, q, case)


def alphas(p, q, case):
    for alpha, value in case["D"].items():
        yield p, q, "alpha", {"alpha": float(alpha)}, float(value)


PAIRS = list(pairs())


@pytest.mark.parametrize("p, q, kind, options, value", PAIRS)
def test_closed_forms(p, q, kind, options, value):
    if kind == "jensen_shannon":
        with pytest.raises(ValueError, match="no closed form is known for 'jensen_shannon'"):
            vi.divergence(q, p, kind, method="exact")
        return
    found = vi.divergence(q, p, kind, **options)
    assert found.method == "exact" and found.standard_error == 0.0
    assert found.value == pytest.approx(value, rel=1e-7, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("p, q, kind, options, value", PAIRS)
@pytest.mark.parametrize("normalized", [True, False])
def test_by_weights(p, q, kind, options, value, normalized):
    """Within 5 errors, or without an error and saying so; infinite values never come with an error."""
    target = as_target(p)
    if not normalized:
        target = vi.Target(target.density.source, q.dim, target.data)
    found = vi.divergence(q, target, kind, 100_000, method="monte_carlo", rng=3, **options)
    assert found.method == "monte_carlo"
    if math.isnan(found.standard_error):
        assert "no standard error: the tail of its terms" in found.note
    else:
        assert math.isfinite(value) and abs(found.value - value) < 5 * found.standard_error + 1e-9


def test_limits_of_alpha():
    p, q = vi.FullRankGaussian([0.5, 0], [[1, 0], [0.9, 0.5]]), vi.MeanFieldGaussian([0, 0], [1, 1])
    for alpha, order, pair in ((-1.0, None, (q, p)), (1.0, 1.0, (p, q))):
        exact = vi.kl_divergence(*pair).value
        assert vi.divergence(q, p, "alpha", alpha=alpha).value == pytest.approx(exact, rel=1e-12)
        near = vi.divergence(q, p, "alpha", alpha=alpha * (1 - 1e-6)).value
        assert near == pytest.approx(exact, rel=1e-5)
        if order:
            assert vi.divergence(q, p, "renyi", order=order).value == pytest.approx(exact, rel=1e-12)
    zero = vi.divergence(q, p, "alpha", alpha=0.0).value
    assert zero == pytest.approx(4 * vi.divergence(q, p, "hellinger").value, rel=1e-12)
    assert vi.divergence(q, p, "kl_forward").value == vi.kl_divergence(p, q).value
    assert vi.divergence(q, p, "kl_reverse").value == vi.kl_divergence(q, p).value


@pytest.mark.parametrize(
    "kind, expected", [("hellinger", 1.0), ("total_variation", 1.0), ("jensen_shannon", math.log(2))]
)
def test_far_tails(kind, expected):
    """Two Gaussians 1400 deviations apart: log densities of -1e6, and every bounded divergence at its bound."""
    p, q = vi.MeanFieldGaussian([1414.0], [1.0]), vi.MeanFieldGaussian([0.0], [1.0])
    found = vi.divergence(q, p, kind, 1000, method="monte_carlo", rng=0)
    assert found.value == pytest.approx(math.log(2) if kind == "jensen_shannon" else 1.0, rel=1e-12)
    reverse = vi.divergence(q, p, "kl_reverse", 10_000, method="monte_carlo", rng=0)
    assert abs(reverse.value - 0.5 * 1414.0**2) < 5 * reverse.standard_error + 1e-6
    renyi = vi.divergence(q, p, "renyi", order=0.5)
    assert renyi.value == pytest.approx(0.25 * 1414.0**2, rel=1e-9)
    assert vi.divergence(q, p, "chi2").value == math.inf


def test_a_constant_in_an_unnormalised_target_has_no_effect():
    p, q = vi.MeanFieldGaussian([0.2], [0.9]), vi.MeanFieldGaussian([0.0], [1.0])

    def shifted(z, loc, scale, log_det, constant):
        return -0.5 * np.sum(((z - loc) / scale) ** 2) + constant

    for kind in ("kl_reverse", "kl_forward", "hellinger", "jensen_shannon", "total_variation", "chi2", "jeffreys"):
        found = [
            vi.divergence(q, vi.Target(shifted, 1, (*as_target(p).data, c)), kind, 5000, rng=1) for c in (0.0, -1e6)
        ]
        assert found[0].value == pytest.approx(found[1].value, abs=1e-8)
        assert found[0].standard_error == pytest.approx(found[1].standard_error, rel=1e-6)


@pytest.mark.slow
def test_errors_are_calibrated():
    """200 seeds of an unnormalised target: the reported errors are right within 20 %, the values within 5 errors."""
    p, q = vi.MeanFieldGaussian([0.3], [0.8]), vi.MeanFieldGaussian([0.0], [1.0])
    target = vi.Target(as_target(p).density.source, 1, as_target(p).data)
    for kind, options in (("kl_forward", {}), ("alpha", {"alpha": 0.5}), ("total_variation", {}), ("kl_reverse", {})):
        found = [vi.divergence(q, target, kind, 2000, rng=seed, method="monte_carlo", **options) for seed in range(200)]
        values, errors = np.array([f.value for f in found]), np.array([f.standard_error for f in found])
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.2)
        exact = vi.divergence(q, p, kind, **options).value
        assert abs(values.mean() - exact) < 5 * values.std(ddof=1) / math.sqrt(200) + 1e-3  # a bias of order 1/2000


@pytest.mark.parametrize("full", [False, True])
def test_a_mixture(full):
    """Density by quadrature, sampling by moments, forward KL to one Gaussian by quadrature."""
    scales = [[0.5], [1.5]]
    mixture = vi.GaussianMixture([0.3, 0.7], [[-2.0], [1.0]], [[s] for s in scales] if full else scales)
    assert quad(lambda x: math.exp(mixture.log_prob([x])), -12, 12)[0] == pytest.approx(1.0, abs=1e-8)
    z = mixture.sample(100_000, rng=0)
    assert abs(z.mean() - mixture.mean[0]) < 5 * math.sqrt(mixture.covariance[0, 0] / 100_000)
    assert z.var() == pytest.approx(mixture.covariance[0, 0], rel=0.02)
    assert abs(np.mean(z < -1.0) - quad(lambda x: math.exp(mixture.log_prob([x])), -12, -1)[0]) < 5 * 0.5 / math.sqrt(
        1e5
    )
    assert np.array_equal(mixture.sample(10, rng=0), z[:10])
    np.testing.assert_allclose(mixture.target.value(z[:50]), mixture.log_prob(z[:50]), atol=1e-12)
    np.testing.assert_allclose(
        mixture.target.gradient(z[:5]), [naive.gradient(lambda x: mixture.log_prob(x), x) for x in z[:5]], atol=1e-8
    )
    q = vi.MeanFieldGaussian(mixture.mean, np.sqrt(np.diag(mixture.covariance)))

    def integrand(x):
        return math.exp(mixture.log_prob([x])) * (mixture.log_prob([x]) - q.log_prob([x]))

    found = vi.divergence(q, mixture, "kl_forward", 50_000, rng=1)
    assert abs(found.value - quad(integrand, -12, 12)[0]) < 5 * found.standard_error
    reverse = vi.kl_divergence(q, mixture, 50_000, rng=1)
    exact = quad(lambda x: math.exp(q.log_prob([x])) * (q.log_prob([x]) - mixture.log_prob([x])), -12, 12)[0]
    assert abs(reverse.value - exact) < 5 * reverse.standard_error


def test_bad_input():
    p, q = vi.MeanFieldGaussian([0.0], [1.0]), vi.MeanFieldGaussian([0.0], [2.0])
    for arguments, options, message in (
        (("kl",), {}, "kind: expected one of 'kl_reverse'"),
        (("alpha",), {}, "alpha: expected a number for kind='alpha', got None"),
        (("renyi",), {"order": math.inf}, "order: expected a finite number"),
        (("hellinger",), {"alpha": 0.5}, "alpha: does not belong to kind='hellinger'"),
        (("hellinger", 1), {}, "num_samples: expected an int >= 2"),
    ):
        with pytest.raises(ValueError, match=message):
            vi.divergence(q, p, *arguments, **options)
    with pytest.raises(TypeError, match="p: expected a family, a GaussianMixture or a Target"):
        vi.divergence(q, 3, "hellinger")
    for weights, locs, scales, message in (
        ([0.5, 0.6], [[0], [1]], [[1], [1]], "weights: expected values >= 0 that add up to 1"),
        ([0.5, 0.5], [[0]], [[1]], "locs: expected 2 rows"),
        ([1.0], [[0, 1]], [[1]], r"scales: expected shape \(1, 2\) or \(1, 2, 2\)"),
        ([1.0], [[0]], [[-1]], "scales: .*expected positive"),
    ):
        with pytest.raises(ValueError, match=message):
            vi.GaussianMixture(weights, locs, scales)


def test_renyi_of_order_zero():
    """-log Q(p > 0): 0 between Gaussians, log 2 where p is 0 on half of q."""
    p, q = vi.MeanFieldGaussian([0.3], [0.8]), vi.MeanFieldGaussian([0.0], [1.0])
    assert vi.divergence(q, p, "renyi", order=0.0).value == pytest.approx(0.0, abs=1e-15)
    assert vi.divergence(q, p, "renyi", 1000, order=0.0, method="monte_carlo", rng=0).value == 0.0
    half = vi.Target(lambda z: vi.where(z[0] > 0.0, -0.5 * z[0] ** 2, -np.inf), 1)
    found = vi.divergence(q, half, "renyi", 20_000, order=0.0, rng=0)
    assert abs(found.value - math.log(2.0)) < 5 * found.standard_error < 0.1


def test_weights_of_zero():
    """p is 0 on half of q: KL(q || p) is inf, the bounded divergences are not."""

    def half(z):
        return vi.where(z[0] > 0.0, math.log(2.0) - 0.5 * z[0] ** 2 - 0.5 * math.log(2 * math.pi), -np.inf)

    q = vi.MeanFieldGaussian([0.0], [1.0])
    for normalized in (True, False):
        p = vi.Target(half, 1, normalized=normalized)
        assert vi.divergence(q, p, "kl_reverse", 5000, rng=0).value == math.inf
        found = vi.divergence(q, p, "total_variation", 20_000, rng=0)
        assert abs(found.value - 0.5) < 5 * found.standard_error + 1e-12
        found = vi.divergence(q, p, "kl_forward", 20_000, rng=0)
        assert found.value == pytest.approx(math.log(2.0), abs=0.02)
        assert vi.divergence(q, p, "alpha", 5000, alpha=-3.0, rng=0).value == math.inf


MIXTURES = {
    "A": vi.MeanFieldGaussian([1.0], [1.0]),
    "C": vi.GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], [[0.1], [0.5]]),
    "D": vi.GaussianMixture([0.1, 0.9], [[-1.0], [1.0]], [[0.1], [0.5]]),
}
# KL(q || p), KL(p || q) and Jensen-Shannon by adaptive quadrature (scipy.integrate.quad to 1e-12)
BETWEEN = [
    ("A", "D", 0.70819, 0.34375, 0.09203),
    ("D", "A", 0.34375, 0.70819, 0.09203),
    ("C", "D", 0.15321, 0.11607, 0.03235),
]


@pytest.mark.parametrize("q, p, reverse, forward, shannon", BETWEEN, ids=["A-D", "D-A", "C-D"])
def test_mixtures_on_either_side(q, p, reverse, forward, shannon):
    """Bounded weights with a plateau have an error too; 5 standard errors, twelve comparisons: a false alarm in 1e5."""
    q, p = MIXTURES[q], MIXTURES[p]
    for found, exact in [
        (vi.kl_divergence(q, p, 40_000, rng=0), reverse),
        (vi.divergence(q, p, "kl_reverse", 40_000, rng=1), reverse),
        (vi.divergence(q, p, "kl_forward", 40_000, rng=2), forward),
        (vi.divergence(q, p, "jensen_shannon", 40_000, rng=3), shannon),
    ]:
        assert abs(found.value - exact) < 5 * found.standard_error + 1e-5 and found.standard_error < 0.02
    assert vi.divergence(q, p, "hellinger", 40_000, rng=4).standard_error < 0.005


def test_a_mixture_as_q_takes_draws_until_the_error_is_there():
    found = vi.kl_divergence(MIXTURES["C"], MIXTURES["D"], 1000, atol=0.004, rng=0)
    assert found.converged and found.standard_error <= 0.004 < found.num_samples
    assert abs(found.value - 0.15321) < 5 * found.standard_error
    target = vi.Target(lambda z: -0.5 * z[0] ** 2 - 0.5 * math.log(2.0 * math.pi), 1, normalized=True)
    assert vi.kl_divergence(MIXTURES["C"], target, 1000, rng=0).standard_error > 0.0
    with pytest.raises(ValueError, match="q: a GaussianMixture is sampled on backend='cpu'"):
        vi.kl_divergence(MIXTURES["C"], MIXTURES["D"], backend="cuda")
