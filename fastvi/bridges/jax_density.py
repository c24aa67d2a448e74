"""A JAX log density: as source that is compiled in lanes, or evaluated by JAX in batches."""

import warnings
from collections.abc import Callable

import numpy as np

from ..targets.batched import BatchedDensity
from ..targets.density import agree
from ..targets.python_source import PythonDensity
from ..translate.known import Unsupported
from ..translate.translation import Translation
from . import guest, jax_graph

jax = guest("jax", "jax")
BATCH = 1024


class TranslatedDensity(PythonDensity):
    """The density that a translation wrote; ``again`` are (function, arguments) that make its target elsewhere."""

    doubtful = True

    def __init__(self, found: Translation, dim: int, name: str, again: tuple) -> None:
        super().__init__(found.function, dim, found.data(), None, name)
        self.translation, self.again = found, again

    @property
    def text(self) -> str:
        return self.translation.source

    def remake(self, target) -> tuple:
        return self.again


class ByJax(BatchedDensity):
    """The same by JAX itself, and why."""

    doubtful = True

    def __init__(self, f: Callable, dim: int, name: str, again: tuple, why: str) -> None:
        both = jax.jit(jax.vmap(jax.value_and_grad(f)))
        super().__init__(jax.jit(jax.vmap(f)), both, dim, BATCH, name)
        self.refused, self.again = why, again
        self.compiled = self.compiled._replace(reason=f"JAX evaluates it, as {why}", smooth=False)

    def remake(self, target) -> tuple:
        return self.again


def density_of(f: Callable, dim: int, name: str, again: tuple, labels=None, kinds=(TranslatedDensity, ByJax)):
    """Of a JAX function of z (dim,): translated where that is possible and gives the same value."""
    try:
        found = jax_graph.translate(f, dim, name, labels)
        why = difference(found, f, dim)
        if not why:
            return kinds[0](found, dim, name, again)
        warnings.warn(f"{name}: {why}, so JAX is used; please report it", stacklevel=3)
    except Unsupported as error:
        why = f"{error} is not translated"
    return kinds[1](f, dim, name, again, why)


def difference(found: Translation, f, dim) -> str:
    """Why a translation is not to be trusted: empty where its first value is JAX's."""
    z = 0.1 * np.random.default_rng(0).standard_normal(dim)
    theirs = float(jax.jit(f)(z))
    try:
        with np.errstate(all="ignore"):
            ours = float(found.function(z, *(v if np.ndim(v) else v.item() for v in found.data())))
    except (ArithmeticError, ValueError):  # as Python's math has it, which compiled code does not raise
        return ""
    same = agree(ours, theirs) or not (np.isfinite(ours) and np.isfinite(theirs))
    return "" if same else f"its translation gives {ours} where JAX gives {theirs}"
