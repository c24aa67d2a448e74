"""Stan models through BridgeStan's functions: a stand-in in C always, a real model in the lane ``stan``.

For that lane compile tests/data/schools.stan with BridgeStan and STAN_THREADS=true, and name the library:

    FASTVI_STAN_MODEL=schools_model.so pytest tests/bridges/test_stan.py
"""

import ctypes
import json
import os

import numpy as np
import pytest

import fastvi as vi
from fastvi.bridges.stan import from_model

from subprocesses import c_library

EFFECT, ERROR = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
MEAN = np.array([1.0, -0.5, 2.0])
SOURCE = """
#include <stdbool.h>
#include <stddef.h>

static double value(const double *mean, const double *x) {
  double total = 0.0;
  for (int i = 0; i < 3; i++) total -= 0.5 * (x[i] - mean[i]) * (x[i] - mean[i]);
  return total;
}

int bs_log_density(const void *model, bool propto, bool jacobian, const double *x, double *log_p, char **error) {
  if (propto || !jacobian || error != NULL || x[0] > 50.0) return -1;
  *log_p = value(model, x);
  return 0;
}

int bs_log_density_gradient(const void *model, bool propto, bool jacobian, const double *x, double *log_p,
                            double *gradient, char **error) {
  const double *mean = model;
  if (propto || !jacobian || error != NULL || x[0] > 50.0) return -1;
  *log_p = value(model, x);
  for (int i = 0; i < 3; i++) gradient[i] = mean[i] - x[i];
  return 0;
}
"""


class StandIn:
    """What is used of ``bridgestan.StanModel``, with its names and the C signatures of bridgestan.h."""

    def __init__(self, library, info="STAN_THREADS=true"):
        self.stanlib, self.model, self.info = ctypes.CDLL(library), MEAN.ctypes.data, info
        self.stanlib.bs_log_density.restype = self.stanlib.bs_log_density_gradient.restype = ctypes.c_int

    def model_info(self):
        return f"Stan C++ Defines:\n\t{self.info}\n"

    def param_unc_num(self):
        return 3

    def param_names(self, include_tp, include_gq):
        return ["tau", "B.1.1", "B.2.1"] + ["twice"] * include_tp

    def param_constrain(self, z, include_tp, include_gq):
        x = [np.exp(z[0]), z[1], z[2]]
        return np.array(x + [2.0 * x[0]] * include_tp)

    def param_unconstrain(self, x):
        return np.array([np.log(x[0]), x[1], x[2]])

    def name(self):
        return "three_normals_model"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return c_library(tmp_path_factory.mktemp("stan"), SOURCE)


@pytest.mark.slow
def test_the_functions_are_called_by_their_signatures(library):
    target = from_model(StandIn(library))
    assert target.name == "three_normals_model" and target.dim == 3
    z = np.random.default_rng(0).standard_normal((200, 3))
    expected = -0.5 * np.sum((z - MEAN) ** 2, axis=1)
    np.testing.assert_allclose(target.value(z), expected, rtol=1e-14)
    value, gradient = target.value_and_grad(z)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient, MEAN - z, rtol=1e-14)
    found = vi.fit(target, "mean_field", rng=1)
    np.testing.assert_allclose(found.q.loc, MEAN, atol=1e-3)
    with pytest.raises(RuntimeError, match="three_normals_model: the C function reports an error at draw 0"):
        vi.elbo(target, vi.MeanFieldGaussian([100.0, 0, 0], [1, 1, 1]), 100, rng=1)


def test_a_models_names(library):
    target, z = from_model(StandIn(library)), np.array([0.5, 2.0, -1.0])
    found = target.constrain(z)
    assert list(found) == ["tau", "B", "twice"] and found["twice"] == 2.0 * found["tau"] == 2.0 * np.exp(0.5)
    np.testing.assert_array_equal(found["B"], [[2.0], [-1.0]])
    np.testing.assert_allclose(target.unconstrain({"tau": found["tau"], "B": found["B"]}), z, rtol=1e-14)
    fitted = vi.fit(target, "mean_field", start={"tau": 2.0}, rng=0)
    assert fitted.summary(50).index == ["tau", "B[0, 0]", "B[1, 0]", "twice"]
    with pytest.raises(ValueError, match="start: expected tau, B; tua is no parameter"):
        vi.fit(target, "mean_field", start={"tua": 2.0}, rng=0)


def test_what_is_no_model_is_refused(library):
    with pytest.raises(TypeError, match="model: expected a bridgestan.StanModel, got 'schools.stan'"):
        from_model("schools.stan")
    with pytest.raises(ValueError, match=r"model: compile it with make_args=\['STAN_THREADS=true'\]"):
        from_model(StandIn(library, "STAN_THREADS=false"))


@pytest.mark.stan
def test_a_real_model_has_stans_own_numbers():
    import bridgestan

    data = json.dumps(dict(J=8, y=EFFECT, sigma=ERROR))
    model = bridgestan.StanModel(os.environ["FASTVI_STAN_MODEL"], data=data)
    target, z = from_model(model), np.random.default_rng(0).standard_normal((50, 10))
    expected = [model.log_density_gradient(row, propto=False) for row in z]
    assert target.value(z).tolist() == [value for value, _ in expected]
    assert np.array_equal(target.gradient(z), [gradient for _, gradient in expected])
    q = vi.MeanFieldGaussian(np.zeros(10), np.full(10, 0.5))
    for threads in (1, 2):
        options = dict(estimator="pathwise", rng=1, num_threads=threads)
        first, second = (vi.elbo_gradient(target, q, 20_000, **options).gradient for _ in range(2))
        assert np.array_equal(first, second)
    # PyMC's half-Cauchy has twice the density that Stan gives the whole one
    found = vi.fit(target, "mean_field", rng=1).elbo
    assert found.value + np.log(2.0) == pytest.approx(-31.597, abs=0.02)
