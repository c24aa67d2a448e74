"""The target: data of every kind, one compile for new data, a memo that sees what a function means, honest errors."""

import math
import pickle
import types

import numpy as np
import pytest
from numba import njit, prange

import fastvi as vi
from fastvi.kernels.density import values as density

Q = vi.MeanFieldGaussian(np.zeros(3), np.ones(3))


def weighted(z, x, k):
    return -0.5 * np.sum(x * z * z) + k


def elbo(function, data=(), q=Q, **options):
    return vi.elbo(vi.Target(function, q.dim, data, **options), q, 500, rng=0)


X = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3]),
        X.astype(np.float32),
        X.astype(">f8"),
        X.astype(np.float16),
        np.array([1.0, 0, 2, 0, 3])[::2],
        np.asfortranarray(X),
        np.array([1, 2, 3], dtype=np.uint8),
    ],
)
def test_any_real_data_gives_the_same(x):
    assert elbo(weighted, (x, 2)) == elbo(weighted, (X, 2.0))


def test_right_data_is_not_copied():
    assert vi.Target(weighted, 3, (X, 1.0)).data[0] is X


@pytest.mark.parametrize(
    "x, error, message",
    [
        (np.ma.array(X, mask=[0, 1, 0]), TypeError, r"data\[0\]: a masked array"),
        (X + 1j, TypeError, r"data\[0\]: expected real numbers, got dtype complex128"),
        (np.array(["a"]), TypeError, r"data\[0\]: expected real numbers"),
        (np.array([None]), TypeError, r"data\[0\]: expected real numbers, got dtype object"),
        (X.astype(np.longdouble), TypeError, r"data\[0\]: .* would be rounded to float64"),
        (np.array([2**63], dtype=np.uint64), ValueError, r"data\[0\]: expected integers below 2\^63"),
        ([[1.0], [1.0, 2.0]], ValueError, r"data\[0\]: expected a rectangular array"),
        (None, TypeError, r"data\[0\]: expected real numbers"),
    ],
)
def test_data_that_would_be_misread_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        vi.Target(weighted, 3, (x, 1.0))


def test_integers_may_index_and_booleans_count():
    def indexed(z, index, flags):
        return z[index[0]] + z[index[1]] * flags[1]

    target = vi.Target(indexed, 3, (np.array([2, 0], dtype=np.int8), np.array([False, True])))
    assert target.density.values().vectorised
    np.testing.assert_allclose(target.value([1.0, 2.0, 3.0]), 4.0)


def test_matrices_and_higher_ranks():
    def ranked(z, cube, k):
        return cube[1, 2, 0] * z[0] + cube.sum() * z[1] + cube.shape[1] * k

    cube = np.arange(12.0).reshape(2, 3, 2)
    assert vi.Target(ranked, 3, (cube, 3)).value([1.0, 1.0, 0.0]) == pytest.approx(10.0 + 66.0 + 9.0)


def test_new_data_and_new_values_never_recompile(monkeypatch):
    vi.Target(weighted, 3, (X, 0.5)).value(np.zeros(3))

    def forbidden(*args):
        raise AssertionError("compiled again")

    monkeypatch.setattr(density, "compile_density", forbidden)
    assert vi.Target(weighted, 3, (np.ones(3) * 7, 1.5)).value(np.zeros(3)) == 1.5
    with pytest.raises(AssertionError, match="compiled again"):
        vi.Target(lambda z, x, k: k * z[0], 3, (X, 1.5)).value(np.zeros(3))  # another function is another matter


FACTOR = 1.0


def by_global(z):
    return FACTOR * z[0]


def test_the_memo_sees_globals_and_closures(monkeypatch):
    def make(factor):
        return lambda z: factor * z[0]

    one, two = vi.Target(make(1.0), 1), vi.Target(make(2.0), 1)
    assert (one.value([3.0]), two.value([3.0])) == (3.0, 6.0)
    assert vi.Target(make(1.0), 1).density.values() is one.density.values()
    target = vi.Target(by_global, 1)
    assert target.value([3.0]) == 3.0
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    assert target.value([3.0]) == 15.0

    def over(array):
        return lambda z: array[0] * z[0]

    assert [vi.Target(over(np.array([a])), 1).value([1.0]) for a in (1.0, 2.0)] == [1.0, 2.0]


def test_the_memo_sees_helpers(monkeypatch):
    @njit
    def double(x):
        return 2.0 * x

    @njit
    def triple(x):
        return 3.0 * x

    def through(helper):
        return vi.Target(lambda z: helper(z[0]), 1)

    assert [through(h).value([1.0]) for h in (double, triple)] == [2.0, 3.0]


