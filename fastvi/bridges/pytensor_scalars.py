"""PyTensor's scalar Ops as functions of nodes."""

import numpy as np

from ..translate.bessel import bessel_of_order_zero, scaled_bessel
from ..translate.known import Unsupported
from ..translate.nodes import ONE, ZERO, literal, value_of
from ..translate.simplify import op

NAMES = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "TrueDiv": "div", "Neg": "neg", "Exp": "exp", "Log": "log",
    "Log1p": "log1p", "Expm1": "expm1", "Log2": "log2", "Log10": "log10", "Sqrt": "sqrt", "Sqr": "sqr", "Abs": "abs",
    "Sigmoid": "expit", "Softplus": "softplus", "Log1mexp": "log1mexp", "Tanh": "tanh", "Sin": "sin", "Cos": "cos",
    "Tan": "tan", "Sinh": "sinh", "Cosh": "cosh", "ArcTan": "atan", "ArcSin": "asin", "ArcCos": "acos",
    "ArcTan2": "atan2", "Pow": "pow", "ScalarMaximum": "max", "ScalarMinimum": "min", "Maximum": "max",
    "Minimum": "min", "LT": "lt", "GT": "gt", "LE": "le", "GE": "ge", "EQ": "eq", "NEQ": "ne", "AND": "and",
    "OR": "or", "Invert": "not", "IsNan": "isnan", "IsInf": "isinf", "GammaLn": "lgamma", "Gamma": "gamma",
    "Psi": "digamma", "Erf": "erf", "Erfc": "erfc", "Erfcx": "erfcx", "Sign": "sign", "Floor": "floor",
    "Ceil": "ceil",
}  # fmt: skip
MANY = {"Add", "Mul", "ScalarMaximum", "ScalarMinimum", "Maximum", "Minimum", "AND", "OR"}
MOST_TERMS = 30  # of a finite sum for an incomplete gamma or beta function


def truth(x):
    return x if x.is_bool else op("ne", x, ZERO)


def many(name):
    def function(*operands):
        out = operands[0]
        for x in operands[1:]:
            out = op(name, out, x)
        return out

    return function


def to_integer(x):
    if x.is_bool:
        return op("tofloat", x)
    raise Unsupported("a cast of z to an integer")


def logical(name):
    return lambda x, y: op(name, truth(x), truth(y))


def whole_number(x, what: str) -> int:
    """The largest of data that are whole numbers from 1 to ``MOST_TERMS`` whatever happens to them."""
    value = x.meta.value if x.op == "data" and x.meta.constant else value_of(x)
    if value is None or not np.all((np.floor(value) == value) & (1 <= value) & (value <= MOST_TERMS)):
        raise Unsupported(f"the scalar Op {what}, but for whole numbers to {MOST_TERMS},")
    return int(np.max(value))


def upper_gamma(a, x):
    """exp(-x) (1 + x + ... + x^(a - 1) / (a - 1)!), the distribution function of Poisson counts."""
    out = ONE
    for k in range(whole_number(a, "GammaIncC") - 1, 0, -1):
        more = op("mul", op("mul", x, literal(1 / k)), out)
        out = op("add", ONE, op("where", op("gt", a, literal(k)), more, ZERO))
    return op("mul", op("exp", op("neg", x)), out)


def regular_beta(a, b, x):
    """x^a (1 + a (1 - x) + ...) of b terms, the distribution function of negative binomial and binomial counts."""
    out, rest = ONE, op("sub", ONE, x)
    for k in range(whole_number(b, "BetaInc") - 1, 0, -1):
        more = op("mul", op("mul", op("add", a, literal(k - 1)), op("mul", rest, literal(1 / k))), out)
        out = op("add", ONE, op("where", op("gt", b, literal(k)), more, ZERO))
    return op("mul", op("pow", x, a), out)


OTHERS = {
    "Identity": lambda x: x,
    "Second": lambda x, y: y,
    "Reciprocal": lambda x: op("div", ONE, x),
    "Clip": lambda x, low, high: op("min", op("max", x, low), high),
    "Switch": lambda c, x, y: op("where", truth(c), x, y),
    "XOR": lambda x, y: op("ne", op("tofloat", x), op("tofloat", y)),
    "AND": logical("and"),
    "OR": logical("or"),
    "Invert": lambda x: op("not", truth(x)),
    "GammaIncC": upper_gamma,
    "BetaInc": regular_beta,
    "Ive": scaled_bessel,
    "I0e": lambda x: scaled_bessel(ZERO, x),
    "I0": bessel_of_order_zero,
}


def function_of(scalar_op):
    """(nodes) -> node of a scalar Op."""
    name = type(scalar_op).__name__
    if name == "Composite":
        return composite(scalar_op)
    if name == "Cast":
        kind = np.dtype(scalar_op.o_type.dtype).kind
        return {"f": lambda x: op("tofloat", x), "b": truth}.get(kind, to_integer)
    if name in OTHERS:
        return OTHERS[name]
    if name in MANY:
        return many(NAMES[name])
    if name in NAMES:
        return lambda *operands: op(NAMES[name], *operands)
    raise Unsupported(f"the scalar Op {name}")


def composite(scalar_op):
    graph = scalar_op.fgraph

    def function(*operands):
        known = dict(zip(graph.inputs, operands, strict=True))

        def read(variable):
            return known[variable] if variable in known else literal(variable.data)

        for apply in graph.toposort():
            known[apply.outputs[0]] = function_of(apply.op)(*map(read, apply.inputs))
        return read(graph.outputs[0])

    return function
