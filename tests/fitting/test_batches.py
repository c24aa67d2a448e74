"""Objectives over batches of rows: unbiased, with honest errors, and near the anchor as sharp as all rows."""

import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.random.rows import rows_at

import naive

ROWS, DIM, DRAWS = 10_000, 4, 8


def likelihood(z, X, y):
    r = y - X @ z
    return -0.5 * np.dot(r, r)


def prior(z):
    return -0.5 * np.dot(z, z)


@pytest.fixture(scope="module")
def regression():
    """A linear regression, q 2 deviations beside its posterior, and the exact gradient of the ELBO there."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(ROWS), rng.normal(size=(ROWS, DIM - 1))])
    y = X @ [1.0, -2.0, 0.5, 0.0] + rng.standard_t(4, size=ROWS)
    target = vi.Target(likelihood, DIM, (X, y), rows=(0, 1), log_prior=prior)
    precision = X.T @ X + np.eye(DIM)
    scale = 1.0 / np.sqrt(np.diag(precision))
    loc = np.linalg.solve(precision, X.T @ y) + 2.0 * scale
    exact = np.concatenate([X.T @ y - precision @ loc, 1.0 - np.diag(precision) * scale**2])
    return target, vi.MeanFieldGaussian(loc, scale), exact


def test_rows_are_philox_words():
    """Against the words of the generator in plain Python, and all rows about equally often."""
    key, stream, count = 0x123456789ABCDEF0, 3, 1000
    found = rows_at(key, stream, 5, count, 2)
    for place, row in enumerate(found, 5):
        words = naive.philox4x32((place, 0, 0, stream), (key & 0xFFFFFFFF, key >> 32))
        assert row == int(((int(words[0]) | int(words[1]) << 32) >> 11) * 2.0**-53 * count)
    hits = np.bincount(rows_at(key, stream, 0, count, 400_000), minlength=count)
    assert np.sum((hits - 400) ** 2 / 400) < 1250  # chi-squared with 999 degrees of freedom: once in 10^7


def test_batches_are_unbiased_and_their_errors_honest(regression):
    """60 estimates of 16 steps each: their mean within 5 errors, and their errors right to a tenth, which a wrong one
    of 1.2 would miss (the mean square of 480 t-values has a deviation of 0.08; false alarms below 10^-3)."""
    target, q, exact = regression
    found = [vi.Objective(target, q, DRAWS, batch_size=500, rng=seed).estimate(q.parameters) for seed in range(60)]
    errors = np.array([f.gradient - exact for f in found])
    assert np.all(np.abs(errors.mean(axis=0)) < 5.0 * errors.std(axis=0) / np.sqrt(len(found)))
    t = errors / np.array([f.standard_error for f in found])
    assert 0.75 < np.mean(t**2) / (15.0 / 13.0) < 1.3
    value = np.array([f.elbo.value for f in found])
    right = vi.elbo(target, q, 20_000, rng=1)
    assert abs(value.mean() - right.value) < 5.0 * value.std() / np.sqrt(len(found)) + 5.0 * right.standard_error


def test_a_batch_says_what_all_rows_say(regression):
    """At the anchor the noise of the rows is gone to first order; without the line it is 9 times that of the draws."""
    target, q, _ = regression
    batch, whole = (vi.Objective(target, q, DRAWS, batch_size=size, rng=2) for size in (500, None))

    def deviation(objective):
        slopes = [objective.value_and_grad(q.parameters, step=step)[1][:DIM] for step in range(150)]
        return np.sqrt(np.mean(np.var(slopes, axis=0) * q.scale**2))

    assert deviation(batch) < 1.25 * deviation(whole)
    batch.batches.anchor = q.loc, *target.value_and_grad(q.loc)
    plain = [
        vi.Target.of(batch.batches.density.subset(np.random.default_rng(k).integers(0, ROWS, 500), ROWS / 500))
        for k in range(50)
    ]
    slopes = [t.gradient(q.loc) for t in plain]
    assert np.sqrt(np.mean(np.var(slopes, axis=0) * q.scale**2)) > 3.0 * deviation(whole)


def test_the_anchor_follows_the_mean(regression):
    target, q, _ = regression
    objective = vi.Objective(target, q, DRAWS, batch_size=100, rng=3)
    objective.value_and_grad(q.parameters, step=0)
    first = objective.batches.anchor[0]
    near, far = (q.with_parameters(q.parameters + np.r_[a * q.scale, np.zeros(DIM)]) for a in (4.0, 6.0))
    objective.value_and_grad(near.parameters, step=1)
    assert objective.batches.anchor[0] is first
    objective.value_and_grad(far.parameters, step=2)
    np.testing.assert_array_equal(objective.batches.anchor[0], far.loc)
    objective.refresh(q.parameters)
    np.testing.assert_array_equal(objective.batches.anchor[0], q.loc)


def test_steps_repeat_and_need_a_number(regression):
    target, q, _ = regression
    objective = vi.Objective(target, q, DRAWS, batch_size=100, rng=4)
    one, again = (objective.value_and_grad(q.parameters, step=7) for _ in range(2))
    assert one[0] == again[0] and np.array_equal(one[1], again[1])
    with pytest.raises(ValueError, match="step: batch_size= takes fresh rows"):
        objective.value_and_grad(q.parameters)
    with pytest.raises(ValueError, match=r"batch_size: likelihood does not say .* rows="):
        vi.Objective(vi.Target(likelihood, DIM, target.data), q, batch_size=10)
    with pytest.raises(ValueError, match="at most the 10000 rows"):
        vi.Objective(target, q, batch_size=10_001)
    with pytest.raises(ValueError, match="estimator='pathwise'"):
        vi.Objective(target, q, batch_size=10, estimator="bank")
