"""How fastvi scales with threads on this machine: python benchmarks/scaling.py [--out scaling-1-cpu.json]

Medians over interleaved rounds, so that a busy neighbour meets every thread count alike; compilation excluded.
"""

import argparse
import json
import pathlib
import platform
import statistics
import time
from dataclasses import replace

from fastvi.kernels import jit, pool

from sides import fastvi_side
from workloads import WORKLOADS

ROUNDS = 15
CASES = [
    ("standard normal d=100", "elbo", 1_000),
    ("standard normal d=100", "elbo", 10_000),
    ("standard normal d=100", "elbo", 100_000),
    ("standard normal d=100", "leave_one_out", 1_000_000),
    ("eight schools", "leave_one_out", 1_000_000),
    ("logistic N=1000 d=50", "leave_one_out", 50_000),
]


def thread_counts():
    """1, 2, 4, … and all."""
    most = pool.available_threads()
    return sorted({1, most} | {2**k for k in range(most.bit_length()) if 2**k <= most})


def measure(name, task, num_samples):
    """Median seconds for each thread count."""
    work = replace(WORKLOADS[name], num_samples=num_samples)
    calls = {threads: fastvi_side(work, task, threads) for threads in thread_counts()}
    taken = {threads: [] for threads in calls}
    for round_ in range(ROUNDS + 2):
        for threads, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ > 1:
                taken[threads].append(time.perf_counter() - start)
    return {threads: statistics.median(seconds) for threads, seconds in taken.items()}


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
    return "\n".join([*lines, "", run["machine"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    cases = [dict(work=n, task=t, size=s, seconds=measure(n, t, s)) for n, t, s in CASES]
    machine = f"{jit.host_cpu()[0]}, {pool.available_threads()} CPUs, Python {platform.python_version()}"
    run = dict(machine=f"{machine}, {time.strftime('%Y-%m-%d')}", cases=cases)
    print(table(run))
    if arguments.out:
        arguments.out.write_text(json.dumps(run, indent=1))


if __name__ == "__main__":
    main()
