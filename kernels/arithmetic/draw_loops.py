"""Loops over the draws of a tile, from a formula for one draw: written as vector code on a CPU.

A formula is a routine of numbers.  Of the arguments of the loop, an array (width,) gives the number of each draw, and a
number is that of all draws.
"""

import inspect

from numba import types

from ..jit import routine
from .emitted import emitted
from .primitives import fma
from .traced import DOUBLE, Exact
from .vector_code import LANES, Array


def each_draw(formula):
    """``f(count, out, *arguments)``: out[j] = formula of the arguments for each of the first ``count`` draws.

    A formula of several results has as many arrays in the place of ``out``.
    """
    number = len(as_tuple(once(formula)))

    def write(code, count, *given):
        def across(j, vectors, mask):
            found = as_tuple(formula(*(at_draws(code, a, j, mask) for a in given[number:])))
            for out, value in zip(given[:number], found, strict=True):
                code.store(value.value, out.at(j), mask)

        code.across(count, across)

    def each(count, *given):
        for j in range(count):
            found = as_tuple(formula(*(at_draw(a, j) for a in given[number:])))
            for out, value in zip(given[:number], found, strict=True):
                out[j] = value

    def scalar_loop(*kinds):
        names = [f"a{k}" for k in range(len(kinds))]
        left = ", ".join(f"{name}[j]" for name in names[1 : 1 + number])
        return compiled(names, [f"for j in range(a0): {left} = {call_of(names, kinds, 1 + number)}"], formula)

    return emitted(write, 0, scalar_loop)(known_as(formula, each))


def sum_draws(formula):
    """``f(count, *arguments)``: the sum over the first ``count`` draws of each result of the formula.

    It gives a number, or a tuple of numbers and of pairs whose product is added by fma.  Draws are added up eight
    apart, and these eight sums in halves, whatever the registers of the CPU.
    """
    several = isinstance(once(formula), tuple)
    kinds_of_results = [isinstance(r, tuple) for r in as_tuple(once(formula))]
    number = len(kinds_of_results)

    def add(total, term):
        return fma(*term, total) if isinstance(term, tuple) else total + term

    def write(code, count, *arguments):
        def step(j, sums, mask=None):
            found = as_tuple(formula(*(at_draws(code, a, j, mask) for a in arguments)))
            return [add(Exact(code.builder, s), term).value for s, term in zip(sums, found, strict=True)]

        def last(j, sums):
            mask = code.mask(j, count)
            return [code.builder.select(mask, a, s) for a, s in zip(step(j, sums, mask), sums, strict=True)]

        whole = code.whole(count)
        sums = code.follow(0, whole, [code.zero()] * number, step, LANES)
        return [code.sum_each([s]) for s in code.follow(whole, count, sums, last, LANES)]

    def sums_of(count, *arguments):
        sums = [[0.0] * LANES for _ in range(number)]
        for j in range(count):
            found = as_tuple(formula(*(at_draw(a, j) for a in arguments)))
            for lanes, term in zip(sums, found, strict=True):
                lanes[j % LANES] = add(lanes[j % LANES], term)
        totals = tuple(map(sum_of_halves, sums))
        return totals if number > 1 else totals[0]

    def scalar_loop(*kinds):
        names, sums = [f"a{k}" for k in range(len(kinds))], [f"s{k}" for k in range(number)]
        found = [f"t[{k}]" for k in range(number)] if several else ["t"]
        each = [
            f"{s} = fma({t}[0], {t}[1], {s})" if pair else f"{s} += {t}"
            for s, t, pair in zip(sums, found, kinds_of_results, strict=True)
        ]
        body = "; ".join([f"t = {call_of(names, kinds, 1)}", *each])
        lines = [f"{' = '.join(sums)} = 0.0", f"for j in range(a0): {body}", f"return {', '.join(sums)}"]
        return compiled(names, lines, formula)

    return emitted(write, number, scalar_loop)(known_as(formula, sums_of))


def known_as(formula, loop):
    """The loop under its formula's name."""
    if formula.__closure__:
        raise TypeError(
            f"{formula.__qualname__}: a formula has no variables of a function around it, as no name tells them"
        )
    loop.formula = formula
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(loop, name, getattr(formula, name))
    return loop


def once(formula):
    """What a formula gives for ones."""
    return formula(*[1.0] * len(inspect.signature(formula).parameters))


def as_tuple(found) -> tuple:
    return found if isinstance(found, tuple) else (found,)


def at_draw(argument, j):
    """An argument's number at draw j."""
    return argument if isinstance(argument, float | int) else argument[j]


def at_draws(code, argument, j, mask):
    """An argument's numbers at eight draws from j on, zeros where the mask is not set."""
    if isinstance(argument, Array):
        return Exact(code.builder, code.load(argument.at(j), mask))
    return Exact(code.builder, code.splat(argument if argument.type == DOUBLE else code.to_float(argument)))


def sum_of_halves(lanes) -> float:
    """The sum of eight numbers, in the order of ``Code.sum_each``."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [a + b for a, b in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


# ---- the same on a GPU: a loop in source, as its compiler takes no arguments by star
def call_of(names, kinds, first) -> str:
    """The formula's call at draw j."""
    given = zip(names[first:], kinds[first:], strict=True)
    return f"formula({', '.join(f'{name}[j]' if isinstance(kind, types.Array) else name for name, kind in given)})"


def compiled(names, lines, formula):
    """The function of these arguments and lines."""
    scope = {"formula": formula, "fma": fma}
    exec(f"def loop({', '.join(names)}):\n" + "".join(f"    {line}\n" for line in lines), scope)
    return scope["loop"]


# ---- loops that several files need
@each_draw
@routine
def copy(value):
    """A copy of an array, or a number everywhere."""
    return value


@each_draw
@routine
def plus(one, other):
    """The sum of two arrays, or of an array and a number."""
    return one + other


@each_draw
@routine
def times(one, other):
    """The product of two arrays, or of an array and a number."""
    return one * other


@each_draw
@routine
def plus_times(total, factor, x):
    """A total and one more product, rounded once."""
    return fma(factor, x, total)


@sum_draws
@routine
def total_of(value):
    """The sum of the values."""
    return value
