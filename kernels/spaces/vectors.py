"""Spaces of vectors and matrices whose numbers depend on each other."""

from ..arithmetic.elementary import SMALLEST_NORMAL, exp, tanh
from ..arithmetic.primitives import absolute, select
from .elementwise import at_least, halves


class Simplex:
    """Stick-breaking, x_i = left_i expit(u_i - log(k - 1 - i)), what is left going on; u = 0 is the uniform point.

    The smaller part of a stick is a product and the larger the difference, so each is right to rounding however thin;
    in the end all are divided by their sum, which is 1 to some rounding errors.
    """

    @staticmethod
    def forward(part):
        sticks = part.count - 1
        left, rest, total, lost = (part.cell(start) for start in (1.0, 0.0, 0.0, 0.0))

        def count_in(x):
            """A sum that keeps what rounding loses (Knuth)."""
            before = total.get()
            after = before + x
            back = after - before
            lost.set(lost.get() + ((before - (after - back)) + (x - back)))
            total.set(after)

        def stick(i):
            v = part.u(i) - part.log_of(sticks - i)
            e, d, tail = halves(v)
            log_p, log_q = select(v < 0.0, v, 0.0) - tail, select(v < 0.0, 0.0, -v) - tail
            if part.has_x:
                small = left.get() * (e * d)
                large = left.get() - small
                x = select(v < 0.0, small, large)
                part.put(i, x)
                count_in(x)
                left.set(select(v < 0.0, large, small))
            part.put_log(i, rest.get() + log_p)
            part.add_log_j(rest.get() + log_p + log_q)
            rest.set(rest.get() + log_q)

        part.loop(sticks, stick)
        part.put_log(sticks, rest.get())
        if part.has_x:
            part.put(sticks, left.get())
            count_in(left.get())
            short = (1.0 - total.get()) - lost.get()
            part.loop(part.count, lambda i: part.put(i, at_least(part.x(i) + part.x(i) * short, SMALLEST_NORMAL)))

    @staticmethod
    def backward(part):
        """Of log x_i, a_i: from the last stick to the first, with the sum of those behind."""
        sticks = part.count - 1
        behind = part.cell(0.0)

        def of_log(i):
            return part.slope(i) * part.x(i) + part.log_slope(i) if part.has_x else part.log_slope(i)

        behind.set(of_log(sticks))

        def stick(i):
            v = part.u(i) - part.log_of(sticks - i)
            e, d, _ = halves(v)
            p, q = select(v < 0.0, e * d, d), select(v < 0.0, d, e * d)
            own = of_log(i)
            later = part.number(sticks - 1 - i)  # terms of log |J| behind this one
            part.add(i, own * q - p * behind.get() + (q - p) - later * p)
            behind.set(behind.get() + own)

        part.loop(sticks, stick, backwards=True)


class Ordered:
    """x_0 = u_0, x_i = x_{i-1} + e^{u_i}"""

    @staticmethod
    def forward(part):
        part.put(0, part.u(0))

        def step(j):
            i = j + 1
            u = part.u(i)
            part.put(i, part.x(j) + exp(u))
            part.add_log_j(u)

        part.loop(part.count - 1, step)

    @staticmethod
    def backward(part):
        behind = part.cell(0.0)

        def step(j):
            i = j + 1
            behind.set(behind.get() + part.slope(i))
            part.add(i, behind.get() * exp(part.u(i)) + 1.0)

        part.loop(part.count - 1, step, backwards=True)
        part.add(0, behind.get() + part.slope(0))


def sech(u):
    """(1 / cosh(u), its logarithm)"""
    e, d, tail = halves(2.0 * u)
    half = exp(-absolute(u))
    return 2.0 * half * d, LOG_2 - absolute(u) - tail


LOG_2 = 0.6931471805599453


class CorrCholesky:
    """Row r of L by canonical partial correlations tanh(u): L_rc = tanh(u_c) R_c, R_c the product of sech(u) before c,
    L_rr = R_r (Lewandowski, Kurowicka and Joe 2009).  log |J| is over the entries below the diagonal.
    """

    @staticmethod
    def forward(part):
        k = part.size
        part.loop(k * k, lambda i: part.put(i, 0.0))
        part.put(0, 1.0)
        radius, log_radius = part.cell(1.0), part.cell(0.0)

        def row(j):
            r = j + 1
            radius.set(1.0)
            log_radius.set(0.0)

            def column(c):
                u = part.u(((r * j) >> 1) + c)
                short, log_short = sech(u)
                part.put(r * k + c, tanh(u) * radius.get())
                part.add_log_j(log_radius.get() + 2.0 * log_short)
                radius.set(radius.get() * short)
                log_radius.set(log_radius.get() + log_short)

            part.loop(r, column)
            part.put(r * k + r, at_least(radius.get(), SMALLEST_NORMAL))

        part.loop(k - 1, row)

    @staticmethod
    def backward(part):
        k = part.size
        behind, radius = part.cell(0.0), part.cell(1.0)

        def row(j):
            r = j + 1
            first, start = (r * j) >> 1, r * k

            def through_radius(c):
                t = tanh(part.u(first + c))
                part.add(first + c, -t * (behind.get() + part.number(r + 1 - c)))
                behind.set(behind.get() + part.slope(start + c) * part.x(start + c))

            def own(c):
                short, _ = sech(part.u(first + c))
                part.add(first + c, part.slope(start + c) * radius.get() * short * short)
                radius.set(radius.get() * short)

            behind.set(part.slope(start + r) * part.x(start + r))
            part.loop(r, through_radius, backwards=True)
            radius.set(1.0)
            part.loop(r, own)

        part.loop(k - 1, row)
