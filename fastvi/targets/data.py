"""What a target is given, as compiled code takes it."""

import types

import numpy as np

from .. import checks
from ..kernels.density import references


def python_function(argument, function):
    """The Python function given, or the one under a Numba dispatcher."""
    plain = references.plain(function)
    if not isinstance(plain, types.FunctionType):
        raise TypeError(f"{argument}: expected a Python function, got {checks.describe(function)}")
    helper = references.parallel_helper(function)
    if helper:
        raise ValueError(
            f"{argument}: {helper} is compiled with parallel=True, whose threads would meet fastvi's; "
            "drop parallel=True"
        )
    return plain


def lives_on_gpu(value) -> bool:
    """Whether a value is an array in a GPU's memory."""
    return not isinstance(value, np.ndarray) and getattr(value, "__cuda_array_interface__", None) is not None


def gpu_source(value, taken):
    """The array on a GPU that compiled code there can read in place, or None; ``taken`` is its copy on the host."""
    if not lives_on_gpu(value):
        return None
    described = value.__cuda_array_interface__
    contiguous = described.get("strides") in (None, taken.strides)
    return value if contiguous and described["typestr"] == taken.dtype.str and taken.ndim else None


def converted(data) -> tuple:
    """Every data item as compiled code takes it."""
    if not isinstance(data, tuple | list):
        raise TypeError(f"data: expected a tuple of arrays and numbers, got {checks.describe(data)}")
    return tuple(convert(f"data[{i}]", value) for i, value in enumerate(data))


def convert(name, value):
    """One data item as compiled code takes it: C-contiguous float64, int64 or bool, or a NumPy scalar of these."""
    if lives_on_gpu(value):
        from ..kernels.gpu import device

        missing = device.why_not()
        if missing:
            raise RuntimeError(f"{name}: an array on a GPU that fastvi cannot read: {missing}")
        value = device.host_copy(value)
    array = checks.numeric(name, value)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and (array > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name}: expected integers below 2^63, got {array.max()}")
    dtype = {"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)
    if array.ndim == 0:
        return dtype(array)
    return np.ascontiguousarray(array, dtype=dtype)


def read_only(array):
    """The same memory, not to be written."""
    view = array.view()
    view.flags.writeable = False
    return view
