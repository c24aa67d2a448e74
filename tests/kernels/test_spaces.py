"""Spaces: x, its logarithms, log |J| and gradients against mpmath with 60 digits, saturated too; and back again."""

import math

import mpmath
import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.spaces.stage import InPython
from fastvi.targets.parameters import Parameters

mpmath.mp.dps = 60
POINTS = [0.0, 0.3, -1.7, 5.0, -12.0, 40.0, -40.0, 36.8, 800.0, -800.0]
SPACES = {
    "positive": (vi.positive(), lambda u: mpmath.exp(u)),
    "softplus": (vi.positive(transform="softplus"), lambda u: mpmath.log1p(mpmath.exp(u))),
    "greater_than": (vi.greater_than(-2.5), lambda u: mpmath.exp(u) - 2.5),
    "less_than": (vi.less_than(1.5), lambda u: 1.5 - mpmath.exp(u)),
    "interval": (vi.interval(-1.0, 3.0), lambda u: -1 + 4 / (1 + mpmath.exp(-u))),
    "unit": (vi.unit(), lambda u: 1 / (1 + mpmath.exp(-u))),
}


def run(space, u, wanted=("",), weights=None):
    """(numbers by prefix, log |J|, gradient of the weighted sum of all of them plus log |J|) of one draw."""
    inputs = Parameters({"x": space}).inputs([prefix + "x" for prefix in wanted])
    stage = inputs.copied
    x, gradient = [0.0] * stage.height, [0.0] * len(u)
    log_j = stage.forward(InPython(list(u), x))
    if weights is not None:
        stage.backward(InPython(list(u), x, weights, gradient))
    return np.array(x).reshape(len(wanted), -1), log_j, np.array(gradient)


def close(found, exact, scale=0.0):
    """To 1e-13 of the larger of the exact value and what it is a difference of."""
    exact = mpmath.mpf(exact)
    return abs(mpmath.mpf(found) - exact) <= mpmath.mpf("1e-13") * max(abs(exact), scale)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("u", POINTS)
def test_one_number(name, u):
    space, f = SPACES[name]
    with mpmath.workdps(500):  # of 1 - e^-800
        exact, slope = f(mpmath.mpf(u)), mpmath.diff(f, mpmath.mpf(u), h=mpmath.mpf("1e-100"))
        log_slope = mpmath.log(abs(slope))
        bend = mpmath.diff(
            lambda v: mpmath.log(abs(mpmath.diff(f, v, h=mpmath.mpf("1e-100")))), u, h=mpmath.mpf("1e-60")
        )
    (value,), log_j, _ = run(space, [u])
    ends = max(abs(e) for e in (space.low, space.high, 1.0) if math.isfinite(e))
    expected = min(max(exact, -(mpmath.mpf(2) ** 1023)), mpmath.mpf(2) ** 1023)
    assert close(value[0], expected, ends if name != "positive" and name != "softplus" else 3e-295)
    assert close(log_j, log_slope, 1.0) and space.low < value[0] < space.high, "it stays in the open space"
    for weight in (0.0, 0.7):
        found = run(space, [u], weights=[weight])[2][0]
        if abs(exact) < 1e300:
            assert close(found, weight * slope + bend, 1.0)
    for prefix in space.logs:
        g = (lambda v: mpmath.log(f(v))) if prefix == "log_" else (lambda v: mpmath.log(1 - f(v)))
        (value,), _, gradient = run(space, [u], (prefix,), [0.7])
        with mpmath.workdps(500):
            exact, steep = g(mpmath.mpf(u)), mpmath.diff(g, mpmath.mpf(u), h=mpmath.mpf("1e-100"))
        assert close(value[0], exact, 3e-295) and close(gradient[0], mpmath.mpf(0.7) * steep + bend, 1.0)


def simplex(u):
    left, x = mpmath.mpf(1), []
    for i, v in enumerate(u):
        p = 1 / (1 + mpmath.exp(mpmath.log(len(u) - i) - v))
        x.append(left * p)
        left *= 1 - p
    return [*x, left]


def ordered(u):
    x = [mpmath.mpf(u[0])]
    for v in u[1:]:
        x.append(x[-1] + mpmath.exp(v))
    return x


def corr_cholesky(u):
    k = int((1 + math.isqrt(1 + 8 * len(u))) / 2)
    x = [[mpmath.mpf(0)] * k for _ in range(k)]
    x[0][0], place = mpmath.mpf(1), 0
    for r in range(1, k):
        left = mpmath.mpf(1)
        for c in range(r):
            x[r][c] = mpmath.tanh(u[place]) * mpmath.sqrt(left)
            left *= 1 - mpmath.tanh(u[place]) ** 2
            place += 1
        x[r][r] = mpmath.sqrt(left)
    return [v for row in x for v in row]


