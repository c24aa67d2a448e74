"""A batch of mean-field q's, one for each image, under a decoder of 64 pixels: ms a call, one thread.

    taskset -c 0 python benchmarks/batch.py [--seconds 2] [--out benchmarks/batch-1-cpu.json]

ELBOs of N images with gradients by every q, or by q and by the decoder's parameters, from fresh draws in float64:
``vi.elbo_batch`` beside torch (eager) and JAX (``jit``).  Sides in turn, the fastest round of each; compilation apart.
"""

import argparse
import json
import pathlib
import time

import numpy as np

import fastvi as vi

from sides import load_jax

PIXELS, HIDDEN = 64, 64
CASES = [(kind, d, n, s) for kind in ("linear", "mlp") for d in (2, 10) for n in (128, 1797) for s in (1, 8, 32)]
CASES += [("linear", 156, 128, 1), ("linear", 156, 128, 32), ("linear", 156, 1797, 8)]  # 10,048 parameters


def linear(z, x, W, b):
    r = W @ z + b
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


def mlp(z, x, V, c, W, b):
    r = W @ np.tanh(V @ z + c) + b
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


def data_of(kind, d, n):
    rng = np.random.default_rng(0)
    x = (rng.random((n, PIXELS)) < 0.32).astype(float)
    shapes = ((PIXELS, d), PIXELS) if kind == "linear" else ((HIDDEN, d), HIDDEN, (PIXELS, HIDDEN), PIXELS)
    theta = [0.3 * rng.normal(size=shape) for shape in shapes]
    return x, theta, 0.5 * rng.normal(size=(n, d)), 0.3 + 0.5 * rng.random((n, d))


def of_torch(kind, x, theta, loc, scale, draws, by_theta):
    import torch

    torch.set_num_threads(1)
    x, at, log_s = (torch.tensor(v) for v in (x, loc, np.log(scale)))
    parameters = [torch.tensor(v, requires_grad=by_theta) for v in theta]
    at.requires_grad_(), log_s.requires_grad_()

    def call():
        z = at + torch.exp(log_s) * torch.randn(draws, *at.shape, dtype=torch.float64)
        h = torch.tanh(z @ parameters[0].T + parameters[1]) if kind == "mlp" else z
        r = h @ parameters[-2].T + parameters[-1]
        log_p = (x * r - torch.nn.functional.softplus(r)).sum(-1) - 0.5 * (z * z).sum(-1)
        value = log_p.mean(0) + log_s.sum(-1)
        return torch.autograd.grad(value.sum(), [at, log_s, *(parameters if by_theta else [])])

    return call


def of_jax(kind, x, theta, loc, scale, draws, by_theta):
    jax = load_jax()
    jnp = jax.numpy
    x, loc, log_s, theta = jnp.asarray(x), jnp.asarray(loc), jnp.log(scale), [jnp.asarray(v) for v in theta]

    def total(q, parameters, key):
        at, log_s = q
        z = at + jnp.exp(log_s) * jax.random.normal(key, (draws, *at.shape))
        h = jnp.tanh(z @ parameters[0].T + parameters[1]) if kind == "mlp" else z
        r = h @ parameters[-2].T + parameters[-1]
        log_p = (x * r - jax.nn.softplus(r)).sum(-1) - 0.5 * (z * z).sum(-1)
        return (log_p.mean(0) + log_s.sum(-1)).sum()

    slopes = jax.jit(jax.value_and_grad(total, (0, 1) if by_theta else 0))
    keys = iter(jax.random.split(jax.random.key(0), 100_000))
    return lambda: jax.block_until_ready(slopes((loc, log_s), theta, next(keys)))


def of_fastvi(kind, x, theta, loc, scale, draws, by_theta):
    target = vi.Target(linear if kind == "linear" else mlp, loc.shape[1], (x, *theta))
    parameters = tuple(range(1, 1 + len(theta))) if by_theta else ()
    seeds = iter(range(10**9))
    return lambda: vi.elbo_batch(target, loc, scale, draws, parameters=parameters, rng=next(seeds), num_threads=1)


def measure(case, by_theta, seconds):
    kind, d, n, draws = case
    x, theta, loc, scale = data_of(kind, d, n)
    sides = dict(fastvi=of_fastvi, torch=of_torch, JAX=of_jax)
    calls = {name: side(kind, x, theta, loc, scale, draws, by_theta) for name, side in sides.items()}
    for call in calls.values():
        call(), call()
    best, end = dict.fromkeys(calls, np.inf), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
    return {name: float(f"{ms:.3g}") for name, ms in best.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    found = {}
    for by_theta in (False, True):
        for case in CASES:
            kind, d, n, draws = case
            name = f"{kind}, d={d}, N={n}, S={draws}{', with theta' if by_theta else ''}"
            found[name] = measure(case, by_theta, options.seconds)
            print(name, found[name], flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
