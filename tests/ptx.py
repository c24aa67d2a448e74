"""CUDA without a GPU: kernels compiled to PTX and machine code, and what must not be in them."""

import contextlib
import functools
import re
from types import SimpleNamespace
from unittest import mock

import numpy as np

from interpreter import Kernel, Unknown, instructions

CAPABILITY = (9, 0)


@contextlib.contextmanager
def pretend(capability=CAPABILITY):
    """numba-cuda asks the device for its compute capability when one device function calls another, even where it is
    told one: answer that question, and nothing else."""
    from numba.cuda import dispatcher

    device = SimpleNamespace(compute_capability=capability)
    with mock.patch.object(dispatcher, "get_current_device", lambda: device):
        yield


def compiled(function, signature, capability=CAPABILITY) -> str:
    """The PTX of a kernel."""
    from numba import cuda

    with pretend(capability):
        return cuda.compile_ptx(function, tuple(signature.args), cc=capability)[0]


def linked(function, signature, capability=(9, 0, "a")) -> bytes:
    """The machine code of a kernel, by the way of a real launch: what PTX hides, such as a missing function or too much
    shared memory, is an error here."""
    from numba import cuda
    from numba.cuda.cudadrv import driver

    with pretend(capability[:2]):
        options = dict(device=False, abi="numba", output="ltoir", cc=capability)
        code, _ = cuda.compile(function, tuple(signature.args), **options)
    linker = driver._Linker(cc=capability, lto=True)
    linker.add_ltoir(code)
    found = linker.complete()
    return getattr(found, "code", found)


def contractible(text):
    """Pairs of a rounded product and a sum that takes it: ptxas may make one fused operation of them."""
    products, found = {}, []
    for entry in instructions(text):
        if isinstance(entry, str):
            continue
        opcode, arguments = entry[2:]
        if re.fullmatch(r"mul(\.rn)?\.(f64|f32)", opcode):
            products[arguments[0]] = opcode
        elif re.fullmatch(r"(add|sub)\.(f64|f32)", opcode):
            found += [(products[a], opcode, arguments) for a in arguments[1:] if a in products]
    return found


class Launcher:
    """What stands for a compiled kernel: ``launcher[grid, threads](*arguments)``."""

    def __init__(self, function, signature):
        self.kernel = Kernel(compiled(function, signature))

    def __getitem__(self, configuration):
        (grid, threads) = configuration
        return lambda *arguments: self.kernel.launch(grid, threads, *arguments)


@functools.cache
def kept():
    """The kernels that know no density, once for all tests: their real cache must not see the interpreter's."""
    from fastvi.kernels.gpu import launch

    return {name: functools.cache(getattr(launch, name).__wrapped__) for name in ("scores_kernel", "fold_kernel")}


@contextlib.contextmanager
def interpreted():
    """``backend="cuda"`` with the interpreter in the place of the device."""
    from fastvi.kernels.gpu import buffers, device, launch

    replaced = dict(
        why_not=lambda: None,
        jit=Launcher,
        empty=np.empty,
        fill=np.copyto,
        to_device=np.array,
        to_host=np.array,
        wait=lambda: None,
        current=lambda: 0,
        of_the_driver=lambda error: isinstance(error, Unknown),  # no fault of the density
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(pretend())
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(device, name, value))
        for name, function in kept().items():
            stack.enter_context(mock.patch.object(launch, name, function))
        stack.enter_context(mock.patch.object(buffers, "_own", SimpleNamespace()))
        yield
