"""Element-wise nodes, simplified as they are made: constants folded, checks decided by signs, logarithms and
exponentials cancelled, functions of data computed now."""

import functools
import math
from collections.abc import Callable

import numpy as np

from .comparisons import at_least, both, either, equal, is_one, is_zero, more, not_finite, opposite, unequal
from .known import Known, Unsupported, combined
from .nodes import INSIDE, ONE, Node, literal, node, value_of
from .operations import BOOLEAN, COSTLY, NUMPY
from .shares import exponents
from .signs import positive

MOST_POWER, MOST_TERMS = 64, 8
LOGICAL = {"and", "or", "not", "tofloat"}


def op(name: str, *args: Node, meta=None) -> Node:
    """The node of an element-wise operation."""
    sizes = {a.n for a in args if a.n is not None}
    if len(sizes) > 1 and INSIDE in sizes:
        raise Unsupported("a scan with vectors within a step")
    if len(sizes) > 1:
        raise AssertionError(f"{name} of vectors of {sizes}")
    n = sizes.pop() if sizes else None
    rule = RULES.get(name)
    found = None if rule is None else rule(n, meta, *args)
    if found is not None and (found.n == n or found.op == "lit"):
        return found
    if name not in LOGICAL:
        args = tuple(op("tofloat", a) if a.is_bool and (k or name != "where") else a for k, a in enumerate(args))
    return folded(name, n, meta, args) or node(name, args, n, meta, name in BOOLEAN)


def folded(name, n, meta, args) -> Node | None:
    """An operation on numbers or data alone, done now."""
    if name not in NUMPY or not all(a.op in ("lit", "data") for a in args):
        return None
    function = NUMPY[name]
    if all(a.op == "lit" for a in args):
        with np.errstate(all="ignore"):
            return literal(function(*(value_of(a) for a in args)).item())
    known = [a.meta if a.op == "data" else Known(value_of(a)) for a in args]
    first = next(k for a, k in zip(args, known, strict=True) if a.op == "data")

    def compute(*values):
        found = np.asarray(function(*values))
        return found if n is None else np.ascontiguousarray(np.broadcast_to(found, (n,)))

    key = (name, tuple(a.uid for a in args))
    if key not in first.derived:
        first.derived[key] = combined(compute, known)
    result = first.derived[key]
    if result.constant and n is None:
        return literal(result.value.item())
    return node("data", n=n, meta=result, is_bool=result.value.dtype.kind == "b")


def add(n, meta, a, b):
    if is_zero(a) and not b.is_bool:
        return b
    if is_zero(b) and not a.is_bool:
        return a
    for x, y in ((a, b), (b, a)):  # max(x, 0) + log1p(exp(-|x|))
        inner = y.args[0] if y.op == "softplus" else None
        if inner is not None and inner.op == "neg" and inner.args[0].op == "abs" and x.op == "max":
            u = inner.args[0].args[0]
            if any(p is u and is_zero(q) for p, q in (x.args, x.args[::-1])):
                return op("softplus", u)
        if found := log_sum_exp(x, y):
            return found
    return op("sub", a, b.args[0]) if b.op == "neg" else None


def log_sum_exp(logarithm, shift):
    """Their sum as one function, where the one is of exponentials that are shifted by the other."""
    terms = exponents(logarithm, shift)
    few = 1 < len(terms) <= MOST_TERMS
    return functools.reduce(lambda total, t: op("logaddexp", total, t), terms) if few else None


def sub(n, meta, a, b):
    if is_zero(b) and not a.is_bool:
        return a
    if is_zero(a):
        return op("neg", b)
    if is_one(a) and b.op == "expit":
        return op("expit", op("neg", b.args[0]))
    if a.op == "sub" and (found := log_sum_exp(b, a.args[1])):  # log softmax
        return op("sub", a.args[0], found)
    return op("add", a, b.args[0]) if b.op == "neg" else None


def mul(n, meta, a, b):
    for x, y in ((a, b), (b, a)):
        if is_one(x) and not y.is_bool:
            return y
        if value_of(x) == -1.0:
            return op("neg", op("tofloat", y))
    return op("exp", op("mul", literal(2.0), a.args[0])) if a is b and a.op == "exp" else None


def div(n, meta, a, b):
    return a if is_one(b) and not a.is_bool else None


def neg(n, meta, a):
    if a.op == "neg":
        return a.args[0]
    return op("sub", a.args[1], a.args[0]) if a.op == "sub" else None


def easy_log(a):
    """Whether the logarithm of a factor is worth taking on its own."""
    if a.n is None or a.op in ("exp", "data", "lit", "expit"):
        return True
    return a.op in ("mul", "div") and all(map(positive, a.args)) and any(map(easy_log, a.args))


