"""Nodes as Python source: numbers used twice are locals, vectors are array expressions or loops."""

import keyword
import math

from . import written
from .known import Known, Unsupported
from .loops import Body, indented
from .nodes import Node, node
from .operations import CALLS, ELEMENTWISE, INFIX, NUMBERS_ONLY, WRITTEN

LONGEST = 100  # characters of an expression that is not named
SUMS, PRODUCTS = {"add", "sub"}, {"mul", "div"}
ENTANGLED = 1.8  # nodes of an expression as a tree to those as a graph: beyond it is a loop with locals
RESERVED = {"z", "np", "vi", "math", "i", "j", "k", "r", "t", "log_density", *keyword.kwlist, *keyword.softkwlist}


class Printer:
    """
    Parameters
    ----------
    labels : dict
        (start, length) in z of a parameter and its name, which the locals have
    """

    def __init__(self, labels=None) -> None:
        self.lines: list[str] = []
        self.known: list[Known] = []
        self.arguments: list[str] = []
        self.names: dict = {}
        self.uses: dict[int, int] = {}
        self.labels = labels or {}
        self.taken: set[str] = set(RESERVED)
        self.numbers: dict[str, int] = {}

    def fresh(self, wanted: str) -> str:
        """A name that is not taken: ``wanted`` itself, where it is one."""
        if wanted.isidentifier() and wanted not in self.taken and wanted[-1:] != "_":
            name = wanted
        else:
            stem = wanted.strip("_") if wanted.isidentifier() else "data"
            name = stem
            while name in self.taken:
                self.numbers[stem] = self.numbers.get(stem, -1) + 1
                name = f"{stem}{self.numbers[stem]}"
        self.taken.add(name)
        return name

    def numbered(self, letter: str) -> str:
        self.taken.add(letter)
        return self.fresh(letter)

    def count(self, root: Node) -> None:
        """How often each node is used."""
        stack, seen = [root], set()
        while stack:
            a = stack.pop()
            if a.uid in seen:
                continue
            seen.add(a.uid)
            for x in a.args:
                self.uses[x.uid] = self.uses.get(x.uid, 0) + 1
                stack.append(x)

    def argument(self, k: Known) -> str:
        """The name of an item of data."""
        key = ("data", k.uid)
        if key not in self.names:
            self.names[key] = self.fresh(k.label) if k.label else self.numbered("data")
            self.known.append(k)
            self.arguments.append(self.names[key])
        return self.names[key]

    def named(self, a: Node, text: str, letter: str, always: bool = False, label: str = "") -> str:
        """The text, or a local that it is assigned to where it is used twice or long."""
        if not always and self.uses.get(a.uid, 0) <= 1 and len(text) <= LONGEST:
            return text
        name = self.fresh(label) if label else self.numbered(letter)
        self.lines.append(f"{name} = {text}")
        self.names[a.uid] = name
        return name

    def label(self, a: Node) -> str:
        """The name of the parameter that a part of z is."""
        if a.op == "z":
            return self.labels.get((a.meta, 1), "")
        start, step = a.meta
        return self.labels.get((start, a.n), "") if step == 1 else ""

    # ---- numbers
    def scalar(self, a: Node) -> str:
        if a.uid in self.names:
            return self.names[a.uid]
        if a.op == "lit":
            return literal_text(a)
        if a.op == "data":
            return self.argument(a.meta)
        if a.op == "z":
            return self.named(a, f"z[{a.meta}]", "z_", always=bool(self.label(a)), label=self.label(a))
        if a.op == "sum":
            return self.named(a, self.sum(a.args[0]), "s", always=True)
        if a.op in ("lmax", "lmin", "lprod"):
            return self.named(a, self.fold(a.op[1:], a.args[0]), "s")
        if a.op in ("all", "any"):
            start, symbol = ("True", "&") if a.op == "all" else ("False", "|")
            return self.named(a, self.loop(a.args[0], start, f"{{0}} = {{0}} {symbol} ({{1}})", "holds"), "s")
        if a.op == "item":
            return self.named(a, f"{self.vector_name(a.args[0])}[{a.meta}]", "s")
        if a.op not in ELEMENTWISE:
            raise Unsupported(f"the expression {a.op}")
        return self.named(a, formatted(a, [self.scalar(x) for x in a.args]), "s")

    def sum(self, a: Node) -> str:
        if self.as_array(a):
            return f"np.sum({unwrapped(self.vector(a))})"
        return self.loop(a, *written.FOLDS["sum"])

    def fold(self, name: str, a: Node) -> str:
        if self.as_array(a):
            return f"np.{name}({unwrapped(self.vector(a))})"
        return self.loop(a, *written.FOLDS[name])

    def loop(self, a: Node, start: str, step: str, letter: str = "total") -> str:
        """A loop over the items of a vector; the name of what it leaves."""
        body = Body(self)
        text = unwrapped(body.at(a, "i"))
        total = self.numbered(letter)
        self.lines += [f"{total} = {start}", f"for i in range({a.n}):"]
        self.lines += indented([*body.lines, step.format(total, text)])
        return total

    # ---- vectors
    def is_lazy(self, a: Node) -> bool:
        """Whether it can be written as an array expression."""
        key = ("lazy", a.uid)
        if key not in self.names:
            if a.n is None or a.op in ("zs", "data", "matvec"):
                found = True
            else:
                found = a.op == "gather" or (a.op in ELEMENTWISE and a.op not in NUMBERS_ONLY)
                found = found and all(map(self.is_lazy, a.args))
            self.names[key] = found
        return self.names[key]

    def as_array(self, a: Node) -> bool:
        """Whether it is best written so: what an expression uses twice is computed and differentiated twice."""
        return self.is_lazy(a) and not entangled(a)

    def vector(self, a: Node) -> str:
        """An array expression, of which nothing is computed yet."""
        if a.n is None:
            return self.scalar(a)
        if a.uid in self.names:
            return self.names[a.uid]
        if a.op == "data":
            return self.argument(a.meta)
        if a.op == "matvec":
            return written.name_of(self, a)
        if a.op == "zs":
            start, step = a.meta
            stop = start + step * a.n
            text = f"z[{start}:{stop if stop >= 0 else ''}{f':{step}' if step != 1 else ''}]"
            return self.named(a, text, "v", always=bool(self.label(a)), label=self.label(a))
        if a.op == "gather":
            text = f"{self.vector(a.args[0])}[{self.argument(a.meta)}]"
        else:
            text = formatted(a, [self.vector(x) for x in a.args])
        return self.named(a, text, "v")

    def vector_name(self, a: Node) -> str:
        """A vector whose items can be read one by one."""
        if a.op in WRITTEN or a.op == "matvec":
            return written.name_of(self, a)
        if a.op in ("zs", "data"):
            return self.vector(a)
        return written.name_of(self, kept(a))


