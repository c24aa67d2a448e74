"""What a density refers to may change between calls, at any depth: the next call sees it, and so does a checkpoint."""

import importlib
import os
import types

import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.density import compilations

POINT = np.array([1.0, 0.5])


def module(name, source, **others):
    """A module made here, as a user's file would be."""
    made = types.ModuleType(name)
    exec(source, vars(made))
    vars(made).update(others)
    return made


def test_a_constant_of_a_nested_module():
    sub = module("pkg.sub", "C = 1.0")
    pkg = module("pkg", "", sub=sub)
    target = vi.Target(lambda z: pkg.sub.C * z[0], 2)
    assert target.value(POINT) == 1.0
    sub.C = 5.0
    assert target.value(POINT) == 5.0 and target.gradient(POINT)[0] == 5.0


def test_a_global_that_a_module_s_helper_reads():
    """The constant matters at draws that no check before first use meets."""
    settings = module("settings", "C = 1.0\ndef penalty(x):\n    return -0.5 * x * x - C * max(x - 2.5, 0.0) ** 2\n")

    def f(z):
        return settings.penalty(z[0]) + settings.penalty(z[1])

    points = np.array([[0.1, 0.0], [0.2, 0.0], [3.5, 0.0]])
    target = vi.Target(f, 2)
    assert target.value(points)[2] == f(points[2])
    settings.C = 50.0
    assert target.value(points)[2] == f(points[2]) == -56.125


def test_a_helper_of_a_module_s_helper():
    made = module("m", "def inner(x):\n    return min(x, 1.0)\ndef outer(x):\n    return -0.5 * x * x + inner(x)\n")
    target = vi.Target(lambda z: made.outer(z[0]), 2)
    assert target.value(POINT) == 0.5
    made.inner = lambda x: 2.0 * x
    assert target.value(POINT) == 1.5


def test_a_module_s_helper_that_calls_itself(tmp_path, monkeypatch):
    (tmp_path / "recursive.py").write_text("def power(x, n):\n    return 1.0 if n == 0 else x * power(x, n - 1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("recursive")
    assert vi.Target(lambda z: made.power(z[1], 3), 2).value(POINT) == 0.125


def test_code_replaced_in_place():
    """What IPython's %autoreload does to a function and to its helpers."""

    def helper(x):
        return x

    def f(z):
        return z[0]

    def g(z):
        return helper(z[0])

    first, second = vi.Target(f, 2), vi.Target(g, 2)
    assert first.value(POINT) == second.value(POINT) == 1.0
    f.__code__ = (lambda z: 7.0 * z[0]).__code__
    helper.__code__ = (lambda x: 7.0 * x).__code__
    assert first.value(POINT) == second.value(POINT) == 7.0


def test_a_builtin_shadowed_later():
    made = module("m", "def f(z):\n    return abs(z[0] - 3.0)\n")
    target = vi.Target(made.f, 2)
    assert target.value(POINT) == 2.0
    made.abs = lambda x: x * x
    assert target.value(POINT) == 4.0


def test_equal_meanings_are_compiled_once():
    def make(c):
        return lambda z: c * z[0]

    first, second = vi.Target(make(2.0), 2), vi.Target(make(2.0), 2)
    assert first.density.values() is second.density.values()
    assert compilations.state(make(2.0)) == compilations.state(make(2.0)) != compilations.state(make(3.0))


def test_a_checkpoint_knows_what_the_density_captures(tmp_path):
    """Resumed with another constant it once returned the old answer, converged."""
    constants = module("constants", "C = 1.0")

    def f(z):
        return -0.5 * constants.C * np.dot(z, z)

    path = os.fspath(tmp_path / "fit.npz")
    vi.fit(vi.Target(f, 2), "mean_field", rng=0, checkpoint=path)
    constants.C = 100.0
    with pytest.raises(ValueError, match="belongs to a fit of another target"):
        vi.fit(vi.Target(f, 2), "mean_field", checkpoint=path)
    constants.C = 1.0
    assert vi.fit(vi.Target(f, 2), "mean_field", checkpoint=path).converged
