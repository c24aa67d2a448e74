"""Densities of named parameters: what they compute, however they run, and one line for what is wrong."""

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastvi as vi

EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def schools(mu, tau, theta, y, sigma):
    total = -0.5 * (mu / 5.0) ** 2 - math.log1p((tau / 5.0) ** 2)
    for i in range(len(y)):
        total += -0.5 * ((theta[i] - mu) / tau) ** 2 - math.log(tau) - 0.5 * ((y[i] - theta[i]) / sigma[i]) ** 2
    return total


def by_hand(z, y, sigma):
    mu, tau, total = z[0], math.exp(z[1]), z[1]
    total += -0.5 * (mu / 5.0) ** 2 - math.log1p((tau / 5.0) ** 2)
    for i in range(len(y)):
        theta = z[2 + i]
        total += -0.5 * ((theta - mu) / tau) ** 2 - math.log(tau) - 0.5 * ((y[i] - theta) / sigma[i]) ** 2
    return total


NAMES = {"mu": vi.real(), "tau": vi.positive(), "theta": vi.real(8)}
SCHOOLS = vi.Target(schools, NAMES, (EFFECT, ERROR))
Z = np.random.default_rng(0).normal(size=(6, 10))


def test_it_is_the_density_written_by_hand_with_its_jacobian():
    flat = vi.Target(by_hand, 10, (EFFECT, ERROR))
    assert SCHOOLS.density.values().vectorised and SCHOOLS.density.gradients().smooth
    np.testing.assert_allclose(SCHOOLS.value(Z), flat.value(Z), rtol=1e-14)
    np.testing.assert_allclose(SCHOOLS.gradient(Z), flat.gradient(Z), rtol=1e-12)
    q = vi.MeanFieldGaussian(np.zeros(10), np.full(10, 0.5))
    assert math.isclose(vi.elbo(SCHOOLS, q, rng=0).value, vi.elbo(flat, q, rng=0).value, rel_tol=1e-12)
    assert SCHOOLS.dim == 10 and list(SCHOOLS.parameters) == ["mu", "tau", "theta"] and flat.parameters is None
    assert repr(SCHOOLS) == "Target(schools, {mu: real(), tau: positive(), theta: real(8)}, data=2 items)"


def test_arguments_go_by_name_and_z_by_the_dict():
    def other(tau, theta, mu, y, sigma):
        return schools(mu, tau, theta, y, sigma)

    again = vi.Target(other, parameters=NAMES, data=(EFFECT, ERROR))
    np.testing.assert_allclose(again.value(Z), SCHOOLS.value(Z), rtol=1e-14)


def densities():
    """A density for each kind of argument, with the same in NumPy of the constrained values."""
    yield (
        "matrix",
        dict(B=vi.real((2, 3)), P=vi.positive((2, 2))),
        lambda B, P, x: (
            np.sum(x @ B[1]) * P[0, 1] - B[-1, 2] * np.sum(P[:, 1]) + len(B) + B.shape[1] + np.sum(B[0, 1:])
        ),
    )
    yield (
        "products of a matrix",
        dict(L=vi.corr_cholesky(3), u=vi.real(3), B=vi.real((2, 3)), v=vi.positive(2)),
        lambda L, u, B, v, x: (
            np.sum(np.tanh(v[0] * (L @ u)) * (L @ (u * u)))
            + np.dot(np.log(v) @ B, x[0])
            + (x[1] @ L)[2]
            + np.sum(np.dot(B, x[2]) ** 2)
        ),
    )
    yield (
        "sums of a matrix",
        dict(B=vi.real((2, 3)), C=vi.unit((2, 3)), s=vi.positive()),
        lambda B, C, s, x: (
            np.sum(vi.normal_logpdf(B, 0.3, s)) + np.sum(B * C - 2.0 * C) * np.max(np.abs(B)) + np.mean(np.log(C) ** 2)
        ),
    )
    yield "simplex", dict(w=vi.simplex(3), o=vi.ordered(2)), lambda w, o, x: np.sum(np.log(w)) * o[1] - w[2] * o[0]
    yield (
        "correlation",
        dict(L=vi.corr_cholesky(3), s=vi.unit(2)),
        lambda L, s, x: np.log(L[2, 2]) * s[0] + L[1, 0] * L[2, 1] * s[1] + L[0, 2],
    )
    yield (
        "bounds",
        dict(a=vi.greater_than(2.0), b=vi.less_than(-1.0, 2), c=vi.interval(-1.0, 1.0)),
        lambda a, b, c, x: np.log(a - 2.0) + np.sum(np.log(-1.0 - b)) + a * b[1] * c,
    )


