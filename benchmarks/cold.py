"""Seconds from the start of an interpreter to the first results: python benchmarks/cold.py [--out FILE] [SIDE …]

The README's logistic regression, by rows, 100,000 draws: an ELBO, then its gradient, then a fit.  Sides: ``fastvi``
with an empty disk cache and then with its kernels on disk (a density is compiled in every process), ``jax`` and
``numpyro`` without a cache, as they come, and JAX with its compilation cache filled.  Each in processes of its own, one
thread; the median of three.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

from fastvi.kernels.jit import host_cpu

DATA = """
import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
y = (rng.random(200) < 1 / (1 + np.exp(-X @ [1.0, -0.5, 0.25]))).astype(float)
def done(stage):
    print(stage, flush=True)
"""

FASTVI = """
import math, fastvi as vi
def log_density(beta, X, y):
    total = -0.5 * np.dot(beta, beta) - 0.5 * len(beta) * math.log(2 * math.pi)
    for i in range(X.shape[0]):
        eta = np.dot(X[i], beta)
        total += y[i] * eta - np.logaddexp(0.0, eta)
    return total
target, q = vi.Target(log_density, 3, (X, y)), vi.MeanFieldGaussian([1.0, -0.5, 0.2], [0.2, 0.2, 0.2])
done("import")
vi.elbo(target, q, 100_000, rng=0)
done("elbo")
vi.elbo_gradient(target, q, 100_000, rng=0)
done("gradient")
assert vi.fit(target, "full_rank", rng=0).converged
done("fit")
"""

JAX = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
def elbo(p, key):
    eps = jax.random.normal(key, (100_000, 3))
    z = p[0] + jnp.exp(p[1]) * eps
    eta = z @ X.T
    log_p = -0.5 * (z * z).sum(1) - 1.5 * jnp.log(2 * jnp.pi) + (y * eta - jnp.logaddexp(0.0, eta)).sum(1)
    return jnp.mean(log_p + 0.5 * (eps * eps).sum(1)) + p[1].sum() + 1.5 * jnp.log(2 * jnp.pi)
p, key = (jnp.array([1.0, -0.5, 0.2]), jnp.log(jnp.full(3, 0.2))), jax.random.key(0)
done("import")
jax.jit(elbo)(p, key).block_until_ready()
done("elbo")
jax.block_until_ready(jax.jit(jax.value_and_grad(elbo))(p, key))
done("gradient")
"""

NUMPYRO = """
import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
jax.config.update("jax_enable_x64", True)
def model(X, y):
    beta = numpyro.sample("beta", dist.Normal(0, 1).expand([3]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=X @ beta), obs=y)
done("import")
key = jax.random.key(0)
many = SVI(model, AutoNormal(model), numpyro.optim.Adam(0.01), Trace_ELBO(num_particles=100_000))
state = many.init(key, X, y)
jax.jit(many.evaluate)(state, X, y).block_until_ready()
done("elbo")
jax.block_until_ready(jax.jit(many.update)(state, X, y))
done("gradient")
one = SVI(model, AutoMultivariateNormal(model), numpyro.optim.Adam(0.01), Trace_ELBO())
one.run(key, 2000, X, y, progress_bar=False)
done("fit")
"""

CACHED = """
import os, jax
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
"""

SIDES = {"fastvi": FASTVI, "jax": JAX, "jax, cached": CACHED + JAX, "numpyro": NUMPYRO}


def run(code, folder) -> dict[str, float]:
    """Seconds from the start of a process to each of its stages."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "NUMBA")}
    one["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = {**os.environ, **one, "NUMBA_CACHE_DIR": folder, "JAX_CACHE": folder}
    start, seconds = time.perf_counter(), {}
    with subprocess.Popen(
        [sys.executable, "-c", DATA + code], env=environment, stdout=subprocess.PIPE, text=True
    ) as done:
        for line in done.stdout:
            seconds[line.strip()] = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{code}\nended with {done.returncode}")
    return seconds


def median(runs) -> dict[str, float]:
    return {stage: round(statistics.median(r[stage] for r in runs), 2) for stage in runs[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs="*", default=list(SIDES))
    parser.add_argument("--out")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = {}
    for side in options.sides:
        first, again = [], []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                first.append(run(SIDES[side], folder))
                if side in ("fastvi", "jax, cached"):
                    again.append(run(SIDES[side], folder))
        if side != "jax, cached":
            found[side] = median(first)
        if again:
            found["fastvi, kernels on disk" if side == "fastvi" else side] = median(again)
        print(side, {name: seconds for name, seconds in found.items() if name.startswith(side)}, flush=True)
    if options.out:
        about = {"cpu": host_cpu()[0], "python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}
        versions = {name: importlib.metadata.version(name) for name in ("fastvi", "numba", "jax", "numpyro")}
        pathlib.Path(options.out).write_text(json.dumps({"seconds": found, **about, **versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
