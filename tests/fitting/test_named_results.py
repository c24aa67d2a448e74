"""Answers by name: draws, tables, predictions, files and figures."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastvi as vi

rng = np.random.default_rng(5)
X = rng.normal(size=(30, 2))
Y = X @ [1.0, -2.0] + 0.5 + 0.3 * rng.normal(size=30)


def regression(a, beta, sigma, x, y):
    total = vi.normal_logpdf(a, 0.0, 10.0) - sigma
    for i in range(len(y)):
        total += vi.normal_logpdf(y[i], a + np.dot(x[i], beta), sigma)
    return total


TARGET = vi.Target(regression, dict(a=vi.real(), beta=vi.real(2), sigma=vi.positive()), (X, Y))


@pytest.fixture(scope="module")
def fitted():
    return vi.fit(TARGET, "full_rank", rng=0)


def test_draws_are_those_of_q_by_name(fitted):
    draws = fitted.draws(500, weights=True)
    assert list(draws) == ["a", "beta", "sigma"] and draws["beta"].shape == (500, 2)
    np.testing.assert_array_equal(draws.z, fitted.q.sample(500, rng=fitted.key))
    np.testing.assert_allclose(draws["sigma"], np.exp(draws.z[:, 3]), rtol=1e-14)
    np.testing.assert_allclose(np.exp(draws.log_weights).sum(), 1.0, rtol=1e-12)
    assert fitted.draws(5).log_weights is None
    assert not np.array_equal(fitted.draws(5, rng=1).z, fitted.draws(5).z)


def test_a_summary_says_what_numpy_says_of_the_same_draws(fitted):
    table, draws = fitted.summary(2000, probs=(0.1, 0.9)), fitted.draws(2000)
    assert table.index == ["a", "beta[0]", "beta[1]", "sigma"]
    assert list(table.columns) == ["mean", "sd", "10%", "90%", "mcse"]
    for name, x in (("beta[1]", draws["beta"][:, 1]), ("sigma", draws["sigma"])):
        expected = [x.mean(), x.std(ddof=1), *np.quantile(x, [0.1, 0.9]), x.std(ddof=1) / math.sqrt(2000)]
        np.testing.assert_allclose(list(table[name].values()), expected, rtol=1e-12)
    text = repr(fitted.summary(names=["beta"], coords={"beta": ["width", "<b>"]}))
    assert "beta[width]" in text and "sigma" not in text and "k-hat" in text and "elbo" in text
    page = fitted.summary(names=["beta"], coords={"beta": ["width", "<b>"]})._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert fitted.summary(names="sigma").index == ["sigma"]
    with pytest.raises(ValueError, match="names: expected some of a, beta, sigma, got bet"):
        fitted.summary(names=["bet"])
    with pytest.raises(ValueError, match="coords: expected some of a, beta, sigma, got bet"):
        fitted.summary(coords={"bet": ["x", "y"]})
    with pytest.raises(ValueError, match=r"coords\['beta'\]: expected 2 labels, got 1"):
        fitted.summary(coords={"beta": ["one"]})
    with pytest.raises(KeyError, match="expected one of a, beta"):
        table["beta"]


def test_weights_make_averages_those_of_p():
    """Of a q that is off by half a deviation; within five standard errors, 1e-6 false alarms a number."""
    target = vi.Target(lambda mu: vi.normal_logpdf(mu, 0.0, 1.0), dict(mu=vi.real()))
    q = vi.MeanFieldGaussian([0.5], [1.2])
    found = vi.FitResult(q, vi.elbo(target, q, 100, rng=0), [], True, "", "", 0, vi.elbo(target, q, 9, rng=0).key)
    with pytest.raises(ValueError, match="target: this result was pickled"):
        found.summary(weights=True)
    vars(found)["target"] = target
    row = found.summary(20_000, weights=True)["mu"]
    assert abs(row["mean"]) < 5 * row["mcse"] and abs(row["sd"] - 1.0) < 0.05
    assert abs(row["5%"] + 1.645) < 0.1 and 0.4 < found.summary()["mu"]["mean"] < 0.6


@pytest.mark.slow
def test_predictions_of_any_function_of_the_parameters(fitted):
    new = rng.normal(size=(4, 2))
    draws = fitted.draws(300)
    found = fitted.predict(lambda beta, a, x: a + x @ beta, 300, data=(new,))
    np.testing.assert_allclose(found, draws["a"][:, None] + draws["beta"] @ new.T, rtol=1e-12)
    values, weights = fitted.predict(lambda sigma: sigma**2, 300, weights=True)
    np.testing.assert_allclose(values, draws["sigma"] ** 2, rtol=1e-12)
    assert math.isclose(weights.sum(), 1.0, rel_tol=1e-9)
    with pytest.warns(UserWarning, match="ran in Python, as Numba cannot compile it"):
        odd = fitted.predict(lambda a: float(f"{a:.1f}"), 10)
    np.testing.assert_allclose(odd, np.round(draws["a"][:10], 1), atol=1e-9)
    with pytest.raises(TypeError, match=r"f: expected parameters among a, beta, sigma, then 0 items of data"):
        fitted.predict(lambda x: x)


def test_log_scores_of_held_out_data(fitted):
    new, y = rng.normal(size=(4, 2)), rng.normal(size=4)

    def score(a, beta, sigma, x, y):
        return -0.5 * ((y - a - x @ beta) / sigma) ** 2 - np.log(sigma)

    found, each = (f(score, 200, data=(new, y)) for f in (fitted.log_predictive, fitted.predict))
    np.testing.assert_allclose(found, np.log(np.mean(np.exp(each), axis=0)), rtol=1e-12)
    np.testing.assert_array_equal(fitted.log_predictive(lambda a: -np.inf, 20), -np.inf)


@pytest.mark.slow
def test_files_keep_every_bit(tmp_path, fitted):
    path = tmp_path / "fit.npz"
    fitted.save(path)
    again = vi.load(path)
    steps = (
        f"import fastvi as vi; f = vi.load({str(path)!r})",
        "f.predict(lambda a: vi.normal_logpdf(a, 0.0, 1.0), 9)",
        "print(repr(f.summary()), f.elbo, f.draws(9).z.sum().hex())",
    )
    code = "\n".join(steps)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip() == f"{fitted.summary()!r} {fitted.elbo} {fitted.draws(9).z.sum().hex()}"
    assert again.elbo == fitted.elbo and repr(again.history) == repr(fitted.history) and again.key == fitted.key
    assert repr(again) == repr(fitted) and repr(again.parameters) == repr(TARGET.parameters)
    assert pickle.loads(pickle.dumps(fitted)).summary(500).columns == fitted.summary(500).columns
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"path: .*other.npz is no saved fit"):
        vi.load(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="path: expected a file in a folder that exists"):
        fitted.save(tmp_path / "nowhere" / "fit.npz")


@pytest.mark.slow
def test_gradients_by_name(fitted):
    q = vi.MeanFieldGaussian(np.zeros(4), np.full(4, 0.3))
    found = vi.elbo_gradient(TARGET, q, 2000, rng=0)
    np.testing.assert_array_equal(found.by_name["beta"]["loc"], found.gradient[1:3])
    np.testing.assert_array_equal(found.by_name["sigma"]["log_scale"], found.gradient[7:])
    assert "log_scale" not in vi.elbo_gradient(TARGET, fitted.q, 2000, rng=0).by_name["a"]
    with pytest.raises(ValueError, match="it has no named parameters"):
        vi.elbo_gradient(vi.Target(lambda z: -(z[0] ** 2), 1), vi.MeanFieldGaussian([0.0], [1.0]), 200).by_name  # noqa: B018


def test_a_flat_target_has_the_one_name_z():
    found = vi.fit(vi.Target(lambda z: -np.sum(z * z), 2), "mean_field", rng=0)
    assert found.summary(100).index == ["z[0]", "z[1]"] and found.parameters is None


def test_a_figure(fitted):
    figure = fitted.plot(prior={"a": rng.normal(size=500)})
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert titles[:5] == ["ELBO by round", "a", "beta[0]", "beta[1]", "sigma"] and "k-hat" in titles[5]
    with pytest.raises(ValueError, match="names: expected some of a, beta, sigma, got c"):
        fitted.plot(names=["c"])


def test_the_table_of_a_fit_that_failed_says_so():
    """NaN in the data: every draw is NaN, and q is where it began."""
    target = vi.Target(lambda b, y: np.sum(vi.normal_logpdf(y, b, 1.0)), {"b": vi.real()}, (np.array([1.0, np.nan]),))
    found = vi.fit(target, "full_rank", rng=0)
    shown = str(found.summary(100))
    assert "not converged" in shown and "data[0] has 1 NaN" in shown and "of no use" in found.verdict


def test_a_loaded_result_is_judged_by_its_target(tmp_path):
    target = vi.Target(lambda b: vi.normal_logpdf(b, 1.0, 2.0), {"b": vi.real()})
    found = vi.fit(target, rng=0)
    found.save(tmp_path / "fit.npz")
    again = vi.load(tmp_path / "fit.npz", target)
    assert again.diagnosis.verdict == found.diagnosis.verdict and again.draws(9, weights=True).log_weights.shape == (9,)
    with pytest.raises(ValueError, match="dim"):
        vi.load(tmp_path / "fit.npz", vi.Target(lambda z: -np.dot(z, z), 2))
