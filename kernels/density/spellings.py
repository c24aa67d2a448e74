"""What Numba does not compile, found in the code itself, with the spelling that works.

Numba's own reports of these name neither the construct nor its line.
"""

import dis
import inspect

from .references import known, reached

WRAPPER = "a wrapper that takes any arguments, of {0}; pass {0} itself"
ANY_ARGUMENTS = "*args or **kwargs; name each item of data, as in log_density(z, x, y)"
KEYWORD_ONLY = "an argument that is passed by keyword only; data are passed by position, as in log_density(z, x, y)"
GENERATOR = "a generator expression; a list in its place compiles, as in sum([x * x for x in z])"
ASSIGNMENT = "an assignment expression (:=); assign in a line of its own"
IMPORT = "an import within the function; import at the top of the module"
FORMAT = "a formatted string; leave it out"
HANDLER = "`except` with a type of exception; write `except Exception`, or test for the case"


def refused_spelling(function, report):
    """(what, file, line) of the first such construct that a function or a plain helper has, or None.

    ``report`` is Numba's, for constructs that compile in some cases.
    """
    for each, _ in reached(function):
        if each is not function and known(each):
            continue
        code = each.__code__
        what = in_signature(each)
        line = code.co_firstlineno
        if what is None:
            what, line = in_body(code, report)
        if what is not None:
            return what, code.co_filename, line
    return None


def in_signature(function):
    code = function.__code__
    if code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        wrapped = getattr(function, "__wrapped__", None)
        return ANY_ARGUMENTS if wrapped is None else WRAPPER.format(getattr(wrapped, "__name__", "a function"))
    return KEYWORD_ONLY if code.co_kwonlyargcount else None


def in_body(code, report):
    """(what, line), or (None, None)"""
    line, before = code.co_firstlineno, []
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno or line if instruction.positions else line
        what = None
        if getattr(instruction.argval, "co_name", "") == "<genexpr>":
            what = GENERATOR
        elif instruction.opname.startswith("IMPORT_NAME"):
            what = IMPORT
        elif instruction.opname.startswith("FORMAT") and ("f-string" in report or "FORMAT" in report):
            what = FORMAT
        elif instruction.opname.startswith("CHECK_EXC_MATCH") and "exception_match" in report:
            what = HANDLER
        # a value that stays on the stack after it was stored is no chain of targets, as in a = b = 1
        elif before[-2:] == ["COPY", "STORE"] and not instruction.opname.startswith(("STORE", "UNPACK")):
            what = ASSIGNMENT if "cannot be determined" in report else None
        if what is not None:
            return what, line
        before.append("STORE" if instruction.opname.startswith("STORE_FAST") else instruction.opname)
    return None, None