DENSITIES = {name: (parameters, f) for name, parameters, f in densities()}
X = np.random.default_rng(1).normal(size=(4, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", DENSITIES)
def test_spaces_in_lanes_and_draw_by_draw(name):
    parameters, f = DENSITIES[name]
    target = vi.Target(f, parameters, (X,))
    z = np.random.default_rng(2).normal(size=(5, target.dim))
    found = target.constrain(z)
    log_j = target.parameters.flat(z)[1]
    expected = [f(*(found[a][k] for a in parameters), X) + log_j[k] for k in range(5)]
    assert target.density.values().vectorised, target.explain()
    np.testing.assert_allclose(target.value(z), expected, rtol=1e-12)
    assert target.check_gradient(z[0]).ok and target.density.gradients().vectorised
    single = target.density.alone()
    np.testing.assert_allclose(target.density.evaluate(z, compiled=single)[0], expected, rtol=1e-12)


def test_a_branch_runs_draw_by_draw_with_its_reason_and_gradient():
    def branching(s, theta):
        return -s if s > 1.0 and theta[0] < 0.0 else -2.0 * s - theta[1] ** 2

    target = vi.Target(branching, dict(s=vi.positive(), theta=vi.ordered(2)))
    assert "`if`" in target.explain() and "test_named.py:" in target.explain()
    z = np.array([[1.0, -1.0, 0.3], [-1.0, 0.5, 0.1]])
    x = target.constrain(z)
    log_j = z[:, 0] + z[:, 2]
    np.testing.assert_allclose(target.value(z), [branching(x["s"][k], x["theta"][k]) + log_j[k] for k in (0, 1)])
    assert target.check_gradient(z[0]).ok and target.check_gradient(z[1]).ok


@pytest.mark.slow
def test_logarithms_are_exact_where_numbers_saturate():
    def logs(log_tau, log_p, log1m_p, log_w, log_s):
        return -log_tau + 3.0 * log_p + 2.0 * log1m_p + np.sum(log_w) + log_s

    spaces = dict(tau=vi.positive(), p=vi.unit(), w=vi.simplex(3), s=vi.positive(transform="softplus"))
    target = vi.Target(logs, spaces)
    for u in (800.0, -800.0):
        z = np.array([u, u, 0.0, 0.0, -800.0])
        p = (0.0, -800.0) if u > 0.0 else (-800.0, 0.0)
        log_j = u + sum(p) - 3.0 * math.log(3.0) + -800.0
        expected = -u + 3.0 * p[0] + 2.0 * p[1] - 3.0 * math.log(3.0) - 800.0 + log_j
        assert math.isclose(target.value(z), expected, rel_tol=1e-14)
        assert np.isfinite(target.gradient(z)).all()

    def plain(tau, p, w):  # a large number, not -inf
        return -math.log(tau) + math.log(p) + math.log1p(-p) + np.sum(np.log(w))

    target = vi.Target(plain, dict(tau=vi.positive(), p=vi.unit(), w=vi.simplex(2)))
    for u in (40.0, -40.0, 800.0, -800.0):
        value, gradient = target.value_and_grad(np.array([u, u, u]))
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_a_declared_parameter_wins_over_a_logarithm_of_that_name():
    target = vi.Target(lambda tau, log_tau: -tau - log_tau**2, dict(tau=vi.positive(), log_tau=vi.real()))
    np.testing.assert_allclose(target.value([0.0, 3.0]), -10.0)


def test_the_reference_reads_the_compiled_numbers():
    """At u = 30 log1p(-p) magnifies the last bit of p by 10^13: NumPy's p would refuse a right density."""
    target = vi.Target(lambda p: math.log1p(-p), dict(p=vi.unit()))
    for u in np.linspace(28.0, 36.0, 30):
        vi.Target(lambda p: 1.0 * math.log1p(-p), dict(p=vi.unit())).value([u])
        assert math.isfinite(target.value([u]))


@pytest.mark.parametrize(
    "function, parameters, data, message",
    [
        (
            lambda mu, tua: 0.0,
            dict(mu=vi.real(), tau=vi.positive()),
            (),
            r"got \(mu, tua\): tua is not declared, tau is",
        ),
        (lambda mu: 0.0, dict(mu=vi.real(), tau=vi.positive()), (), r"got \(mu\): tau is no argument"),
        (lambda mu, x: 0.0, dict(mu=vi.real()), (), r"got \(mu, x\): x is not declared"),
        (lambda mu, x: 0.0, dict(mu=vi.real()), (1.0, 2.0), r"mu in .* is a parameter and stands where data\[0\]"),
        (
            lambda x, mu: 0.0,
            dict(mu=vi.real()),
            (1.0,),
            r"mu in .* is a parameter and stands where data\[0\] is passed",
        ),
        (lambda mu, k=1.0: 0.0, dict(mu=vi.real()), (), r"the default of k=1.0 in .* has no meaning; pass it as data"),
        (lambda *mu: 0.0, dict(mu=vi.real()), (), r"has the argument \*mu; name each parameter"),
        (lambda log_mu: 0.0, dict(mu=vi.real()), (), r"log_mu is not declared, mu is no argument"),
        (lambda mu: 0.0, dict(mu=3.0), (), r"parameters\['mu'\]: expected a space, such as vi.real\(\), got 3.0"),
        (lambda mu: 0.0, {}, (), r"parameters: expected a dict of names and spaces"),
        (lambda mu: 0.0, {"a b": vi.real()}, (), r"parameters: expected names of arguments, got 'a b'"),
    ],
)
def test_what_is_declared_wrongly_is_told_in_one_line(function, parameters, data, message):
    with pytest.raises(TypeError, match=message) as error:
        vi.Target(function, parameters=parameters, data=data)
    assert "\n" not in str(error.value)


def test_dim_or_parameters():
    for arguments in (dict(), dict(dim=1, parameters=NAMES)):
        with pytest.raises(TypeError, match="dim, parameters: expected one of the two"):
            vi.Target(schools, **arguments)
    with pytest.raises(TypeError, match="gradient: not of named parameters"):
        vi.Target(lambda mu: -mu, dict(mu=vi.real()), gradient=lambda mu, out: None)
    for make, message in (
        (lambda: vi.interval(1.0, 1.0), "low, high: expected low < high"),
        (lambda: vi.real((2, 3, 4)), "shape: expected at most 2 axes"),
        (lambda: vi.simplex(1), "k: expected an int >= 2"),
        (lambda: vi.positive(transform="log"), "transform: expected one of 'exp', 'softplus'"),
        (lambda: SCHOOLS.unconstrain({"mu": 0.0}), "values: expected mu, tau, theta; tau is missing, theta is"),
        (lambda: SCHOOLS.start({"tua": 1.0}), "start: expected mu, tau, theta; tua is not declared"),
        (lambda: SCHOOLS.start({"tau": -1.0}), r"start\['tau'\]: expected a value of positive\(\), got -1.0"),
        (
            lambda: SCHOOLS.start({"theta": np.zeros(7)}),
            r"start\['theta'\]: expected shape \(8,\) of real",
        ),
        (lambda: vi.Target(by_hand, 10, (EFFECT, ERROR)).unconstrain({}), "has no named parameters"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            make()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "space, value",
    [(vi.simplex(2), [0.3, 0.6]), (vi.ordered(2), [1.0, 1.0]), (vi.unit(), 1.0), (vi.interval(0, 2), 2.5),
     (vi.corr_cholesky(2), np.eye(2) * 2.0), (vi.greater_than(1.0), 1.0), (vi.real(), np.nan)],
)  # fmt: skip
def test_values_outside_of_a_space_are_refused(space, value):
    with pytest.raises(ValueError, match=r"values\['x'\]: expected a value of "):
        vi.Target(lambda x: 0.0, dict(x=space)).unconstrain({"x": value})


def test_points_by_name():
    one = SCHOOLS.constrain(Z[0])
    assert one["tau"] == np.exp(Z[0, 1]) or math.isclose(one["tau"], math.exp(Z[0, 1]), rel_tol=1e-15)
    assert one["theta"].shape == (8,) and SCHOOLS.constrain(Z)["theta"].shape == (6, 8)
    np.testing.assert_allclose(SCHOOLS.unconstrain(one), Z[0], rtol=1e-12)
    np.testing.assert_array_equal(SCHOOLS.start({"tau": 1.0}), np.zeros(10))
    assert list(vi.Target(by_hand, 10, (EFFECT, ERROR)).constrain(Z[0])) == ["z"]


def test_it_travels():
    for again in (pickle.loads(pickle.dumps(SCHOOLS)), copy.deepcopy(SCHOOLS)):
        assert again.parameters == SCHOOLS.parameters and list(again.parameters) == list(SCHOOLS.parameters)
        np.testing.assert_array_equal(again.value(Z), SCHOOLS.value(Z))
    q = vi.MeanFieldGaussian(np.zeros(10), np.ones(10))
    with ThreadPoolExecutor(2) as pool:
        assert vi.elbo(SCHOOLS, q, 5000, rng=0, executor=pool) == vi.elbo(SCHOOLS, q, 5000, rng=0)
    softplus = NAMES | {"tau": vi.positive(transform="softplus")}
    other = vi.Target(schools, softplus, (EFFECT, ERROR))
    assert other.density.fingerprint() != SCHOOLS.density.fingerprint(), "a checkpoint is of one space"


def test_errors_name_the_parameters():
    def raising(mu, tau):
        if tau > 2.0:
            raise ArithmeticError("too large")
        return -mu * mu - tau

    q = vi.MeanFieldGaussian(np.array([0.5, 0.0]), np.ones(2))
    with pytest.raises(
        ArithmeticError, match=r"too large \[raised by the log density raising at draw \d+, mu = .*tau = "
    ):
        vi.elbo(vi.Target(raising, dict(mu=vi.real(), tau=vi.positive())), q, 1000, rng=0)
    nan = vi.Target(lambda mu, tau: np.log(2.0 - tau) - mu * mu, dict(mu=vi.real(), tau=vi.positive()))
    with pytest.raises(vi.NonFiniteError, match=r"first nan at draw \d+, mu = \S+, tau = \d") as error:
        vi.elbo(nan, q, 1000, rng=0)
    assert error.value.z.shape == (2,)


def test_starts_by_name():
    def density(mu, sigma, y):
        return np.sum(vi.normal_logpdf(y, mu, sigma)) - sigma / 1e7 - (mu / 1e7) ** 2

    y = 3e6 + 1e5 * np.random.default_rng(0).normal(size=40)
    target = vi.Target(density, dict(mu=vi.real(), sigma=vi.positive()), (y,))
    start = {"mu": 3e6, "sigma": 2e5}
    found = vi.fit(target, "full_rank", start=start, rng=0)
    assert found.converged and abs(found.q.mean[0] - y.mean()) < 1e3
    assert "; the deviation of mu is 1e+05 times that of sigma: bring data to like units" in found.message
    point = target.unconstrain(start)
    assert vi.fit(target, "full_rank", start=point, rng=0).q.loc[0] == found.q.loc[0]
    np.testing.assert_allclose(target.laplace(start).q.loc[0], y.mean(), rtol=1e-5)
