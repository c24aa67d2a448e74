"""Compile a user's function once, however often it comes back, and never use an old compilation for a new meaning.

Numba freezes what a function sees: closure cells, globals, defaults, the functions it calls.  All of that is the key.
"""

import functools
import hashlib
import threading
import types as python_types

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.extending import register_jitable

from .density import OPTIONS, Compiled, compile_density

_compiled: dict[tuple, Compiled] = {}
_helpers: set = set()
_lock = threading.RLock()


def plain(function):
    """The Python function under a Numba dispatcher, or the function itself."""
    return function.py_func if isinstance(function, Dispatcher) else function


def compiled(function, kinds, key) -> Compiled:
    """The compilation of ``function`` for data of these types; ``key`` is its ``meaning``."""
    with _lock:
        found = _compiled.get((key, kinds))
        if found is None:
            register_helpers(function)
            found = _compiled[key, kinds] = compile_density(function, kinds)
        return found


def register_helpers(function):
    """Let Numba compile the plain Python functions that a density calls, and those that they call."""
    for _, _, value in references(plain(function)):
        if isinstance(value, python_types.FunctionType) and value not in _helpers and is_users(value):
            _helpers.add(value)
            register_jitable(**OPTIONS)(value)
            register_helpers(value)
        elif isinstance(value, Dispatcher) and value not in _helpers:
            _helpers.add(value)
            register_helpers(value)


def is_users(function):
    """Whether a function comes from outside the libraries that Numba knows by itself."""
    return (function.__module__ or "").partition(".")[0] not in ("numpy", "numba", "scipy") and not (
        function.__module__ or ""
    ).startswith("fastvi.kernels.")


def references(function):
    """The objects a function would read when called: (where, name, object), closure cells and globals alike."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield "closure", name, cell.cell_contents
        except ValueError:  # an empty cell: a name not assigned yet
            continue
    for name in names(code):
        if name in function.__globals__:
            yield "global", name, function.__globals__[name]
    for number, value in enumerate(function.__defaults__ or ()):
        yield "default", number, value


@functools.lru_cache(maxsize=1024)
def names(code):
    """Every global or attribute name in a code object and in those nested in it, sorted."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            found.update(names(constant))
    return tuple(sorted(found))


def meaning(function, seen=()):
    """A hashable value that changes when what the function computes may change.

    Arrays count by their content; modules other than NumPy and math by the values of the attributes that are read.
    """
    function = plain(function)
    if function in seen:
        return ("recursion", seen.index(function))
    seen = (*seen, function)
    parts = [(where, name, _value(value, function, seen)) for where, name, value in references(function)]
    return (function.__code__, tuple(parts))


def _value(value, function, seen):
    if isinstance(value, Dispatcher | python_types.FunctionType):
        return meaning(value, seen)
    if isinstance(value, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).digest()
        return ("array", value.dtype.str, value.shape, content)
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        return (type(value).__name__, repr(value))
    if isinstance(value, tuple | list):
        return (type(value).__name__, *(_value(v, function, seen) for v in value))
    if isinstance(value, python_types.ModuleType):
        if value.__name__.partition(".")[0] in ("numpy", "math", "fastvi", "numba"):
            return ("module", value.__name__)
        read = [(n, getattr(value, n)) for n in names(function.__code__) if hasattr(value, n)]
        return ("module", value.__name__, *((n, _value(v, function, seen)) for n, v in read))
    return ("object", id(value), _Kept(value))


class _Kept:
    """Keeps an object alive, so that its id is not given to another while the key exists."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Kept) and self.value is other.value

    def __hash__(self):
        return id(self.value)


def glance(function):
    """What can be compared in a microsecond before each call: the identity of everything the function refers to."""
    return tuple((name, id(value)) for _, name, value in references(plain(function)))


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
