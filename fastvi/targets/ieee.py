"""Where Python's own arithmetic raises and IEEE 754 has a value: math.exp(800), math.log(-1), 1.0 / 0.0, (-1.0) ** 0.5.

Compiled densities follow IEEE 754, as NumPy does: inf, nan and -inf are values.  A draw at which Python raises for such
an operation, or leaves the real numbers, has no reference to be compared with, and the compiled value stands.  What the
user's code raises itself is not of this kind.
"""

import dis
import numbers
import types

OPERATIONS = (OverflowError, ZeroDivisionError, ValueError)
# of math's functions outside of their domain; since Python 3.14 they name what they expected
DOMAINS = "math domain error", "expected a "


def by_arithmetic(error: BaseException) -> bool:
    """Whether Python raised for an operation on numbers that IEEE 754 has a value for."""
    if not isinstance(error, OPERATIONS):
        return False
    if isinstance(error, ValueError) and not str(error).startswith(DOMAINS):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not raised_on_purpose(trace)


def raised_on_purpose(trace: types.TracebackType) -> bool:
    """Whether the last instruction of a traceback is a ``raise``."""
    for instruction in dis.get_instructions(trace.tb_frame.f_code):
        if instruction.offset == trace.tb_lasti:
            return instruction.opname in ("RAISE_VARARGS", "RERAISE")
    return False


def left_the_reals(value: object) -> bool:
    """Whether a result is complex, as that of (-1.0) ** 0.5, which is nan in IEEE 754."""
    return isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
