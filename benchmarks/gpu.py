"""The CUDA backend against JAX, torch (eager and compiled) and CuPy on one GPU.

    python benchmarks/gpu.py --out benchmarks/gpu-1.json      # checks first, then times; prints a Markdown table
    python benchmarks/gpu.py --table benchmarks/gpu-1.json    # the table again
    python benchmarks/gpu.py --smoke                          # the same code on whatever is here, for its errors alone

First the numbers must be the CPU's: estimates to 1e-12, two runs alike (the bits of draws are a test).  Each side runs
in a process of its own, so that peak memory is its own.  Times are medians by CUDA events (of JAX, whose stream is its
own, by the clock around ``block_until_ready``), after two calls that compile and warm up.
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import numpy as np

import fastvi as vi

from sides import LOG_2PI, log_weights, mean_field_gradient
from workloads import WORKLOADS, normal_batched, normal_plain

SIDES = ("fastvi", "jax", "torch", "torch compiled", "cupy")
TASKS = ("elbo", "leave_one_out")
DTYPES = ("float64", "float32")
SIZES = (10**4, 10**5, 10**6, 10**7, 10**8)
REPEATS, ENOUGH_SECONDS, TOLERANCE = 15, 1.0, 1e-12
NORMAL = WORKLOADS["standard normal d=100"]
WORK = [replace(NORMAL, name=f"standard normal d={dim}", dim=dim) for dim in (10, 64, 256)]
WORK += [WORKLOADS[name] for name in ("eight schools", "funnel d=10", "logistic N=1000 d=50")]
assert NORMAL.plain is normal_plain and NORMAL.batched is normal_batched and LOG_2PI


def approximation(work):
    return vi.MeanFieldGaussian(np.full(work.dim, work.loc), np.full(work.dim, work.scale))


# ---- correctness
def check(num_samples):
    """Raise where the GPU does not give the CPU's numbers; returns the largest difference."""
    worst = 0.0
    for work in WORK:
        target, q = vi.Target(work.plain, work.dim, work.data), approximation(work)
        for dtype in DTYPES:
            options = dict(estimator="leave_one_out", rng=1, dtype=dtype)
            cpu = vi.elbo_gradient(target, q, num_samples, **options)
            gpu, again = (vi.elbo_gradient(target, q, num_samples, backend="cuda", **options) for _ in range(2))
            scale = 1.0 + abs(cpu.elbo.value)
            difference = np.max(np.abs(gpu.gradient - cpu.gradient)) + abs(gpu.elbo.value - cpu.elbo.value)
            worst = max(worst, float(difference) / scale)
            if difference > TOLERANCE * scale * math.sqrt(work.dim):
                raise SystemExit(f"{work.name}, {dtype}: {difference} from the CPU")
            if gpu.gradient.tobytes() != again.gradient.tobytes() or gpu.elbo != again.elbo:
                raise SystemExit(f"{work.name}, {dtype}: two runs differ")
    return worst


# ---- one call on each side
def batched(m, work, eps, loc, scale, data, task):
    """The estimate and its error, and the gradient, in an array module."""
    f = log_weights(m, work, eps, loc, scale, data)
    mean, spread = f.mean(), ((f - f.mean()) ** 2).mean()
    if task == "elbo":
        return mean, spread
    return mean, spread, mean_field_gradient((f - mean) / (len(f) - 1), eps, scale)


def fastvi_call(work, task, dtype):
    from fastvi.kernels.gpu import buffers

    target, q = vi.Target(work.plain, work.dim, work.data), approximation(work)
    options = dict(rng=1, backend="cuda", dtype=dtype)

    def memory():
        return buffers.held_bytes() + sum(np.asarray(d).nbytes for d in work.data)

    if task == "elbo":
        return lambda: vi.elbo(target, q, work.num_samples, estimator="plain", **options), memory
    return lambda: vi.elbo_gradient(target, q, work.num_samples, estimator=task, **options), memory


def jax_call(work, task, dtype):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    loc, scale = jnp.full(work.dim, work.loc, dtype), jnp.full(work.dim, work.scale, dtype)
    data = tuple(jnp.asarray(d, dtype) for d in work.data)

    @jax.jit
    def call(key, loc, scale, data):
        eps = jax.random.normal(key, (work.num_samples, work.dim), dtype)
        return batched(jnp, work, eps, loc, scale, data, task)

    key = jax.random.key(1)
    stats = jax.devices()[0].memory_stats
    return (
        lambda: jax.block_until_ready(call(key, loc, scale, data)),
        lambda: (stats() or {}).get("peak_bytes_in_use", 0),
    )


def torch_call(work, task, dtype, compiled=False):
    import torch

    where = dict(dtype=getattr(torch, dtype), device="cuda" if torch.cuda.is_available() else "cpu")
    loc, scale = torch.full((work.dim,), work.loc, **where), torch.full((work.dim,), work.scale, **where)
    data = tuple(torch.tensor(d, **where) for d in work.data)

    @torch.no_grad()
    def call():
        eps = torch.randn(work.num_samples, work.dim, **where)
        return batched(torch, work, eps, loc, scale, data, task)

    def memory():
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0

    return (torch.compile(call) if compiled else call), memory


def cupy_call(work, task, dtype):
    import cupy

    loc, scale = cupy.full(work.dim, work.loc, dtype), cupy.full(work.dim, work.scale, dtype)
    data = tuple(cupy.asarray(d, dtype) for d in work.data)
    rng = cupy.random.default_rng(1)

    def call():
        eps = rng.standard_normal((work.num_samples, work.dim), dtype)
        return batched(cupy, work, eps, loc, scale, data, task)

    return call, lambda: cupy.get_default_memory_pool().total_bytes()