def test_dispatchers_count_as_their_function():
    @njit(fastmath=True)
    def jitted(z):
        return -0.5 * z[0] * z[0]

    assert vi.Target(jitted, 1).value([2.0]) == -2.0
    assert vi.Target(jitted, 1).name == "jitted"


def test_parallel_helpers_are_refused():
    @njit(parallel=True)
    def parallel(x):
        total = 0.0
        for i in prange(10):
            total += i * x
        return total

    for function in (parallel, lambda z: parallel(z[0])):
        with pytest.raises(ValueError, match="parallel=True"):
            vi.Target(function, 3)


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda z: None, TypeError, "returned None"),
        (lambda z: z, TypeError, r"returned an array of shape \(3,\)"),
        (lambda z: z[0] + 1j, TypeError, "complex"),
        (lambda z: z[0] > 0, TypeError, "expected a float"),
        (lambda z: "text", TypeError, "returned 'text'"),
        (lambda z: z[7], IndexError, "index 7 is out of bounds"),
        (lambda z: math.log(-1.0 - z[0] * z[0]), vi.NonFiniteError, "500 of 500 draws"),
        (lambda z: z[0] + 2**62 * len(z) * 4, OverflowError, "more than 64 bits"),
        (lambda z, y: z[0], TypeError, "missing 1 required positional argument"),
        (lambda z: undefined_name + z[0], NameError, "undefined_name"),  # noqa: F821
    ],
)
def test_what_python_refuses_is_refused(function, error, message):
    with pytest.raises(error, match=message):
        elbo(function)


def test_a_nan_in_the_data_is_named():
    x = np.array([1.0, np.nan, 2.0, np.nan])
    with pytest.raises(vi.NonFiniteError, match=r"500 of 500 draws.*; data\[1\] has 2 NaN"):
        elbo(lambda z, y, x: z[0] * y[0] + np.sum(x), (X, x))


def test_more_draws_than_a_counter_holds_are_refused():
    with pytest.raises(ValueError, match=r"num_samples: expected an int <= 2\^62, got 9223372036854775808"):
        vi.elbo(vi.Target(lambda z: z[0], 1), vi.MeanFieldGaussian([0.0], [1.0]), 2**63)


def test_writing_into_z_is_refused():
    def mutating(z):
        z[0] = 1.0
        return z[0]

    with pytest.raises(ValueError, match="read-only"):
        elbo(mutating)


def test_an_exception_on_one_draw_in_a_hundred_surfaces_as_itself():
    class Unlucky(Exception):
        pass

    def raising(z):
        if z[0] > 2.326:
            raise ValueError("z[0] is too large")
        return -z[0]

    target = vi.Target(raising, 3)
    messages = set()
    for threads in (1, 2, 3):
        with pytest.raises(ValueError, match="z.0. is too large") as caught:
            vi.elbo(target, Q, 100_000, rng=0, num_threads=threads)
        messages.add(caught.value.__notes__[-1])
    assert len(messages) == 1 and "draw" in messages.pop()  # the first such draw, on any number of threads
    assert not target.density.values().vectorised


def test_an_exception_from_data_surfaces_in_lanes():
    def checked(z, y):
        if y[0] < 0:
            raise ValueError("negative y")
        return z[0] * y[0]

    assert vi.Target(checked, 3, (X,)).density.values().vectorised
    elbo(checked, (X,))
    with pytest.raises(ValueError, match="negative y"):
        elbo(checked, (-X,))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_are_refused(value):
    with pytest.raises(vi.NonFiniteError, match="500 of 500 draws"):
        elbo(lambda z: z[0] * 0.0 + value)


def test_minus_infinity_everywhere():
    estimate = elbo(lambda z: z[0] * 0.0 - math.inf)
    assert estimate.value == -math.inf and estimate.num_neginf == 500


