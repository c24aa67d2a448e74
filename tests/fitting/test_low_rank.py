"""Low-rank fits: exact where the posterior is of the family, between mean-field and full-rank elsewhere."""

import numpy as np
import pytest

import fastvi as vi
from fastvi.execution.threads import Threads
from fastvi.fitting.low_rank import widest
from fastvi.fitting.matched_draws import matched_draws
from fastvi.fitting.slopes import Slopes
from fastvi.rng import key_from

from oracles import fitted_posterior

RNG = np.random.default_rng(0)
FACTORED = vi.LowRankGaussian(RNG.normal(size=90), RNG.uniform(0.5, 2.0, 90), RNG.normal(size=(90, 3)))


@pytest.mark.slow
def test_a_gaussian_with_factors_is_found():
    """Of 90 dimensions and three factors: log Z is 0, and a mean-field q is far from it."""
    found = vi.fit(FACTORED.target, "low_rank", rng=0)
    assert found.converged and found.method == "lbfgs" and found.q.rank == 3
    assert abs(found.elbo.value) < 0.018 + 5 * found.elbo.standard_error
    short = vi.kl_divergence(found.q, FACTORED)
    assert short.value < 0.018 and vi.fit(FACTORED.target, "mean_field", rng=0).elbo.value < -5.0
    assert found.natural_gradient.shape == (90,) and np.max(np.abs(found.natural_gradient)) < 0.1


@pytest.mark.parametrize("dim", [30, 90])
def test_lanczos_finds_the_directions(dim):
    """Written out, or by products alone; the eigenvalues of A in units of the mean-field optimum are known."""
    q = vi.LowRankGaussian(FACTORED.loc[:dim], FACTORED.scale[:dim], FACTORED.factors[:dim])
    precision = np.linalg.inv(q.covariance)
    best = vi.MeanFieldGaussian(q.loc, np.diag(precision) ** -0.5)
    values, vectors = np.linalg.eigh(precision * np.outer(best.scale, best.scale))
    eps = matched_draws(key_from(0), 0, 64, dim, covariance=False)
    found, directions = widest(Slopes(q.target, Threads(1), 10**9, True), best, eps, 3, key_from(1))
    np.testing.assert_allclose(found, values[:3], rtol=1e-3)
    assert np.all(np.linalg.norm(vectors[:, :3].T @ directions, axis=0) > 0.999)


@pytest.mark.parametrize("name", ["arK-arK", "kidiq-kidscore_momiq"])
def test_it_is_as_good_as_full_rank_where_few_directions_matter(name):
    """Within twice the tolerance and five errors, of 7 and 3 dimensions."""
    target, record, best = fitted_posterior(name)
    found = vi.fit(target, "low_rank", rng=2)
    assert found.converged and found.elbo.value > record["mf"]["elbo"] + 0.5
    short = vi.compare(target, best["full_rank"], found.q, 20_000, rng=3)
    assert short.value < 0.004 + 5 * short.standard_error
    assert np.max(np.abs(np.log(found.q.stddev / best["full_rank"].stddev))) < 0.05


def test_a_start_with_factors_is_gone_on_from():
    start = vi.LowRankGaussian(FACTORED.loc + 0.5, FACTORED.scale, 0.5 * FACTORED.factors + 0.1)
    found = vi.fit(FACTORED.target, start, rng=0)
    assert found.converged and vi.kl_divergence(found.q, FACTORED).value < 0.018
    fewer = vi.fit(FACTORED.target, vi.LowRankGaussian(np.zeros(90), np.ones(90), np.zeros((90, 2))), rng=0)
    assert fewer.converged and fewer.q.rank == 2 and fewer.elbo.value < found.elbo.value - 1.0


def test_it_starts_from_what_the_others_start_from():
    target, _, best = fitted_posterior("arK-arK")
    for start in ("laplace", best["mean_field"], best["full_rank"].loc):
        found = vi.fit(target, "low_rank", start=start, rng=1)
        assert found.converged and vi.compare(target, best["full_rank"], found.q, 20_000, rng=3).value < 0.005


@pytest.mark.slow
def test_bits_and_checkpoints(tmp_path):
    """Across threads, and resumed in the mean-field part and after it."""
    target, _, _ = fitted_posterior("arK-arK")
    whole = vi.fit(target, "low_rank", rng=5, num_threads=1)
    assert np.array_equal(vi.fit(target, "low_rank", rng=5, num_threads=2).q.parameters, whole.q.parameters)
    for rounds in (1, len(whole.history) - 1):
        path = tmp_path / f"{rounds}.npz"
        vi.fit(target, "low_rank", rng=5, checkpoint=path, max_rounds=rounds)
        resumed = vi.fit(target, "low_rank", checkpoint=path)
        assert np.array_equal(resumed.q.parameters, whole.q.parameters) and resumed.elbo.value == whole.elbo.value


def test_one_dimension_and_what_does_not_fit_it():
    target = vi.Target(lambda z: -0.5 * (z[0] - 1.0) ** 2 - 0.1 * z[0] ** 4, 1)
    found, narrow = (vi.fit(target, family, rng=0) for family in ("low_rank", "mean_field"))
    assert found.converged and found.q.mean == pytest.approx(narrow.q.mean, abs=0.02)
    assert found.q.stddev == pytest.approx(narrow.q.stddev, rel=0.02)
    with pytest.raises(ValueError, match="method: 'newton' does not fit low_rank approximations; use one of 'lbfgs'"):
        vi.fit(target, "low_rank", method="newton")
