"""Modified Bessel functions of the first kind, exp(-x) I_v(x) for x > 0, by series of Chebyshev polynomials."""

import numpy as np
from numpy.polynomial.chebyshev import chebinterpolate
from scipy import special

from .known import Known, Unsupported
from .nodes import Node, data, literal, node, value_of
from .simplify import op

MIDDLE = 8.0  # where the series in x gives way to that in 1 / x
DEGREES = 30, 26
MOST_ORDER = 30.0


def scaled_bessel(v: Node, x: Node) -> Node:
    """Of constant orders v."""
    orders = v.meta.value if v.op == "data" and v.meta.constant else value_of(v)
    if orders is None or np.any((np.asarray(orders) < 0) | (np.asarray(orders) > MOST_ORDER)):
        raise Unsupported(f"the scalar Op Ive, but for constant orders from 0 to {MOST_ORDER:g},")
    below, above = (series(np.asarray(orders, float), degree, far) for far, degree in enumerate(DEGREES))
    size, half = op("abs", x), literal(MIDDLE)
    # both are evaluated everywhere: each within the reach of its series
    near, far = op("min", size, half), op("max", size, half)
    small = op("mul", op("pow", near, v), clenshaw(below, op("sub", op("div", near, literal(4.0)), literal(1.0))))
    decay = op("exp", op("neg", op("div", op("mul", op("mul", v, v), literal(0.5)), far)))
    large = op("mul", decay, clenshaw(above, op("sub", op("div", literal(16.0), far), literal(1.0))))
    found = op("where", op("le", size, half), small, op("div", large, op("sqrt", far)))
    # written down: what is read of it elsewhere must not walk through its terms, each of which is used twice
    return found if found.n is None else node("kept", (found,), found.n)


def series(orders: np.ndarray, degree: int, far) -> list[Node]:
    """Coefficients, for each order, of what is left of the function after its leading factors."""

    def near_zero(t, v):
        return special.ive(v, 4.0 * (t + 1.0)) / (4.0 * (t + 1.0)) ** v

    def near_infinity(t, v):
        x = 16.0 / (t + 1.0)
        return special.ive(v, x) * np.sqrt(x) * np.exp(0.5 * v * v / x)

    function = near_infinity if far else near_zero
    found = [chebinterpolate(function, degree, (v,)) for v in orders.ravel()]
    if orders.ndim == 0:
        return [literal(c) for c in found[0]]
    return [data(Known(np.ascontiguousarray(c))) for c in np.transpose(found)]


def clenshaw(coefficients: list[Node], t: Node) -> Node:
    """The sum of coefficients times Chebyshev polynomials of t."""
    twice, ahead, further = op("add", t, t), coefficients[-1], literal(0.0)
    for c in coefficients[-2:0:-1]:
        ahead, further = op("add", c, op("sub", op("mul", twice, ahead), further)), ahead
    return op("add", coefficients[0], op("sub", op("mul", t, ahead), further))


def bessel_of_order_zero(x: Node) -> Node:
    return op("mul", op("exp", op("abs", x)), scaled_bessel(literal(0.0), x))