def test_what_cannot_compile_says_so_in_one_line():
    class Opaque:
        pass

    thing = Opaque()

    def opaque(z):
        return z[0] if isinstance(thing, Opaque) else 0.0

    with pytest.raises(TypeError, match="log_density: .*test_target.py:") as caught:
        elbo(opaque)
    assert isinstance(caught.value, density.DensityError) and "\n" not in str(caught.value)
    assert "thing" in caught.value.details


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (("text", 3), TypeError, "log_density: expected a Python function"),
        ((np.exp, 3), TypeError, "log_density: expected a Python function"),
        ((weighted, 0), ValueError, "dim: expected an int >= 1, got 0"),
        ((weighted, 2.0), TypeError, "dim: expected an int"),
        ((weighted, True), TypeError, "dim: expected an int"),
        ((weighted, 3, X), TypeError, "data: expected a tuple"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        vi.Target(*arguments)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (dict(num_samples=0), ValueError, "num_samples: expected an int >= 1, got 0"),
        (dict(num_samples=-5), ValueError, "num_samples: expected an int >= 1, got -5"),
        (dict(num_samples=2.5), TypeError, "num_samples: expected an int >= 1, got 2.5"),
        (dict(num_samples=True), TypeError, "num_samples: expected an int >= 1, got True"),
        (dict(estimator="best"), ValueError, "estimator: expected one of"),
        (dict(atol=0.0), ValueError, "atol: expected a finite number > 0"),
        (dict(atol=True), TypeError, "atol: expected a positive number"),
        (dict(max_samples=3), ValueError, "max_samples: expected at least num_samples"),
        (dict(num_threads=0), ValueError, "num_threads: expected an int >= 1"),
        (dict(backend="tpu"), ValueError, "backend: expected one of"),
        (dict(dtype="float16"), ValueError, "dtype: expected one of"),
        (dict(draws="lucky"), ValueError, "draws: expected one of"),
        (dict(progress="bar"), TypeError, "progress: expected a bool"),
        (dict(q=vi.MeanFieldGaussian([0.0], [1.0])), ValueError, "q: expected 3 dimensions, as the target has, got 1"),
        (dict(q=weighted), TypeError, "q: expected a Gaussian family, a Bernoulli or a Product"),
        (dict(target=weighted), TypeError, "target: expected a fastvi.Target"),
    ],
)
def test_bad_calls_are_named(change, error, message):
    call = dict(target=vi.Target(weighted, 3, (X, 1.0)), q=Q, num_samples=10, rng=0) | change
    for function in (vi.elbo, vi.elbo_gradient):
        with pytest.raises(error, match=message):
            function(**call)


def test_value_of_one_point_and_many():
    target = vi.Target(weighted, 3, (X, 1.0))
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(target.value(points), [weighted(z, X, 1.0) for z in points], rtol=1e-13)
    assert isinstance(target.value(points[0]), float)
    with pytest.raises(ValueError, match=r"z: expected shape \(3,\) or \(n, 3\)"):
        target.value(np.zeros(4))


def test_targets_pickle_as_recipes():
    target = vi.Target(weighted, 3, (X, 1.0), name="mine")
    again = pickle.loads(pickle.dumps(target))
    assert again.value(np.ones(3)) == target.value(np.ones(3)) and repr(again) == "Target(mine, dim=3, data=2 items)"


# ---- what a hostile reader found once
def outer_helper(x):
    return inner_helper(x)


def inner_helper(x):
    return x * RATE


RATE = 1.0


def through_helpers(z):
    return outer_helper(1.0) + 0.0 * z[0]


def test_rebinding_is_seen_through_plain_helpers(monkeypatch):
    target = vi.Target(through_helpers, 1)
    assert target.value([0.0]) == 1.0
    monkeypatch.setitem(globals(), "RATE", 4.0)
    assert target.value([0.0]) == 4.0
    monkeypatch.setitem(globals(), "inner_helper", lambda x: 7.0 * x)
    assert target.value([0.0]) == 7.0 and vi.Target(through_helpers, 1).value([0.0]) == 7.0


def test_module_attributes_are_seen(monkeypatch):
    settings = types.ModuleType("settings")
    settings.scale = 1.0
    monkeypatch.setitem(globals(), "settings", settings)
    target = vi.Target(lambda z: settings.scale * z[0], 1)
    values = []
    for settings.scale in (1.0, 2.0, 3.0):
        values.append(target.value([1.0]))
    assert values == [1.0, 2.0, 3.0]


def test_helpers_of_a_module_compile(monkeypatch):
    module = types.ModuleType("mymodels")
    exec("def helper(x):\n    return 3.0 * x\n", module.__dict__)
    monkeypatch.setitem(globals(), "mymodels", module)
    target = vi.Target(lambda z: mymodels.helper(z[0]), 1)  # noqa: F821
    assert target.density.values().vectorised and target.value([2.0]) == 6.0


def test_helpers_may_call_themselves():
    target = vi.Target(lambda z: power(z[0], 3), 1)
    assert target.value([2.0]) == 8.0


def power(x, n):
    if n == 0:
        return 1.0
    return x * power(x, n - 1)


def lookup(table, x):
    return table[int(x)]


def test_indices_are_checked_in_helpers_too():
    def density(z, table):
        return -0.5 * z[0] ** 2 + (lookup(table, 1e6 * abs(z[0])) if abs(z[0]) > 2.5 else 0.0)

    with pytest.raises(IndexError):
        vi.elbo(vi.Target(density, 1, (np.arange(4.0),)), vi.MeanFieldGaussian([0.0], [1.0]), 100_000, rng=0)


