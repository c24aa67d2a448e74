"""What a bridge costs: the same work through it and without it.

    pytest benchmarks/test_bridges.py --sides fastvi,jax,torch --threads 1 --benchmark-json bridges.json

Two untimed calls compile and warm up.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

import fastvi as vi
from fastvi.bridges.c import target as c_target

from sides import LOG_2PI, measure

DIM, ROWS, DRAWS = 10, 200, 100_000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, DIM))
Y = (RNG.random(ROWS) < 1 / (1 + np.exp(-X @ np.linspace(-1, 1, DIM)))).astype(float)
Q = vi.MeanFieldGaussian(np.linspace(-1, 1, DIM), np.full(DIM, 0.2))
SMALL = 32  # draws of a step of Adam


def logistic(beta, X, y):
    eta = X @ beta
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.dot(beta, beta)


def normal(z):
    return -0.5 * np.dot(z, z)


def plain():
    return vi.Target(logistic, DIM, (X, Y))


def objective(threads, target=None):
    return vi.Objective(target or vi.Target(normal, DIM), Q, SMALL, rng=1, num_threads=threads)


def of_fastvi(threads):
    own = objective(threads)
    return lambda: own.value_and_grad(own.parameters)


def in_jax(threads):
    import jax

    from fastvi.bridges.jax import elbo

    jax.config.update("jax_enable_x64", True)
    call, p = jax.jit(jax.value_and_grad(elbo(objective(threads)))), Q.parameters
    return lambda: jax.block_until_ready(call(p))


def in_torch(threads):
    import torch

    from fastvi.bridges.torch import elbo

    own, p = objective(threads), torch.tensor(Q.parameters, requires_grad=True)

    def call():
        p.grad = None
        elbo(own, p).backward()

    return call


def of_jax(fresh):
    """What JAX takes for the same value and gradient, with eps that stay or that every call draws."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    kept = jnp.asarray(np.random.default_rng(1).standard_normal((SMALL, DIM)))

    @jax.jit
    def both(p, step):
        eps = jax.random.normal(jax.random.fold_in(jax.random.key(1), step), kept.shape, float) if fresh else kept

        def value(p):
            z = p[:DIM] + jnp.exp(p[DIM:]) * eps
            return -0.5 * jnp.mean(jnp.sum(z * z, 1)) + jnp.sum(p[DIM:]) + 0.5 * DIM * (1 + LOG_2PI)

        return jax.value_and_grad(value)(p)

    def call():
        value, gradient = both(Q.parameters, 3)
        return float(value), np.asarray(gradient)

    return call


def elbo_of(target, threads):
    return lambda: vi.elbo(target, Q, DRAWS, estimator="plain", rng=1, num_threads=threads)


def jax_density():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y = jnp.asarray(X), jnp.asarray(Y)

    def one(beta):
        eta = x @ beta
        return jnp.sum(y * eta - jnp.logaddexp(0.0, eta)) - 0.5 * beta @ beta

    return jax.jit(jax.vmap(one))


def batched_jax(threads):
    return elbo_of(vi.Target.from_batched(jax_density(), DIM), threads)


def jax_alone(threads):
    """The density that ``batched`` calls, on draws that are there already."""
    f, z = jax_density(), Q.sample(DRAWS // 1024 * 1024, rng=1)
    return lambda: [np.asarray(f(z[first : first + 1024])) for first in range(0, len(z), 1024)]


def numpy_batched(threads):
    def f(z):
        eta = z @ X.T
        return (Y * eta - np.logaddexp(0.0, eta)).sum(1) - 0.5 * (z * z).sum(1)

    return elbo_of(vi.Target.from_batched(f, DIM), threads)


def c_normal(threads):
    from numba import cfunc, types

    pointer = types.CPointer(types.float64)

    @cfunc(types.int64(types.int64, pointer, pointer, pointer, types.voidptr))
    def one(dim, x, gradient, log_p, user_data):
        total = 0.0
        for i in range(dim):
            total -= 0.5 * x[i] * x[i]
            gradient[i] = -x[i]
        log_p[0] = total
        return 0

    return elbo_of(c_target(one, DIM, convention="one_draw"), threads)


def on_processes(count):
    def prepare(pools):
        context, target = multiprocessing.get_context("spawn"), plain()
        pool = pools.enter_context(concurrent.futures.ProcessPoolExecutor(count, mp_context=context))
        return lambda: vi.elbo(target, Q, 10 * DRAWS, estimator="plain", rng=1, executor=pool)

    return prepare


def on_threads(count):
    def prepare(pools):
        target = plain()
        return lambda: vi.elbo(target, Q, 10 * DRAWS, estimator="plain", rng=1, num_threads=count)

    return prepare


def importing(name):
    """A new process that imports something, from bytecode as users have it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return lambda threads: lambda: subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, check=True)


OBJECTIVE = f"bridge: value and gradient, normal d={DIM}, {SMALL} draws"
ELBO = f"bridge: ELBO of a logistic regression N={ROWS} d={DIM}, {DRAWS:,} draws"
C = f"bridge: ELBO of a normal d={DIM}, {DRAWS:,} draws"
IMPORT = "bridge: a process that imports it and ends"
MACHINES = f"bridge: the same with {10 * DRAWS:,} draws on processes"
# (group, side, the library it needs, what to call)
CASES = [
    (OBJECTIVE, "fastvi", None, of_fastvi),
    (OBJECTIVE, "objective in jax", "jax", in_jax),
    (OBJECTIVE, "objective in torch", "torch", in_torch),
    (OBJECTIVE, "jax", "jax", lambda threads: of_jax(False)),
    (OBJECTIVE, "jax, fresh draws", "jax", lambda threads: of_jax(True)),
    (ELBO, "fastvi", None, lambda threads: elbo_of(plain(), threads)),
    (ELBO, "batched jax", "jax", batched_jax),
    (ELBO, "jax", "jax", jax_alone),
    (ELBO, "batched numpy", None, numpy_batched),
    (C, "fastvi", None, lambda threads: elbo_of(vi.Target(normal, DIM), threads)),
    (C, "C", None, c_normal),
    (IMPORT, "fastvi", None, importing("fastvi")),
    (IMPORT, "numba", None, importing("numba")),
]
WORKERS = [
    ("fastvi", on_threads(1)),
    ("2 threads", on_threads(2)),
    ("1 process", on_processes(1)),
    ("2 processes", on_processes(2)),
]


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--sides").split(",")
    if "prepare" in metafunc.fixturenames:
        metafunc.parametrize("group, side, prepare", [(g, s, p) for g, s, lib, p in CASES if lib in (None, *chosen)])


def test_through_a_bridge(benchmark, group, side, prepare, threads):
    measure(benchmark, prepare(threads), group, side, SMALL if group == OBJECTIVE else DRAWS)


@pytest.mark.parametrize("side, workers", WORKERS, ids=[side for side, _ in WORKERS])
def test_on_processes(benchmark, side, workers, threads):
    with contextlib.ExitStack() as pools:
        measure(benchmark, workers(pools), MACHINES, side, 10 * DRAWS)