def free(name, x):
    """The components that |J| is over."""
    if name == "simplex":
        return x[:-1]
    k = math.isqrt(len(x))
    return [x[r * k + c] for r in range(k) for c in range(r)] if name == "corr_cholesky" else x


VECTORS = {"simplex": (vi.simplex, simplex, 4), "ordered": (vi.ordered, ordered, 4),
           "corr_cholesky": (vi.corr_cholesky, corr_cholesky, 3)}  # fmt: skip
DRAWS = {
    "mild": np.random.default_rng(0).normal(size=6),
    "wide": 8.0 * np.random.default_rng(1).normal(size=6),
    "saturated": np.array([40.0, -40.0, 3.0, -40.0, 1.0, 40.0]),
    "far": np.array([-800.0, 0.5, 40.0, -300.0, 2.0, 1.0]),
    "further": np.array([300.0, -800.0, 0.1, 40.0, 2.0, 1.0]),
}


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("which", DRAWS)
def test_vectors(name, which):
    make, f, k = VECTORS[name]
    space = make(k)
    u = DRAWS[which][: space.dim]
    if name == "ordered":
        u = np.clip(u, -300.0, 300.0)
    elif name == "corr_cholesky":
        u = np.clip(u, -150.0, 150.0)
    logs = ("log_",) if name == "simplex" else ()
    weights = np.random.default_rng(2).normal(size=(1 + len(logs)) * space.count)
    found, log_j, gradient = run(space, u, ("", *logs), weights)
    with mpmath.workdps(1500):
        exact = f([mpmath.mpf(v) for v in u])
        step = mpmath.mpf("1e-250")

        def moved(i):
            return f([mpmath.mpf(v) + step * (i == j) for j, v in enumerate(u)])

        columns = [[(b - a) / step for a, b in zip(exact, moved(i), strict=True)] for i in range(len(u))]
        jacobian = [mpmath.mpf(1)] * len(u)  # triangular: the product of its diagonal
        for i in range(len(u)):
            jacobian[i] = mpmath.log(abs(free(name, columns[i])[i]))
        exact_log_j = sum(jacobian)
    total = max(abs(v) for v in exact) if name == "ordered" else 0.0
    tiny = mpmath.mpf("3e-308")
    assert all(close(a, b, max(total, tiny * mpmath.mpf("1e13"))) for a, b in zip(found[0], exact, strict=True))
    assert close(log_j, exact_log_j, 1.0)
    if logs:
        assert all(close(a, mpmath.log(b)) for a, b in zip(found[1], exact, strict=True))
        assert abs(math.fsum(found[0]) - 1.0) <= 4e-16
    with mpmath.workdps(60):  # the gradient by differences of the whole

        def whole(v):
            x = f(v)
            value = mpmath.fdot(map(mpmath.mpf, weights[: len(x)]), x)
            if logs:
                value += mpmath.fdot(map(mpmath.mpf, weights[len(x) :]), [mpmath.log(w) for w in x])
            return value + log_j_of(name, v, len(u))

        with mpmath.workdps(1500):
            base = [mpmath.mpf(v) for v in u]
            here = whole(base)
            slopes = [(whole([v + step * (i == j) for j, v in enumerate(base)]) - here) / step for i in range(len(u))]
    size = max(1.0, float(total))
    assert all(close(a, b, 4.0 * size) for a, b in zip(gradient, slopes, strict=True))


def log_j_of(name, u, n):
    """log |J| in closed form, in mpmath."""
    if name == "ordered":
        return sum(u[1:])
    if name == "simplex":
        x, total, left = simplex(u), mpmath.mpf(0), mpmath.mpf(1)
        for i in range(n):
            p = x[i] / left
            total += mpmath.log(left) + mpmath.log(p) + mpmath.log(1 - p)
            left -= x[i]
        return total
    total, place, k = mpmath.mpf(0), 0, int((1 + math.isqrt(1 + 8 * n)) / 2)
    for r in range(1, k):
        log_left = mpmath.mpf(0)
        for _ in range(r):
            short = mpmath.log(mpmath.sech(u[place]))
            total += log_left + 2 * short
            log_left += short
            place += 1
    return total


CLOSED = {  # (x, log |J|, log x or None, log(1 - x) or None), each exact where the number itself has saturated
    "positive": lambda u: (mpmath.exp(u), u, u, None),
    "softplus": lambda u: (soft(u), u - soft(u), mpmath.log(soft(u)), None),
    "greater_than": lambda u: (mpmath.exp(u) - 2.5, u, None, None),
    "less_than": lambda u: (1.5 - mpmath.exp(u), u, None, None),
    "interval": lambda u: (4 * mpmath.exp(-soft(-u)) - 1, mpmath.log(4) - soft(u) - soft(-u), None, None),
    "unit": lambda u: (mpmath.exp(-soft(-u)), -soft(u) - soft(-u), -soft(-u), -soft(u)),
}


