"""What a bug report needs: versions, CPU, threads, CUDA."""

import importlib.metadata
import os
import platform
import sys

from .kernels import jit
from .kernels.cpu import pool
from .kernels.density import abi
from .version import __version__

PACKAGES = ("numba", "llvmlite", "numpy", "scipy")
OPTIONAL = ("numba-cuda", "jax", "torch", "numpyro", "pymc", "arviz", "tqdm", "matplotlib")
FEATURES = ("avx512f", "avx2", "fma", "neon", "sve")


def versions() -> dict[str, str]:
    """Everything ``show_versions`` shows, by name."""
    from .kernels.gpu import device

    facts = {"fastvi": __version__, "python": sys.version.split()[0], "platform": platform.platform()}
    for name in PACKAGES + OPTIONAL:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in PACKAGES:
                facts[name] = "missing"
    cpu, features = jit.host_cpu()
    facts["cpu"] = f"{cpu} ({', '.join(f for f in FEATURES if f in features) or 'no vector features known'})"
    if not jit.has_fma():
        facts["cpu"] += f"; {jit.WITHOUT_FMA}"
    facts["lanes"] = f"{abi.LANE_WIDTH} x float64"
    facts["threads"] = f"{pool.available_threads()} of {os.cpu_count()} CPUs"
    facts["cache"] = jit.cache_folder() or "none: kernels are compiled in each process"
    facts["cuda"] = device.description()
    return facts


def show_versions() -> None:
    """Print the versions of fastvi and of what it stands on, the CPU's vector features, threads and CUDA state.

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.show_versions()  # doctest: +ELLIPSIS
    fastvi ...
    """
    facts = versions()
    width = max(map(len, facts))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))
