"""How a user's log density becomes a C function that evaluates it for a tile of draws.

    int64 f(const double* z, int64 dim, int64 width, const void* data, double* log_p, double* gradient_or_null,
            void* scratch, int64 scratch_bytes)

z is (dim, width), C-contiguous, one draw a column; log_p has ``width`` places.  It returns 0, or 1 when the density
raised; 2, a scratch that is too small, and the gradient are for callbacks that need them.  Kernels call it by address
and never specialise on it, so they stay in the disk cache; and data comes through one pointer, so new data never
recompiles.
"""

import ctypes
import os
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import errors
from numba.core.typing.templates import signature
from numba.extending import intrinsic
from numba.np import arrayobj

from .helpers import assigns_items, with_helpers
from .jit import DENSITY_FASTMATH
from .lanes import Lanes, LaneVector
from .lanes.sequence import store, struct

LANE_WIDTH = 32
REAL = types.CPointer(types.float64)
SIGNATURE = types.int64(REAL, types.int64, types.int64, types.int64, REAL, REAL, types.int64, types.int64)
OPTIONS: dict[str, Any] = dict(error_model="numpy", fastmath=DENSITY_FASTMATH)
# Indices are checked, in helpers too: data may be changed in place after Python has seen it, and garbage is no answer.
USERS: dict[str, Any] = dict(boundscheck=True, **OPTIONS)


class Compiled(NamedTuple):
    """A compiled density: where it is, whether it runs in lanes, why not, what must outlive the address, and whether
    it is known to be continuous: no comparison, step or branch on z."""

    address: int
    vectorised: bool
    reason: str | None
    keep: tuple
    smooth: bool = False


class DensityError(TypeError):
    """The log density cannot be compiled at all; ``details`` is Numba's whole report."""

    def __init__(self, message, details):
        super().__init__(message, details)
        self.details = details

    def __str__(self):
        return self.args[0]


def pack(data):
    """The data as one array of 64-bit words: for an array its address and shape, for a number its bits."""
    words = []
    for value in data:
        if isinstance(value, np.ndarray):
            words += [value.ctypes.data, *value.shape]
        else:
            words.append(int(value) if value.dtype == bool else int(value.view(np.int64)))
    return np.array(words or [0], dtype=np.int64)


def data_types(data):
    """The Numba type of each packed value: a C-contiguous array or a scalar of float64, int64 or bool."""
    kinds = []
    for value in data:
        dtype = {"f": types.float64, "i": types.int64, "b": types.boolean}[value.dtype.kind]
        kinds.append(types.Array(dtype, value.ndim, "C", readonly=True) if isinstance(value, np.ndarray) else dtype)
    return tuple(kinds)


def unpacker(kinds):
    """An intrinsic that rebuilds the data tuple from the address of its words.

    The arrays are borrowed (no memory info): Numba would otherwise release a reference with every call.
    """

    @intrinsic
    def unpack(typingctx, address):
        result = types.Tuple(kinds)

        def codegen(context, builder, sig, args):
            words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            place = 0

            def next_word():
                nonlocal place
                place += 1
                return builder.load(builder.gep(words, [ir.IntType(64)(place - 1)]))

            values = []
            for kind in kinds:
                if not isinstance(kind, types.Array):
                    read = builder.trunc if kind == types.boolean else builder.bitcast
                    values.append(read(next_word(), context.get_value_type(kind)))
                    continue
                size = 1 if kind.dtype == types.boolean else 8
                array = context.make_array(kind)(context, builder)
                data = builder.inttoptr(next_word(), array.data.type)
                shape = [next_word() for _ in range(kind.ndim)]
                strides = [ir.IntType(64)(size)]
                for extent in shape[:0:-1]:
                    strides.insert(0, builder.mul(strides[0], extent))
                arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
                values.append(array._getvalue())
            return context.make_tuple(builder, result, values)

        return signature(result, types.int64), codegen

    return unpack


@intrinsic
def lane_view(typingctx, z, dim, width, first):
    """The draws first … first + 31 of a tile as a LaneVector."""
    kind = LaneVector(Lanes(LANE_WIDTH))

    def codegen(context, builder, sig, args):
        view = struct(kind)(context, builder)
        view.data = builder.gep(args[0], [args[3]])
        view.size, view.stride = args[1], args[2]
        return view._getvalue()

    return signature(kind, z, types.int64, types.int64, types.int64), codegen


