"""What does not depend on z: values that are computed once, each with a recipe to compute it again from new data."""

import itertools
from collections.abc import Callable

import numpy as np

_counter = itertools.count()


class Unsupported(Exception):
    """What has no translation; the message names the operation."""


class Known:
    """A value that does not depend on z.

    Attributes
    ----------
    value : ndarray
        as it is now
    constant : bool
        whether it is the same whatever data the model is given
    recipe : callable
        ``recipe(env)`` computes it from the data as they are then; ``env`` holds what one refresh has computed so far
    """

    __slots__ = ("constant", "derived", "label", "recipe", "uid", "value")

    def __init__(self, value, recipe: Callable | None = None, constant: bool = True, label: str = "") -> None:
        self.value, self.constant, self.label = np.asarray(value), constant, label
        self.recipe = recipe
        self.derived: dict = {}
        self.uid = next(_counter)

    @property
    def shape(self):
        return self.value.shape

    @property
    def ndim(self):
        return self.value.ndim

    @property
    def size(self):
        return self.value.size

    def now(self, env: dict) -> np.ndarray:
        """The value by the data as they are now."""
        if self.recipe is None or self.constant:
            return self.value
        if self.uid not in env:
            env[self.uid] = np.asarray(self.recipe(env))
        return env[self.uid]

    def derive(self, key, function: Callable) -> "Known":
        """``function`` of the value; the same object whenever the key is the same."""
        if key not in self.derived:
            self.derived[key] = combined(function, [self])
        return self.derived[key]


def combined(function: Callable, operands: list[Known]) -> Known:
    """A function of known values."""
    constant = all(k.constant for k in operands)
    with np.errstate(all="ignore"):
        value = np.asarray(function(*(k.value for k in operands)))

    def recipe(env):
        with np.errstate(all="ignore"):
            return function(*(k.now(env) for k in operands))

    return Known(value, recipe, constant)


def contiguous(value) -> np.ndarray:
    """C-contiguous, and of no dimension where it is a number."""
    return np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
