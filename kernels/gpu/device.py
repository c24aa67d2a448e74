"""What stands between the kernels and numba-cuda: whether there is a GPU, moving data, a density as device code.
Nothing here is imported unless somebody asks for ``backend="cuda"``; this file and ``cuda`` alone know numba-cuda.
"""

import contextlib
import functools
import os
import re
import threading
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from llvmlite import ir
from numba import cuda, njit, types
from numba.core import config
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..density.error_messages import DensityError, explain_error
from ..density.inputs import Flat
from ..density.references import with_helpers
from ..density.tile_loop import all_given
from ..density.values import checked_result, quietly
from ..lanes import Lanes

try:
    from numba.cuda.core import config as cuda_config
except ImportError:  # Numba's own, which runs the simulator
    cuda_config = config

SIMULATED = bool(getattr(config, "ENABLE_CUDASIM", 0))
# no fastmath: CUDA takes any of it for all of it, and products are contracted anyway
USERS = dict(boundscheck=True, error_model="numpy")
FORMS = "lanes", "arrays"  # of what a density is called with: one SIMD lane, or ordinary numbers and arrays
LANE = Lanes(1)
lock = threading.RLock()
_used = _lost = False  # whether this process has met the driver; whether it was forked from one that had


def _forked():
    global _lost, lock
    _lost, lock = _used, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def why_not() -> str | None:
    """Why there is no GPU to run on, in one line; None where there is one."""
    if _lost:
        return "a process cannot use the GPU that was forked from one that had; start it by 'spawn'"
    return _missing()


@functools.cache
def _missing() -> str | None:
    global _used
    if not SIMULATED:
        if getattr(cuda, "implementation", None) != "NVIDIA":
            return "numba-cuda is not installed: pip install 'fastvi[cuda13]' (or [cuda12], by the driver's version)"
        if not cuda.is_available():
            reason = (
                cuda.cuda_error() or "CUDA's compiler (NVVM) was not found: pip install 'fastvi[cuda13]' or [cuda12]"
            )
            return " ".join(str(reason).split())
    _used = True
    return None


def description() -> str:
    """The device and what drives it, or why there is none."""
    missing = why_not()
    if missing or SIMULATED:
        return missing or "simulated"
    device = cuda.list_devices()[0]
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    return f"{name}, compute capability {'.'.join(map(str, device.compute_capability))}"


def current() -> int:
    """The number of the device that is in use."""
    return 0 if SIMULATED else cuda.get_current_device().id


# ---- memory
def host_copy(value):
    """A NumPy array from whatever has ``__cuda_array_interface__``."""
    return cuda.as_cuda_array(value).copy_to_host()


def view(source):
    """What lies on the device, to be read in place."""
    return cuda.as_cuda_array(source)


def empty(size):
    return cuda.device_array(size, np.float64)


def fill(out, array):
    out.copy_to_device(array)


def to_device(array):
    return cuda.to_device(array)


def to_host(array):
    return array.copy_to_host()


def wait():
    """Until the device has done what it was told."""
    cuda.synchronize()


def jit(function, kinds):
    """A kernel compiled for one signature."""
    return cuda.jit(kinds)(function)


def launch(kernel, grid, threads, *arguments):
    """Start a kernel, without numba-cuda's warning that a grid is small, which is not ours to pass on."""
    with lock:
        warned, cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS = cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS, 0
        try:
            configured = kernel[grid, threads]
        finally:
            cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS = warned
    configured(*arguments)


# ---- a density as device code
def call_in_python(function, dim, inputs):
    """For the simulator: the very function of the user's."""

    def call(z, data):
        try:
            if inputs is None:
                return False, float(function(z[:dim, 0], *data))
            values, log_j = inputs.in_python(z[:dim, 0].tolist())
            pairs = zip(values, inputs.separate, strict=True)
            values = [np.array(v).reshape(a.shape) if a.shape else v for v, a in pairs]
            return False, float(function(*values, *data)) + log_j
        except Exception:  # a GPU tells no more than that
            return True, 0.0

    return call


class Draw(NamedTuple):
    """One draw of a thread, as the inputs of a density read a tile."""

    z: Any
    width: Any
    dim: Any


