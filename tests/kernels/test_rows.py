"""Loops over rows of data: rows come in blocks where they are asked for in order, each as it would be alone."""

import collections
import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.kernels.density import compilations, python_semantics, row_loops

RNG = np.random.default_rng(8)
X = RNG.normal(size=(150, 9))
Z = RNG.normal(size=(40, 10)) / 3.0
ORDER = np.r_[0:90, 5, 6, 7, 7, 8, 30, 8, 9, 149, 0:18, 20:17:-1, -1]


def dot(z, X, order):
    total = 0.0
    for i in range(X.shape[0]):
        total += np.tanh(np.dot(X[i], z[1:]))
    return total + 0.0 * order[0]


def written_otherwise(z, X, order):
    total, w = 0.0, z[1:]
    for i in range(X.shape[0]):
        row = X[i, :]
        total += np.tanh(w @ row) + 0.0 * np.sum(row)
    return total + 0.0 * order[0]


def in_any_order(z, X, order):
    total = 0.0
    for k in order:
        total += np.tanh(X[k] @ z[1:])
    return total


def backwards(z, X, order):
    total = 0.0
    for i in range(X.shape[0] - 1, -1, -1):
        total += np.tanh(X[i] @ z[1:])
    return total + 0.0 * order[0]


def two_slices(z, X, order):
    """Between two rows z is another: its address, or only its stride."""
    total = 0.0
    for i in range(X.shape[0]):
        w = z[1:]
        if i % 5 == 3:
            w = z[:9]
        elif i % 5 == 4:
            w = z[8::-1]
        total += np.tanh(X[i] @ w)
    return total + 0.0 * order[0]


def leaving(z, X, order):
    total = 0.0
    for i in range(X.shape[0]):
        if i == 120:
            break
        if i % 7 != 6:
            total += np.tanh(X[i] @ z[1:]) * np.tanh(X[i] @ z[1:])
    return total + 0.0 * order[0]


WAYS = dot, written_otherwise, in_any_order, backwards, two_slices, leaving


def rows_of(function, z, order):
    """The z that each row of a way meets, and the value and derivative of what is made of the product."""
    if function is in_any_order:
        return [(X[k], slice(1, None)) for k in order]
    if function is two_slices:
        pieces = {3: slice(None, 9), 4: slice(8, None, -1)}
        return [(X[i], pieces.get(i % 5, slice(1, None))) for i in range(len(X))]
    if function is leaving:
        return [(X[i], slice(1, None)) for i in range(120) if i % 7 != 6]
    return [(row, slice(1, None)) for row in X]


def gradient_of(function, z, order):
    out = np.zeros(len(z))
    for row, piece in rows_of(function, z, order):
        t = math.tanh(row @ z[piece])
        out[piece] += (1.0 - t * t) * (2.0 * t if function is leaving else 1.0) * row
    return out


@pytest.mark.parametrize("function", WAYS)
def test_values_and_gradients(function):
    target = vi.Target(function, 10, (X, ORDER))
    assert target.density.values().vectorised
    values, gradients = target.value_and_grad(Z)
    expected = [function(z, X, ORDER) for z in Z]
    np.testing.assert_allclose(target.value(Z), expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(gradients, [gradient_of(function, z, ORDER) for z in Z], rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("function", WAYS[:-1])
def test_a_row_of_a_block_has_the_bits_that_it_has_alone(function, monkeypatch):
    replaced, replace = [], row_loops.replace
    monkeypatch.setattr(row_loops, "replace", lambda *args: (replaced.append(args), replace(*args)))
    results = []
    for block_rows in (row_loops.block_rows, lambda state: None):
        monkeypatch.setattr(python_semantics, "block_rows", block_rows)
        monkeypatch.setattr(compilations, "_compiled", collections.OrderedDict())
        results.append(vi.Target(function, 10, (X, ORDER)).value_and_grad(Z))
    assert replaced
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_a_row_that_is_not_asked_for_has_no_effect():
    def first(z, X, n):
        total = 0.0
        for i in range(n):
            total += np.dot(X[i], z)
        return total

    spoilt = X.copy()
    spoilt[3:] = math.inf
    values, gradients = vi.Target(first, 9, (spoilt, 3)).value_and_grad(Z[:, :9])
    np.testing.assert_allclose(values, Z[:, :9] @ X[:3].sum(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradients, np.tile(X[:3].sum(axis=0), (len(Z), 1)), rtol=1e-14)


@pytest.mark.parametrize("columns, error", [(8, ValueError), (9, IndexError)])
def test_mistakes_are_still_found(columns, error):
    def beyond(z, X):
        total = 0.0
        for i in range(X.shape[0] + 1):
            total += np.dot(X[i], z)
        return total

    with pytest.raises(error):
        vi.Target(beyond, 9, (X[:, :columns],)).value(Z[:, :9])