CALLS = {
    "fastvi": fastvi_call,
    "jax": jax_call,
    "torch": torch_call,
    "torch compiled": lambda *a: torch_call(*a, compiled=True),
    "cupy": cupy_call,
}


# ---- timing
def timer(side):
    """``seconds(call)`` by CUDA events, or by the clock."""
    on_gpu = os.environ.get("FASTVI_BENCH_DEVICE") == "gpu"
    if side == "fastvi" and on_gpu:
        from numba import cuda

        def seconds(call):
            start, end = cuda.event(), cuda.event()
            start.record()
            call()
            end.record()
            end.synchronize()
            return cuda.event_elapsed_time(start, end) * 1e-3

        return seconds
    if side.startswith("torch") and on_gpu:
        import torch

        def seconds(call):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3

        return seconds
    if side == "cupy":
        import cupy

        def seconds(call):
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            call()
            end.record()
            end.synchronize()
            return cupy.cuda.get_elapsed_time(start, end) * 1e-3

        return seconds

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return seconds


def run_case(side, work, task, dtype):
    """{"seconds", "bytes"} of a case, or {"error"}."""
    if side != "fastvi" and work.num_samples * max(work.dim, len(work.data[-1]) if work.data else 0) * 24 > 120e9:
        return {"error": "out of memory"}  # three arrays of the draws would not fit
    try:
        call, memory = CALLS[side](work, task, dtype)
        seconds, taken = timer(side), []
        for _ in range(2):
            call()
        while len(taken) < REPEATS and sum(taken) < ENOUGH_SECONDS:
            taken.append(seconds(call))
        return {"seconds": float(np.median(taken)), "repeats": len(taken), "bytes": int(memory())}
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:200]
        return {"error": "out of memory" if "out of memory" in what.lower() else what}


def cases(sizes, tasks=TASKS, dtypes=DTYPES):
    for work in WORK:
        for size in sizes:
            for task in tasks:
                for dtype in dtypes:
                    yield replace(work, num_samples=size), task, dtype


def run_side(side, sizes):
    return [
        dict(side=side, work=w.name, size=w.num_samples, task=task, dtype=dtype, **run_case(side, w, task, dtype))
        for w, task, dtype in cases(sizes)
    ]


def in_its_own_process(side, sizes):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "side.json"
        command = [sys.executable, __file__, "--side", side, "--out", str(out), "--sizes", *map(str, sizes)]
        environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        done = subprocess.run(command, env=environment)
        return json.loads(out.read_text()) if done.returncode == 0 else []


# ---- the report
def machine():
    from fastvi.kernels.gpu import device

    facts = {"device": device.description(), "date": time.strftime("%Y-%m-%d"), "fastvi": vi.__version__}
    for package in ("numba", "numba-cuda", "numpy", "jax", "torch", "cupy-cuda13x", "cupy-cuda12x"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts


def table(run):
    """Markdown: seconds, and in brackets how many times longer than fastvi; peak memory last."""
    found = {(r["work"], r["size"], r["task"], r["dtype"], r["side"]): r for r in run["results"]}
    sides = [s for s in SIDES if any(key[-1] == s for key in found)]
    columns = ["workload", "draws", "", *sides, "peak memory"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---:|---|" + "---:|" * len(sides) + "---|"]
    for key in dict.fromkeys(key[:-1] for key in found):
        ours, cells, memory = found.get((*key, "fastvi"), {}), [], []
        for side in sides:
            r = found.get((*key, side), {"error": "not run"})
            cells.append(cell(r, ours) if "seconds" in r else r["error"])
            memory.append(f"{r['bytes'] / 2**20:,.0f}" if "bytes" in r else "-")
        columns = [key[0], f"{key[1]:.0e}", f"{key[2]}, {key[3]}", *cells, " / ".join(memory) + " MiB"]
        lines.append("| " + " | ".join(columns) + " |")
    lines += ["", "; ".join(f"{name} {value}" for name, value in run["machine"].items()) + "."]
    lines += [
        f"Largest difference from the CPU: {run['worst']:.1e} of 1 + |ELBO|. fastvi's float32 rows have float32 draws"
    ]
    lines += ["and float64 from there on; the peers' are float32 throughout."]
    return "\n".join(lines)


def cell(r, ours):
    text = f"{r['seconds'] * 1e3:.3g} ms"
    return f"{text} ({r['seconds'] / ours['seconds']:.1f}x)" if "seconds" in ours and r is not ours else text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text())))
        return
    from fastvi.kernels.gpu import device

    if device.why_not() and not arguments.smoke and arguments.side in (None, "fastvi"):
        raise SystemExit(f"no GPU: {device.why_not()}")
    if arguments.side:
        arguments.out.write_text(json.dumps(run_side(arguments.side, arguments.sizes)))
        return
    sizes = (20,) if arguments.smoke else arguments.sizes
    if not arguments.smoke:
        os.environ["FASTVI_BENCH_DEVICE"] = "gpu"
    if arguments.smoke:
        global WORK
        WORK = [replace(NORMAL, name="standard normal d=3", dim=3), WORKLOADS["eight schools"]]
    worst = check(33 if arguments.smoke else 100_001) if not (arguments.smoke and device.why_not()) else math.nan
    run_one = run_side if arguments.smoke else in_its_own_process
    results = [r for side in arguments.sides for r in run_one(side, sizes)]
    run = dict(machine=machine(), worst=worst, results=results)
    print(table(run))
    if arguments.out:
        arguments.out.write_text(json.dumps(run, indent=1))


if __name__ == "__main__":
    main()