def test_data_changed_in_place_cannot_reach_beyond_its_array():
    index = np.array([0, 1, 2])
    target = vi.Target(lambda z, index, y: np.sum(y[index[0]] * z[index]), 3, (index, X))
    assert target.density.values().vectorised
    assert target.value(np.ones(3)) == 3.0
    index[1] = 10**9
    with pytest.raises(IndexError):
        target.value(np.ones(3))
    index[:] = 10**9, 0, 0
    with pytest.raises(IndexError):
        vi.elbo(target, Q, 1000, rng=0)


def test_booleans_mask_as_in_numpy():
    flags = np.array([True, False, True])
    points = np.array([[1.0, 2.0, 4.0], [-1.0, 0.5, 0.25]])
    for function in (lambda z, b: np.sum(z[b] ** 2), lambda z, b: np.sum(np.where(~b, z, 0.0)),
                     lambda z, b: np.sum(z[b]) if b[0] else 0.0):  # fmt: skip
        target = vi.Target(function, 3, (flags,))
        np.testing.assert_allclose(target.value(points), [function(z, flags) for z in points])
    assert vi.Target(lambda z, b: np.sum(np.where(b, z, 0.0)), 3, (flags,)).density.values().vectorised


def test_sums_of_arrays_of_comparisons_are_numpys():
    target = vi.Target(lambda z: z[0] + np.sum((z > -1) + (z < 1)), 3)
    points = np.array([[1.0, 2.0, 4.0], [-1.0, 0.5, -3.0]])
    np.testing.assert_allclose(target.value(points), [target.density.source(z) for z in points])


def test_integer_data_that_overflows_is_refused():
    with pytest.raises(ValueError, match="Python and .* compiled"):
        elbo(lambda z, n: z[0] + float(n**10), (100,))


def test_arrays_of_length_one_spread_draw_by_draw():
    target = vi.Target(lambda z, y: np.sum(z * y[:1]) + np.sum(z * np.array([2.0])), 3, (X,))
    assert target.value(np.ones(3)) == 9.0
    elbo(lambda z, y: np.sum(z * y[:1]), (X,))


def test_an_array_written_after_an_expression_was_made_of_it():
    def density(z):
        t = np.arange(3.0)
        e = t * z
        t[0] = 99.0
        return e.sum()

    target = vi.Target(density, 3)
    assert target.density.values().vectorised
    assert target.value(np.ones(3)) == 3.0


def test_a_density_cannot_write_into_its_data():
    def writing(z, y):
        y[0] += 1.0
        return z[0]

    with pytest.raises(ValueError, match="read-only"):
        elbo(writing, (X.copy(),))


def test_far_tails_keep_their_slope():
    """log expit(-720) is -720, and no plateau where exp leaves the normal range."""
    target = vi.Target(
        lambda z: np.log(vi.expit(z[0])) + np.log(vi.softplus(z[0])) + np.log(np.logaddexp(0.0, z[0])), 1
    )
    assert target.value([-720.0]) == pytest.approx(-2160.0, rel=1e-10)
    assert target.value([-1000.0]) == -math.inf


def test_errors_pickle():
    with pytest.raises(vi.NonFiniteError) as caught:
        elbo(lambda z: z[0] * math.nan)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.count == 500
    error = pickle.loads(pickle.dumps(density.DensityError("one line", "many")))
    assert (str(error), error.details) == ("one line", "many")


def test_methods_are_refused_at_the_door():
    class Model:
        def log_density(self, z):
            return z[0]

    with pytest.raises(TypeError, match="log_density: expected a Python function"):
        vi.Target(Model().log_density, 1)


def test_results_go_where_they_are_wanted():
    target, q = (
        vi.Target(lambda z, x: -np.sum((z - x) ** 2), 3, (np.ones(3),)),
        vi.MeanFieldGaussian([0, 0, 0], [1, 1, 1]),
    )
    z = q.sample(50, rng=0, out=np.empty((50, 3)))
    np.testing.assert_array_equal(z, q.sample(50, rng=0))
    values, slopes = np.empty(50), np.empty((50, 3))
    found = target.value_and_grad(z, out=(values, slopes))
    assert found[0] is values and found[1] is slopes and z.flags.writeable
    np.testing.assert_array_equal(slopes, target.gradient(z))
    assert target.value(z, out=values) is values
    np.testing.assert_array_equal(values, target.value(z))
    for out, message in (
        (np.empty(3), r"out: expected shape \(50,\), got \(3,\)"),
        (np.empty(50, np.float32), "out: expected a float64 array, C-contiguous and writable, got an array of shape"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            target.value(z, out=out)
    with pytest.raises(ValueError, match=r"out\[1\]: expected shape \(50, 3\), got \(50,\)"):
        target.value_and_grad(z, out=(values, values))
    with pytest.raises(ValueError, match="out: expected many points"):
        target.value(z[0], out=np.empty(1))
