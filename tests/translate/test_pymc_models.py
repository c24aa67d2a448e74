"""PyMC models as source: values and gradients to 1e-10 of PyTensor's own Python, data, names, and what falls back."""

import warnings

import numpy as np
import pytest

import fastvi as vi
from fastvi.translate.known import Unsupported

pytestmark = [pytest.mark.pymc, pytest.mark.filterwarnings("ignore")]  # PyMC, PyTensor and ArviZ warn of each other
FIRST = (
    "schools_noncentered", "logistic_data", "radon", "negbin", "ordered_logistic", "normal_mixture", "zip_",
    "softmax_regression", "lkj_mvnormal", "gp_marginal", "garch_scan", "irt_2pl",
)  # fmt: skip
REST = (
    "schools_centered", "logistic", "logistic_p", "linear", "radon_nc_data", "poisson_offset", "student_t",
    "mixture_two", "zip_regression", "beta_binomial", "binomial_hier", "stoch_vol", "walk_noncentered", "ar2",
    "horseshoe", "softmax_p", "dirichlet_multinomial", "multinomial", "lkj_slopes", "gp_latent10", "hsgp",
    "weibull_censored", "normal_censored", "truncated_normal", "weibull_potential", "zerosum", "two_way", "neural_net",
    "spike_uniform", "rugby", "coal_marginal", "best", "prophet", "ordered_probit", "hurdle_nb",
    "censored_poisson_reg", "dp_mixture", "factor_marginal", "hmm_vector", "lotka_volterra_vector",
    "local_level_kalman", "icar_bym", "imputed_mv", "gp_matern32_ard", "hsgp_periodic", "von_mises",
)  # fmt: skip
# covariances of a condition of 1e6 or more; PyTensor's own derivative of betainc is good to 1e-7
ILL_CONDITIONED = {"gp_latent10": 1e-6, "gp_matern32_ard": 1e-6, "hurdle_nb": 1e-6}
AS_WRITTEN = {"hsgp_periodic"}  # fused by PyTensor's rewrites, its values are good to 1e-9
BAMBI = ("bambi_mixed", "bambi_logit", "bambi_spline")


@pytest.fixture(scope="module")
def pm():
    return pytest.importorskip("pymc")


def theirs(density, z, optimizer="fast_run"):
    """Values and gradients by the Ops' own Python, of PyTensor's C code none."""
    import pytensor

    (log_p,) = density.in_terms_of_x([density.log_p])
    mode = pytensor.compile.mode.Mode(linker="py", optimizer=optimizer)
    both = [log_p, pytensor.gradient.grad(log_p, density.x)]
    function = pytensor.function([density.x], both, mode=mode, on_unused_input="ignore")
    found = [function(row) for row in z]
    return np.array([v for v, _ in found]), np.array([g for _, g in found])


def agrees(target, z, tolerance=1e-10, optimizer="fast_run"):
    expected, slopes = theirs(target.density, z, optimizer)
    assert np.isfinite(expected).all()
    values, gradients = target.value_and_grad(z, num_threads=1)
    np.testing.assert_allclose(target.value(z, num_threads=1), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10)
    for found, slope in zip(gradients, slopes, strict=True):
        assert np.max(np.abs(found - slope) / np.maximum(np.abs(slope), np.mean(np.abs(slope)))) < tolerance


@pytest.mark.parametrize("name", [*FIRST, *(pytest.param(n, marks=pytest.mark.slow) for n in (*REST, *BAMBI))])
def test_values_and_gradients_are_pytensors(pm, name):
    if name in BAMBI:
        pytest.importorskip("bambi")
    from fastvi.bridges.pymc import from_model

    from pymc_zoo import ZOO

    target = from_model(ZOO[name]())
    assert target.density.refused == "" and target.source.startswith("def log_density(z")
    z = 0.5 * np.random.default_rng(0).normal(size=(3, target.dim))
    agrees(target, z, ILL_CONDITIONED.get(name, 1e-10), None if name in AS_WRITTEN else "fast_run")
    assert target.density.refused == "" and "vectorised" in target.explain()


def test_the_zoo_is_all_here(pm):
    from pymc_zoo import ZOO

    assert sorted(ZOO) == sorted((*FIRST, *REST, *BAMBI))


@pytest.mark.parametrize("seed", [*range(20), 1898, *(pytest.param(s, marks=pytest.mark.slow) for s in range(20, 100))])
def test_random_graphs(pm, seed):
    """In Python every one, compiled with its gradient each fifth; one that is too large is told so."""
    from graph_fuzz import DIM, translated

    try:
        found, function = translated(seed)
    except Unsupported as told:
        assert "operations, more than 800, which takes long to compile" in str(told)
        return
    z = np.random.default_rng(seed).normal(size=DIM)
    value, slope = function(z)
    with np.errstate(all="ignore"):
        assert found.function(z, *found.data()) == pytest.approx(float(value), rel=1e-10, abs=1e-10)
    if seed % 5 == 0:
        target = vi.Target(found.function, DIM, found.data())
        ours, gradient = target.value_and_grad(z)
        assert ours == pytest.approx(float(value), rel=1e-10, abs=1e-10)
        assert np.max(np.abs(gradient - slope)) < 1e-10 * max(1.0, np.max(np.abs(slope)))


def test_new_data_need_no_compiling(pm):
    from fastvi.bridges.pymc import from_model

    from pymc_zoo import ZOO

    model = ZOO["radon_nc_data"]()
    target = from_model(model)
    z = 0.3 * np.random.default_rng(1).normal(size=(2, target.dim))
    before, source, address = target.value(z), target.source, target.density.values().address
    rng = np.random.default_rng(9)
    with model:
        pm.set_data({"c": rng.integers(0, 85, 919), "x": rng.normal(size=919)})
    after = target.value(z)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, theirs(target.density, z)[0], rtol=1e-10)
    assert target.source == source and target.density.values().address == address


