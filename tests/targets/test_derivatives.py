"""Gradients of plain densities: against JAX's answers, differences, and at the edges."""

import math
import threading

import fuzz
import numpy as np
import pytest
from numba import njit

import fastvi as vi
from fastvi.kernels.density import tape_memory

import naive
from gradient_models import models
from oracles import load
from zoo import DRAW_BY_DRAW, VECTORISED

MODELS, ANSWERS = models(), load("gradients")["answers"]
Z = np.random.default_rng(11).normal(size=(3, 5))
UNSUPPORTED = {
    "np.linalg",
    "determinant",
    "reshape",
    "explicit helper",
    "floor division",
    "outer",
    "transposed",
    "variance",
    "any, all",
    "sorting",
}


def target_of(model):
    return vi.Target(model.plain, model.dim, model.data)


def relative(found, expected):
    """The largest error of a gradient in units of max(|g|, mean |g|)."""
    expected = np.asarray(expected)
    return np.max(np.abs(found - expected) / np.maximum(np.abs(expected), np.mean(np.abs(expected))))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_give_jax_s_answers(name):
    target, answer = target_of(MODELS[name]), ANSWERS[name]
    value, gradient = target.value_and_grad(answer["z"])
    assert target.density.gradients().vectorised, target.density.gradients().reason
    np.testing.assert_allclose(value, answer["value"], rtol=1e-12)
    for found, expected in zip(gradient, answer["gradient"], strict=True):
        assert relative(found, expected) < 1e-12


