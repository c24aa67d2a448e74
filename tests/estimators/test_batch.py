"""Batches of local q's against the same sums in NumPy, draw by draw, and PPCA's exact likelihood."""

import numpy as np
import pytest

import fastvi as vi
from fastvi.targets import local

import naive

PIXELS, DIM = 6, 2


def decoder(z, x, W, b):
    r = b + W @ z
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


def other_order(z, W, x, b):
    r = b + W @ z
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


def data_of(number, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.random((number, PIXELS)) < 0.5).astype(float)
    loc, scale = rng.normal(size=(number, DIM)), 0.3 + rng.random((number, DIM))
    return X, rng.normal(size=(PIXELS, DIM)), rng.normal(size=PIXELS), loc, scale, rng.random(number)


@pytest.fixture(scope="module")
def target():
    return vi.Target(decoder, DIM, data_of(1)[:3])


def naive_batch(X, W, b, loc, scale, weights, draws, key):
    """(log w (N, S), gradients by loc and log scale, gradients by W and b of each draw)"""
    log_w, by_loc, by_scale = np.empty((len(X), draws)), np.zeros_like(loc), np.ones_like(loc)
    by_W, by_b = np.zeros((draws, *W.shape)), np.zeros((draws, len(b)))
    for n in range(len(X)):
        for s in range(draws):
            eps = np.array(naive.normal_pair(s << 32 | n, 0, key))
            z = loc[n] + scale[n] * eps
            left = X[n] - 1.0 / (1.0 + np.exp(-(b + W @ z)))
            slope = W.T @ left - z
            log_q = -0.5 * eps @ eps - np.log(scale[n]).sum() - 0.5 * DIM * np.log(2 * np.pi)
            log_w[n, s] = decoder(z, X[n], W, b) - log_q
            by_loc[n] += slope / draws
            by_scale[n] += slope * scale[n] * eps / draws
            by_W[s] += weights[n] * np.outer(left, z)
            by_b[s] += weights[n] * left
    return log_w, by_loc, by_scale, by_W, by_b


@pytest.mark.parametrize("number, draws", [(1, 40), (5, 7), (40, 3), (600, 1)])
def test_the_same_as_numpy(target, number, draws):
    """Groups of one row at several draws, of several rows and draws, parts of a group, and two chunks."""
    X, W, b, loc, scale, weights = data_of(number)
    found = vi.elbo_batch(
        target, loc, scale, draws, parameters=(1, 2), data=(X, W, b), weights=weights, rng=5, num_threads=2
    )
    log_w, by_loc, by_scale, by_W, by_b = naive_batch(X, W, b, loc, scale, weights, draws, found.key.word)
    np.testing.assert_allclose(found.value, log_w.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.loc_gradient, by_loc, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.log_scale_gradient, by_scale, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.parameter_gradients[0], by_W.mean(axis=0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.parameter_gradients[1], by_b.mean(axis=0), rtol=1e-10, atol=1e-10)
    if draws == 1:
        assert np.isnan(found.standard_error).all() and np.isnan(found.parameter_errors[1]).all()
        return
    np.testing.assert_allclose(found.standard_error, log_w.std(axis=1, ddof=1) / np.sqrt(draws), rtol=1e-9)
    if number <= 32:  # rows of other groups are independent, and their variances added
        np.testing.assert_allclose(found.parameter_errors[1], by_b.std(axis=0, ddof=1) / np.sqrt(draws), rtol=1e-9)


def net(z, x, V, W):
    r = W @ np.tanh(z @ V)
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


def with_prior(z, x, V, W):
    r = W @ np.tanh(z @ V)
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z) - 0.1 * np.sum(W * W)


