"""Densities that are sums over rows, with a prior that counts once."""

import math
import pickle

import numpy as np
import pytest

import fastvi as vi
from fastvi.targets.rows import RowsDensity

ROWS, DIM = 1300, 3  # two blocks and a part of a third


def likelihood(z, X, y, width):
    eta = X @ z / width
    return np.sum(y * eta - np.logaddexp(0.0, eta))


def prior(z):
    return -0.5 * np.dot(z, z)


def whole(z, X, y, width):
    eta = X @ z / width
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.dot(z, z)


def grouped(a, sigma, group, x, y):
    total = 0.0
    for i in range(len(y)):
        total += vi.normal_logpdf(y[i], a[group[i]] * x[i], sigma)
    return total


def group_prior(a, tau, log_sigma):
    return np.sum(vi.normal_logpdf(a, 0.0, tau)) - tau - 0.5 * log_sigma**2


def grouped_whole(a, tau, sigma, log_sigma, group, x, y):
    total = np.sum(vi.normal_logpdf(a, 0.0, tau)) - tau - 0.5 * log_sigma**2
    for i in range(len(y)):
        total += vi.normal_logpdf(y[i], a[group[i]] * x[i], sigma)
    return total


def logistic(rows=ROWS):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, DIM))
    return X, (rng.random(rows) < 1.0 / (1.0 + np.exp(-X @ [1.0, -0.5, 0.2]))).astype(float), 1.5


@pytest.fixture(scope="module")
def pair():
    """A target by rows, and the same as a whole."""
    data = logistic()
    return vi.Target(likelihood, DIM, data, rows=(0, 1), log_prior=prior), vi.Target(whole, DIM, data)


@pytest.fixture(scope="module")
def named():
    rng = np.random.default_rng(2)
    data = rng.integers(0, 4, ROWS), rng.normal(size=ROWS), rng.normal(size=ROWS)
    spaces = dict(a=vi.real(4), tau=vi.positive(), sigma=vi.positive())
    by_rows = vi.Target(grouped, spaces, data, rows=(0, 1, 2), log_prior=group_prior)
    return by_rows, vi.Target(grouped_whole, spaces, data)


