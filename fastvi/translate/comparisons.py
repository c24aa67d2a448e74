"""Comparisons and conditions that are decided by what is known of their operands: each a truth value, or None."""

import math

from .nodes import FALSE, TRUE, literal, value_of
from .shares import is_near_one
from .signs import below_one, positive, surely_finite


def is_one(a):
    return value_of(a) == 1.0


def is_zero(a):
    return a.op == "lit" and value_of(a) == 0.0


def more(n, meta, a, b, strict=True):
    """a > b, or a >= b"""
    if is_zero(b) and (positive(a) if strict else positive(a, False)):
        return TRUE
    if is_zero(a) and (positive(b, False) if strict else positive(b)):
        return FALSE
    if is_one(a) and below_one(b, strict):
        return TRUE
    if is_one(b) and strict and below_one(a):
        return FALSE
    return TRUE if is_near_one(b, a) else None


def at_least(n, meta, a, b):
    return more(n, meta, a, b, False)


def equal(n, meta, a, b):
    if a is b and surely_finite(a):
        return TRUE
    if any(value_of(x) in (math.inf, -math.inf) and surely_finite(y) for x, y in ((a, b), (b, a))):
        return FALSE
    return FALSE if any(is_zero(x) and positive(y) for x, y in ((a, b), (b, a))) else None


def unequal(n, meta, a, b):
    return {id(TRUE): FALSE, id(FALSE): TRUE}.get(id(equal(n, meta, a, b)))


def not_finite(n, meta, a):
    """Whether it is not a number or infinite: z never is."""
    return FALSE if surely_finite(a) else None


def both(n, meta, a, b):
    for x, y in ((a, b), (b, a)):
        if x.op == "lit":
            return y if value_of(x) else FALSE
    return a if a is b else None


def either(n, meta, a, b):
    for x, y in ((a, b), (b, a)):
        if x.op == "lit":
            return TRUE if value_of(x) else y
    return a if a is b else None


def opposite(n, meta, a):
    return literal(not value_of(a)) if a.op == "lit" else None