@pytest.mark.parametrize("name", [name for name in MODELS if "N=1000" not in name])
def test_models_give_the_differences_of_plain_python(name):
    model = MODELS[name]
    z = model.draws(3)[2]
    assert relative(target_of(model).gradient(z), naive.gradient(model.plain, z, model.data)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", [*VECTORISED, *(n for n in DRAW_BY_DRAW if n not in UNSUPPORTED)])
def test_the_zoo_is_differentiated(name):
    function, data = {**VECTORISED, **DRAW_BY_DRAW}[name]
    target = vi.Target(function, 5, data)
    value, gradient = target.value_and_grad(Z)
    assert target.density.gradients().vectorised == (
        name in VECTORISED or "np.empty" in function.__code__.co_names
    ) or (name in DRAW_BY_DRAW)
    for z, v, g in zip(Z, value, gradient, strict=True):
        with np.errstate(all="ignore"):
            assert math.isclose(v, float(function(z, *target.density.python_data)), rel_tol=1e-12, abs_tol=1e-12)
            expected = naive.gradient(lambda x, f=function, d=target.density.python_data: float(f(x, *d)), z, step=1e-4)
        finite = np.isfinite(expected)
        np.testing.assert_allclose(
            g[finite], expected[finite], rtol=1e-6, atol=1e-6 * max(1, np.abs(expected[finite]).max(initial=0))
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_what_cannot_be_differentiated_says_so(name):
    function, data = DRAW_BY_DRAW[name]
    with pytest.raises(TypeError, match=r"cannot be differentiated: .*\[.*zoo\.py:\d+\]; score-function"):
        vi.Target(function, 5, data).gradient(Z)


def test_what_cannot_be_differentiated_gets_score_gradients():
    function, data = DRAW_BY_DRAW["floor division"]
    q = vi.MeanFieldGaussian(np.full(5, 1.5), np.full(5, 0.1))
    assert vi.elbo_gradient(vi.Target(function, 5, data), q, 4096, rng=0).method == "optimal_baseline"


# ---- random programs
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_programs(seed):
    """Lanes, single draws, Python and differences; `.ci/run` does the next 17 by ``python tests/fuzz.py``."""
    fault, _ = fuzz.check(seed)
    assert fault is None, fuzz.Program(seed).source


# ---- edges
def slope(function, z, dim=1):
    return vi.Target(function, dim).value_and_grad(np.full(dim, float(z)))


def test_the_edges_of_domains():
    assert slope(lambda z: abs(z[0]), 0.0) == (0.0, [0.0])
    assert slope(lambda z: math.sqrt(z[0]), 0.0) == (0.0, [math.inf])
    value, g = vi.Target(lambda z: np.log(z[0]) - z[0], 1).value_and_grad([[1.0], [0.0]])
    assert value[1] == -math.inf and g[1] == math.inf
    assert slope(lambda z: max(z[0], 0.0), 0.0)[1] == [1.0]  # Python's max keeps the first of equals
    assert slope(lambda z: max(0.0, z[0]), 0.0)[1] == [0.0]
    assert slope(lambda z: z[0] ** 2 + z[0] ** 0, 0.0) == (1.0, [0.0])
    assert slope(lambda z: math.floor(z[0]) + z[0], 0.5) == (0.5, [1.0])
    value, g = vi.Target(lambda z: np.logaddexp(z[0], -np.inf) + z[1], 2).value_and_grad([0.5, 1.0])
    assert (g == 1.0).all()


def test_where_passes_nothing_to_the_other_side():
    """JAX needs the double where for this; here a branch that is not taken has no effect, NaN or not."""

    def plain(z):
        return vi.where(z[0] > 0.0, np.log(np.abs(z[0]) * np.sign(z[0])), 0.0) - z[0] ** 2

    def stored(z):
        root = 0.0
        for _ in range(2):
            root = np.sqrt(z[0]) + 0.0 * root
        return vi.where(z[0] > 0.0, root, 0.0) - z[0] ** 2

    points = np.array([[1.0], [-1.0]])
    np.testing.assert_allclose(vi.Target(plain, 1).gradient(points), [[-1.0], [2.0]])
    np.testing.assert_allclose(vi.Target(stored, 1).gradient(points), [[-1.5], [2.0]])


def test_values_that_are_not_finite_are_returned():
    def density(z):
        return np.log(z[0])

    with np.errstate(all="ignore"):
        value, g = vi.Target(density, 1).value_and_grad([[2.0], [-1.0], [0.0], [np.inf]])
    assert value[0] == math.log(2.0) and math.isnan(value[1]) and value[2] == -math.inf and value[3] == math.inf
    assert g[0] == 0.5


def test_lanes_and_single_draws_agree_where_a_density_branches():
    def branching(z):
        if z[0] > 0:
            return -(z[0] ** 2) - z[1] ** 2
        total = 0.0
        while total > -3.0 + z[1] * 0.0:
            total -= 1.0 + z[0] ** 2
        return total

    target = vi.Target(branching, 2)
    points = np.random.default_rng(0).normal(size=(200, 2))
    gradient = target.gradient(points)
    assert not target.density.gradients().vectorised and "depends on a value of z" in target.density.gradients().reason
    for z, g in zip(points, gradient, strict=True):
        np.testing.assert_allclose(g, naive.gradient(branching, z, step=1e-5), atol=1e-6)


def test_an_old_value_of_a_sum_is_still_right():
    """In-place additions are an optimisation that such a density must not notice: it is compiled again without."""

    def walk(z):
        position, total = z[0] * 2.0, 0.0
        seen = [position]
        for k in range(len(z)):
            old = position
            position += z[k] ** 2
            seen.append(position)
            total -= (position - 0.5 * old) ** 2
        for p in seen:
            total -= p
        return total

    target = vi.Target(walk, 4)
    z = np.array([0.3, -0.2, 0.9, 0.4])
    np.testing.assert_allclose(target.gradient(z), naive.gradient(walk, z), rtol=1e-8)
    assert target.density.careful


# ---- the tape
def long_walk(z, n):
    x, total = z[0], 0.0
    for i in range(n):
        x = 0.5 * math.tanh(x) + z[i % 3]
        total -= x * x
    return total


def in_new_thread(call):
    """A fresh thread has a fresh tape."""
    out = []
    thread = threading.Thread(target=lambda: out.append(call()))
    thread.start()
    thread.join()
    return out[0]


def test_a_tape_that_grows_gives_the_same_bits(monkeypatch):
    target = vi.Target(long_walk, 3, (500,))
    z = np.random.default_rng(1).normal(size=(64, 3))
    expected = target.value_and_grad(z, num_threads=1)
    for size in (64, 512, 4096, 2**16):
        monkeypatch.setattr(tape_memory, "FIRST_BYTES", size)
        found = in_new_thread(lambda: target.value_and_grad(z, num_threads=1))
        assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_a_model_that_is_too_large_says_so(monkeypatch):
    monkeypatch.setattr(tape_memory, "MAX_BYTES", 2**16)
    monkeypatch.setattr(tape_memory, "FIRST_BYTES", 2**14)
    target = vi.Target(long_walk, 3, (5000,))

    def call():
        with pytest.raises(MemoryError, match="tape of more than"):
            target.gradient(np.ones(3))
        with pytest.raises(MemoryError, match="tape of more than"):
            vi.elbo_gradient(
                target, vi.MeanFieldGaussian(np.zeros(3), np.ones(3)), 100, estimator="pathwise", rng=0, num_threads=1
            )
        return True

    assert in_new_thread(call)


def test_threads_and_batches_give_the_same_bits():
    target = target_of(MODELS["eight schools"])
    z = MODELS["eight schools"].draws(5000)
    expected = target.value_and_grad(z, num_threads=1)
    found = target.value_and_grad(z, num_threads=3)
    single = [target.value_and_grad(row) for row in z[:3]]
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert [v for v, _ in single] == list(expected[0][:3]) and (
        np.array([g for _, g in single]) == expected[1][:3]
    ).all()
    assert target.gradient(np.empty((0, 10))).shape == (0, 10)


def test_an_exception_surfaces_as_itself():
    def indexing(z, y):
        return y[int(y[0])] * z[0]

    target = vi.Target(indexing, 1, (np.array([0.0, 1.0]),))
    assert target.gradient([1.0]) == [0.0]
    target.data[0][0] = 7.0
    with pytest.raises(IndexError):
        target.gradient([1.0])


# ---- what has gone wrong before
@njit
def step_helper(x):
    return np.where(x > 0.5, 1.0, 0.0)


def masked(z):
    total = np.sum((z > 0) * z)
    for i in range(len(z)):
        total += (z[i] > 0.0) * z[i] ** 2
    return total


def empty_groups(z, group):
    total = 0.0
    for k in range(len(z)):
        total += z[k] * z[k]
        total += 0.0 * np.sum(z[group] * z[group]) + np.sum(z[:0])
    return total


def temporaries(z, x):
    X, y = np.broadcast_to(x * 2.0, (4, len(x))), np.broadcast_to(np.sum(x), (len(z),))
    r = X @ z
    later = x * 7.0 + 1.0
    return np.sum(r * r) + np.sum(later) + np.sum(y * z) + np.dot(y, z)


def constant_vector(z, X, flag):
    v, s = np.zeros(3), 1.0
    for i in range(3):
        if flag > 0.0:
            v[i] = z[i]
            s = z[0]
        else:
            v[i] = 1.0
    return -0.5 * np.sum((X @ v) ** 2) - 0.5 * (z @ z) + np.sum(X @ (s * X[0]))


def many_leaves(z, x):
    r = (x - z[:3] * z[1]) / z[0]
    return -0.5 * np.sum(r * r * r) + np.sum(z * z * z * z * z * z * z * z * z * z)


def blocks(z, x):
    total = 0.0
    for i in range(3):
        if x[i] > 0:
            total += np.dot(z, z) + z[i]
        if x[i] < 0:
            total += np.dot(z, z) * z[i]
    return total + np.sum(np.exp(z)) * z[1]


def widening(z, n):
    s = 0.0
    for i in range(n):
        s += z[i]
    v = z - s
    return -np.sum(v * v)


def robust(z, x):
    w = np.ones(5)
    r = (z - x) * w
    total = np.sum(r * r)
    for i in range(5):
        if x[i] > 0.0:
            w[i] = 0.25
    return -total - np.sum(r * w)


def changed_in_place(z, x):
    limit, places = x + 2.0, np.arange(5)
    r, e = np.maximum(z - limit, 0.1 * z), z[places]
    limit -= 0.7
    limit.fill(7.0)
    places += 1
    return np.sum(r * r) + np.sum(e * e) - np.sum(z * z)


def expressions_of_filled(z):
    t, m = np.zeros(5), np.zeros((2, 5))
    for i in range(5):
        t[i] = 0.5 * z[i]
        m[1, i] = z[i] - 1.0
    u = (t - 1.0) ** 2 + z * m[1]
    t[0] = 100.0 * z[1]  # after its use
    return -np.sum(u) - np.sum(np.exp(-t * t)) - t[1:3].max() - np.sum(np.logaddexp(0.0, t[1:]))


BEFORE = {
    "expressions of an array filled item by item": (expressions_of_filled, ()),
    "masks as factors": (masked, ()),
    "sums over nothing": (empty_groups, (np.zeros(0, dtype=int),)),
    "read-only temporaries": (temporaries, (np.array([1.0, 2.0, 3.0, 0.5, -1.0]),)),
    "a product with a constant": (constant_vector, (np.array([[1.0, 2.0, 3.0]] * 4), -1.0)),
    "a product with a table": (constant_vector, (np.array([[1.0, 2.0, 3.0]] * 4), 1.0)),
    "more leaves than fit": (many_leaves, (np.array([1.0, -2.0, 0.5]),)),
    "items of other blocks": (blocks, (np.array([1.0, -1.0, 1.0]),)),
    "a scalar that becomes a number": (widening, (3,)),
    "an array changed after its use": (robust, (np.array([1.0, -2.0, 0.5, 3.0, -1.0]),)),
    "an array changed in place": (changed_in_place, (np.array([1.0, -2.0, 0.5, -3.0, -1.0]),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BEFORE)
def test_what_has_gone_wrong_before(name):
    function, data = BEFORE[name]
    target = vi.Target(function, 5, data)
    for z in np.random.default_rng(2).normal(size=(3, 5)):
        expected = naive.gradient(lambda x: float(function(x, *target.density.python_data)), z, step=1e-4)
        np.testing.assert_allclose(target.gradient(z), expected, rtol=1e-7, atol=1e-7)
        assert math.isclose(target.value(z), float(function(z, *target.density.python_data)), rel_tol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        lambda z: math.copysign(5.0, z[0]) - 0.5 * z[0] ** 2,
        lambda z: step_helper(z[0]) - 0.5 * z[0] ** 2,
        lambda z: 1.0 * step_helper(z[0]) - 0.5 * z[0] ** 2,
        lambda z: math.floor(z[0]) - 0.5 * z[0] ** 2,
        lambda z: (5.0 if max(z[0], 0.0) else 0.0) - 0.5 * z[0] ** 2,
        lambda z: math.atan2(z[0], -1.0) - 0.5 * z[0] ** 2,
    ],
)
def test_steps_are_noticed(step):
    """Also in a helper that Numba has compiled before."""
    assert not vi.Target(step, 1).density.gradients().smooth


def test_a_step_leaves_a_target_to_score_gradients():
    target = vi.Target(lambda z: math.floor(z[0]) - 0.5 * z[0] ** 2, 1)
    assert vi.elbo_gradient(target, vi.MeanFieldGaussian([0.1], [1.0]), 4096, rng=0).method == "optimal_baseline"
    assert vi.Target(lambda z: -np.sum(z**2) + max(z[0], 0.0), 1).density.gradients().smooth


def test_a_vector_that_would_nest_without_end_is_refused():
    def recursion(z, x, n):
        v = x
        for _ in range(n):
            v = v * 0.5 + z
        return np.sum(v * v * z)

    target = vi.Target(recursion, 4, (np.ones(4), 3))
    assert not target.density.values().vectorised and "another array expression in each turn" in target.explain()
    with pytest.raises(TypeError, match=r"cannot be differentiated: .*another array expression in each turn"):
        target.gradient(np.ones(4))
