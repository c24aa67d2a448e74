"""Compile a user's function once, however often it comes back, and never use an old compilation for a new meaning.

Numba freezes what a function sees: closure cells, globals, defaults, the functions it calls.  All of that is the key of
the memo, and all of it is watched between calls.
"""

import collections
import hashlib
import os
import threading
import types as python_types
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher

from .abi import Compiled
from .references import attributes, filled, plain, references

KEPT = 256  # compilations; one that a Target still uses stays alive with it
_compiled: collections.OrderedDict[tuple, Any] = collections.OrderedDict()
_lock = threading.RLock()


def _new_lock():
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class Known(NamedTuple):
    """A compilation, what it was made of, and whether it has agreed with Python: one object, which threads replace as
    a whole."""

    watch: "Watch"
    compiled: Compiled
    trusted: bool


def compiled(function, kinds, lanes_refused=None) -> Compiled:
    """The compilation of ``function``, as it means now, for data of these types.

    ``lanes_refused`` is a reason not to try lanes.
    """
    from .values import compile_density

    with _lock:
        key = (meaning(function), kinds, lanes_refused)
        return once(key, lambda: compile_density(function, kinds, lanes_refused))


def differentiated(function, kinds, in_place=True) -> Compiled:
    """The same with the gradient that ``kernels.gradient`` derives."""
    from .derived_gradient import compile_gradient

    with _lock:
        return once(
            (meaning(function), kinds, in_place, "gradient"), lambda: compile_gradient(function, kinds, in_place)
        )


def with_gradient(function, gradient, kinds) -> Compiled:
    """The same with a gradient that the user wrote."""
    from .user_gradient import compile_written

    with _lock:
        key = (meaning(function), meaning(gradient), kinds)
        return once(key, lambda: compile_written(function, gradient, kinds))


def once(key, compile_):
    """What ``compile_()`` gave the last time; ``key`` holds all that it depends on."""
    with _lock:
        if key not in _compiled:
            _compiled[key] = compile_()
            if len(_compiled) > KEPT:
                _compiled.popitem(last=False)
        _compiled.move_to_end(key)
        return _compiled[key]


def meaning(function, seen=()):
    """A hashable value that changes when what the function computes may change.

    Arrays count by their content; modules by the values of the attributes that are read.
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
    if isinstance(value, bool | int | float | complex | str | bytes | np.number | type(None)):
        return (type(value).__name__, repr(value))
    if isinstance(value, tuple | list):
        return (type(value).__name__, *(_value(v, function, seen) for v in value))
    if isinstance(value, python_types.ModuleType):
        read = [(name, _value(v, function, seen)) for name, v in attributes(value, function)]
        return ("module", value.__name__, *read)
    return ("object", id(value), Kept(value))


def state(function) -> bytes:
    """What a function computes now, as bytes that are equal wherever the same source refers to equal things."""
    return hashlib.blake2b(repr(spelled(meaning(function))).encode(), digest_size=16).digest()


def spelled(part):
    """A part of a meaning without what belongs to this process."""
    if isinstance(part, python_types.CodeType):
        return part.co_code, part.co_names, part.co_varnames, spelled(part.co_consts)
    if isinstance(part, tuple):
        return tuple(map(spelled, part if part[:1] != ("object",) else part[:1]))
    return part


class Kept:
    """Keeps an object alive, so that its id is not given to another while a key holds it."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Kept) and self.value is other.value

    def __hash__(self):
        return id(self.value)


class Watch:
    """Everything that functions read, its helpers' reading included, held to see whether it is still the same."""

    def __init__(self, *functions):
        self.places: list[tuple[dict, str, object]] = []
        self.cells: list[tuple[python_types.CellType, object]] = []
        for function in functions:
            self._add(plain(function), set())

    def _add(self, function, seen):
        if function in seen:
            return
        seen.add(function)
        self.cells += [(cell, cell.cell_contents) for cell in filled(function.__closure__)]
        for where, name, value in references(function):
            if where == "global":
                self.places.append((function.__globals__, name, value))
            if isinstance(value, python_types.ModuleType):
                self.places += [(vars(value), n, v) for n, v in attributes(value, function)]
                for _, attribute in attributes(value, function):
                    if isinstance(attribute, python_types.FunctionType):
                        self._add(attribute, seen)
            elif isinstance(value, Dispatcher | python_types.FunctionType):
                self._add(plain(value), seen)

    def unchanged(self) -> bool:
        """Whether every place still holds the very object it held: a microsecond's look before each call."""
        for place, name, value in self.places:
            if place.get(name, Watch) is not value:
                return False
        return all(cell.cell_contents is value for cell, value in self.cells)
