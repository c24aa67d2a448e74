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

from ..interrupts import compiling
from .abi import Compiled
from .references import MISSING, plain, reached

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


def compiled(function, kinds, lanes_refused=None, inputs=None) -> Compiled:
    """The compilation of ``function``, as it means now, for data of these types.

    ``lanes_refused`` is a reason not to try lanes; ``inputs`` are its named parameters, if it has any.
    """
    with _lock, compiling():
        from .values import compile_density

        key = (meaning(function), kinds, lanes_refused, inputs)
        return once(key, lambda: compile_density(function, kinds, lanes_refused, inputs))


def differentiated(function, kinds, in_place=True, inputs=None) -> Compiled:
    """The same with the gradient that ``kernels.gradient`` derives."""
    with _lock, compiling():
        from .derived_gradient import compile_gradient

        key = (meaning(function), kinds, in_place, inputs, "gradient")
        return once(key, lambda: compile_gradient(function, kinds, in_place, inputs))


def few(function, kinds, width, gradient, in_place=True, inputs=None) -> Compiled | None:
    """For ``width`` draws at a time, with the derived gradient or without; None where lanes cannot follow."""
    with _lock, compiling():
        from .few_draws import compile_few

        key = (meaning(function), kinds, in_place, inputs, "few", width, gradient)
        return once(key, lambda: compile_few(function, kinds, width, gradient, in_place, inputs))


def with_gradient(function, gradient, kinds) -> Compiled:
    """The same with a gradient that the user wrote."""
    with _lock, compiling():
        from .user_gradient import compile_written

        key = (meaning(function), meaning(gradient), kinds)
        return once(key, lambda: compile_written(function, gradient, kinds))


def once(key, compile_):
    """What ``compile_()`` gave the last time; ``key`` holds all that it depends on."""
    with _lock, compiling():
        if key not in _compiled:
            _compiled[key] = compile_()
            if len(_compiled) > KEPT:
                _compiled.popitem(last=False)
        _compiled.move_to_end(key)
        return _compiled[key]


def meaning(function):
    """A hashable value that changes when what the function computes may change.

    It is the code of every function that is reached and all that is read on the way: functions by their number, arrays
    by their content, other values by what they are.
    """
    everything = list(reached(function))
    numbers = {each: number for number, (each, _) in enumerate(everything)}
    return tuple(
        tuple((name, _value(value, numbers)) for _, name, value in read if value is not MISSING)
        for _, read in everything
    )


def _value(value, numbers):
    if isinstance(value, Dispatcher | python_types.FunctionType):
        own = plain(value)
        return ("function", numbers[own]) if own in numbers else ("library", own.__module__, own.__qualname__)
    if isinstance(value, python_types.CodeType):
        return value
    if isinstance(value, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).digest()
        return ("array", value.dtype.str, value.shape, content)
    if isinstance(value, bool | int | float | complex | str | bytes | np.number | type(None)):
        return (type(value).__name__, repr(value))
    if isinstance(value, tuple | list):
        return (type(value).__name__, *(_value(v, numbers) for v in value))
    if isinstance(value, dict):  # keyword defaults
        return ("dict", *((name, _value(v, numbers)) for name, v in value.items()))
    if isinstance(value, python_types.ModuleType):
        return ("module", value.__name__)
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
    """Every place that functions read, at any depth, held to see whether it still has the very object it had."""

    def __init__(self, *functions):
        self.globals: list[tuple[dict, str, object]] = []
        self.cells: list[tuple[python_types.CellType, object]] = []
        self.functions: list[tuple[python_types.FunctionType, str, object]] = []
        for _, read in reached(*functions):
            for holder, name, value in read:
                if isinstance(holder, dict):
                    self.globals.append((holder, name, value))
                elif isinstance(holder, python_types.CellType):
                    self.cells.append((holder, value))
                else:
                    self.functions.append((holder, name, value))

    def unchanged(self) -> bool:
        """A look of a few microseconds before each call."""
        for holder, name, value in self.globals:
            if holder.get(name, MISSING) is not value:
                return False
        for cell, value in self.cells:
            if cell.cell_contents is not value:
                return False
        return all(getattr(function, name) is value for function, name, value in self.functions)