def kept(a: Node) -> Node:
    return node("kept", (a,), a.n, is_bool=a.is_bool)


def entangled(a: Node) -> bool:
    tree: dict[int, float] = {}

    def size(x):
        if x.n is None or x.op in ("zs", "data", "matvec", "gather") or x.op in WRITTEN:
            return 0
        if x.uid not in tree:
            tree[x.uid] = 1 + sum(size(y) for y in x.args)
        return tree[x.uid]

    total = size(a)
    return len(tree) > 8 and total > ENTANGLED * len(tree)


def literal_text(a: Node) -> str:
    kind, x = a.meta
    if kind == "b":
        return str(x)
    x = float(x)
    if math.isnan(x):
        return "math.nan"
    if math.isinf(x):
        return "math.inf" if x > 0 else "(-math.inf)"
    return repr(x) if x >= 0 else f"({x!r})"


def formatted(a: Node, args: list[str]) -> str:
    """An operation of operands that are written already."""
    if a.op == "powi":
        return f"{args[0]} ** {a.meta if a.meta >= 0 else f'({a.meta})'}"
    if a.op == "neg":
        return f"(-{args[0]})"
    if a.op in INFIX:
        left, right = (x.op for x in a.args)
        first, second = args
        if a.op in SUMS | PRODUCTS and (left in PRODUCTS or left == "lit" or left in SUMS and a.op in SUMS):
            first = unwrapped(first)
        if a.op in SUMS and right in PRODUCTS:
            second = unwrapped(second)
        return f"({first} {INFIX[a.op]} {second})"
    if a.op not in CALLS:
        raise Unsupported(f"the function {a.op}")
    return f"{CALLS[a.op]}({', '.join(map(unwrapped, args))})"


def unwrapped(text: str) -> str:
    """Without the parentheses around all of it."""
    if not text.startswith("(") or not text.endswith(")"):
        return text
    depth = 0
    for k, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return text[1:-1] if k == len(text) - 1 else text
    return text
