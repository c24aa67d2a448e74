"""What is known of an expression's sign and size, whatever z is: it decides checks of scales and supports."""

import math

import numpy as np

from .known import Known
from .nodes import Node, value_of
from .shares import bounded_exponential, is_share, terms_of

POSITIVE = {"exp", "softplus", "expit", "erfc", "erfcx"}
OF_ALL = {"gather", "sum", "item", "max", "min", "cumsum", "lmax", "lmin", "lprod", "mul", "div", "kept", "at_step",
          "rows"}  # fmt: skip


def positive(a: Node, strict: bool = True) -> bool:
    """Whether an expression is > 0 (>= 0 where not ``strict``), but for underflow."""
    key = ("positive", strict)
    if key not in a.facts:
        a.facts[key] = _positive(a, strict)
    return a.facts[key]


def _positive(a, strict):
    if a.op == "lit":
        return value_of(a) > 0 or (not strict and value_of(a) >= 0)
    if a.op == "data":
        return constant(a) and bool(np.all(a.meta.value > 0 if strict else a.meta.value >= 0))
    if a.op in POSITIVE:
        return True
    if a.op == "mul" and a.args[0] is a.args[1] and not strict:
        return True
    if a.op == "scan":
        _, states, _, k = a.meta
        return positive(a.args[2 * states + k], strict)
    if a.op in OF_ALL:
        return all(positive(x, strict) for x in a.args)
    if a.op == "add":
        return any(positive(x, strict) for x in a.args) and all(positive(x, False) for x in a.args)
    if a.op == "sub":
        return value_of(a.args[0]) == 1.0 and below_one(a.args[1], strict)
    if a.op == "abs":
        return not strict or positive(a.args[0])
    if a.op == "sqrt":
        return not strict or positive(a.args[0])
    if a.op == "pow":
        return positive(a.args[0], strict)
    if a.op == "powi":
        return positive(a.args[0], strict) or (not strict and a.meta % 2 == 0)
    if a.op == "where":
        return all(positive(x, strict) for x in a.args[1:])
    return False


def below_one(a: Node, strict: bool = False) -> bool:
    """Whether it is <= 1 (< 1 where ``strict``, but for rounding)."""
    if a.op == "expit":
        return True
    if a.op == "lit":
        return value_of(a) < 1 or (not strict and value_of(a) <= 1)
    if a.op == "data":
        return constant(a) and bool(np.all(a.meta.value < 1 if strict else a.meta.value <= 1))
    if a.op in ("gather", "item", "kept", "at_step"):
        return below_one(a.args[0], strict)
    if a.op == "sub":
        return value_of(a.args[0]) == 1.0 and positive(a.args[1], strict)
    if a.op == "div":
        return not strict and is_share(a) and all(positive(t, False) for t in terms_of(a.args[1]))
    return a.op == "exp" and a.args[0].op == "neg" and positive(a.args[0].args[0], strict)


STAYS_FINITE = {"add", "sub", "mul", "neg", "sum", "gather", "item", "kept", "where", "max", "min", "abs", "tofloat",
                "matvec", "list", "cumsum", "lmax", "lmin", "at_step", "rows"}  # fmt: skip
BOUNDED = {"expit", "tanh", "sin", "cos", "erf", "erfc"}


def surely_finite(a: Node) -> bool:
    """Whether it is no infinity and no NaN, but for overflow of sums and products, as items of z are finite."""
    if "finite" not in a.facts:
        a.facts["finite"] = _finite(a)
    return a.facts["finite"]


def _finite(a):
    if a.op in ("z", "zs") or a.is_bool:
        return True
    if a.op == "lit":
        return math.isfinite(value_of(a))
    if a.op == "data":
        return constant(a) and bool(np.isfinite(a.meta.value).all())
    known = not isinstance(a.meta, Known) or a.meta.constant and bool(np.isfinite(a.meta.value).all())
    if a.op in STAYS_FINITE:
        return known and all(surely_finite(x) for x in a.args)
    if a.op == "div":
        return all(map(surely_finite, a.args)) and positive(a.args[1])
    return (a.op in BOUNDED or bounded_exponential(a)) and surely_finite(a.args[0])


def constant(a: Node) -> bool:
    """Whether it is a number or data that never change."""
    return a.op == "lit" or a.op == "data" and a.meta.constant
