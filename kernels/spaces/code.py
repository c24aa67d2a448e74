"""Spaces as code that is being written, of a group of draws."""

from llvmlite import ir
from numba.core import cgutils

from ..arithmetic import elementary
from ..arithmetic.traced import DOUBLE, WORD, Exact, constant, splat
from ..lanes.sequence import load, store


class LaneCell:
    """A number that changes, in code."""

    def __init__(self, run, value):
        self.run, self.place = run, cgutils.alloca_once(run.builder, run.lanes.vector)
        self.set(value)

    def get(self):
        return self.run.traced(self.run.builder.load(self.place))

    def set(self, value):
        self.run.builder.store(self.run.lifted(value), self.place)


class InCode:
    """A group of draws: code that reads z and writes x where pointers say.

    ``z``, ``gradient`` point at row 0 of the group, ``stride`` float64s from row to row; ``x`` and ``slopes`` have
    rows of ``step``, by default ``lanes.width``.
    """

    def __init__(self, builder, lanes, z, stride, x, slopes=None, gradient=None, step=None):
        self.builder, self.lanes, self.stride = builder, lanes, stride
        self.step = WORD(lanes.width) if step is None else step
        self.pointers = dict(z=z, x=x, slopes=slopes, gradient=gradient)

    def traced(self, value):
        return Exact(self.builder, value)

    def lifted(self, value):
        return value.value if isinstance(value, Exact) else constant(self.lanes.vector, float(value))

    def cell(self, start):
        return LaneCell(self, start)

    def loop(self, count, body, backwards=False):
        if isinstance(count, int) and count == 1:
            return body(0)
        count = count.value if isinstance(count, Exact) else WORD(count)
        with cgutils.for_range(self.builder, count) as loop:
            index = self.traced(loop.index)
            body(self.traced(count) - 1 - index if backwards else index)

    def scalar(self, i):
        return self.builder.sitofp(i.value, DOUBLE) if isinstance(i, Exact) else ir.Constant(DOUBLE, float(i))

    def spread(self, scalar):
        return self.traced(splat(self.builder, scalar, self.lanes.vector))

    def number(self, i):
        return self.spread(self.scalar(i))

    def log_of(self, i):
        return self.spread(elementary.log(Exact(self.builder, self.scalar(i))).value)

    def _address(self, name, i):
        index = i.value if isinstance(i, Exact) else WORD(i)
        step = self.stride if name in ("z", "gradient") else self.step
        return self.builder.gep(self.pointers[name], [self.builder.mul(index, step)])

    def _read(self, name, i):
        return self.traced(load(self.builder, self.lanes, self._address(name, i)))

    def z(self, i):
        return self._read("z", i)

    def get(self, i):
        return self._read("x", i)

    def slope(self, i):
        return self._read("slopes", i)

    def put(self, i, value):
        store(self.builder, self.lanes, self.lifted(value), self._address("x", i))

    def add(self, i, value):
        total = self._read("gradient", i) + value
        store(self.builder, self.lanes, total.value, self._address("gradient", i))
