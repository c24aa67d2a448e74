"""Log densities for densities: SciPy's numbers, in Python, in lanes, and their gradients."""

import math

import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import nquad

import fastvi as vi

X = np.array([0.3, 0.7, 0.05])
COUNTS = np.array([0.0, 3.0, 7.0])


def alone(z, x, k):
    """All of them at numbers and arrays of data and of z, each with its own weight, so that none can hide another."""
    a, b, u = z[0], np.exp(z[1]), np.exp(z[2:5])
    total = 1.0 * np.sum(vi.normal_logpdf(x, a, b)) + 1.1 * vi.student_t_logpdf(a, 3.5, 0.2, b)
    total += 1.2 * np.sum(vi.half_cauchy_logpdf(u, 2.0)) + 1.3 * vi.gamma_logpdf(b, 2.5, 1.5)
    total += 1.4 * np.sum(vi.beta_logpdf(x, u, b)) + 1.5 * vi.exponential_logpdf(b, 0.7)
    total += 1.6 * np.sum(vi.lognormal_logpdf(u, a, b)) + 1.7 * vi.bernoulli_logit_logpdf(1.0, a)
    total += 1.8 * np.sum(vi.binomial_logit_logpdf(k, 9.0, z[2:5])) + 1.9 * np.sum(vi.poisson_log_logpdf(k, a))
    return total + 2.0 * np.sum(vi.neg_binomial_logpdf(k, u, b)) + 2.1 * vi.dirichlet_logpdf(x, u)


def by_scipy(z, x, k):
    a, b, u = z[0], np.exp(z[1]), np.exp(z[2:5])
    p = 1.0 / (1.0 + np.exp(-z))
    total = 1.0 * st.norm.logpdf(x, a, b).sum() + 1.1 * st.t.logpdf(a, 3.5, 0.2, b)
    total += 1.2 * st.halfcauchy.logpdf(u, scale=2.0).sum() + 1.3 * st.gamma.logpdf(b, 2.5, scale=1 / 1.5)
    total += 1.4 * st.beta.logpdf(x, u, b).sum() + 1.5 * st.expon.logpdf(b, scale=1 / 0.7)
    total += 1.6 * st.lognorm.logpdf(u, b, scale=np.exp(a)).sum() + 1.7 * st.bernoulli.logpmf(1, p[0])
    total += 1.8 * st.binom.logpmf(k, 9, p[2:5]).sum() + 1.9 * st.poisson.logpmf(k, np.exp(a)).sum()
    dirichlet = st.dirichlet.logpdf(x / x.sum(), u) + np.sum((u - 1.0) * np.log(x.sum()))  # x need not sum to 1
    return total + 2.0 * st.nbinom.logpmf(k, b, b / (u + b)).sum() + 2.1 * dirichlet


@pytest.mark.slow
def test_all_of_them_equal_scipy():
    points = 0.7 * np.random.default_rng(0).normal(size=(6, 5))
    target = vi.Target(alone, 5, (X, COUNTS))
    expected = [by_scipy(z, X, COUNTS) for z in points]
    np.testing.assert_allclose([alone(z, X, COUNTS) for z in points], expected, rtol=1e-12)
    assert target.density.values().vectorised, target.explain()
    np.testing.assert_allclose(target.value(points), expected, rtol=1e-12)
    assert target.check_gradient(points[0]).ok
    assert target.density.gradients().vectorised and target.density.gradients().smooth


def of_simplex(w, c, a, rows):
    total = vi.dirichlet_logpdf(w, a) + 1.1 * vi.dirichlet_logpdf(w, 2.5) + 1.2 * vi.dirichlet_logpdf(w, c)
    for i in range(rows.shape[0]):
        total += 0.1 * vi.dirichlet_logpdf(rows[i], w) + 0.2 * vi.dirichlet_logpdf(w, rows[i])
    return total + vi.dirichlet_logpdf(a / np.sum(a), 1.5)


