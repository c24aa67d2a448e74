"""The families: densities against SciPy, parameters there and back, and arguments checked at the door."""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

import fastvi as vi
from fastvi.kernels.arithmetic import triangular
from fastvi.kernels.families import full_rank

LOC, SCALE = np.array([0.5, -1.0, 2.0]), np.array([0.3, 1.0, 4.0])
TRIL = np.array([[0.5, 0.0, 0.0], [-0.3, 1.5, 0.0], [2.0, 0.1, 0.2]])
FACTORS = np.array([[0.2, 0.1], [-0.5, 1.5], [2.0, 0.1]])
FAMILIES = [vi.MeanFieldGaussian(LOC, SCALE), vi.FullRankGaussian(LOC, TRIL), vi.LowRankGaussian(LOC, SCALE, FACTORS)]


@pytest.mark.parametrize("q", FAMILIES)
def test_density_entropy_and_moments_are_scipys(q):
    reference = stats.multivariate_normal(LOC, q.covariance)
    z = reference.rvs(20, random_state=1)
    np.testing.assert_allclose(q.log_prob(z), reference.logpdf(z), rtol=1e-10)
    assert isinstance(q.log_prob(z[0]), float) and q.log_prob(z[0]) == pytest.approx(reference.logpdf(z[0]))
    assert q.entropy() == pytest.approx(reference.entropy(), rel=1e-12)
    np.testing.assert_allclose(q.stddev**2, np.diag(q.covariance), rtol=1e-14)
    assert q.dim == 3 and np.array_equal(q.mean, LOC)


@pytest.mark.parametrize("q", FAMILIES)
def test_sample_moments(q):
    """Within 5 standard errors."""
    n = 200_000
    z = q.sample(n, rng=0)
    assert np.all(np.abs(z.mean(0) - LOC) < 5 * q.stddev / math.sqrt(n))
    outer = np.sqrt(np.outer(q.stddev**2, q.stddev**2) + q.covariance**2)
    assert np.all(np.abs(np.cov(z, rowvar=False) - q.covariance) < 5 * outer / math.sqrt(n))


@pytest.mark.parametrize("q", FAMILIES)
def test_parameters_there_and_back(q):
    again = q.with_parameters(q.parameters)
    np.testing.assert_allclose(again.covariance, q.covariance, rtol=1e-14)
    np.testing.assert_array_equal(again.loc, q.loc)


def test_parameter_order_is_the_contract():
    np.testing.assert_allclose(FAMILIES[0].parameters, [*LOC, *np.log(SCALE)])
    np.testing.assert_allclose(
        FAMILIES[1].parameters, [*LOC, math.log(0.5), -0.3, math.log(1.5), 2.0, 0.1, math.log(0.2)]
    )
    np.testing.assert_allclose(FAMILIES[2].parameters, [*LOC, *np.log(SCALE), 0.2, 0.1, -0.5, 1.5, 2.0, 0.1])


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 9, 33])
def test_full_rank_transform_for_any_dimension(dim):
    rng = np.random.default_rng(dim)
    tril = np.tril(rng.normal(size=(dim, dim)))
    np.fill_diagonal(tril, 0.5 + rng.random(dim))
    loc = rng.normal(size=dim)
    eps = vi.MeanFieldGaussian(np.zeros(dim), np.ones(dim)).sample(100, rng=2)
    z = vi.FullRankGaussian(loc, tril).sample(100, rng=2)
    np.testing.assert_allclose(z, loc + eps @ tril.T, rtol=0, atol=1e-13 * dim)


@pytest.mark.parametrize("size", [4, 8, 12])
def test_triangular_products_in_python(size):
    """The routines are ordinary functions: they run uncompiled too."""
    rng = np.random.default_rng(size)
    lower = np.tril(rng.normal(size=(size, size))) + 2 * np.eye(size)
    x, out, y = rng.normal(size=(size, 3)), np.empty((size, 3)), np.empty((size, 3))
    triangular.lower_times(lower, x, np.zeros(size), out)
    np.testing.assert_allclose(out, lower @ x, rtol=0, atol=1e-13)
    triangular.solve_transposed(-lower.T.copy(), lower, x, y)
    np.testing.assert_allclose(y, np.linalg.solve(lower.T, x), rtol=0, atol=1e-12)
    assert full_rank.rows(size - 3, lower.shape) == size


