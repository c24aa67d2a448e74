"""Random densities: lanes, single draws and Python must agree, and derivatives be those of differences.

    python tests/fuzz.py [--programs 300] [--first 0]

Each seed is a program of a few statements over z (3,), data x (3,), whole numbers g (3,) and a matrix X (3, 3): loops,
recursions, helpers, branches on data and on z, slices, gathers, integers, comparisons, lists, arrays filled item by
item, element-wise expressions, products.  A program may be refused, in one line that names the place.
"""

import argparse
import collections
import linecache
import math
import random
import sys

import numpy as np

import fastvi as vi
from fastvi.kernels.density import compilations
from fastvi.targets.ieee import by_arithmetic

DATA = np.array([0.7, -0.4, 1.1]), np.array([2, 0, 1]), np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.5], [0.1, 0.2, 0.4]])
SPECIAL = np.array([[0.0, 0, 0], [1, 1, 1], [-1, 1e-8, 0.5], [3, -3, 2], [0.5, 0.5, -0.5], [-8, 1e-300, 8]])

SCALARS = (
    "math.exp(-0.1 * {0} * {0})", "math.log(2.0 + {0} * {0})", "math.log1p({0} * {0})", "np.sqrt(1.0 + {0} * {0})",
    "math.tanh({0})", "math.sin({0})", "math.cos({0})", "math.atan({0})", "math.erf(0.3 * {0})", "np.expm1(-{0} * {0})",
    "math.lgamma(1.5 + {0} * {0})", "max({0}, {1})", "min({0}, 0.3)", "abs({0})", "({0} + {1})", "({0} - {1})",
    "({0} * {1})", "({0} / (1.5 + {1} * {1}))", "(0.5 - {0})", "{0} ** 2", "{0} ** 3", "(-{0})", "np.float64({0})",
    "helper({0}, {1})", "vi.where({0} > {1}, {0}, 0.5 * {1})", "np.maximum({0}, 0.1)", "vi.softplus({0})",
    "np.logaddexp({0}, {1})", "(({0} > 0.2) * {1})", "np.clip({0}, -1.0, 1.5)", "{2} * {0}", "x[{2} % 3] * {0}",
    "np.sum({3})", "np.mean({3})", "({3}).max()", "np.dot({3}, {4})", "np.sum({3} * {0}, axis=0)", "({3})[1]",
    "vi.gammaln(0.2 + {0} * {0})", "vi.digamma(1.2 + abs({0}))", "vi.erf(0.5 * {0})", "math.erfc({0})",
    "vi.erfcx({0} * {0})", "vi.log_ndtr({0})", "np.sin(3.0 * {0})",
    "np.hypot({0}, {1})", "math.copysign({0}, 1.5)", "np.prod(0.5 + 0.1 * {3})", "(2.0 if x[{2} % 3] > 0.0 else {0})",
)  # fmt: skip
ARRAYS = (
    "z", "x", "z[::-1]", "z[g]", "x * z", "(X @ z)", "(z @ X)", "np.exp(-0.1 * {3} * {3})", "({3} - {0})",
    "({3} + {4})", "np.where({3} > 0.1, {3}, {4})", "np.tanh({3})", "{3} ** 2", "np.maximum({3}, {0})",
    "np.logaddexp(0.0, {3})",
    "(X @ ({3}))", "({3})[g]", "np.abs({3})", "(({3} > 0.0) * {4})", "vi.expit({3})",
    "vi.gammaln(1.5 + {3} * {3})", "vi.log_ndtr({3})", "vi.erf({3})", "np.cos({3})",
    "np.cumsum({3})", "({3} + {4}).copy()",
)  # fmt: skip
WHOLE = (
    "2", "3", "len(x)", "g[0]", "g[2]", "(g[1] + 1)", "(len(z) * 2 - 1)", "(g[0] * 3 % 2)", "(7 // (1 + g[0]))",
    "int(x[2])",
)  # fmt: skip
ON_Z = 0.08  # of statements that branch on z, which is done draw by draw


