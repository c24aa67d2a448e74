"""A log density as a sum: terms of one length become one sum, conditions become one at the end."""

import math

from .nodes import TRUE, ZERO, Node, literal, node, value_of
from .simplify import op


def merged(root: Node, conditions: list[Node]) -> Node:
    """The same density with one sum for each length, -inf wherever one of the conditions does not hold."""
    terms: list[tuple[float, Node]] = []
    conditions = list(conditions)
    split(root, 1.0, terms, conditions)
    by_length: dict[int | None, list[tuple[float, Node]]] = {}
    rest: list[tuple[float, Node]] = []
    constant = 0.0
    for factor, a in terms:
        if a.op == "mul" and a.args[0].op == "lit" and a.args[1].op == "sum":
            factor, a = factor * value_of(a.args[0]), a.args[1]
        if value_of(a) is not None and not a.is_bool:
            constant += factor * value_of(a)
        elif a.op == "sum":
            v = a.args[0] if abs(factor) == 1.0 else op("mul", literal(abs(factor)), a.args[0])
            by_length.setdefault(a.args[0].n, []).append((factor, v))
        else:
            rest.append((factor, a))
    out = literal(constant)
    for a, times in collected(rest):
        out = op("add" if times > 0 else "sub", out, op("mul", literal(abs(times)), a))
    for vectors in by_length.values():
        vectors.sort(key=lambda pair: -pair[0])
        total = ZERO
        for sign, v in vectors:
            total = op("add" if sign > 0 else "sub", total, v)
        out = op("add", out, node("sum", (total,)))
    holds = TRUE
    for condition in all_at_once(conditions):
        holds = op("and", holds, condition)
    if value_of(holds) is None:
        return op("where", holds, out, literal(-math.inf))
    return out if value_of(holds) else literal(-math.inf)


def all_at_once(conditions: list[Node]) -> list[Node]:
    """Conditions on all items of vectors of one length as one."""
    out: list[Node] = []
    by_length: dict[int | None, Node] = {}
    for condition in dict.fromkeys(conditions):
        if condition.op != "all":
            out.append(condition)
            continue
        n, inner = condition.args[0].n, condition.args[0]
        by_length[n] = op("and", by_length[n], inner) if n in by_length else inner
    return out + [node("all", (inner,), is_bool=True) for inner in by_length.values()]


def finite(a: Node) -> bool:
    return a.op == "lit" and math.isfinite(value_of(a))


def collected(terms) -> list[tuple[Node, float]]:
    """Terms that are equal as one."""
    times: dict[Node, float] = {}
    for factor, a in terms:
        times[a] = times.get(a, 0.0) + factor
    return [(a, k) for a, k in times.items() if k]


def split(a: Node, sign: float, terms, conditions) -> None:
    """The terms of a sum with their signs; ``where(c, x, -inf)`` among them is x and the condition c."""
    if a.op in ("add", "sub"):
        split(a.args[0], sign, terms, conditions)
        split(a.args[1], sign if a.op == "add" else -sign, terms, conditions)
    elif a.op == "neg":
        split(a.args[0], -sign, terms, conditions)
    elif a.op == "mul" and finite(a.args[0]) and a.args[1].op in ("add", "sub", "neg", "mul"):
        split(a.args[1], sign * value_of(a.args[0]), terms, conditions)
    elif a.op == "where" and sign > 0 and a.n is None and value_of(a.args[2]) == -math.inf:
        conditions.append(a.args[0])
        split(a.args[1], sign, terms, conditions)
    else:
        terms.append((sign, a))
