"""Shares of a whole, x / (x + y + ...) of what is not negative, and the sums of exponentials behind them: what softmax
is made of, whose checks need not be computed again for each row."""

from collections import Counter

from .nodes import Node, value_of

MARGIN = 1e-12  # more than rounding leaves of shares that add up to 1


def terms_of(a: Node) -> list[Node]:
    """Of a sum of numbers or of vectors of one length; the items of a vector stand there as its sum."""
    return [t for x in a.args for t in terms_of(x)] if a.op == "add" else [a]


def counted(x: Node) -> Node:
    """What x is an item of, or all items of"""
    return x.args[0] if x.op in ("sum", "gather", "item") else x


def is_share(a: Node) -> bool:
    """Whether it is a term of a sum over that sum, whatever its sign"""
    return a.op == "div" and any(counted(t) is counted(a.args[0]) for t in terms_of(a.args[1]))


def add_up_to_one(a: Node) -> bool:
    """Whether it is a sum of all terms of another, each over that"""
    parts = [counted(t) for t in terms_of(a)]
    if not all(p.op == "div" and p.args[1] is parts[0].args[1] for p in parts):
        return False
    return Counter(counted(p.args[0]) for p in parts) == Counter(map(counted, terms_of(parts[0].args[1])))


def is_near_one(a: Node, tolerance: Node) -> bool:
    """Whether abs(sum - 1) <= tolerance is certain"""
    limit = value_of(tolerance)
    if limit is None or limit < MARGIN or a.op != "abs" or a.args[0].op not in ("add", "sub"):
        return False
    inner = a.args[0]
    one = 1.0 if inner.op == "sub" else -1.0
    return any(value_of(x) == one and add_up_to_one(y) for x, y in (inner.args, inner.args[::-1]))


def at_most(x: Node, top: Node) -> bool:
    """Whether ``top`` is a maximum that x is among"""
    if top.op == "max":
        return any(at_most(x, t) for t in top.args)
    return top is x or top.op == "lmax" and top.args[0] is counted(x)


def bounded_exponential(a: Node) -> bool:
    """exp(x - max(x, ...)), which is no more than 1"""
    return a.op == "exp" and a.args[0].op == "sub" and at_most(*a.args[0].args)


def exponents(logarithm: Node, shift: Node) -> list[Node]:
    """The x, y, ... of log(exp(x - m) + exp(y - m) + ...) + m for a maximum m, or 0 where it is infinite; else none"""
    top = shift.args[1] if shift.op == "where" and value_of(shift.args[2]) == 0.0 else shift
    if logarithm.op != "log" or top.op != "max":
        return []
    terms = terms_of(logarithm.args[0])
    if all(t.op == "exp" and t.args[0].op == "sub" and t.args[0].args[1] is shift for t in terms):
        return [t.args[0].args[0] for t in terms]
    return []
