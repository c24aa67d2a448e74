"""The lanes of tests that need more than the extra ``test``.

``guests`` are JAX, optax and torch, ``pymc`` is PyMC with ArviZ (which holds Numba back), ``docs`` is pdoc.  Of CUDA:
``sim``, simulated; ``ptx``, compiled without a GPU; and ``gpu``.

    NUMBA_ENABLE_CUDASIM=1 pytest tests/execution/test_cuda.py       # sim
    pytest tests/execution/test_cuda.py tests/execution/test_cuda_offline.py   # ptx, and gpu where there is one

A lane that a process does not have is skipped, and a failure where the variable FASTVI_REQUIRE names it.
"""

import importlib.util
import os

import pytest

LANES = {
    "guests": "needs JAX, optax and torch",
    "pymc": "needs PyMC and ArviZ",
    "stan": "needs BridgeStan and a model that it has compiled, see bridges/test_stan.py",
    "sim": "kernels in the simulator: a process with NUMBA_ENABLE_CUDASIM=1",
    "ptx": "kernels compiled without a GPU: needs numba-cuda with its toolkit",
    "gpu": "kernels on a GPU",
    "docs": "needs pdoc, the extra docs",
}


def pytest_configure(config):
    config.addinivalue_line("markers", 'slow: seconds or more; everything else, by -m "not slow", takes a minute or so')
    for name, what in LANES.items():
        config.addinivalue_line("markers", f"{name}: {what}")


def lanes() -> set[str]:
    """The lanes that this process has."""
    from fastvi.kernels.gpu import device

    if device.SIMULATED:
        return {"sim"}
    needs = {"guests": ("jax", "torch", "optax"), "pymc": ("pymc", "arviz"), "docs": ("pdoc",)}
    compiled = importlib.util.find_spec("bridgestan") and os.environ.get("FASTVI_STAN_MODEL")
    found = {"stan"} if compiled else set()
    found |= {lane for lane, names in needs.items() if all(map(importlib.util.find_spec, names))}
    found |= {"gpu"} if device.why_not() is None else set()
    try:
        from numba.cuda.cudadrv import nvvm

        if getattr(device.cuda, "implementation", "") == "NVIDIA" and nvvm.NVVM():
            found.add("ptx")
    except Exception:  # no toolkit, in one of many ways
        pass
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each worker begins with a run of whole files, whose densities it compiles alone, and helps out at the end."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(config, items):
    asked = [(item, name) for item in items for name in LANES if item.get_closest_marker(name)]
    if not asked:
        return
    here, required = lanes(), set(os.environ.get("FASTVI_REQUIRE", "").split(","))
    for item, name in asked:
        if name not in here and name not in required:
            item.add_marker(pytest.mark.skip(reason=f"not here: {LANES[name]}"))
