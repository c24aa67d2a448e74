"""The same work on each side: a function of no arguments that does one call and waits for its result.

Each draws fresh normals, computes log p - log q for every draw in float64 and returns the ELBO with its standard
error; ``leave_one_out`` adds the gradient in (loc, log scale) that subtracts the mean of f.  NumPyro computes its own
Trace_ELBO, value only.  Compilation happens in the first call, which the suites make before they measure.
"""

import functools
import math
import os

import numpy as np

import fastvi as vi

LOG_2PI = math.log(2.0 * math.pi)
TASKS = ("elbo", "leave_one_out")


def fastvi_side(work, task, threads):
    target = vi.Target(work.plain, work.dim, work.data)
    q = vi.MeanFieldGaussian(np.full(work.dim, work.loc), np.full(work.dim, work.scale))
    if task == "elbo":
        return lambda: vi.elbo(target, q, work.num_samples, rng=1, num_threads=threads)
    return lambda: vi.elbo_gradient(target, q, work.num_samples, estimator="leave_one_out", rng=1, num_threads=threads)


def numpy_side(work, task, threads):
    # the fastest generator that NumPy has, into memory that is allocated once
    rng = np.random.Generator(np.random.SFC64(1))
    eps = np.empty((work.num_samples, work.dim))
    log_scale = math.log(work.scale)

    def call():
        rng.standard_normal(out=eps)
        z = work.loc + work.scale * eps
        f = work.batched(np, z, work.data) + 0.5 * np.einsum("ij,ij->i", eps, eps)
        f += work.dim * (log_scale + 0.5 * LOG_2PI)
        mean, error = f.mean(), f.std(ddof=1) / math.sqrt(len(f))
        if task == "elbo":
            return mean, error
        w = (f - mean) / (len(f) - 1)
        return mean, error, (w @ eps) / work.scale, w @ (eps * eps - 1.0)

    return call


@functools.cache
def _jax():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def jax_side(work, task, threads):
    jax = _jax()
    jnp = jax.numpy
    data = tuple(map(jnp.asarray, work.data))
    loc, log_scale = jnp.full(work.dim, work.loc), jnp.full(work.dim, math.log(work.scale))

    @jax.jit
    def call(key, loc, log_scale, data):
        eps = jax.random.normal(key, (work.num_samples, work.dim))
        f = work.batched(jnp, loc + jnp.exp(log_scale) * eps, data) + 0.5 * (eps * eps).sum(-1)
        f += log_scale.sum() + 0.5 * work.dim * LOG_2PI
        mean, error = f.mean(), f.std(ddof=1) / math.sqrt(work.num_samples)
        if task == "elbo":
            return mean, error
        w = (f - mean) / (work.num_samples - 1)
        return mean, error, (w @ eps) / jnp.exp(log_scale), w @ (eps * eps - 1.0)

    key = jax.random.key(1)
    return lambda: jax.block_until_ready(call(key, loc, log_scale, data))


def torch_side(work, task, threads):
    import torch

    torch.set_num_threads(threads)
    data = tuple(torch.tensor(d, dtype=torch.float64) for d in work.data)
    loc = torch.full((work.dim,), work.loc, dtype=torch.float64)
    log_scale = torch.full((work.dim,), math.log(work.scale), dtype=torch.float64)

    @torch.no_grad()
    def call():
        eps = torch.randn(work.num_samples, work.dim, dtype=torch.float64)
        f = work.batched(torch, loc + log_scale.exp() * eps, data) + 0.5 * (eps * eps).sum(-1)
        f += log_scale.sum() + 0.5 * work.dim * LOG_2PI
        mean, error = f.mean(), f.std() / math.sqrt(work.num_samples)
        if task == "elbo":
            return mean, error
        w = (f - mean) / (work.num_samples - 1)
        return mean, error, (w @ eps) / log_scale.exp(), w @ (eps * eps - 1.0)

    return call


def numpyro_side(work, task, threads):
    if task != "elbo":
        return None
    jax = _jax()
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import Trace_ELBO

    jnp = jax.numpy
    data = tuple(map(jnp.asarray, work.data))

    def model():
        z = numpyro.sample("z", dist.Normal(jnp.zeros(work.dim), 1.0).to_event(1).mask(False))
        numpyro.factor("log_p", work.batched(jnp, z[None, :], data)[0])

    def guide():
        loc = numpyro.param("loc", jnp.full(work.dim, work.loc))
        log_scale = numpyro.param("log_scale", jnp.full(work.dim, math.log(work.scale)))
        numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    loss = Trace_ELBO(num_particles=work.num_samples, vectorize_particles=True).loss
    parameters = {"loc": jnp.full(work.dim, work.loc), "log_scale": jnp.full(work.dim, math.log(work.scale))}
    call = jax.jit(lambda key, parameters: loss(key, parameters, model, guide))
    key = jax.random.key(1)
    return lambda: -jax.block_until_ready(call(key, parameters))


SIDES = {
    "fastvi": fastvi_side, "numpy": numpy_side, "jax": jax_side, "torch": torch_side, "numpyro": numpyro_side,
}


def confine(threads: int) -> None:
    """Keep this process, and every library it is about to load, to ``threads`` CPUs."""
    cpus = sorted(os.sched_getaffinity(0))
    if threads < len(cpus):
        os.sched_setaffinity(0, set(cpus[:threads]))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
