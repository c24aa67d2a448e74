"""How a user's log density becomes a C function that evaluates it for a tile of draws, by ``contract``."""

import os
import re
import warnings
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import errors

from . import jit
from .contract import LANE_WIDTH, RAISED, Compiled, call, data_types, pack
from .driver import SIGNATURE, Callee, c_function, copy_column, is_null, new_draw
from .helpers import assigns_items, with_helpers
from .jit import DENSITY_FASTMATH
from .lanes import Lanes, LaneVector
from .lanes.sequence import store
from .lanes.types import pack as pack_struct

# names of lane types in Numba's messages, for people: "<draws>"
TYPES = r"\b(?:Lane\w*|Leaf|Recorded|Expression\d+|Table)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
# Indices are checked, in helpers too: data may be changed in place after Python has seen it, and garbage is no answer.
USERS: dict[str, Any] = dict(boundscheck=True, error_model="numpy", fastmath=DENSITY_FASTMATH)


class DensityError(TypeError):
    """The log density cannot be compiled at all; ``details`` is Numba's whole report."""

    def __init__(self, message, details):
        super().__init__(message, details)
        self.details = details

    def __str__(self):
        return self.args[0]


def view_of(context, builder, kind, tile, first):
    """The draws first … first + 31 of a tile as a LaneVector."""
    return pack_struct(context, builder, kind, data=builder.gep(tile.z, [first]), stride=tile.width, size=tile.dim)


def nothing():
    """The end of a tile that leaves nothing behind."""


def checked_result(kind, *wanted):
    if not isinstance(kind, wanted):
        raise errors.NumbaTypeError(f"the log density returned {kind}, not a number")


def put_value(context, builder, density, arguments, draws, tile, first, stop, kind):
    """Call a density for some draws and store what it returns as ``kind``: Lanes, or one float64."""
    raised, value = density.call(context, builder, arguments, [draws, *tile.data])
    stop(raised, RAISED)
    value = context.cast(builder, value, density.result, kind)
    place = builder.gep(tile.log_p, [first])
    builder.store(value, place) if kind == types.float64 else store(builder, kind, value, place)


def in_lanes(function, kinds):
    """A C function that computes 32 draws at a time."""
    if assigns_items(function):
        raise errors.NumbaTypeError("an assignment to an item, which a lazy expression of draws may still have to read")
    lanes = Lanes(LANE_WIDTH)
    arguments = [LaneVector(lanes), *kinds]

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, Lanes, types.Float, types.Integer)

        def start(context, builder, tile):
            def group(first, stop):
                view = view_of(context, builder, arguments[0], tile, first)
                put_value(context, builder, density, arguments, view, tile, first, stop, lanes)

            return group, nothing

        return start

    return c_function(prepare, kinds, LANE_WIDTH)


def draw_by_draw(function, kinds):
    """A C function that computes one draw at a time."""
    arguments = [types.Array(types.float64, 1, "C"), *kinds]

    def prepare(typingctx):
        density = Callee(typingctx, with_helpers(function, USERS), arguments, USERS)
        checked_result(density.result, types.Float, types.Integer, types.Boolean)

        def start(context, builder, tile):
            draw, place = new_draw(context, builder, arguments[0], tile)

            def group(first, stop):
                copy_column(builder, tile, builder.gep(tile.z, [first]), tile.width, place, ir.IntType(64)(1))
                put_value(context, builder, density, arguments, draw, tile, first, stop, types.float64)

            return group, lambda: context.nrt.decref(builder, arguments[0], draw)

        return start

    return c_function(prepare, kinds, 1)


def compile_density(function, kinds, lanes_refused=None) -> Compiled:
    """Compile a plain Python function to lanes, or draw by draw where lanes cannot follow it."""
    reason = lanes_refused
    if reason is None:
        try:
            compiled = quietly(in_lanes, function, kinds)
            return Compiled(compiled.address, True, None, (compiled, function))
        except Exception as error:  # lowering can raise anything; the second attempt decides what the user sees
            reason = explain_error(error, function, " for a vector of draws")
    try:
        compiled = quietly(draw_by_draw, function, kinds)
    except Exception as error:
        raise DensityError(f"log_density: {explain_error(error, function)}", str(error)) from None
    return Compiled(compiled.address, False, reason, (compiled, function))


def quietly(build, function, kinds):
    """Compile without Numba's advice on contiguous arrays, which is not ours to pass on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NumbaWarning)
        return build(function, kinds)


def explain_error(error, function, of_what="") -> str:
    """One line out of Numba's nested report: what was refused, with file and line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.findall(
        r"this `if`.*|No implementation of function .*|Unknown attribute .*|Use of unsupported.*|Cannot unify .*"
        r"|a default argument .*|the log density returned .*|an assignment to an item.*|Untyped global name .*"
        r"|[Ii]nvalid use of .*"
        r"|Cannot determine .*|an array depends on z in one branch.*|cannot assign .*|Unsupported .*",
        text,
    )
    found = [w for w in found if "<intrinsic run>" not in w]  # our own loop around the user's function
    what = next((w for w in found if w.startswith("this `if`")), found[-1] if found else None)
    if what is None:
        noise = (
            "Failed in nopython mode",
            "No implementation of function Function(<intrinsic run>)",
            ">>> run(float64*",
        )
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
        what = lines[0] if lines else type(error).__name__
    call = [c for c in re.findall(r">>> (.*)", text) if not c.startswith("run(float64*")]
    if "No implementation" in what and call:
        what = f"{call[-1].strip()} is not available{of_what}"
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    places = [p for p in places if not of_the_machinery(p[0])]
    code = function.__code__
    file, line = places[-1] if places else (code.co_filename, code.co_firstlineno)
    readable = what
    while True:  # names of types from the inside out
        simpler = re.sub(TYPES, "<draws>", readable)
        if simpler == readable:
            break
        readable = simpler
    return f"{readable.strip()} [{file}:{line}]"


_numba = os.path.dirname(os.path.realpath(numba.__file__))
MACHINERY = tuple(
    folder + os.sep
    for folder in (
        os.path.dirname(os.path.realpath(jit.__file__)),  # all of kernels/, wherever this file lies in it
        _numba,
        os.path.join(os.path.dirname(_numba), "numba_cuda"),
    )
)


def of_the_machinery(path) -> bool:
    """Whether a file is one of ours or Numba's, and not the user's: by its place, as a folder may have any name."""
    return os.path.realpath(path).startswith(MACHINERY)


__all__ = ["DensityError", "SIGNATURE", "call", "compile_density", "data_types", "is_null", "pack"]