def log(n, meta, a):
    if a.op == "exp":
        return a.args[0]
    if a.op == "expit":
        return op("neg", op("softplus", op("neg", a.args[0])))
    if a.op == "powi" and positive(a.args[0]):
        return op("mul", literal(a.meta), op("log", a.args[0]))
    if a.op == "sqrt" and positive(a.args[0]):
        return op("mul", literal(0.5), op("log", a.args[0]))
    if a.op in ("mul", "div") and all(map(positive, a.args)):
        if a.args[0] is a.args[1]:
            return op("mul", literal(2.0), op("log", a.args[0])) if a.op == "mul" else None
        if n is not None and any(map(easy_log, a.args)):
            return op("add" if a.op == "mul" else "sub", *(op("log", x) for x in a.args))
    return None


def log1p(n, meta, a):
    if a.op == "exp":
        return op("softplus", a.args[0])
    if a.op == "neg" and a.args[0].op == "expit":
        return op("neg", op("softplus", a.args[0].args[0]))
    return None


def exp(n, meta, a):
    return a.args[0] if a.op == "log" and positive(a.args[0]) else None


def expm1(n, meta, a):
    return op("sub", a.args[0], ONE) if a.op == "log" else None


def sqrt(n, meta, a):
    if a.op == "mul" and a.args[0] is a.args[1]:
        return op("abs", a.args[0])
    return op("exp", op("mul", literal(0.5), a.args[0])) if a.op == "exp" else None


def absolute(n, meta, a):
    if a.op == "neg":
        return op("abs", a.args[0])
    return a if positive(a, False) else None


def sign(n, meta, a):
    return ONE if positive(a) else None


def power(n, meta, a, b):
    exponent = value_of(b)
    if exponent is None:
        return None
    if exponent == 0.5:
        return op("sqrt", a)
    if exponent == int(exponent) and abs(exponent) < MOST_POWER:
        return {0: ONE, 1: a, 2: op("mul", a, a), -1: op("div", ONE, a)}.get(int(exponent)) or op(
            "powi", a, meta=int(exponent)
        )
    return None


def whole_power(n, exponent, a):
    return op("exp", op("mul", literal(exponent), a.args[0])) if a.op == "exp" else None


def square_of(n, meta, a):
    return op("mul", a, a)


def where(n, meta, condition, a, b):
    if a.is_bool and b.is_bool:
        return op("or", op("and", condition, a), op("and", op("not", condition), b))
    if condition.op == "lit":
        return op("tofloat", a if value_of(condition) else b)
    if a is b:
        return op("tofloat", a)
    if condition.op == "eq" and abs(value_of(a) or 0.0) == math.inf and set(condition.args) == {a, b}:
        return b
    if (
        a.op == b.op
        and len(a.args) == 1
        and (a.op == "neg" or a.op in COSTLY)
        and a.args[0].is_bool == b.args[0].is_bool
    ):
        return op(a.op, op("where", condition, a.args[0], b.args[0]))  # one function of what is chosen
    if a.op == b.op == "sub" and a.args[1] is b.args[1]:
        return op("sub", op("where", condition, a.args[0], b.args[0]), a.args[1])
    if a.op == "neg" and a.args[0] is b:
        return op("mul", op("where", condition, literal(-1.0), ONE), b)
    if b.op == "neg" and b.args[0] is a:
        return op("mul", op("where", condition, ONE, literal(-1.0)), a)
    return None


def to_float(n, meta, a):
    if not a.is_bool:
        return a
    return literal(float(value_of(a))) if a.op == "lit" else op("where", a, ONE, literal(0.0))


def smaller(n, meta, a, b):
    for x, y in ((a, b), (b, a)):
        if value_of(x) == np.inf:
            return y
    return None


def larger(n, meta, a, b):
    for x, y in ((a, b), (b, a)):
        if is_zero(x) and positive(y, False) or value_of(x) == -np.inf:
            return y
    return None


RULES: dict[str, Callable[..., Node | None]] = {
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": neg, "log": log, "log1p": log1p, "exp": exp,
    "expm1": expm1, "sqrt": sqrt, "abs": absolute, "sign": sign, "pow": power, "powi": whole_power, "sqr": square_of,
    "gt": more, "ge": at_least, "lt": lambda n, meta, a, b: more(n, meta, b, a),
    "le": lambda n, meta, a, b: at_least(n, meta, b, a), "isnan": not_finite, "isinf": not_finite,
    "and": both, "or": either, "not": opposite, "where": where,
    "tofloat": to_float, "max": larger, "min": smaller, "eq": equal, "ne": unequal,
}  # fmt: skip