@intrinsic
def put(typingctx, log_p, first, value):
    """Store the value of a density, for a group of draws or for one."""
    scalar = isinstance(value, types.Float | types.Integer)
    if not (scalar or isinstance(value, Lanes)):
        raise errors.NumbaTypeError(f"the log density returned {value}, not a number")

    def codegen(context, builder, sig, args):
        place = builder.gep(args[0], [args[1]])
        store(builder, sig.args[2], args[2], place)
        return context.get_dummy_value()

    return signature(types.none, log_p, types.int64, Lanes(LANE_WIDTH)), codegen


@intrinsic
def put_one(typingctx, log_p, place, value):
    """Store the value of a density for one draw."""
    if not isinstance(value, types.Float | types.Integer | types.Boolean):
        raise errors.NumbaTypeError(f"the log density returned {value}, not a number")

    def codegen(context, builder, sig, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return signature(types.none, log_p, types.int64, types.float64), codegen


@intrinsic
def get_one(typingctx, z, place):
    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return signature(types.float64, z, types.int64), codegen


def in_lanes(function, kinds):
    """A C function that computes 32 draws at a time."""
    if assigns_items(function):
        raise errors.NumbaTypeError("an assignment to an item, which a lazy expression of draws may still have to read")
    density, unpack = njit(**USERS)(with_helpers(function, USERS)), unpacker(kinds)

    @njit(**OPTIONS)
    def tile(z, dim, width, data, log_p):
        for first in range(0, width, LANE_WIDTH):
            put(log_p, first, density(lane_view(z, dim, width, first), *unpack(data)))

    return c_function(tile)


def draw_by_draw(function, kinds):
    """A C function that computes one draw at a time."""
    density, unpack = njit(**USERS)(with_helpers(function, USERS)), unpacker(kinds)

    @njit(**OPTIONS)
    def tile(z, dim, width, data, log_p):
        draw = np.empty(dim)
        for j in range(width):
            for i in range(dim):
                draw[i] = get_one(z, i * width + j)
            put_one(log_p, j, density(draw, *unpack(data)))

    return c_function(tile)


def c_function(tile):
    @cfunc(SIGNATURE, error_model="numpy")
    def density(z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
        try:
            tile(z, dim, width, data, log_p)
        except Exception:
            return 1
        return 0

    return density


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


_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, *[ctypes.c_void_p] * 4, ctypes.c_int64
)


def call(address, tile, words, log_p, gradient=None, scratch=None) -> int:
    """Evaluate a compiled density for one tile from Python; returns its status."""
    dim, width = tile.shape
    out = None if gradient is None else gradient.ctypes.data
    room = (None, 0) if scratch is None else (scratch.ctypes.data, scratch.nbytes)
    return _CALL(address)(tile.ctypes.data, dim, width, words.ctypes.data, log_p.ctypes.data, out, *room)


def explain_error(error, function, of_what="") -> str:
    """One line out of Numba's nested report: what was refused, with file and line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.findall(
        r"this `if`.*|No implementation of function .*|Unknown attribute .*|Use of unsupported.*|Cannot unify .*"
        r"|the log density returned .*|an assignment to an item.*|Untyped global name .*|[Ii]nvalid use of .*"
        r"|Cannot determine .*|cannot assign .*|Unsupported .*",
        text,
    )
    what = next((w for w in found if w.startswith("this `if`")), found[-1] if found else None)
    if what is None:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Failed in nopython mode")]
        what = lines[0] if lines else type(error).__name__
    call = re.findall(r">>> (.*)", text)
    if "No implementation" in what and call:
        what = f"{call[-1].strip()} is not available{of_what}"
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    places = [p for p in places if os.path.realpath(p[0]) != os.path.realpath(__file__)]
    code = function.__code__
    file, line = places[-1] if places else (code.co_filename, code.co_firstlineno)
    readable = re.sub(r"Lane\w+\((?:[^()]|\([^()]*\))*\)", "<draws>", what)
    return f"{readable.strip()} [{file}:{line}]"


__all__ = ["Compiled", "DensityError", "LANE_WIDTH", "compile_density", "data_types", "pack"]