@pytest.mark.parametrize("which", ["pair", "named"])
def test_values_and_gradients_are_those_of_the_whole(request, which):
    by_rows, other = request.getfixturevalue(which)
    z = np.random.default_rng(3).normal(size=(70, by_rows.dim))
    value, slope = by_rows.value_and_grad(z)
    right, right_slope = other.value_and_grad(z)
    np.testing.assert_allclose(value, right, rtol=1e-12)
    np.testing.assert_allclose(slope, right_slope, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(value, by_rows.value(z, num_threads=1))
    assert by_rows.density.reference(z[0], 0) == pytest.approx(right[0], rel=1e-12)  # in Python
    q = vi.MeanFieldGaussian.standard(by_rows.dim)
    assert vi.elbo(by_rows, q, 400, rng=0).value == pytest.approx(vi.elbo(other, q, 400, rng=0).value, rel=1e-12)
    again = pickle.loads(pickle.dumps(by_rows))
    assert again.value(z[0]) == value[0] and again.density.fingerprint() == by_rows.density.fingerprint()


@pytest.mark.parametrize("which", ["pair", "named"])
def test_a_subset_counts_its_rows_for_more(request, which):
    by_rows, other = request.getfixturevalue(which)
    z, index = np.random.default_rng(4).normal(size=(5, by_rows.dim)), np.r_[7, 7, 900:1250]
    few = vi.Target.of(by_rows.density.subset(index, 3.0))
    cut = tuple(v[index] if np.ndim(v) else v for v in by_rows.data)
    density = RowsDensity(by_rows.density.make, cut, by_rows.density.rows, by_rows.density.prior.source)
    base = vi.Target.of(by_rows.density.subset(index[:1], 1e-300))  # the prior and log |J| alone
    expected = 3.0 * (vi.Target.of(density).value(z) - base.value(z)) + base.value(z)
    np.testing.assert_allclose(few.value(z), expected, rtol=1e-10)


def test_memory_does_not_grow_with_the_rows(pair, monkeypatch):
    """A gradient whose tape for all rows is refused: 260,000 rows leave a few numbers each of 256 bytes."""
    from fastvi.kernels.density import tape_memory

    monkeypatch.setattr(tape_memory, "MAX_BYTES", 2**24)
    monkeypatch.setattr(tape_memory._local, "buffer", np.empty(2**19), raising=False)
    data, z = logistic(260_000), np.full(DIM, 0.3)
    value, slope = vi.Target(likelihood, DIM, data, rows=(0, 1), log_prior=prior).value_and_grad(z)
    eta = data[0] @ z / data[2]
    np.testing.assert_allclose(value, np.sum(data[1] * eta - np.logaddexp(0.0, eta)) - 0.5 * z @ z, rtol=1e-12)
    np.testing.assert_allclose(slope, data[0].T @ (data[1] - 1 / (1 + np.exp(-eta))) / data[2] - z, rtol=1e-9)
    with pytest.raises(MemoryError, match="rows="):
        vi.Target(whole, DIM, data).value_and_grad(z)


def test_what_goes_wrong_in_a_late_block_is_told():
    data = logistic()
    data[1][ROWS - 1] = math.nan
    target = vi.Target(likelihood, DIM, data, rows=(0, 1), log_prior=prior)
    with pytest.raises(vi.NonFiniteError, match=r"data\[1\] has 1 NaN"):
        vi.elbo(target, vi.MeanFieldGaussian.standard(DIM), 100, rng=0)
    group = np.zeros(ROWS, int)
    group[-1] = 9
    spaces = dict(a=vi.real(4), tau=vi.positive(), sigma=vi.positive())
    target = vi.Target(grouped, spaces, (group, np.ones(ROWS), np.ones(ROWS)), rows=(0, 1, 2), log_prior=group_prior)
    with pytest.raises(IndexError, match=r"index 9 is out of bounds .* at draw 0, a = "):
        vi.elbo(target, vi.MeanFieldGaussian.standard(6), 100, rng=0)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(rows=(0, 3)), "expected numbers of the 3 items of data, got 3"),
        (dict(rows=(0, 2)), r"data\[2\] has no rows"),
        (dict(rows="both"), "expected numbers of items of data"),
        (dict(rows=(0, 0)), "expected different items"),
        (dict(rows=(0,), log_prior=3), "log_prior: expected a Python function"),
    ],
)
def test_bad_rows(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        vi.Target(likelihood, DIM, logistic(), **options)


def test_a_written_gradient_is_of_the_sum():
    def written(z, X, y, width, out):
        left = y - 1.0 / (1.0 + np.exp(-(X @ z) / width))
        for k in range(len(z)):
            out[k] = np.dot(X[:, k], left) / width

    options = dict(rows=(0, 1), log_prior=prior)
    target, z = vi.Target(likelihood, DIM, logistic(), gradient=written, **options), np.array([0.1, 0.2, -0.3])
    derived = vi.Target(likelihood, DIM, logistic(), **options)
    np.testing.assert_allclose(target.gradient(z), derived.gradient(z), rtol=1e-10)
    assert target.check_gradient(z).written_error < 1e-10


def test_a_parameter_of_neither_density():
    with pytest.raises(TypeError, match="nu is declared, but an argument of neither"):
        vi.Target(
            grouped,
            dict(a=vi.real(4), tau=vi.positive(), sigma=vi.positive(), nu=vi.real()),
            (np.zeros(5, int), np.ones(5), np.ones(5)),
            rows=(0, 1, 2),
            log_prior=group_prior,
        )


def test_a_fit_of_many_rows_starts_from_some(monkeypatch):
    """To the same q as from the whole, with a climb on some rows and none on all."""
    from fastvi.fitting import newton, subsample

    climbed, usual = [], newton.best_start

    def watched(draws, *more):
        climbed.append(draws.slopes.target.density.count)
        return usual(draws, *more)

    monkeypatch.setattr(subsample, "LEAST_ROWS", 1000)
    monkeypatch.setattr(subsample, "ROWS_A_DIMENSION", 1)
    data = logistic(20_000)
    other = vi.fit(vi.Target(whole, DIM, data), "mean_field", rng=0)
    monkeypatch.setattr(newton, "best_start", watched)
    found = vi.fit(vi.Target(likelihood, DIM, data, rows=(0, 1), log_prior=prior), "mean_field", rng=0)
    assert found.converged and climbed == [1000]
    np.testing.assert_allclose(found.q.mean, other.q.mean, atol=0.02 * other.q.stddev.min())
    np.testing.assert_allclose(found.q.stddev, other.q.stddev, rtol=0.01)
