"""PyMC models as targets: PyMC's own log densities and gradients, its data, its results."""

import pickle
import threading

import numpy as np
import pytest

import fastvi as vi

from named_models import CASES

pytestmark = [
    pytest.mark.pymc,
    pytest.mark.filterwarnings("ignore"),  # PyMC, PyTensor and ArviZ warn of each other
]
EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


@pytest.fixture(scope="module")
def pm():
    return pytest.importorskip("pymc")


def schools(pm):
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        effect = pm.Data("effect", EFFECT, dims="school")
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
        z = pm.Normal("z", 0, 1, dims="school")
        theta = pm.Deterministic("theta", mu + tau * z, dims="school")
        pm.Normal("y", theta, ERROR, observed=effect, dims="school")
    return model


def logistic(pm, rows=1000, columns=10):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns))
    y = (rng.random(rows) < 1 / (1 + np.exp(-X @ np.linspace(-1, 1, columns)))).astype(int)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model


def correlations(pm):
    y = np.random.default_rng(1).standard_normal((30, 3))
    with pm.Model() as model:
        chol, *_ = pm.LKJCholeskyCov("chol", n=3, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        pm.MvNormal("y", mu=pm.Normal("mu", 0, 1, shape=3), chol=chol, observed=y)
    return model


def shares(pm):
    with pm.Model() as model:
        p = pm.Dirichlet("p", a=np.ones(4))
        pm.Multinomial("y", n=20, p=p, observed=np.array([4, 7, 3, 6]))
    return model


def counts(pm):
    rng = np.random.default_rng(2)
    with pm.Model() as model:
        mu, alpha = pm.StudentT("mu", nu=4, mu=0, sigma=2, shape=5), pm.Gamma("alpha", 2, 1)
        pm.NegativeBinomial("y", mu=pm.math.exp(mu), alpha=alpha, observed=rng.poisson(3.0, size=(20, 5)))
    return model


@pytest.fixture(scope="module")
def target_of_schools(pm):
    from fastvi.bridges.pymc import from_model

    return from_model(schools(pm))


@pytest.fixture(scope="module")
def fitted(target_of_schools):
    return vi.fit(target_of_schools, "mean_field", rng=1)


@pytest.mark.parametrize("build", [schools, logistic, correlations, shares, counts])
def test_log_densities_and_gradients_are_pymcs(pm, build):
    from fastvi.bridges.pymc import from_model

    model = build(pm)
    target = from_model(model)
    value, slope = (f(mode="FAST_COMPILE") for f in (model.compile_logp, model.compile_dlogp))
    z = 0.7 * np.random.default_rng(3).standard_normal((5, target.dim))
    values, gradients = target.value_and_grad(z)
    # PyTensor takes a minute to compile the matrices a second time
    found = values if build is correlations else target.value(z)
    for i, row in enumerate(z):
        point = target.density.layout.unravel(row)
        assert found[i] == pytest.approx(float(value(point)), rel=1e-10)
        np.testing.assert_allclose(gradients[i], slope(point), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(values, found, rtol=1e-13)


def test_any_number_of_threads_gives_the_same_bits(target_of_schools):
    q = vi.MeanFieldGaussian(np.zeros(10), np.full(10, 0.5))
    expected = vi.elbo(target_of_schools, q, 50_000, rng=0, num_threads=1)
    slopes = vi.elbo_gradient(target_of_schools, q, 20_000, estimator="pathwise", rng=0, num_threads=1).gradient
    found = []

    def call():
        found.append(vi.elbo(target_of_schools, q, 50_000, rng=0, num_threads=2))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    again = vi.elbo_gradient(target_of_schools, q, 20_000, estimator="pathwise", rng=0, num_threads=2).gradient
    assert np.array_equal(again, slopes)


def test_new_data_are_seen_and_do_not_recompile(pm):
    from fastvi.bridges.pymc import from_model

    model = logistic(pm, 50, 3)
    target, q = from_model(model), vi.MeanFieldGaussian(np.zeros(3), np.full(3, 0.4))
    first = vi.elbo(target, q, 1000, rng=0)
    compiled = dict(target.density.compilations)
    X = np.random.default_rng(5).standard_normal((50, 3))
    old, fitted = model["X"].get_value(), vi.fit(target, q, rng=0)
    pm.set_data({"X": X}, model=model)
    with pytest.raises(ValueError, match="target: the data of .* were set anew since this fit"):
        fitted.summary(weights=True)
    pm.set_data({"X": old}, model=model)
    assert fitted.diagnosis.verdict.startswith("good")
    pm.set_data({"X": X}, model=model)
    assert vi.elbo(target, q, 1000, rng=0) != first
    assert target.value(np.ones(3)) == pytest.approx(float(model.compile_logp()({"beta": np.ones(3)})), rel=1e-12)
    assert target.density.compilations == compiled


def test_data_that_change_the_dimensions_are_refused(pm):
    from fastvi.bridges.pymc import from_model

    with pm.Model(coords={"row": range(4)}) as model:
        y = pm.Data("y", np.zeros(4), dims="row")
        pm.Normal("seen", pm.Normal("mean", 0, 1, shape=y.shape), 1, observed=y, dims="row")
    target = from_model(model)
    target.value(np.zeros(4))
    pm.set_data({"y": np.zeros(5)}, model=model, coords={"row": range(5)})
    with pytest.raises(ValueError, match="changed the shape of free variables; call from_model anew"):
        target.value(np.zeros(4))


def test_what_has_no_density_here_is_refused_in_one_line(pm):
    from fastvi.bridges.pymc import from_approximation, from_model, to_approximation

    with pm.Model() as model:
        pm.Normal("y", pm.Poisson("k", 3), 1, observed=2.0)
    with pytest.raises(TypeError, match="model: the free variable k is discrete") as caught:
        from_model(model)
    assert "\n" not in str(caught.value)
    with pm.Model() as model:
        rows = pm.Minibatch(np.arange(100.0), batch_size=10)
        pm.Normal("y", pm.Normal("mu", 0, 1), 1, observed=rows, total_size=100)
    with pytest.raises(TypeError, match="random numbers .* as pm.Minibatch does") as caught:
        from_model(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="model: expected a pm.Model"):
        from_model(3)
    with pytest.raises(ValueError, match="no free variables"):
        from_model(pm.Model())
    plain = vi.Target(lambda z: -0.5 * z[0] ** 2, 1)
    with pytest.raises(TypeError, match="from_model, got Target"):
        to_approximation(vi.MeanFieldGaussian([0.0], [1.0]), plain)
    with pytest.raises(TypeError, match="from_model, got Target"):
        from_approximation(None, plain)


def test_what_pymc_raises_surfaces(pm):
    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        index = pm.Data("index", np.array([0, 1, 2, 0]))
        mu = pm.Normal("mu", 0, 1, shape=3)
        pm.Normal("y", mu[index], 1, observed=np.zeros(4))
    target = from_model(model)
    assert np.isfinite(target.value(np.zeros(3)))
    pm.set_data({"index": np.array([0, 1, 7, 0])}, model=model)
    with pytest.raises(IndexError, match="out of bounds"):
        target.value(np.zeros(3))


def test_a_density_of_zero_is_legal_and_nan_is_told(pm):
    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("cut", pm.math.switch(x > 3.0, -np.inf, 0.0))
        pm.Potential("hole", pm.math.switch(x < -3.0, np.nan, 0.0))
    target = from_model(model)
    assert target.value([4.0]) == -np.inf
    assert vi.elbo(target, vi.MeanFieldGaussian([2.0], [0.8]), 1000, rng=0).value == -np.inf
    with pytest.raises(vi.NonFiniteError, match="at draw"):
        vi.elbo(target, vi.MeanFieldGaussian([-2.0], [0.8]), 1000, rng=0)


def test_it_is_the_posterior_that_was_written_down(target_of_schools):
    """The same model by hand: half-Cauchy on tau with the Jacobian of its logarithm."""

    def by_hand(z, effect, error):
        mu, log_tau, theta = z[0], z[1], z[2:]
        tau = np.exp(log_tau)
        total = -0.5 * (mu / 5) ** 2 - np.log(5) - 4.5 * np.log(2 * np.pi)
        total += np.log(2 / np.pi / 5) - np.log1p((tau / 5) ** 2) + log_tau - 0.5 * np.sum(theta**2)
        away = (effect - mu - tau * theta) / error
        return total - 0.5 * np.sum(away**2) - np.sum(np.log(error)) - 4 * np.log(2 * np.pi)

    q = vi.MeanFieldGaussian(np.full(10, 0.2), np.full(10, 0.6))
    names = target_of_schools.density.layout.names
    assert names == ["mu", "tau_log__", "z"]
    own = vi.Target(by_hand, 10, (EFFECT, ERROR))
    found, expected = (vi.elbo(t, q, 20_000, estimator="plain", rng=3) for t in (target_of_schools, own))
    assert found.value == pytest.approx(expected.value, abs=1e-7)  # PyTensor takes log(2) of an int8 in float32
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)


def test_results_go_to_arviz(fitted):
    az = pytest.importorskip("arviz")
    data = fitted.to_arviz(4000)
    posterior = data["posterior"]
    assert set(posterior.data_vars) == {"mu", "tau", "z", "theta"}
    assert posterior["theta"].dims == ("chain", "draw", "school") and list(posterior["school"].values) == list(
        "ABCDEFGH"
    )
    assert set(data["unconstrained_posterior"].data_vars) == {"tau_log__"}
    mu, tau, z = (posterior[name].values for name in ("mu", "tau", "z"))
    np.testing.assert_allclose(posterior["theta"].values, mu[..., None] + tau[..., None] * z, atol=1e-12)
    np.testing.assert_allclose(np.log(tau), data["unconstrained_posterior"]["tau_log__"].values, rtol=1e-10)
    np.testing.assert_array_equal(data["observed_data"]["y"].values, EFFECT)
    stats = data["sample_stats"]
    np.testing.assert_allclose(stats["lp"] - stats["log_q"], stats["log_w"], rtol=1e-12)
    assert float(np.mean(stats["log_w"])) == pytest.approx(fitted.elbo.value, abs=5 * 1.5 / np.sqrt(4000))
    assert 0.3 < stats.attrs["pareto_khat"] < 0.9 and stats.attrs["inference_library"] == "fastvi"
    summary = az.summary(data, var_names=["mu", "theta"])
    assert len(summary) == 9
    np.testing.assert_array_equal(fitted.to_arviz(4000)["posterior"]["mu"].values, mu)


def test_tables_and_starts_have_the_models_names(pm, target_of_schools, fitted):
    """The numbers of a table are ArviZ's own of the same draws, but for the error of the mean, which it estimates."""
    az = pytest.importorskip("arviz")
    table = fitted.summary(2000, names=["mu", "theta"])
    assert table.index == ["mu", *(f"theta[{school}]" for school in "ABCDEFGH")]
    theirs = az.summary(fitted.to_arviz(2000), var_names=["mu", "theta"], round_to="none")
    np.testing.assert_allclose(table.columns["mean"], np.asarray(theirs["mean"], float), rtol=1e-9)
    np.testing.assert_allclose(table.columns["sd"], np.asarray(theirs["sd"], float), rtol=1e-9)
    values = dict(mu=1.0, tau=2.0, z=np.arange(8.0))
    np.testing.assert_allclose(target_of_schools.unconstrain(values), [1.0, np.log(2.0), *range(8)], rtol=1e-14)
    z = target_of_schools.start({"tau": 2.0})
    found = target_of_schools.constrain(z)
    assert np.isclose(found["tau"], 2.0) and found["mu"] == 0.0 and "theta" in found
    with pytest.raises(ValueError, match="start: expected mu, tau, z; theta is no free variable"):
        target_of_schools.start({"theta": np.zeros(8)})
    with pytest.raises(ValueError, match=r"start\['z'\]: expected shape \(8,\), got \(\)"):
        target_of_schools.start({"z": 1.0})
    with pytest.raises(ValueError, match=r"start\['tau'\]: expected a value of its support, got -1.0"):
        target_of_schools.start({"tau": -1.0})


def test_named_parameters_go_to_arviz():
    """Radon in 85 counties, as named parameters: a table with coords, and ArviZ's numbers of the same draws."""
    az = pytest.importorskip("arviz")
    case, counties = CASES["radon"], [f"county {k}" for k in range(85)]
    found = vi.fit(vi.Target(case.named, case.parameters, case.data), "mean_field", rng=0)
    data = found.to_arviz(3000, coords={"county": counties}, dims={"eta": ["county"]})
    assert data["posterior"]["eta"].dims == ("chain", "draw", "county")
    assert set(data["unconstrained_posterior"].data_vars) == set(case.parameters)
    theirs = az.summary(data, round_to="none")
    table = found.summary(3000, coords={"eta": counties})
    assert table.index == list(theirs.index)
    np.testing.assert_allclose(table.columns["mean"], np.asarray(theirs["mean"], float), rtol=1e-9)
    np.testing.assert_allclose(table.columns["sd"], np.asarray(theirs["sd"], float), rtol=1e-9)


def test_results_are_pymcs_own(pm, fitted):
    approximation = fitted.to_pymc()
    assert isinstance(approximation, pm.MeanField)
    draws = approximation.sample(20_000, random_seed=1)
    draws = draws["posterior"] if hasattr(draws, "posterior") or not hasattr(draws, "get_values") else draws
    for name, place in (("mu", 0), ("z", slice(2, 10))):
        values = draws[name].values.reshape(20_000, -1)
        assert (np.abs(values.mean(0) - fitted.q.loc[place]) < 5 * values.std(0) / np.sqrt(20_000)).all()
    assert len(approximation.hist) == len(fitted.history)


def test_approximations_come_and_go(pm, target_of_schools):
    from fastvi.bridges.pymc import from_approximation, to_approximation

    rng = np.random.default_rng(0)
    tril = np.tril(0.1 * rng.standard_normal((10, 10)), -1) + np.diag(0.5 + rng.random(10))
    for q in (vi.MeanFieldGaussian(rng.random(10), 0.2 + rng.random(10)), vi.FullRankGaussian(rng.random(10), tril)):
        back = from_approximation(to_approximation(q, target_of_schools), target_of_schools)
        np.testing.assert_allclose(back.loc, q.loc, rtol=1e-12)
        np.testing.assert_allclose(back.covariance, q.covariance, rtol=1e-9, atol=1e-12)
    other = pm.MeanField(model=shares(pm))
    with pytest.raises(ValueError, match="approximation: it is of"):
        from_approximation(other, target_of_schools)
    with pytest.raises(TypeError, match="expected a pm.MeanField or pm.FullRank, got 'Empirical'"):
        from_approximation(pm.Empirical(size=10, model=target_of_schools.density.model), target_of_schools)


def test_pm_fit_is_diagnosed_and_agrees(pm):
    """Both are stopped by noise: theirs is that of Adam on 20 draws a step."""
    from fastvi.bridges.pymc import from_approximation, from_model

    model = logistic(pm)
    target = from_model(model)
    own = vi.fit(target, "mean_field", rng=0)
    options = dict(obj_optimizer=pm.adam(learning_rate=0.01), obj_n_mc=20, progressbar=False, random_seed=2)
    with model:
        theirs = pm.fit(3000, method="advi", **options)
    q = from_approximation(theirs, target)
    assert (np.abs(q.loc - own.q.loc) < 0.3 * own.q.scale).all()
    np.testing.assert_allclose(q.scale, own.q.scale, rtol=0.2)
    better = vi.compare(target, own.q, q, rng=1)
    assert better.value > -5 * better.standard_error - 1e-3
    found = vi.diagnose(target, q, 20_000, rng=0)
    assert found.khat < 0.7 and abs(found.elbo.value - own.elbo.value) < 0.5


def test_it_travels_and_results_do(target_of_schools, fitted):
    import cloudpickle

    there = pickle.loads(cloudpickle.dumps(target_of_schools))
    assert there.value(np.full(10, 0.1)) == target_of_schools.value(np.full(10, 0.1))
    result = pickle.loads(pickle.dumps(fitted))
    assert result.elbo.value == fitted.elbo.value and result.target is None
    with pytest.raises(ValueError, match="pass target="):
        result.to_arviz(10)
    assert result.to_arviz(10, target=target_of_schools)["posterior"]["mu"].shape == (1, 10)
