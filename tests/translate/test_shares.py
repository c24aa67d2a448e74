"""What is left out of the checks and sums of softmax, and what is not: by nodes, without PyMC or JAX."""

import functools

import numpy as np
import pytest

from fastvi.translate.nodes import FALSE, TRUE, ZERO, literal, z_item, z_slice
from fastvi.translate.reductions import sum_of
from fastvi.translate.shares import add_up_to_one
from fastvi.translate.simplify import op

X = [z_item(i) for i in range(3)]
INFINITY = literal(-np.inf)


def added(terms):
    return functools.reduce(lambda a, b: op("add", a, b), terms)


def shifted(terms):
    """Exponentials of terms less their maximum"""
    top = functools.reduce(lambda a, b: op("max", a, b), terms)
    return top, [op("exp", op("sub", t, top)) for t in terms]


def near_one(total, tolerance=1e-5):
    return op("le", op("abs", op("add", literal(-1.0), total)), literal(tolerance))


def test_a_share_is_no_more_than_one():
    _, parts = shifted(X)
    shares = [op("div", p, added(parts)) for p in parts]
    assert all(op("le", s, literal(1.0)) is TRUE and op("gt", s, literal(1.0)) is FALSE for s in shares)
    assert all(op("isnan", s) is FALSE for s in shares)
    stranger = op("div", parts[0], added(parts[1:]))  # not one of what is added up
    signed = op("div", X[0], added(X))
    assert op("le", stranger, literal(1.0)).op == op("le", signed, literal(1.0)).op == "le"
    assert op("lt", shares[0], literal(1.0)).op == "lt"  # where others underflow it is 1


def test_shares_add_up_to_one():
    v = z_slice(0, 4)
    e, rest = op("exp", v), op("exp", X[0])
    whole = op("add", sum_of(e), rest)
    for parts in (shifted(X)[1], [op("exp", x) for x in X]):
        shares = [op("div", p, added(parts)) for p in parts]
        assert near_one(added(shares)) is TRUE and near_one(added(shares[::-1])) is TRUE
        assert near_one(added(shares[:2])).op == "le" and near_one(added(shares), 1e-17).op == "le"
        assert near_one(added([*shares, shares[0]])).op == "le"
    assert add_up_to_one(op("add", sum_of(op("div", e, whole)), op("div", rest, whole)))
    assert not add_up_to_one(sum_of(op("div", e, whole)))


def test_exponentials_that_are_shifted_by_their_maximum_are_one_function():
    top, parts = shifted(X)
    log = op("log", added(parts))
    chain = op("logaddexp", op("logaddexp", X[0], X[1]), X[2])
    assert op("add", log, top) is op("add", top, log) is chain
    assert op("sub", op("sub", X[1], top), log) is op("sub", X[1], chain)
    assert op("add", log, X[0]).op == "add"
    finite = op("not", op("or", op("isinf", op("log", X[0])), op("isnan", op("log", X[0]))))
    guarded = op("where", finite, op("max", op("log", X[0]), X[1]), ZERO)
    parts = [op("exp", op("sub", x, guarded)) for x in (op("log", X[0]), X[1])]
    assert op("add", op("log", added(parts)), guarded) is op("logaddexp", op("log", X[0]), X[1])


@pytest.mark.parametrize("c", [-np.inf, np.inf])
def test_what_a_choice_leaves_as_it_is(c):
    x = op("log", X[0])
    assert op("where", op("eq", x, literal(c)), literal(c), x) is x
    assert op("where", op("eq", x, ZERO), ZERO, x).op == "where"  # -0.0 is 0.0 too
    assert op("max", INFINITY, x) is x
    condition = op("gt", X[0], X[1])
    chosen = op("where", condition, op("sub", X[1], x), op("sub", X[2], x))
    assert chosen is op("sub", op("where", condition, X[1], X[2]), x)