class Program:
    """The source of a density, from a seed."""

    def __init__(self, seed):
        self.random, self.name = random.Random(seed), f"<fuzz {seed}>"
        self.names = ["z[0]", "z[1]", "z[2]", "z[-1]", "x[1]"]
        self.lines = [
            "def helper(a, b):",
            f"    return {self.random.choice(('a * b', 'math.tanh(a) - b', 'max(a, b)'))}",
        ]
        self.lines += ["def density(z, x, g, X):", "    total = 0.0"]
        for number in range(self.random.randint(2, 5)):
            self.statement(number)
        self.lines.append("    return total - 0.1 * np.dot(z, z)")
        self.source = "\n".join(self.lines)

    def scalar(self, depth):
        if depth <= 0 or self.random.random() < 0.15:
            return self.random.choice(self.names)
        return self.filled(SCALARS, depth)

    def array(self, depth):
        return self.filled(ARRAYS, depth) if depth > 0 else self.random.choice(("z", "x", "z[::-1]", "(X @ z)"))

    def filled(self, table, depth):
        form = self.random.choice(table)
        parts = [self.scalar(depth - 1), self.scalar(depth - 1), self.random.choice(WHOLE)]
        parts += [self.array(depth - 2) if f"{{{k}}}" in form else "" for k in (3, 4)]
        return form.format(*parts)

    def statement(self, number):
        e, depth, a = self.lines, self.random.randint(1, 4), f"a{number}"
        x, y = self.scalar(depth), self.scalar(2)
        kind = self.random.randrange(9)
        if self.random.random() < ON_Z:
            e += [f"    if {self.scalar(1)} > {self.random.choice(('0.3', 'x[2]'))}:", f"        total += {x}"]
            if self.random.random() < 0.3:
                e += ["        return total"]
            return
        if kind == 0:
            e += [f"    {a} = {x}"]
        elif kind == 1:  # a recursion
            e += [f"    {a} = {y}", "    for i in range(len(x)):", f"        {a} = 0.3 * math.tanh({a}) + x[i] * ({x})"]
        elif kind == 2:
            e += ["    for i in range(1, len(x)):", f"        total += 0.1 * z[i] * z[i - 1] * ({x})"]
            return
        elif kind == 3:  # the old value is used after the addition has replaced it
            e += [f"    {a} = {y}", f"    b{number} = {a}", f"    {a} -= {x}", f"    total += b{number} * 0.2"]
        elif kind == 4:
            e += [f"    {a} = 0.0", "    for i in range(len(x)):", "        if x[i] > 0.0 and g[i] != 1:"]
            e += [f"            {a} += {x}", "        else:", f"            {a} = {y}"]
        elif kind == 5:
            e += [f"    t{number} = [{x}, {y}, z[1]]", f"    {a} = t{number}[g[0]] + t{number}[1] * 0.5"]
        elif kind == 6:
            e += [f"    t{number} = np.zeros(3)", "    for i in range(3):", f"        t{number}[i] = z[i] * ({y})"]
            if self.random.random() < 0.5:  # what has been written down by then keeps its items
                e += [f"    u{number} = t{number} * {self.array(1)}", f"    t{number}[g[0]] += {self.scalar(1)}"]
                e += [f"    total += np.sum(u{number})"]
            e += [f"    {a} = np.sum(t{number} * {self.array(1)}) + t{number}[g[1]]"]
        elif kind == 7:
            e += [f"    v{number} = {self.array(3)}", f"    {a} = np.sum(v{number}) - v{number}[0] * ({y})"]
        else:
            e += [
                "    k = 1",
                f"    while k < {self.random.choice(WHOLE)}:",
                f"        total += ({x}) / k",
                "        k += 1",
            ]
            return
        self.names.append(a)
        e.append(f"    total += 0.1 * {a}")

    def function(self):
        scope = {"math": math, "np": np, "vi": vi}
        linecache.cache[self.name] = len(self.source), None, self.source.splitlines(True), self.name
        exec(compile(self.source, self.name, "exec"), scope)  # noqa: S102
        return scope["density"]


def in_python(function, z):
    """The value at a point, or None where Python's arithmetic raises."""
    try:
        with np.errstate(all="ignore"):
            return float(function(z, *DATA))
    except Exception as error:
        if by_arithmetic(error):
            return None
        raise


def differences(function, z):
    """Derivatives of sixth order by two steps; nan where the two do not agree, as at a kink."""
    out = np.empty(len(z))
    for i, e in enumerate(np.eye(len(z))):
        two = []
        for h in (2e-3, 1e-3):
            f = [in_python(function, z + k * h * e) for k in (-3, -2, -1, 1, 2, 3)]
            usable = all(v is not None and math.isfinite(v) for v in f)
            two.append((45 * (f[3] - f[2]) - 9 * (f[4] - f[1]) + f[5] - f[0]) / (60 * h) if usable else math.nan)
        out[i] = two[1] if abs(two[1] - two[0]) <= 1e-7 * max(1.0, abs(two[1])) else math.nan
    return out


def close(a, b, tolerance):
    return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


def check(seed):
    """(what is wrong with the program of a seed or None, how it was compiled)"""
    program = Program(seed)
    function = program.function()
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(size=(34, 3)), SPECIAL])
    target = vi.Target(function, 3, DATA)
    try:
        values = target.value(points)
    except TypeError as refused:
        return (None if named(refused) else f"refused without a place: {refused}"), "refused"
    compiled = target.density.values()
    how = "in lanes" if compiled.vectorised else "draw by draw"
    expected = [in_python(function, z) for z in points]
    for z, value, right in zip(points, values, expected, strict=True):
        if right is not None and not close(value, right, 1e-9):
            return f"value {value!r} {how}, {right!r} in Python, at {z}", how
    if compiled.vectorised:
        try:
            single = compilations.compiled(function, target.density._kinds, "to be compared")
        except TypeError as refused:  # what lanes know and Numba's scalars do not, as np.clip
            return (None if named(refused) else f"refused without a place: {refused}"), how + " alone"
        for z, one, value in zip(points, target.density.evaluate(points, compiled=single)[0], values, strict=True):
            if not close(one, value, 1e-9):
                return f"{value!r} in lanes, {one!r} draw by draw, at {z}", how
    try:
        gradients = target.gradient(points[:4])
    except TypeError as refused:
        return (None if named(refused) else f"refused without a place: {refused}"), how + ", no gradient"
    for z, gradient in zip(points, gradients, strict=False):
        for found, right in zip(gradient, differences(function, z), strict=True):
            if not math.isnan(right) and not close(found, right, 2e-6):
                return f"gradient {gradient} and differences {differences(function, z)} at {z}", how
    return None, how


def named(refused):
    return "[<fuzz" in str(refused) or "fuzz" in str(refused).rpartition("[")[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts, wrong = collections.Counter(), 0
    for seed in range(options.first, options.first + options.programs):
        try:
            fault, how = check(seed)
        except Exception as error:
            fault, how = f"{type(error).__name__}: {error}", "raised"
        counts[how] += 1
        if fault:
            wrong += 1
            print(f"seed {seed}: {fault}\n{Program(seed).source}\n", flush=True)
    print(f"{options.programs} programs from {options.first} on, {wrong} wrong:", dict(counts))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
