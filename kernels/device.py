"""What stands between the kernels and numba-cuda: whether there is a GPU, a user's density as device code, buffers.

Nothing here is imported unless somebody asks for ``backend="cuda"``; this file and ``cuda`` alone know numba-cuda.
"""

import contextlib
import functools
import math
import os
import re
import threading
from unittest import mock

import numpy as np
from llvmlite import ir
from numba import cuda, njit, types
from numba.core import config
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from .density import DensityError, checked_result, explain_error, quietly
from .helpers import with_helpers
from .lanes import Lanes, LaneVector
from .lanes.types import pack

try:
    from numba.cuda.core import config as cuda_config
except ImportError:  # Numba's own, which runs the simulator
    cuda_config = config

SIMULATED = bool(config.ENABLE_CUDASIM)
# no fastmath: CUDA takes any of it for all of it, and products are contracted anyway
USERS = dict(boundscheck=True, error_model="numpy")
FORMS = LaneVector(Lanes(1)), types.Array(types.float64, 1, "C")


_own = threading.local()
_lock = threading.RLock()
_used = _lost = False  # whether this process has met the driver; whether it was forked from one that had


def _forked():
    global _lost, _lock
    _lost, _lock = _used, threading.RLock()


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
class Buffers:
    """Arrays that stay on the device from call to call, one set for each thread."""

    def __init__(self):
        self.arrays: dict = {}

    def room(self, name, shape):
        """An array of this shape, of whatever it held before."""
        shape = (shape,) if isinstance(shape, int) else shape
        size = math.prod(shape)
        if name not in self.arrays or self.arrays[name].size < size:
            self.arrays[name] = empty(size)
        return self.arrays[name][:size].reshape(shape)

    def upload(self, name, array):
        """A copy of a host array."""
        out = self.room(name, array.shape if array.size else (1,) * array.ndim)
        if array.size:
            fill(out, np.ascontiguousarray(array))
        return out


@contextlib.contextmanager
def lent_buffers():
    """Buffers that nobody else uses for the time, a call from within a call included."""
    free = vars(_own).setdefault(current(), [])
    buffers = free.pop() if free else Buffers()
    try:
        yield buffers
    finally:
        free.append(buffers)


def held_bytes() -> int:
    """What this thread keeps on the device between calls."""
    return sum(a.nbytes for buffers in vars(_own).get(current(), []) for a in buffers.arrays.values())


class Data:
    """A target's data on the device: numbers as they are, arrays copied when new or changed in place."""

    def __init__(self, sources):
        self.sources, self.device = sources, None
        self.seen: list = []
        self.arrays: list = []

    def current(self, values):
        """The data to launch a kernel with, from the host's ``values``."""
        with _lock:
            if self.device != current():
                self.device = current()
                self.seen, self.arrays = [None] * len(values), [None] * len(values)
            for k, (value, source) in enumerate(zip(values, self.sources, strict=True)):
                if not isinstance(value, np.ndarray):
                    self.arrays[k] = value.item()
                elif source is not None:
                    self.arrays[k] = cuda.as_cuda_array(source)
                elif self.seen[k] is None or not same_bits(self.seen[k], value):
                    kept = value.copy()
                    self.arrays[k] = kept if SIMULATED else to_device(kept)
                    self.seen[k] = kept  # last: an upload that fails is tried again
            return tuple(self.arrays)


def same_bits(a, b):
    """Whether two arrays of one dtype hold the same bits: NaN is no change."""
    word = np.uint64 if a.itemsize == 8 else np.uint8
    return np.array_equal(a.reshape(-1).view(word), b.reshape(-1).view(word))


def host_copy(value):
    """A NumPy array from whatever has ``__cuda_array_interface__``."""
    return cuda.as_cuda_array(value).copy_to_host()


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
    with _lock:
        warned, cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS = cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS, 0
        try:
            configured = kernel[grid, threads]
        finally:
            cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS = warned
    configured(*arguments)


