"""What of a target's arguments makes its density: named or flat, whole or a sum over rows."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .. import checks
from .data import python_function
from .density import Density
from .latents import declared
from .named import NamedDensity
from .python_source import PythonDensity
from .rows import RowsDensity


def density_of(
    log_density: Callable,
    dim: Any,
    parameters: Any,
    data: tuple,
    gradient: Callable | None,
    rows: Any,
    log_prior: Callable | None,
    name: Any,
) -> Density:
    """The density that these arguments of a :class:`Target` describe."""
    source = python_function("log_density", log_density)
    written = None if gradient is None else python_function("gradient", gradient)
    title = str(name) if name is not None else source.__name__
    if isinstance(dim, Mapping):
        dim, parameters = None, dim if parameters is None else one_of_both()
    if isinstance(dim, list | tuple | set) and all(isinstance(name, str) for name in dim):
        raise TypeError('dim: names want their spaces, as in {"mu": fastvi.real(), "tau": fastvi.positive()}')
    if (dim is None) == (parameters is None):
        one_of_both()
    in_rows = rows is not None or log_prior is not None
    make: Callable[..., PythonDensity]
    if parameters is None:
        make = functools.partial(PythonDensity, source, checks.count("dim", dim), gradient=written, name=title)
    elif written is not None:
        raise TypeError("gradient: not of named parameters, as spaces are differentiated with them; leave it out")
    else:
        make = functools.partial(NamedDensity, source, declared(parameters), name=title, partly=log_prior is not None)
    return RowsDensity(make, data, () if rows is None else rows, log_prior) if in_rows else make(data=data)


def one_of_both() -> NoReturn:
    raise TypeError("dim, parameters: expected one of the two, a length of z or a dict of names and spaces")