@pytest.mark.parametrize("function, summed", [(net, (1, 2)), (with_prior, ())])
def test_matrices_are_summed_over_lanes_where_they_only_multiply(monkeypatch, function, summed):
    """To the same numbers as with lanes for every entry; a row whose weight is 0 may be anything."""
    X, _, _, loc, scale, weights = data_of(40)
    rng = np.random.default_rng(1)
    data = X, rng.normal(size=(DIM, 9)), rng.normal(size=(PIXELS, 9))
    weights[[3, 20]], loc[20] = 0.0, 1e200
    options = dict(parameters=(1, 2), data=data, weights=weights, rng=2, num_threads=1)
    target = vi.Target(function, DIM, data)
    found = vi.elbo_batch(target, loc, scale, 4, **options)
    assert local.local_density(target, (0,), (1, 2), data, 40).summed == summed
    monkeypatch.setattr(local, "ENOUGH_ROWS", 10**9)
    by_coordinates = vi.elbo_batch(target, loc, scale, 4, **options)
    np.testing.assert_allclose(found.value, by_coordinates.value, rtol=1e-14)
    for name in ("parameter_gradients", "parameter_errors"):
        for one, other in zip(getattr(found, name), getattr(by_coordinates, name), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_rows_do_not_depend_on_their_company(target):
    X, W, b, loc, scale, _ = data_of(70)
    many = vi.elbo_batch(target, loc, scale, 4, data=(X, W, b), rng=1)
    again = vi.elbo_batch(target, loc, scale, 4, data=(X, W, b), rng=many.key, num_threads=1)
    few = vi.elbo_batch(target, loc[:3], scale[:3], 4, data=(X[:3], W, b), rng=1)
    np.testing.assert_array_equal(many.value, again.value)
    np.testing.assert_allclose(few.value, many.value[:3], rtol=1e-13)
    assert many.parameter_gradients == () and "70 rows, 4 draws each" in repr(many)


def test_rows_stand_where_they_stand(target):
    X, W, b, loc, scale, _ = data_of(9)
    other = vi.Target(other_order, DIM, (W, X, b))
    one = vi.elbo_batch(other, loc, scale, 4, rows=(1,), rng=1)
    np.testing.assert_allclose(one.value, vi.elbo_batch(target, loc, scale, 4, data=(X, W, b), rng=1).value, rtol=1e-13)


def local_rate(rate, log_rate, counts, exposure):
    """A gamma prior and Poisson counts: log p(counts) is known."""
    total = vi.gamma_logpdf(rate, 2.0, 1.0)
    for i in range(len(counts)):
        total += vi.poisson_log_logpdf(counts[i], log_rate + np.log(exposure))
    return total


def test_named_locals_and_their_evidence():
    """Gamma-Poisson rows: the ELBO is below the exact log p(counts), and near it at q's optimum."""
    from scipy.special import gammaln

    counts, exposure = np.array([[3, 1, 4], [0, 0, 1], [9, 7, 8]]), 1.5
    target = vi.Target(local_rate, {"rate": vi.positive()}, (counts, exposure))
    total = counts.sum(axis=1)
    shape, rate = 2.0 + total, 1.0 + 3 * exposure
    evidence = gammaln(shape) - gammaln(2.0) - shape * np.log(rate) + total * np.log(exposure)
    evidence -= gammaln(counts + 1.0).sum(axis=1)
    scale = 1.0 / np.sqrt(shape)[:, None]  # the Laplace approximation of log rate
    loc = np.log(shape / rate)[:, None] - 0.5 * scale**2
    found = vi.elbo_batch(target, loc, scale, 20_000, rng=0)
    gap = evidence - found.value
    assert np.all(gap > -5.0 * found.standard_error)
    assert np.all(gap < 0.15 / shape)  # of a log gamma about 1 / (12 shape)
    assert np.all(np.abs(found.loc_gradient) < 0.2)


def by_index(z, k, table):
    return table[int(k)] * z[0] - 0.5 * z[0] ** 2


def test_rows_may_be_an_index():
    """By hand: with eps for z, log p = table[k] eps - eps²/2 and d log p / d table[k] = eps."""
    k, table = np.array([0, 2, 1, 2, 2]), np.array([0.5, 1.0, -2.0])
    target = vi.Target(by_index, 1, (k, table))
    found = vi.elbo_batch(target, np.zeros((5, 1)), np.ones((5, 1)), 3, parameters=(1,), rng=0)
    eps = np.array([[naive.normal_pair(s << 32 | n, 0, found.key.word)[0] for s in range(3)] for n in range(5)])
    np.testing.assert_allclose(found.value, table[k] * eps.mean(axis=1) + 0.5 * np.log(2 * np.pi), atol=1e-12)
    expected = [eps.mean(axis=1)[k == entry].sum() for entry in range(3)]
    np.testing.assert_allclose(found.parameter_gradients[0], expected, atol=1e-12)


def test_bad_input(target):
    X, W, b, loc, scale, _ = data_of(4)
    for change, message in (
        (dict(loc=loc[:, :1]), r"loc: expected shape \(4, 2\)"),
        (dict(scale=-scale), "scale: expected numbers > 0"),
        (dict(data=(X[:2], W, b)), r"expected 4 rows, as loc has, but data\[0\] has 2"),
        (dict(rows=(7,)), "rows: expected numbers of the 3 items"),
        (dict(parameters=(0,)), r"data\[0\] has rows, so it is no parameter"),
        (dict(data=(X, W)), "data: expected a tuple of 3 items"),
        (dict(weights=np.ones(3)), r"weights: expected shape \(4,\)"),
    ):
        given = dict(loc=loc, scale=scale, num_samples=2, data=(X, W, b)) | change
        with pytest.raises((ValueError, TypeError), match=message):
            vi.elbo_batch(target, given.pop("loc"), given.pop("scale"), given.pop("num_samples"), **given)
    X[2, 3] = np.nan
    with pytest.raises(vi.NonFiniteError, match=r"1 of 4 rows, first of row 2, .*; data\[0\] has 1 NaN"):
        vi.elbo_batch(target, loc, scale, 2, data=(X, W, b))
    with pytest.raises(ValueError, match="takes a Python function"):
        vi.elbo_batch(vi.Target.from_batched(lambda z: -z[:, 0], 1), np.zeros((1, 1)), np.ones((1, 1)))
