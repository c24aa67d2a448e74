"""What threads bring on this machine, and what float32 draws save: python benchmarks/scaling.py [--out FILE]

Medians over interleaved rounds, so that a busy neighbour meets every thread count alike; compilation excluded.
"""

import argparse
import json
import pathlib
import platform
import statistics
import time
from dataclasses import replace
from functools import partial

import numpy as np

import fastvi as vi
from fastvi.kernels import jit
from fastvi.kernels.cpu import pool

from sides import fastvi_side
from workloads import WORKLOADS

ROUNDS = 25
CASES = [
    ("standard normal d=100", "elbo", 1_000),
    ("standard normal d=100", "elbo", 10_000),
    ("standard normal d=100", "elbo", 100_000),
    ("standard normal d=100", "leave_one_out", 1_000_000),
    ("eight schools", "leave_one_out", 1_000_000),
    ("logistic N=1000 d=50", "leave_one_out", 50_000),
]
DTYPE_CASES = [("standard normal d=100", 100_000), ("eight schools", 1_000_000), ("logistic N=1000 d=50", 10_000)]


def thread_counts():
    """1, 2, 4, … and all."""
    most = pool.available_threads()
    return sorted({1, most} | {2**k for k in range(most.bit_length()) if 2**k <= most})


def medians(calls):
    """Median seconds of each call, by its name."""
    taken = {name: [] for name in calls}
    for round_ in range(ROUNDS + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ > 1:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def by_threads(name, task, num_samples):
    work = replace(WORKLOADS[name], num_samples=num_samples)
    return medians({threads: fastvi_side(work, task, threads) for threads in thread_counts()})


def by_dtype(name, num_samples):
    """On one thread."""
    work = WORKLOADS[name]
    target = vi.Target(work.plain, work.dim, work.data)
    q = vi.MeanFieldGaussian(np.full(work.dim, work.loc), np.full(work.dim, work.scale))
    options = dict(estimator="plain", rng=1, num_threads=1)
    dtypes = ("float64", "float32")
    return medians({d: partial(vi.elbo, target, q, num_samples, dtype=d, **options) for d in dtypes})


def table(run):
    """Markdown: seconds on one thread, then how many times faster."""
    counts = sorted(map(int, run["cases"][0]["seconds"]))
    lines = ["| workload | draws | 1 thread | " + " | ".join(f"{n} threads" for n in counts[1:]) + " |"]
    lines.append("|---|---:|" + "---:|" * len(counts))
    for case in run["cases"]:
        seconds = {int(n): s for n, s in case["seconds"].items()}
        speedups = " | ".join(f"{seconds[1] / seconds[n]:.2f}x" for n in counts[1:])
        first = f"{seconds[1] * 1e3:.3g} ms"
        lines.append(f"| {case['work']}, {case['task']} | {case['size']:,} | {first} | {speedups} |")
    lines += ["", "| elbo on one thread | draws | float64 | float32 draws |", "|---|---:|---:|---:|"]
    for case in run["dtypes"]:
        double, single = (case["seconds"][d] for d in ("float64", "float32"))
        cells = f"{double * 1e3:.3g} ms | {single * 1e3:.3g} ms ({double / single:.2f}x)"
        lines.append(f"| {case['work']} | {case['size']:,} | {cells} |")
    return "\n".join([*lines, "", run["machine"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    cases = [dict(work=n, task=t, size=s, seconds=by_threads(n, t, s)) for n, t, s in CASES]
    dtypes = [dict(work=n, size=s, seconds=by_dtype(n, s)) for n, s in DTYPE_CASES]
    machine = f"{jit.host_cpu()[0]}, {pool.available_threads()} CPUs, Python {platform.python_version()}"
    run = dict(machine=f"{machine}, {time.strftime('%Y-%m-%d')}", cases=cases, dtypes=dtypes)
    print(table(run))
    if arguments.out:
        arguments.out.write_text(json.dumps(run, indent=1))


if __name__ == "__main__":
    main()
