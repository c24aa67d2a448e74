"""What does not compile is named, with its line and the spelling that works."""

import functools

import numpy as np
import pytest

import fastvi as vi


def assigned_within(z):
    total = 1.0
    return total - (a := z[0]) * a


def generated(z):
    total = 1.0
    return total - sum(x * x for x in z)


def by_keyword(z, *, scale=2.0):
    return -(z[0] ** 2) / scale


def any_arguments(z, *data):
    return data[0] - z[0] ** 2


@functools.wraps(generated)
def wrapped(*args, **kwargs):
    return by_keyword(*args, **kwargs)


def formatted(z):
    label = f"{z[0]:.3f}"
    return -(z[0] ** 2) + len(label)


def imported(z):
    from math import exp

    return -exp(z[0])


def handled(z):
    try:
        return -(z[0] ** 2)
    except ValueError:
        return 0.0


def with_a_helper(z):
    return generated(z)


REFUSED = [
    (assigned_within, 2, r"\(:=\); assign in a line of its own"),
    (generated, 2, "generator expression; a list"),
    (by_keyword, 0, "by keyword only; data are passed by position"),
    (any_arguments, 0, r"\*args or \*\*kwargs; name each item of data"),
    (wrapped, 0, "wrapper .* of generated; pass generated itself"),
    (formatted, 1, "formatted string"),
    (imported, 1, "import at the top"),
    (handled, 3, "`except` with a type of exception"),
    (with_a_helper, None, "generator expression"),
]


@pytest.mark.parametrize("f, line, told", REFUSED, ids=[f.__name__ for f, _, _ in REFUSED])
def test_what_does_not_compile_is_named(f, line, told):
    at = (generated.__code__.co_firstlineno + 2) if line is None else f.__code__.co_firstlineno + line
    with pytest.raises(TypeError, match=rf"^log_density: cannot compile .*{told}.* \[.*test_spellings\.py:{at}\]$"):
        vi.Target(f, 2, (1.0,) if f is any_arguments else ()).value([0.5, 0.2])


def chained(z):
    a = b = z[0]
    return -sum([x * x for x in z]) - a * b


def test_the_spellings_that_are_named_work():
    z = np.array([0.5, 0.2])
    assert vi.Target(chained, 2).value(z) == pytest.approx(chained(z), rel=1e-15)
    assert "vectorised" in vi.Target(chained, 2).explain()


def filled(z):
    t = np.zeros(2)
    t[0] = z[0]
    return -(t[0] ** 2)


def listed(z):
    t = [z[0], 2.0 * z[1]]
    return -(t[0] ** 2) - t[1]


def test_arrays_and_lists_run_in_lanes():
    assert "vectorised" in vi.Target(filled, 2).explain()
    assert "vectorised" in vi.Target(listed, 2).explain()


def printed(z):
    print("at", z[0], z[0] > z[1])
    return -np.dot(z, z)


def test_what_a_density_prints_is_of_single_draws(capfd):
    target = vi.Target(printed, 2)
    target.value_and_grad([0.5, 0.2])
    shown, noise = capfd.readouterr()
    assert set(shown.splitlines()) == {"at 0.5 True"} and not noise
    assert "one draw at a time: cannot print 32 draws at a time" in target.explain()


def added_in_place(z):
    t = np.zeros(2)
    t += z
    return -np.sum(t * t)


def added_in_a_loop(z):
    t = np.zeros(2)
    for k in range(2):
        t = t + z * k
    return -np.sum(t * t)


def added_item_by_item(z):
    t = np.zeros(2)
    for k in range(2):
        for i in range(2):
            t[i] += z[i] * k
    return -np.sum(t * t)


def test_arrays_that_grow_are_told_the_spelling_that_runs_in_lanes():
    for f, told in ((added_in_place, "cannot be added to in place"), (added_in_a_loop, "in each turn of a loop")):
        reason = vi.Target(f, 2).explain()
        assert told in reason and "item by item instead, a[i] = " in reason and "test_spellings.py" in reason
        with pytest.raises(TypeError, match="item by item"):
            vi.Target(f, 2).gradient([0.5, 0.2])
    target = vi.Target(added_item_by_item, 2)
    assert "vectorised" in target.explain() and target.gradient([0.5, 0.2]) == pytest.approx([-1.0, -0.4])
