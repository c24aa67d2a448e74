"""A loop over rows, ``np.dot(X[i], z)``, against ``X @ z``: value, and value with gradient, in µs a draw.

    taskset -c 0 python benchmarks/rows.py [--rounds 200] [--out rows.json]

Minima of interleaved calls of 32 draws, one thread.
"""

import argparse
import json
import math
import time

import numpy as np

import fastvi as vi

SHAPES = (200, 3), (1000, 10), (1000, 50), (1000, 200), (10000, 200)


def loop(b, x, y):
    total = -0.5 * np.dot(b, b)
    for i in range(x.shape[0]):
        eta = np.dot(x[i], b)
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total


def product(b, x, y):
    eta = x @ b
    return -0.5 * np.dot(b, b) + np.sum(y * eta - np.logaddexp(0.0, eta))


def any_order(b, x, y, order):
    total = -0.5 * np.dot(b, b)
    for i in order:
        eta = np.dot(x[i], b)
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total


def measure(rows, columns, rounds):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)) / math.sqrt(columns)
    y, z = (rng.random(rows) < 0.5).astype(float), rng.normal(size=(32, columns))
    sides = {"loop": (loop, ()), "X @ z": (product, ()), "random order": (any_order, (rng.permutation(rows),))}
    calls = {}
    for name, (density, more) in sides.items():
        target = vi.Target(density, columns, (x, y, *more))
        calls[name, "value"], calls[name, "gradient"] = target.value, target.value_and_grad
    best = dict.fromkeys(calls, math.inf)
    for _ in range(rounds):
        for key, call in calls.items():
            start = time.perf_counter()
            call(z)
            best[key] = min(best[key], time.perf_counter() - start)
    return {f"{name}, {what}": seconds / len(z) * 1e6 for (name, what), seconds in best.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--out")
    options = parser.parse_args()
    results = {}
    for rows, columns in SHAPES:
        results[f"{rows} x {columns}"] = found = measure(rows, columns, max(options.rounds * 1000 // rows, 20))
        print(f"{rows} x {columns}:", ", ".join(f"{name} {value:.2f}" for name, value in found.items()), flush=True)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