def soft(u):
    return mpmath.log1p(mpmath.exp(u))


def slope(f, u, direction):
    """The derivative of f along a direction, to 1e-40."""
    with mpmath.workdps(400):
        step = mpmath.mpf("1e-120")
        there = f([mpmath.mpf(v) + step * mpmath.mpf(d) for v, d in zip(u, direction, strict=True)])
        return (there - f([mpmath.mpf(v) for v in u])) / step


def magnitudes(rng, n, largest):
    """n numbers of either sign, evenly over the orders of magnitude from 1e-8 on."""
    return rng.choice([-1.0, 1.0], n) * np.exp(rng.uniform(math.log(1e-8), math.log(largest), n))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_random_numbers(name):
    space, f = SPACES[name][0], CLOSED[name]
    rng = np.random.default_rng(11)
    for u in magnitudes(rng, 150, 700.0):
        logs = sorted(space.logs)
        weights = rng.normal(size=1 + len(logs))
        found, log_j, gradient = run(space, [u], ("", *logs), weights)

        def parts(v, f=f, prefixes=logs):
            x, log_slope, log_x, log1m_x = f(v)
            wanted = {"log_": log_x, "log1m_": log1m_x}
            return [x, *(wanted[prefix] for prefix in prefixes)], log_slope

        with mpmath.workdps(400):
            exact, exact_log_j = parts(mpmath.mpf(u))
        ends = max(abs(e) for e in (space.low, space.high, 1.0) if math.isfinite(e))
        scale = 3e-295 if name in ("positive", "softplus") else ends
        assert close(found[0, 0], exact[0], scale) and close(log_j, exact_log_j, 1.0), u
        assert all(close(a, b, 3e-295) for a, b in zip(found[1:, 0], exact[1:], strict=True)), u

        def whole(v, weights=weights):
            x, log_slope = parts(v[0])
            return mpmath.fdot(map(mpmath.mpf, weights), x) + log_slope

        assert close(gradient[0], slope(whole, [u], [1.0]), 1.0), u


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTORS)
def test_random_vectors(name):
    make, f, _ = VECTORS[name]
    rng = np.random.default_rng(12)
    for _ in range(40):
        space = make(int(rng.integers(2, 7)))
        u = magnitudes(rng, space.dim, 100.0 if name == "corr_cholesky" else 250.0)
        weights, direction = rng.normal(size=space.count), rng.normal(size=space.dim)
        found, log_j, gradient = run(space, u, weights=weights)
        with mpmath.workdps(400):
            point = [mpmath.mpf(v) for v in u]
            exact, exact_log_j = f(point), log_j_of(name, point, space.dim)
        total = max(map(abs, exact)) if name == "ordered" else mpmath.mpf("3e-295")
        assert all(close(a, b, total) for a, b in zip(found[0], exact, strict=True)), u
        assert close(log_j, exact_log_j, 1.0), u

        def whole(v, name=name, weights=weights):
            return mpmath.fdot(map(mpmath.mpf, weights), f(v)) + log_j_of(name, v, len(v))

        size = max(1.0, float(max(map(abs, exact)))) * space.count
        assert close(float(gradient @ direction), slope(whole, u, direction), 4.0 * size * np.abs(direction).sum()), u


def test_a_large_simplex_sums_to_one():
    for k, width in ((2, 1.0), (10, 3.0), (300, 1.0), (1000, 20.0)):
        for seed in range(2):
            u = width * np.random.default_rng(seed).normal(size=k - 1)
            (x,), _, _ = run(vi.simplex(k), u)
            assert abs(math.fsum(x) - 1.0) <= 4e-16
            exact = simplex([mpmath.mpf(v) for v in u])
            assert all(close(a, b, mpmath.mpf("3e-295")) for a, b in zip(x, exact, strict=True))


EVERYTHING = dict(
    a=vi.real((2, 2)), b=vi.positive(2), c=vi.positive(transform="softplus"), d=vi.greater_than(2.0),
    e=vi.less_than(-1.0), f=vi.interval(-1.0, 3.0), g=vi.unit(2), h=vi.simplex(5), i=vi.ordered(3),
    j=vi.corr_cholesky(4),
)  # fmt: skip


def test_compiled_and_python_have_the_same_bits_and_the_way_back_returns():
    parameters = Parameters(EVERYTHING)
    z = 2.0 * np.random.default_rng(3).normal(size=(40, parameters.dim))
    x, log_j = parameters.flat(z)
    for k in range(40):
        one = [0.0] * parameters.stage.height
        assert parameters.stage.forward(InPython(list(z[k]), one)) == log_j[k]
        assert one == x[k].tolist()
    named = parameters.constrain(z)
    for k in range(40):
        back = parameters.unconstrain({name: value[k] for name, value in named.items()})
        np.testing.assert_allclose(back, z[k], rtol=1e-9, atol=1e-9)
