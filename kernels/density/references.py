"""What a user's function refers to, and a copy of it whose plain Python helpers Numba can call."""

import dis
import types as python_types

from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.extending import register_jitable

_registered: set = set()


def plain(function):
    """The Python function under a Numba dispatcher, or the function itself."""
    return function.py_func if isinstance(function, Dispatcher) else function


def filled(cells):
    """The closure cells that hold something."""
    for cell in cells or ():
        try:
            cell.cell_contents  # noqa: B018
        except ValueError:
            continue
        yield cell


def references(function):
    """The objects a function would read when called: (where, name, object), closure cells and globals alike."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        for full in filled([cell]):
            yield "closure", name, full.cell_contents
    for name in names(code):
        if name in function.__globals__:
            yield "global", name, function.__globals__[name]
    for number, value in enumerate(function.__defaults__ or ()):
        yield "default", number, value


def names(code):
    """Every global or attribute name in a code object and in those nested in it, sorted."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            found.update(names(constant))
    return sorted(found)


def attributes(module, function):
    """(name, value) of what a function may read of a module; nothing of the libraries, which do not change."""
    if module.__name__.partition(".")[0] not in ("numpy", "math", "numba", "fastvi", "scipy", "builtins"):
        for name in names(function.__code__):
            if name in vars(module):
                yield name, vars(module)[name]


def assigns_items(function, seen=None) -> bool:
    """Whether a function, or a plain helper of it, assigns into an array or list."""
    seen = set() if seen is None else seen
    if function in seen:
        return False
    seen.add(function)
    if any(instruction.opname == "STORE_SUBSCR" for instruction in dis.get_instructions(function)):
        return True
    helpers = [v for _, _, v in references(function) if isinstance(v, python_types.FunctionType) and not known(v)]
    return any(assigns_items(helper, seen) for helper in helpers)


def with_helpers(function, options, done=None):
    """A copy of a function in whose globals and closure every plain Python helper is compiled with ``options``.

    Copies, not registrations: Numba would remember a registered helper with the globals of its first use.  A helper
    that is reached through a module has to be registered all the same.
    """
    done = {} if done is None else done

    def callable_(value):
        if isinstance(value, python_types.ModuleType):
            for _, attribute in attributes(value, function):
                if isinstance(attribute, python_types.FunctionType) and attribute not in _registered:
                    _registered.add(attribute)
                    register_jitable(**options)(attribute)
        if not isinstance(value, python_types.FunctionType) or known(value):
            return value
        if value not in done:
            done[value] = None
            copy = with_helpers(value, options, done)
            done[value] = njit(**options)(copy)
            for where, name, own in references(value):
                if own is value and where == "global":
                    copy.__globals__[name] = done[value]  # it calls itself
        return done[value] or value

    scope = {**function.__globals__}
    scope.update((name, callable_(value)) for where, name, value in references(function) if where == "global")
    cells = tuple(python_types.CellType(callable_(cell.cell_contents)) for cell in filled(function.__closure__))
    if len(cells) < len(function.__code__.co_freevars):
        return function  # a name that is not assigned yet: let Numba say so
    copy = python_types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def known(function) -> bool:
    """Whether Numba has its own meaning for a Python function, as it has for NumPy's."""
    try:
        cpu_target.typing_context.resolve_value_type(function)
    except Exception:
        return False
    return True


STEPS = {"floor", "ceil", "trunc", "rint", "round", "sign", "where", "heaviside", "copysign", "atan2", "arctan2"}


def helper_may_step(function, seen=None) -> bool:
    """Whether a helper that Numba may have compiled before, unseen, holds a comparison or a step."""
    seen = set() if seen is None else seen
    for _, _, value in references(plain(function)):
        helper = plain(value)
        if not isinstance(helper, python_types.FunctionType) or helper in seen or of_a_library(helper):
            continue
        seen.add(helper)
        if isinstance(value, Dispatcher):
            compares = any(i.opname == "COMPARE_OP" for i in dis.get_instructions(helper))
            if compares or STEPS & set(names(helper.__code__)):
                return True
        if helper_may_step(helper, seen):
            return True
    return False


def of_a_library(function):
    """Whether a function is NumPy's or ours."""
    return (function.__module__ or "").partition(".")[0] in ("numpy", "math", "fastvi")


def parallel_helper(function, seen=None):
    """The name of a helper compiled with ``parallel=True``, whose threads would meet ours, or None."""
    seen = set() if seen is None else seen
    if isinstance(function, Dispatcher) and function.targetoptions.get("parallel"):
        return function.py_func.__name__
    function = plain(function)
    if not isinstance(function, python_types.FunctionType) or function in seen:
        return None
    seen.add(function)
    for _, _, value in references(function):
        if isinstance(value, Dispatcher | python_types.FunctionType):
            found = parallel_helper(value, seen)
            if found:
                return found
    return None
