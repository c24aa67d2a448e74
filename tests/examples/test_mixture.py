"""The mixture of Gaussians: one bound by three ways, scikit-learn's among them, and a better one."""

import numpy as np
import pytest

from fastvi.__main__ import main
from fastvi.examples import mixture
from fastvi.examples.iris import iris


@pytest.fixture(scope="module")
def model():
    return mixture.Mixture(iris()[0])


@pytest.fixture(scope="module")
def by_species(model):
    """q(z) that knows the species, three clusters empty"""
    return np.eye(model.clusters)[iris()[1]]


def test_the_flowers_are_fishers():
    """Means of setosa from Fisher (1936), table II; sums of all from the means of R's iris"""
    X, species = iris()
    assert X.shape == (150, 4) and np.all(np.bincount(species) == 50)
    np.testing.assert_allclose(X[:50].mean(axis=0), [5.006, 3.428, 1.462, 0.246], rtol=0, atol=1e-9)
    np.testing.assert_allclose(X.sum(axis=0), [876.5, 458.6, 563.7, 179.9], rtol=0, atol=1e-9)


def test_bounds_of_scikit_learn(model, by_species):
    """``lower_bound_`` of scikit-learn 1.9.1's BayesianGaussianMixture(n_components=6, reg_covar=0,
    weight_concentration_prior_type="dirichlet_distribution", weight_concentration_prior=0.1) from the same q(z), after
    one iteration and at the end; it leaves out a constant"""
    once = model.globals_of(model.assignments_of(model.globals_of(by_species)))
    assert abs(once.bound - 332.87299952281865 + 675.5724098106) < 1e-8
    assert abs(model.ascended(by_species).bound - 336.6791056137402 + 675.5724098106) < 1e-8
    assert abs(model.constant + 675.5724098106) < 1e-9


def test_elbo_is_the_closed_form_and_summing_out_is_better(model, by_species):
    found = model.ascended(by_species)
    with_z = model.estimate(found, False, 2_000, 0, 1)
    assert abs(with_z.value - found.bound) < 1e-9 and with_z.standard_error < 1e-9  # q is exact given q(z)
    summed = model.estimate(found, True, 2_000, 0, 1)
    assert summed.value - 5 * summed.standard_error > found.bound
    elsewhere = found._replace(r=0.9 * found.r + 0.1 / model.clusters)  # q(z) that q(pi, mu, Lambda) is not best for
    loose = model.estimate(elsewhere, False, 20_000, 0, 1)
    assert loose.standard_error > 1e-3 and loose.value < found.bound


@pytest.mark.slow
def test_the_best_start_empties_four_components(capsys):
    """Another implementation's best of its own 30 random starts is -329.966648564 too"""
    best, second = mixture.solve(20_000, most=2)
    assert best.clusters == 2 and abs(best.found.bound + 329.966648564) < 1e-6 and second.starts > 10
    gain, error = best.summed.value - best.found.bound, best.summed.standard_error
    assert abs(gain - 0.152) < 5 * error + 1e-3  # 250,000 draws: 0.15202 ± 0.00060
    assert main(["examples", "mixture", "--num-samples", "4096"]) == 0
    assert "lower_bound_" in capsys.readouterr().out
