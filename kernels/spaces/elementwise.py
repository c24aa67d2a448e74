"""Spaces whose numbers are mapped one by one.

Each has ``forward(part)``, which writes x and adds to log |J|, and ``backward(part)``, which adds to the gradient by u
the gradient by x, times dx/du, and that of log |J|.  A ``part`` reads and writes numbers of 32 draws, of one, or of
code for them: see ``stage``.  x stays within its open space where rounding would leave it, so that log(x) is finite.
"""

import math

from ..arithmetic.elementary import SMALLEST_NORMAL, exp, expit, log, log1p_unit
from ..arithmetic.primitives import absolute, select

LARGEST = 2.0**1023
NEGLIGIBLE = -37.0  # e^u below it changes no 1 + e^u


def at_least(x, least):
    return select(x < least, least, x)


def at_most(x, most):
    return select(x > most, most, x)


def next_to(bound, towards):
    """The nearest number on that side, and no subnormal one."""
    neighbour = math.nextafter(bound, towards)
    return math.copysign(max(abs(neighbour), SMALLEST_NORMAL), towards) if bound == 0.0 else neighbour


def halves(u):
    """(e^-|u|, 1 / (1 + e^-|u|), log(1 + e^-|u|)): what expit(u), 1 - expit(u) and their logarithms are made of."""
    e = exp(-absolute(u))
    return e, 1.0 / (1.0 + e), log1p_unit(e)


class Real:
    """x = u"""

    @staticmethod
    def forward(part):
        part.each(lambda i: part.put(i, part.u(i)))

    @staticmethod
    def backward(part):
        part.each(lambda i: part.add(i, part.slope(i)))


class Above:
    """x = low + e^u"""

    @staticmethod
    def forward(part):
        least = next_to(part.low, math.inf)

        def one(i):
            u = part.u(i)
            part.put(i, lambda: at_most(at_least(part.low + exp(u), least), LARGEST))
            part.put_log(i, u)
            part.add_log_j(u)

        part.each(one)

    @staticmethod
    def backward(part):
        def one(i):
            x = part.has_x and part.low == 0.0
            e = part.x(i) if x else at_most(exp(part.u(i)), LARGEST)  # x - low would cancel
            part.add(i, part.slope(i) * e + part.log_slope(i) + 1.0)

        part.each(one)


class Below:
    """x = high - e^u"""

    @staticmethod
    def forward(part):
        most = next_to(part.high, -math.inf)

        def one(i):
            u = part.u(i)
            part.put(i, lambda: at_least(at_most(part.high - exp(u), most), -LARGEST))
            part.add_log_j(u)

        part.each(one)

    @staticmethod
    def backward(part):
        part.each(lambda i: part.add(i, 1.0 - part.slope(i) * at_most(exp(part.u(i)), LARGEST)))


class Softplus:
    """x = low + log(1 + e^u)"""

    @staticmethod
    def forward(part):
        least = next_to(part.low, math.inf)

        def one(i):
            u = part.u(i)
            _, _, tail = halves(u)
            s = at_least(select(u > 0.0, u, 0.0) + tail, SMALLEST_NORMAL)
            part.put(i, lambda: at_least(part.low + s, least))
            part.put_log(i, lambda: select(u < NEGLIGIBLE, u, log(s)))
            part.add_log_j(select(u < 0.0, u, 0.0) - tail)

        part.each(one)

    @staticmethod
    def backward(part):
        def one(i):
            u = part.u(i)
            p = expit(u)
            if part.has_log:
                _, _, tail = halves(u)
                s = at_least(select(u > 0.0, u, 0.0) + tail, SMALLEST_NORMAL)
                part.add(i, part.log_slope(i) * select(u < NEGLIGIBLE, 1.0, p / s))
            part.add(i, part.slope(i) * p + expit(-u))

        part.each(one)


class Interval:
    """x = low + (high - low) expit(u), from the nearer of the two ends"""

    @staticmethod
    def forward(part):
        low, high = part.low, part.high
        width, least, most = high - low, next_to(low, math.inf), next_to(high, -math.inf)

        def one(i):
            u = part.u(i)
            e, d, tail = halves(u)
            near = width * (e * d)
            part.put(i, lambda: at_most(at_least(select(u < 0.0, low + near, high - near), least), most))
            part.put_log(i, lambda: select(u < 0.0, u, 0.0) - tail)
            part.put_log1m(i, lambda: select(u < 0.0, 0.0, -u) - tail)
            part.add_log_j(math.log(width) - absolute(u) - 2.0 * tail)

        part.each(one)

    @staticmethod
    def backward(part):
        width = part.high - part.low

        def one(i):
            u = part.u(i)
            e, d, _ = halves(u)
            p, q = select(u < 0.0, e * d, d), select(u < 0.0, d, e * d)
            steep = part.slope(i) * (width * (e * d * d))
            part.add(i, steep + part.log_slope(i) * q - part.log1m_slope(i) * p + (q - p))

        part.each(one)