# ---- a density as device code
def call_in_python(function, dim):
    """For the simulator: the very function of the user's."""

    def call(z, data):
        try:
            return False, float(function(z[:dim, 0], *data))
        except Exception:  # a GPU tells no more than that
            return True, 0.0

    return call


def call_compiled(function, kinds, dim, form):
    """``call(z, data) -> (whether it raised, log p)`` in a kernel, for z (dim or more, 1) and a tuple of data.

    z is one SIMD lane, so that the density means what it means on a CPU, array expressions included; or an ordinary
    array.
    """
    dispatcher = njit(**USERS)(with_helpers(function, USERS))

    def view(context, builder, z):
        size = context.get_constant(types.intp, dim)
        if form is FORMS[0]:
            return pack(context, builder, form, data=z.data, stride=context.get_constant(types.intp, 1), size=size)
        array = context.make_array(form)(context, builder)
        shape, strides = [size], [context.get_constant(types.intp, 8)]
        context.populate_array(array, data=z.data, shape=shape, strides=strides, itemsize=strides[0], meminfo=None)
        return array._getvalue()

    @intrinsic
    def call(typingctx, z, data):
        known = typingctx.resolve_value_type(dispatcher)
        with array_bounds():
            sig = known.get_call_type(typingctx, (form, *kinds), {})
        checked_result(sig.return_type, Lanes, types.Float, types.Integer, types.Boolean)
        compiled = known.dispatcher.compile_device(tuple(sig.args))

        def codegen(context, builder, outer, args):
            z = context.make_array(outer.args[0])(context, builder, args[0])
            values = [view(context, builder, z), *(builder.extract_value(args[1], k) for k in range(len(kinds)))]
            values = [context.cast(builder, v, k, t) for v, k, t in zip(values, (form, *kinds), sig.args, strict=True)]
            context.add_linking_libs([compiled.library])
            status, value = context.call_internal_no_propagate(builder, compiled.fndesc, sig, values)
            if isinstance(sig.return_type, Lanes):
                value = builder.extract_element(value, ir.IntType(32)(0))
            else:
                value = context.cast(builder, value, sig.return_type, types.float64)
            return context.make_tuple(builder, outer.return_type, [status.is_error, value])

        return signature(types.Tuple((types.boolean, types.float64)), z, data), codegen

    return call


def of_the_driver(error) -> bool:
    """Whether an error came from CUDA's driver: out of memory, say."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"CudaDriverError", "CudaSupportError", "CudaAPIError"})


def array_bounds():
    """numba-cuda has code for checking indices and never turns it on; an index out of range would be garbage, or the
    end of the process's use of the device."""
    from numba.cuda.target import CUDATargetContext

    return mock.patch.object(CUDATargetContext, "enable_boundscheck", property(lambda self: True))


NEW_ARRAY = re.compile(r"NRT|numpy_empty_nd|_ol_array_allocate|reflected list|list\(|Array\b.*allocat")


def advice(line, report) -> str:
    """One line for what CUDA refused, with what to write in its place."""
    if NEW_ARRAY.search(report):
        place = line[line.rindex("[") :]
        return f"a GPU thread has no memory for a new array or list: sum in a loop, or pass the array as data {place}"
    return line


def compile_for_density(function, kinds, dim, build):
    """``build(call)`` with the first form of the density that CUDA can compile.

    Raises
    ------
    DensityError
        in one line, with what to write in its place
    """
    if SIMULATED:
        return build(call_in_python(function, dim))

    def attempt(form):
        return lambda function, kinds: build(call_compiled(function, kinds, dim, form))

    reports = []
    for form in FORMS:
        try:
            return quietly(attempt(form), function, kinds)
        except Exception as error:
            if of_the_driver(error):
                raise
            reports.append(error)
    lines = [explain_error(error, function, " on a GPU") for error in reports]
    raise DensityError(
        f"log_density: {advice(lines[0], str(reports[0]))}", "\n\n".join(map(str, reports))
    ) from reports[0]