def test_dirichlet_concentrations_of_every_kind():
    """Data, a number, a latent: in lanes, with gradients"""
    rng = np.random.default_rng(2)
    a, rows = np.array([2.0, 0.5, 1.5]), rng.dirichlet(np.ones(3), 4)
    z = np.concatenate([rng.dirichlet(np.ones(3), 40), rng.gamma(3.0, size=(40, 1))], axis=1)
    target = vi.Target(of_simplex, {"w": (3,), "c": ()}, (a, rows))
    value, slopes = target.value_and_grad(z)
    assert target.density.gradients().vectorised, target.explain()

    def by_scipy(w, c):
        total = st.dirichlet.logpdf(w, a) + 1.1 * st.dirichlet.logpdf(w, np.full(3, 2.5))
        total += 1.2 * st.dirichlet.logpdf(w, np.full(3, c)) + st.dirichlet.logpdf(a / a.sum(), np.full(3, 1.5))
        return total + sum(0.1 * st.dirichlet.logpdf(r, w) + 0.2 * st.dirichlet.logpdf(w, r) for r in rows)

    np.testing.assert_allclose(value, [by_scipy(each[:3], each[3]) for each in z], rtol=1e-12)
    assert vi.dirichlet_logpdf(z[0, :3], 2.5) == pytest.approx(st.dirichlet.logpdf(z[0, :3], np.full(3, 2.5)))
    assert target.check_gradient(z[1]).ok and np.isfinite(slopes).all()


@pytest.mark.parametrize(
    "function, arguments, outside",
    [
        (vi.half_cauchy_logpdf, (1.0,), (-0.1,)),
        (vi.gamma_logpdf, (2.0, 1.0), (-0.1, 0.0)),
        (vi.beta_logpdf, (2.0, 3.0), (-0.1, 0.0, 1.0, 1.5)),
        (vi.exponential_logpdf, (2.0,), (-0.1,)),
        (vi.lognormal_logpdf, (0.0, 1.0), (-0.1, 0.0)),
    ],
)
def test_outside_of_the_support_it_is_minus_infinity(function, arguments, outside):
    with np.errstate(all="ignore"):
        assert [function(x, *arguments) for x in outside] == [-math.inf] * len(outside)
        np.testing.assert_array_equal(function(np.array(outside), *arguments), -math.inf)


def test_the_lkj_density_of_a_cholesky_factor_is_normalised():
    """Over the entries below the diagonal, as in Stan; in three dimensions by the area of the triangle's support."""
    for eta in (1.0, 2.5):

        def density(r, s, t, eta=eta):
            if r * r >= 1.0 or s * s + t * t >= 1.0:
                return 0.0
            rows = [[1, 0, 0], [r, math.sqrt(1 - r * r), 0], [s, t, math.sqrt(1 - s * s - t * t)]]
            return math.exp(vi.lkj_cholesky_logpdf(np.array(rows), eta))

        def half(s):
            return (-math.sqrt(1 - s * s), math.sqrt(1 - s * s))

        def of_two(r, eta=eta):
            return math.exp(vi.lkj_cholesky_logpdf(np.array([[1.0, 0.0], [r, math.sqrt(1.0 - r * r)]]), eta))

        two = nquad(of_two, [(-1, 1)])[0]
        assert abs(two - 1.0) < 1e-7
        three = nquad(lambda t, s: density(0.3, s, t), [half, (-1, 1)])[0]
        across = nquad(lambda r: density(r, 0.1, 0.2), [(-1, 1)])[0]
        assert abs(three * across / density(0.3, 0.1, 0.2) - 1.0) < 1e-5


@pytest.mark.slow
def test_a_name_imported_alone_and_a_branch():
    from fastvi import normal_logpdf

    def density(z):
        if z[0] > 0.0:
            return normal_logpdf(z[0], 0.0, 1.0)
        return np.sum(vi.exponential_logpdf(X, 1.0 - z[0])) + vi.exponential_logpdf(-z[0], 1.0)

    target = vi.Target(density, 1)
    assert not target.density.values().vectorised
    expected = [st.norm.logpdf(1.0), st.expon.logpdf(X, scale=1.0 / 3.0).sum() - 2.0]
    np.testing.assert_allclose(target.value([[1.0], [-2.0]]), expected, rtol=1e-13)
    assert target.check_gradient([-2.0]).ok


@pytest.mark.slow
def test_temporary_arrays_are_released():
    from numba.core.runtime import _nrt_python, rtsys

    def density(z, x):
        return np.sum(vi.normal_logpdf(2.0 * x, z[0], 1.0 + x)) + np.sum(vi.exponential_logpdf(x * x, x + 1.0))

    target, points = vi.Target(density, 1, (X,)), np.zeros((500, 1))
    assert target.density.values().vectorised
    target.value(points), target.gradient(points)
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    target.value(points), target.gradient(points)
    after = rtsys.get_allocation_stats()
    _nrt_python.memsys_disable_stats()
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free > 0


def test_arguments_by_keyword():
    target = vi.Target(lambda z: vi.normal_logpdf(z[0], scale=2.0, loc=1), 1)
    np.testing.assert_allclose(target.value([3.0]), st.norm.logpdf(3.0, 1.0, 2.0), rtol=1e-14)
