"""Several spaces side by side, and how they are run in Python; ``code`` writes the same as code."""

from typing import Any, NamedTuple

from ..arithmetic import elementary

ABSENT = -1  # a row that nobody asked for


class Row(NamedTuple):
    """A space at its place: ``length`` numbers x, from coordinate ``z`` on, written from row ``x`` on, and their
    logarithms from ``log`` and ``log1m`` on; ``size`` is k of a vector or a matrix."""

    space: Any
    length: int
    size: int
    z: int
    x: int = ABSENT
    log: int = ABSENT
    log1m: int = ABSENT
    low: float = 0.0
    high: float = 1.0


class Stage(NamedTuple):
    """Rows of spaces, and how many rows of numbers they write."""

    rows: tuple[Row, ...]
    height: int

    def forward(self, run) -> Any:
        """Write what is asked for; log |J|."""
        total = run.cell(0.0)
        for row in self.rows:
            row.space.forward(Part(run, row, total))
        return total.get()

    def backward(self, run) -> None:
        """Add J^T (gradient by x) and the gradient of log |J| to the gradient by z."""
        for row in self.rows:
            row.space.backward(Part(run, row))


class Part:
    """What a space sees: its own numbers."""

    def __init__(self, run, row, log_j=None):
        self.run, self.row, self.log_j = run, row, log_j
        self.count, self.size, self.low, self.high = row.length, row.size, row.low, row.high
        self.has_x, self.has_log, self.has_log1m = (place != ABSENT for place in (row.x, row.log, row.log1m))
        self.cell, self.loop, self.number, self.log_of = run.cell, run.loop, run.number, run.log_of

    def each(self, body):
        self.loop(self.count, body)

    def u(self, i):
        return self.run.z(i + self.row.z)

    def x(self, i):
        return self.run.get(i + self.row.x)

    def _put(self, place, i, value):
        if place != ABSENT:
            self.run.put(i + place, value() if callable(value) else value)

    def put(self, i, value):
        self._put(self.row.x, i, value)

    def put_log(self, i, value):
        self._put(self.row.log, i, value)

    def put_log1m(self, i, value):
        self._put(self.row.log1m, i, value)

    def add_log_j(self, value):
        self.log_j.set(self.log_j.get() + value)

    def _slope(self, place, i):
        return 0.0 if place == ABSENT else self.run.slope(i + place)

    def slope(self, i):
        return self._slope(self.row.x, i)

    def log_slope(self, i):
        return self._slope(self.row.log, i)

    def log1m_slope(self, i):
        return self._slope(self.row.log1m, i)

    def add(self, i, value):
        self.run.add(i + self.row.z, value)


class Cell:
    """A number that changes, in Python."""

    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

    def set(self, value):
        self.value = value


class InPython:
    """One draw, as lists of floats: the same bits as compiled."""

    cell = Cell

    def __init__(self, z, x, slopes=(), gradient=()):
        self.z, self.get = z.__getitem__, x.__getitem__
        self.put, self.slope, self.gradient = x.__setitem__, slopes.__getitem__ if len(slopes) else None, gradient

    def loop(self, count, body, backwards=False):
        for i in reversed(range(count)) if backwards else range(count):
            body(i)

    def number(self, i):
        return float(i)

    def log_of(self, i):
        return elementary.log(float(i))

    def add(self, i, value):
        self.gradient[i] += value
