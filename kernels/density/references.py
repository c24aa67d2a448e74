"""What a user's function refers to, and a copy of it whose plain Python helpers Numba can call."""

import dis
import types as python_types

from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target


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


LIBRARIES = {"numpy", "math", "numba", "fastvi", "scipy", "builtins"}  # whose modules do not change while they are used
MISSING = object()  # what stands at the place of a name that only the builtins have


def names(code):
    """Every global or attribute name in a code object and in those nested in it, sorted."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            found.update(names(constant))
    return sorted(found)


def places(function):
    """Every place that a function reads itself: (holder, name, value).

    The holder is a closure cell, the dict of a module's globals, or the function whose code or defaults it is.  Of a
    module what the function may read, at any depth; nothing of libraries.  A global that is not there, because a
    builtin serves or the name is an attribute's, has the value ``MISSING``.
    """
    for attribute in ("__code__", "__defaults__", "__kwdefaults__"):
        yield function, attribute, getattr(function, attribute)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        for full in filled([cell]):
            yield full, name, full.cell_contents
            yield from inside(full.cell_contents, names(function.__code__), set())
    read = names(function.__code__)
    for name in read:
        value = function.__globals__.get(name, MISSING)
        yield function.__globals__, name, value
        yield from inside(value, read, set())


def inside(value, read, seen):
    """The places in a module that may be read through it by these names."""
    if not isinstance(value, python_types.ModuleType) or value in seen or of_a_library(value):
        return
    seen.add(value)
    for name in read:
        if name in vars(value):
            yield vars(value), name, vars(value)[name]
            yield from inside(vars(value)[name], read, seen)


def called(value):
    """The functions that a value is or, as a tuple or list, holds."""
    if isinstance(value, Dispatcher | python_types.FunctionType):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from called(each)


def helpers(function):
    """The functions that a function can call, as they are: plain ones and dispatchers, through modules too."""
    for _, _, value in places(plain(function)):
        yield from called(value)


def reached(*functions):
    """Functions and all that they can call, at any depth, each once and in a fixed order: (function, its places)."""
    found = {plain(function): None for function in functions}
    waiting = list(found)
    while waiting:
        function = waiting.pop(0)
        read = list(places(function))
        yield function, read
        for _, _, value in read:
            for each in map(plain, called(value)):
                if each not in found and not of_a_library(each):
                    found[each] = None
                    waiting.append(each)


def of_a_library(thing) -> bool:
    """Whether a function or a module is NumPy's, say, or ours."""
    home = thing.__name__ if isinstance(thing, python_types.ModuleType) else getattr(thing, "__module__", None)
    return (home or "").partition(".")[0] in LIBRARIES


def assigns_items(function) -> bool:
    """Whether a function, or a plain helper of it, assigns into an array or list."""
    return any(
        any(instruction.opname == "STORE_SUBSCR" for instruction in dis.get_instructions(each))
        for each, _ in reached(function)
        if each is function or not known(each)
    )


def with_helpers(function, options, done=None):
    """A copy of a function for which every plain Python helper is compiled with ``options``.

    Copies, not registrations: Numba would remember a registered helper with the globals of its first use.  A module
    through which helpers are reached is copied too, with what the function may read of it.
    """
    done = {} if done is None else done
    read = names(function.__code__)

    def callable_(value):
        if isinstance(value, python_types.ModuleType):
            return module_of(value)
        if not isinstance(value, python_types.FunctionType) or known(value):
            return value
        if value not in done:
            done[value] = None
            copy = with_helpers(value, options, done)
            done[value] = njit(**options)(copy)
            if copy.__globals__.get(value.__name__) is value:  # it calls itself
                copy.__globals__[value.__name__] = done[value]
        return done[value] or value

    def module_of(module):
        if of_a_library(module) or all(known_or_plain(value) for _, _, value in inside(module, read, set())):
            return module
        if module not in done:
            done[module] = python_types.ModuleType(module.__name__)
            for name in read:
                if name in vars(module):
                    vars(done[module])[name] = callable_(vars(module)[name])
        return done[module]

    scope = {**function.__globals__}
    scope.update((name, callable_(scope[name])) for name in read if name in scope)
    cells = tuple(python_types.CellType(callable_(cell.cell_contents)) for cell in filled(function.__closure__))
    if len(cells) < len(function.__code__.co_freevars):
        return function  # a name that is not assigned yet: let Numba say so
    copy = python_types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def known_or_plain(value) -> bool:
    """Whether Numba can take a module's attribute as it is."""
    return not isinstance(value, python_types.FunctionType) or known(value)


def known(function) -> bool:
    """Whether Numba has its own meaning for a Python function, as it has for NumPy's."""
    try:
        cpu_target.typing_context.resolve_value_type(function)
    except Exception:
        return False
    return True


STEPS = {"floor", "ceil", "trunc", "rint", "round", "sign", "where", "heaviside", "copysign", "atan2", "arctan2"}


def helper_may_step(function) -> bool:
    """Whether a helper that Numba may have compiled before, unseen, holds a comparison or a step."""
    for each, _ in reached(function):
        for value in helpers(each):
            if isinstance(value, Dispatcher) and not of_a_library(plain(value)):
                code = plain(value).__code__
                compares = any(i.opname == "COMPARE_OP" for i in dis.get_instructions(code))
                if compares or STEPS & set(names(code)):
                    return True
    return False


def parallel_helper(function):
    """The name of a helper compiled with ``parallel=True``, whose threads would meet ours, or None."""
    if not isinstance(plain(function), python_types.FunctionType):
        return None
    everything = [function, *(value for each, _ in reached(function) for value in helpers(each))]
    for value in everything:
        if isinstance(value, Dispatcher) and value.targetoptions.get("parallel"):
            return value.py_func.__name__
    return None
