"""One point of a logistic regression, value and value with gradient, beside NumPy and JAX: ms a call, one thread.

    taskset -c 0 python benchmarks/points.py [--rounds 30] [--out benchmarks/points-1-cpu.json]

Minima of interleaved calls, after fastvi has had the calls that make it compile for few points; ``32`` is the same call
with 32 points, what one point would cost otherwise.
"""

import argparse
import json
import math
import time

import numpy as np

import fastvi as vi

from sides import load_jax

SHAPES = (1000, 50), (10_000, 200), (200_000, 20), (1_000_000, 20)
WARM = 3.0  # seconds of calls of each kind, which more than pay for a compilation


def density(b, x, y):
    eta = x @ b
    return -0.5 * np.dot(b, b) + np.sum(y * eta - np.logaddexp(0.0, eta))


def in_numpy(b, x, y):
    return density(b, x, y)


def in_numpy_with_gradient(b, x, y):
    eta = x @ b
    value = -0.5 * b @ b + np.sum(y * eta - np.logaddexp(0.0, eta))
    return value, x.T @ (y - 1.0 / (1.0 + np.exp(-eta))) - b


def sides(x, y):
    """{(side, what): call}"""
    b = 0.1 * np.random.default_rng(1).normal(size=x.shape[1])
    target = vi.Target(density, len(b), (x, y))
    calls = {
        ("fastvi", "value"): lambda: target.value(b),
        ("fastvi", "gradient"): lambda: target.value_and_grad(b),
        ("32", "value"): lambda: target.value(np.tile(b, (32, 1))),
        ("32", "gradient"): lambda: target.value_and_grad(np.tile(b, (32, 1))),
        ("NumPy", "value"): lambda: in_numpy(b, x, y),
        ("NumPy", "gradient"): lambda: in_numpy_with_gradient(b, x, y),
    }
    jax = load_jax()
    jnp = jax.numpy

    def in_jax(b, x, y):
        eta = x @ b
        return -0.5 * b @ b + jnp.sum(y * eta - jnp.logaddexp(0.0, eta))

    X, Y, B = (jnp.asarray(v) for v in (x, y, b))
    value, both = jax.jit(in_jax), jax.jit(jax.value_and_grad(in_jax))
    calls["JAX", "value"] = lambda: value(B, X, Y).block_until_ready()
    calls["JAX", "gradient"] = lambda: both(B, X, Y)[1].block_until_ready()
    np.testing.assert_allclose(target.value_and_grad(b)[1], in_numpy_with_gradient(b, x, y)[1], rtol=1e-8, atol=1e-8)
    return calls


def measure(rows, columns, rounds):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, columns)), (rng.random(rows) < 0.5).astype(float)
    calls = sides(x, y)
    for call in calls.values():
        start = time.perf_counter()
        while time.perf_counter() - start < WARM:
            call()
    best = dict.fromkeys(calls, math.inf)
    for _ in range(rounds):
        for key, call in calls.items():
            start = time.perf_counter()
            call()
            best[key] = min(best[key], 1e3 * (time.perf_counter() - start))
    return {", ".join(key): ms for key, ms in best.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out")
    options = parser.parse_args()
    found = {}
    for shape in SHAPES:
        name = " x ".join(map(str, shape))
        found[name] = measure(*shape, options.rounds)
        print(name, *(f"{key} {ms:.3f}" for key, ms in found[name].items()), sep="  ", flush=True)
        if options.out:
            with open(options.out, "w") as file:
                json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
