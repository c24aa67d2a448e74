"""From the node of a log density to a Python function with its data."""

import ast
import itertools
import linecache
import math

import numpy as np

from .known import Known, Unsupported
from .nodes import Node
from .printing import Printer, unwrapped
from .terms import merged

MOST_OPERATIONS = 800  # in the source: about half a minute of compiling, with the gradient
SPECIAL = {"gammaln", "digamma", "erf", "erfc", "erfcx", "log_ndtr"}  # with long code of their own
OPERATIONS_OF_SPECIAL = 8
_counter = itertools.count()


class Translation:
    """A log density of z as source.

    Attributes
    ----------
    source : str
    function : callable
        ``log_density(z, *data)``
    known : list of Known
        what the data are, with their recipes
    fixed : list of Known
        what shapes and places were made of
    """

    def __init__(self, source: str, function, known: list[Known], fixed: list[Known]) -> None:
        self.source, self.function, self.known, self.fixed = source, function, known, fixed

    def is_stale(self) -> bool:
        """Whether new data decide another source."""
        env: dict = {}
        return any(not np.array_equal(k.now(env), k.value) for k in self.fixed)

    def data(self) -> tuple:
        """The data as they are now: computed again by their recipes where something may have changed."""
        env: dict = {}
        return tuple(as_datum(k.now(env)) for k in self.known)


def as_datum(value):
    value = np.asarray(value)
    kind = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}[value.dtype.kind]
    return np.ascontiguousarray(value, dtype=kind) if value.ndim else kind(value)


def translation(root: Node, conditions: list[Node], name: str, labels: dict | None = None, fixed=()) -> Translation:
    """Of the node of a log density and the conditions without which it is -inf.

    Raises
    ------
    Unsupported
        where it cannot be written, or would take too long to compile
    """
    try:
        return written(merged(root, conditions), name, labels, list(fixed))
    except RecursionError:
        raise Unsupported("an expression nested too deeply") from None


def written(root: Node, name: str, labels: dict | None, fixed: list[Known]) -> Translation:
    printer = Printer(labels)
    printer.count(root)
    result = unwrapped(printer.scalar(root))
    body = "".join(f"    {line}\n" for line in [*printer.lines, f"return {result}"])
    source = f"def log_density({', '.join(['z', *printer.arguments])}):\n{body}"
    size = operations(source)
    if size > MOST_OPERATIONS:
        raise Unsupported(f"a density of {size} operations, more than {MOST_OPERATIONS}, which takes long to compile")
    return Translation(source, compiled(source, name), printer.known, fixed)


def operations(source: str) -> int:
    """Operators, calls and items in a source, special functions counted for what they compile to."""
    counted = ast.BinOp | ast.UnaryOp | ast.Compare | ast.Call | ast.Subscript | ast.AugAssign
    found = list(ast.walk(ast.parse(source)))
    special = sum(isinstance(x, ast.Attribute) and x.attr in SPECIAL for x in found)
    return sum(isinstance(x, counted) for x in found) + (OPERATIONS_OF_SPECIAL - 1) * special


def compiled(source: str, name: str):
    """The function, whose lines tracebacks show."""
    import fastvi

    file = f"<translation {next(_counter)} of {name}>"
    scope = {"math": math, "np": np, "vi": fastvi, "__name__": "fastvi.translate.translated"}
    exec(compile(source, file, "exec"), scope)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    return scope["log_density"]