@pytest.mark.parametrize("q", FAMILIES)
def test_frozen_and_picklable(q):
    with pytest.raises(AttributeError, match="frozen"):
        q.loc = LOC
    with pytest.raises(ValueError):
        q.loc[0] = 1.0
    assert np.array_equal(pickle.loads(pickle.dumps(q)).parameters, q.parameters)
    own = LOC.copy()
    mine = vi.MeanFieldGaussian(own, SCALE)
    own[0] = 99.0
    assert mine.loc[0] == LOC[0]


NAN = float("nan")


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: vi.MeanFieldGaussian([0.0, 1.0], [1.0]),
            ValueError,
            r"scale: expected the shape of loc, \(2,\), got \(1,\)",
        ),
        (lambda: vi.MeanFieldGaussian([0.0], [0.0]), ValueError, "scale: expected positive values, got 0.0 at index 0"),
        (
            lambda: vi.MeanFieldGaussian([0.0, 0.0], [1.0, -2.0]),
            ValueError,
            "scale: expected positive.*-2.0 at index 1",
        ),
        (lambda: vi.MeanFieldGaussian([NAN], [1.0]), ValueError, "loc: expected finite values, got nan at index"),
        (lambda: vi.MeanFieldGaussian([0.0], [math.inf]), ValueError, "scale: expected finite"),
        (lambda: vi.MeanFieldGaussian(0.0, [1.0]), ValueError, "loc: expected 1 dimension"),
        (lambda: vi.MeanFieldGaussian([], []), ValueError, "loc: expected at least one element"),
        (lambda: vi.MeanFieldGaussian(["a"], [1.0]), TypeError, "loc: expected real numbers"),
        (lambda: vi.MeanFieldGaussian([1j], [1.0]), TypeError, "loc: expected real numbers, got dtype complex128"),
        (lambda: vi.MeanFieldGaussian(np.ma.array([1.0], mask=[True]), [1.0]), TypeError, "loc: a masked array"),
        (lambda: vi.FullRankGaussian([0.0], [[1.0, 0.0]]), ValueError, r"scale_tril: expected shape \(1, 1\)"),
        (
            lambda: vi.FullRankGaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]),
            ValueError,
            r"0.5 above the diagonal at \(0, 1\)",
        ),
        (
            lambda: vi.FullRankGaussian([0.0, 0.0], [[1.0, 0.0], [0.0, -1.0]]),
            ValueError,
            r"positive diagonal, got -1.0",
        ),
        (lambda: vi.FullRankGaussian([0.0], [[NAN]]), ValueError, "scale_tril: expected finite"),
        (lambda: vi.LowRankGaussian(LOC, -SCALE, FACTORS), ValueError, "scale: expected positive.*-0.3 at index 0"),
        (lambda: vi.LowRankGaussian(LOC, SCALE, LOC), ValueError, "factors: expected 2 dimensions"),
        (
            lambda: vi.LowRankGaussian(LOC, SCALE, FACTORS.T),
            ValueError,
            r"factors: expected shape \(3, rank\) with a rank of at most 3, got \(2, 3\)",
        ),
        (
            lambda: vi.LowRankGaussian(LOC, SCALE, 1e14 * FACTORS),
            ValueError,
            r"factors: expected factors of less than 1e\+12 times the scale, got 1.5e\+14 times",
        ),
        (lambda: FAMILIES[2].with_parameters([0.0]), ValueError, "vector: expected 12 parameters, got 1"),
        (lambda: FAMILIES[0].with_parameters([0.0]), ValueError, "vector: expected 6 parameters, got 1"),
        (
            lambda: FAMILIES[0].with_parameters([0, 0, 0, 0, 0, 800.0]),
            ValueError,
            "log scale of 800.0 leaves the range",
        ),
        (
            lambda: FAMILIES[0].with_parameters([0, 0, 0, 0, 0, -800.0]),
            ValueError,
            "log scale of -800.0 leaves the range",
        ),
        (lambda: FAMILIES[0].log_prob([1.0]), ValueError, r"z: expected shape \(3,\) or \(n, 3\)"),
        (lambda: FAMILIES[0].sample(0), ValueError, "num_samples: expected an int >= 1, got 0"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "loc",
    [
        [1, 2],
        np.array([1, 2], dtype=np.float32),
        np.array([1.0, 2.0], dtype=">f8"),
        np.array([1.0, 9.0, 2.0])[::2],
        (1.0, 2.0),
    ],
)
def test_any_real_array_will_do(loc):
    assert np.array_equal(vi.MeanFieldGaussian(loc, [1.0, 1.0]).loc, [1.0, 2.0])
