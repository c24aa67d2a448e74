"""The inside of a loop over the items of a vector, with its own locals."""

from . import written
from .known import Unsupported
from .nodes import Node
from .operations import ELEMENTWISE, WRITTEN


class Body:
    """Statements of one step; ``carried``, within a recurrence, are the locals that hold its states."""

    def __init__(self, printer, carried=None) -> None:
        self.printer, self.carried = printer, carried
        self.lines: list[str] = []
        self.names: dict = {}

    def at(self, a: Node, i: str) -> str:
        """Item i of a vector; a number as it is."""
        from .printing import LONGEST, formatted

        if a.n is None:
            return self.printer.scalar(a)
        key = (a.uid, i)
        if key in self.names:
            return self.names[key]
        if a.op == "data":
            return f"{self.printer.argument(a.meta)}[{i}]"
        if a.op == "carry":
            if self.carried is None or a not in self.carried or i != "i":
                raise Unsupported("a state of a scan outside of it")
            return self.carried[a]
        if a.op == "at_step":
            if self.carried is None or i != "i":
                raise Unsupported("an item of a scan's sequence outside of it")
            return self.at(a.args[0], i)
        if a.op == "zs":
            text = self.z_at(a, i)
        elif a.op in WRITTEN or a.op == "matvec":
            text = f"{written.name_of(self.printer, a)}[{i}]"
        elif a.op == "gather":
            text = self.at(a.args[0], self.place(a.meta, i))
        elif a.op in ELEMENTWISE:
            text = formatted(a, [self.at(x, i) for x in a.args])
        else:
            raise Unsupported(f"the expression {a.op}")
        if self.printer.uses.get(a.uid, 0) > 1 and text not in self.names.values() or len(text) > LONGEST:
            name = self.printer.numbered("t")
            self.lines.append(f"{name} = {text}")
            text = name
        self.names[key] = text
        return text

    def z_at(self, a, i):
        name = self.printer.names.get(a.uid) or (self.printer.vector(a) if self.printer.label(a) else None)
        if name:
            return f"{name}[{i}]"
        start, step = a.meta
        place = i if step == 1 else f"{step} * {i}"
        return f"z[{start} + {place}]" if start else f"z[{place}]"

    def place(self, known, i):
        """The local with the place that a gather reads."""
        key = ("place", known.uid, i)
        if key not in self.names:
            self.names[key] = self.printer.numbered("j")
            self.lines.append(f"{self.names[key]} = {self.printer.argument(known)}[{i}]")
        return self.names[key]


def indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]