def call_compiled(function, kinds, dim, form, inputs):
    """``call(z, data) -> (whether it raised, log p)`` in a kernel, for z (dim or more, 1) and a tuple of data.

    A draw is one SIMD lane, so that the density means what it means on a CPU, array expressions included; or arrays.
    """
    dispatcher = njit(**USERS)(with_helpers(function, USERS))
    inputs = inputs or Flat
    given = inputs.kinds(LANE) if form == FORMS[0] else inputs.kinds_of_one()
    kinds = (*given, *kinds)

    def draw_of(context, builder, data):
        one = Draw(data, *(context.get_constant(types.intp, n) for n in (1, dim)))
        if form == FORMS[0]:
            return inputs.open(context, builder, one, LANE)
        if inputs is Flat:
            return ArrayInPlace(context, builder, one, *given)
        return inputs.open_one(context, builder, one)

    @intrinsic
    def call(typingctx, z, data):
        known = typingctx.resolve_value_type(dispatcher)
        with careful():
            sig = known.get_call_type(typingctx, kinds, {})
        all_given(sig, kinds)
        checked_result(sig.return_type, Lanes, types.Float, types.Integer, types.Boolean)
        compiled = known.dispatcher.compile_device(tuple(sig.args))

        def codegen(context, builder, outer, args):
            draw = draw_of(context, builder, context.make_array(outer.args[0])(context, builder, args[0]).data)
            values = draw.values(context.get_constant(types.intp, 0))
            values += [builder.extract_value(args[1], k) for k in range(len(kinds) - len(values))]
            values = [context.cast(builder, v, k, t) for v, k, t in zip(values, kinds, sig.args, strict=True)]
            context.add_linking_libs([compiled.library])
            status, value = context.call_internal_no_propagate(builder, compiled.fndesc, sig, values)
            if not isinstance(sig.return_type, Lanes):
                value = context.cast(builder, value, sig.return_type, types.float64)
            value = only(builder, value)
            value = value if draw.log_j is None else builder.fadd(value, only(builder, draw.log_j))
            return context.make_tuple(builder, outer.return_type, [status.is_error, value])

        return signature(types.Tuple((types.boolean, types.float64)), z, data), codegen

    return call


def only(builder, value):
    """A number, or the one number of a SIMD lane."""
    return builder.extract_element(value, ir.IntType(32)(0)) if isinstance(value.type, ir.VectorType) else value


class ArrayInPlace:
    """A flat draw as an ordinary array, where it lies."""

    log_j = None

    def __init__(self, context, builder, draw, kind):
        self.context, self.builder, self.draw, self.kind = context, builder, draw, kind

    def values(self, first):
        array = self.context.make_array(self.kind)(self.context, self.builder)
        step = [self.context.get_constant(types.intp, 8)]
        described = dict(data=self.draw.z, shape=[self.draw.dim], strides=step, itemsize=step[0], meminfo=None)
        self.context.populate_array(array, **described)
        return [array._getvalue()]


def of_the_driver(error) -> bool:
    """Whether an error came from CUDA's driver: out of memory, say."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"CudaDriverError", "CudaSupportError", "CudaAPIError"})


@contextlib.contextmanager
def careful():
    """Compile with what numba-cuda leaves out.

    It has code for checking indices and never turns it on: an index out of range would be garbage, or the end of the
    process's use of the device.  And a computed message of an exception is dropped: Python will raise it again.
    """
    from numba.cuda.core.callconv import CUDACallConv
    from numba.cuda.target import CUDATargetContext

    def without_message(self, builder, kind, arguments, types_, loc=None, func_name=None):
        self.return_user_exc(builder, kind, None, loc=loc, func_name=func_name)

    checked = property(lambda self: True)
    with (
        mock.patch.object(CUDATargetContext, "enable_boundscheck", checked),
        mock.patch.object(CUDACallConv, "return_dynamic_user_exc", without_message, create=True),
    ):
        yield


NEW_ARRAY = re.compile(r"NRT|numpy_empty|_ol_array_allocate|reflected list|list\(|np_concatenate|[.']copy\b")
INTERNAL = re.compile(r"Untyped global name|CUDACallConv|No definition for lowering|KeyError")


def advice(error, function) -> tuple[str, str]:
    """(what CUDA refused, with what to write in its place; where)"""
    line, report = explain_error(error, function, " on a GPU"), f"{type(error).__name__}: {error}"
    what, _, place = line.rpartition(" [")
    if "set_try_status" in report or "exception_match" in report:
        what = "`try` is not available on a GPU"
    elif NEW_ARRAY.search(report):
        what = "a GPU thread has no memory for a new array, list or string: sum in a loop, or pass the array as data"
    elif INTERNAL.search(report):
        what = "a call in this line is not available on a GPU"
        found = re.findall(r"<ufunc '(\w+)'>", report)
        if found:
            what = f"np.{found[-1]} of a number is not available here on a GPU; math.{found[-1]} may be"
    return what, f"[{place}"


def compile_for_density(function, kinds, dim, build, inputs=None):
    """``build(call)`` with the first form of the density that CUDA can compile.

    Raises
    ------
    DensityError
        in one line, with what to write in its place
    """
    if SIMULATED:
        return build(call_in_python(function, dim, inputs))

    def attempt(form):
        return lambda function, kinds: build(call_compiled(function, kinds, dim, form, inputs))

    reports = []
    for form in FORMS:
        try:
            return quietly(attempt(form), function, kinds)
        except Exception as error:
            if of_the_driver(error):
                raise
            reports.append(error)
    (what, place), (other, elsewhere) = (advice(error, function) for error in reports)
    line = f"{what} {place}"
    if other != what:
        line += f"; and with z as an ordinary array {other} {elsewhere}"
    raise DensityError(f"log_density: {line}", "\n\n".join(map(str, reports))) from reports[0]
