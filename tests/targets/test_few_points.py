"""Few points of a large model: narrow compilations have the bits of the wide one, and no other meaning."""

import numpy as np
import pytest

import fastvi as vi
from fastvi.targets import few_points

from zoo import MODELS

SCALE = 1.0
SOME = ["logistic, matrix", "garch"]


def scaled(z, x):
    if_far = vi.where(z[0] > 50.0, -1.0, 0.0)
    return -0.5 * SCALE * np.sum((z - x) ** 2) + if_far


def everything(mu, s, w, log_w, B, y):
    total = np.sum(vi.normal_logpdf(B, mu, s)) + np.sum(log_w) + np.sum(np.sin(w * mu))
    t = np.zeros(3)
    for i in range(len(y)):
        t[i % 3] += vi.student_t_logpdf(y[i], 3.0, np.dot(B[0], w), s)
    return total + np.sum(np.tanh(t))


SPACES = dict(mu=vi.real(), s=vi.positive(), w=vi.simplex(3), B=vi.real((2, 3)))


def targets():
    yield vi.Target(scaled, 3, (np.arange(3.0),))
    yield vi.Target(everything, SPACES, (np.linspace(-1.0, 2.0, 7),))
    for name in SOME:
        yield vi.Target(MODELS[name][0], 5, MODELS[name][1])


@pytest.fixture
def at_once(monkeypatch):
    """Every model is large, and a call has lost enough."""
    monkeypatch.setattr(few_points, "LARGE", 0.0)
    monkeypatch.setattr(few_points, "LOST", 0.0)


@pytest.mark.slow
def test_narrow_forms_have_the_same_bits(at_once):
    rng = np.random.default_rng(0)
    for target in targets():
        many = rng.normal(size=(8, target.dim))
        value, slopes = target.value_and_grad(np.concatenate([many, many]))
        for count in (1, 3, 8):
            for _ in range(2):
                found = target.value_and_grad(many[:count])
                np.testing.assert_array_equal(found[0], value[:count])
                np.testing.assert_array_equal(found[1], slopes[:count])
                np.testing.assert_array_equal(target.value(many[:count]), value[:count])
        forms = target.density._few.forms
        assert set(forms) == {False, True} and all(form.narrow is not None for form in forms.values()), target


def test_a_new_meaning_has_no_old_form(at_once):
    global SCALE
    target, z = vi.Target(scaled, 3, (np.zeros(3),)), np.ones(3)
    try:
        assert [target.value(z) for _ in range(3)] == [-1.5, -1.5, -1.5]
        SCALE = 2.0
        assert [target.value(z) for _ in range(3)] == [-3.0, -3.0, -3.0]
    finally:
        SCALE = 1.0


def test_an_exception_is_that_of_the_usual_way(at_once):
    def raising(z, table):
        return -z[0] * z[0] * table[2 if len(table) > 2 else 5]

    target = vi.Target(raising, 1, (np.ones(3),))
    assert [target.value([2.0]) for _ in range(3)] == [-4.0] * 3
    found = few_points.run(target.density.few(8, False), vi.Target(raising, 1, (np.ones(2),)).density.memory(),
                           np.ones((1, 1)), False)  # fmt: skip
    assert found is None, "an index out of range is left to the usual way, which raises it"


def test_a_form_of_other_bits_is_not_used(at_once, monkeypatch):
    monkeypatch.setattr(few_points, "equal", lambda found, other: False)
    target = vi.Target(scaled, 3, (np.zeros(3),))
    assert [target.value(np.ones(3)) for _ in range(3)] == [-1.5] * 3
    assert target.density._few.forms[False].narrow is None