def test_data_of_another_shape_are_translated_again(pm):
    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        x = pm.Data("x", np.linspace(-1, 1, 40))
        slope, scale = pm.Normal("slope", 0, 1), pm.HalfNormal("scale", 1)
        pm.Normal("y", slope * x, scale, observed=pm.Data("seen", np.ones(40)))
    target = from_model(model)
    agrees(target, np.array([[0.2, 0.1]]))
    with model:
        pm.set_data({"x": np.linspace(0, 3, 55), "seen": np.zeros(55)})
    agrees(target, np.array([[0.2, 0.1]]))
    assert target.density.refused == ""


def test_names_and_spaces(pm):
    """Results by name need no PyMC: a saved fit has them too."""
    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 1)
        p, level = pm.Beta("p", 2, 2, shape=2), pm.Uniform("level", -1.0, 3.0)
        pm.Deterministic("both", mu + level)
        pm.Normal("y", mu + level + p.sum(), tau, observed=np.array([1.0, 2.0]))
    target = from_model(model)
    spaces = dict(mu=vi.real(), tau=vi.positive(), p=vi.unit(2), level=vi.interval(-1.0, 3.0))
    assert dict(target.parameters) == spaces
    z = np.array([0.3, -0.2, 0.5, -1.0, 0.7])
    found = target.constrain(z)
    assert set(found) == {*spaces, "both"}
    for name, value in target.parameters.constrain(z[None]).items():
        np.testing.assert_allclose(found[name], value[0], rtol=1e-12)
    assert "mu = z[0]" in target.source
    with pm.Model() as model:
        pm.Dirichlet("w", np.ones(3))
    assert from_model(model).parameters is None


def scan_with_until(pm, pt):
    import pytensor
    from pytensor.scan.utils import until

    def step(before, a):
        return before * a, until(before > 100.0)

    a = pm.Normal("a", 0, 1)
    steps, _ = pytensor.scan(step, outputs_info=pt.ones(()), non_sequences=[a], n_steps=5)
    pm.Potential("all", -(steps**2).sum())


def inverse(pm, pt):
    a = pm.Normal("a", 0, 1, shape=(3, 3))
    pm.Potential("b", -pt.linalg.inv(a @ a.T + pt.eye(3)).sum())


def index_by_z(pm, pt):
    a = pm.Normal("a", 0, 1)
    pm.Normal("y", pt.as_tensor(np.arange(3.0))[pt.cast(pt.clip(a, 0, 2), "int64")], 1, observed=0.5)


def large(pm, pt):
    a = pm.Normal("a", 0, 1, shape=(70, 70))
    pm.Potential("b", -pt.linalg.cholesky(a @ a.T + 70 * pt.eye(70)).sum())


def test_a_vector_within_a_step_is_not_the_steps(pm):
    """As long as there are steps: the two must not be taken for one another."""
    import pytensor
    import pytensor.tensor as pt

    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        w, u = pm.Normal("w", 0, 1, shape=12), pm.Normal("u", 0, 1, shape=12)
        steps, _ = pytensor.scan(
            lambda x, before, w: 0.5 * before + (w * x).sum(),
            sequences=[u],
            outputs_info=[pt.zeros(())],
            non_sequences=[w],
        )
        pm.Normal("y", steps, 1, observed=np.zeros(12))
    target = from_model(model)
    assert target.density.refused == ""
    agrees(target, 0.5 * np.random.default_rng(0).normal(size=(3, target.dim)))


@pytest.mark.parametrize(
    "build, why",
    [
        (scan_with_until, "the Op Scan with until"),
        (inverse, "the Op MatrixInverse"),
        (index_by_z, "a cast of z to an integer"),
        (large, "linear algebra of 70 rows, more than 64|would have to be unrolled|an array of shape"),
    ],
)
def test_what_falls_back_says_why(pm, build, why):
    import re

    import pytensor.tensor as pt

    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        build(pm, pt)
    density = from_model(model).density
    assert re.search(why, density.refused) and density.refused.endswith("is not translated")
    assert density.text is None


def test_a_model_that_falls_back_works_and_explains(pm):
    import pytensor.tensor as pt

    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        inverse(pm, pt)
    target = from_model(model)
    assert "one draw at a time: PyTensor's code, as the Op MatrixInverse is not translated" in target.explain()
    z = 0.3 * np.random.default_rng(0).normal(size=(2, 9))
    np.testing.assert_allclose(target.value(z), theirs(target.density, z)[0], rtol=1e-10)
    with pytest.raises(TypeError, match="translate: expected a bool"):
        from_model(model, translate="yes")


def test_a_wrong_translation_is_noticed(pm, monkeypatch):
    """The first value is compared with PyTensor's."""
    from fastvi.bridges import pytensor_scalars
    from fastvi.bridges.pymc import from_model

    monkeypatch.setitem(pytensor_scalars.NAMES, "Tanh", "sin")
    with pm.Model() as model:
        pm.Normal("y", pm.math.tanh(pm.Normal("a", 0, 1)), 1, observed=0.5)
    target = from_model(model)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = target.value([0.9])
    assert any("its translation gives" in str(w.message) for w in told)
    assert found == pytest.approx(theirs(target.density, np.array([[0.9]]))[0][0], rel=1e-10)
    assert "PyTensor's code, as its translation gives" in target.explain()
