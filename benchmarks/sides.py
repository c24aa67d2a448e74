"""The same work on each side: a function of no arguments that does one call and waits for its result.

Each side draws fresh normals, computes log p - log q for every draw in float64 and returns the ELBO with its standard
error; ``leave_one_out`` adds the score gradient that subtracts the mean of f: in (loc, log scale), or for the full-rank
family in (loc, scale_tril).  ``pathwise`` is the gradient through the draws with the entropy in closed form: the peers
differentiate the mean of log p.  fastvi alone gives the gradients' standard errors.  NumPyro computes its Trace_ELBO.
The first call compiles; the suites make it before they measure.
"""

import functools
import math
import os

import numpy as np

import fastvi as vi

LOG_2PI = math.log(2.0 * math.pi)
TASKS = ("elbo", "leave_one_out", "pathwise")


def fastvi_side(work, task, threads):
    target = vi.Target(work.plain, work.dim, work.data)
    loc = np.full(work.dim, work.loc)
    if work.family == "full_rank":
        q = vi.FullRankGaussian(loc, work.scale_tril)
    else:
        q = vi.MeanFieldGaussian(loc, np.full(work.dim, work.scale))
    options = dict(rng=1, num_threads=threads)
    if task == "elbo":
        return lambda: vi.elbo(target, q, work.num_samples, estimator="plain", **options)
    return lambda: vi.elbo_gradient(target, q, work.num_samples, estimator=task, **options)


def log_weights(m, work, eps, loc, scale, data):
    """f = log p - log q for a batch of base draws, in the array module ``m``"""
    if work.family == "full_rank":
        z, log_det = loc + eps @ scale.T, m.log(m.diagonal(scale)).sum()
    else:
        z, log_det = loc + scale * eps, m.log(scale).sum()
    return work.batched(m, z, data) + 0.5 * (eps * eps).sum(-1) + (log_det + 0.5 * work.dim * LOG_2PI)


def mean_field_gradient(w, eps, scale):
    return (w @ eps) / scale, w @ (eps * eps - 1.0)


def numpy_side(work, task, threads):
    # the fastest generator that NumPy has, into memory that is allocated once
    rng = np.random.Generator(np.random.SFC64(1))
    eps = np.empty((work.num_samples, work.dim))
    full_rank = work.family == "full_rank"
    loc = np.full(work.dim, work.loc)
    scale = work.scale_tril if full_rank else np.full(work.dim, work.scale)

    def call():
        rng.standard_normal(out=eps)
        f = log_weights(np, work, eps, loc, scale, work.data)
        mean = f.mean()
        error = f.std(ddof=1) / math.sqrt(len(f)) if len(f) > 1 else math.nan
        if task == "elbo":
            return mean, error
        w = (f - mean) / (len(f) - 1)
        if not full_rank:
            return mean, error, mean_field_gradient(w, eps, scale)
        outer = (eps * w[:, None]).T @ eps
        return mean, error, (np.linalg.solve(scale.T, w @ eps), np.tril(np.linalg.solve(scale.T, outer)))

    return call


@functools.cache
def load_jax():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def jax_side(work, task, threads):
    jax = load_jax()
    jnp = jax.numpy
    data = tuple(map(jnp.asarray, work.data))
    full_rank = work.family == "full_rank"
    loc = jnp.full(work.dim, work.loc)
    scale = jnp.asarray(work.scale_tril) if full_rank else jnp.full(work.dim, work.scale)

    def mean_log_p(parameters, eps, data):
        loc, scale = parameters
        f = log_weights(jnp, work, eps, loc, scale, data)
        # f without the density of q at the draws, whose mean is the entropy
        return (f - 0.5 * (eps * eps).sum(-1)).mean(), f

    @jax.jit
    def call(key, loc, scale, data):
        eps = jax.random.normal(key, (work.num_samples, work.dim))
        if task == "pathwise":
            (_, f), slope = jax.value_and_grad(mean_log_p, has_aux=True)((loc, scale), eps, data)
            return f.mean(), f.std(ddof=1) / math.sqrt(work.num_samples), slope
        f = log_weights(jnp, work, eps, loc, scale, data)
        mean, error = f.mean(), f.std(ddof=1) / math.sqrt(work.num_samples)
        if task == "elbo":
            return mean, error
        w = (f - mean) / (work.num_samples - 1)
        if not full_rank:
            return mean, error, mean_field_gradient(w, eps, scale)
        solve = functools.partial(jax.scipy.linalg.solve_triangular, scale, trans=1, lower=True)
        return mean, error, (solve(w @ eps), jnp.tril(solve((eps * w[:, None]).T @ eps)))

    key = jax.random.key(1)
    return lambda: jax.block_until_ready(call(key, loc, scale, data))


def torch_side(work, task, threads):
    import torch

    torch.set_num_threads(threads)
    data = tuple(torch.tensor(d, dtype=torch.float64) for d in work.data)
    full_rank = work.family == "full_rank"
    loc = torch.full((work.dim,), work.loc, dtype=torch.float64)
    scale = torch.tensor(work.scale_tril) if full_rank else torch.full((work.dim,), work.scale, dtype=torch.float64)

    def pathwise():
        for parameter in (loc, scale):
            parameter.requires_grad_().grad = None
        eps = torch.randn(work.num_samples, work.dim, dtype=torch.float64)
        f = log_weights(torch, work, eps, loc, scale, data)
        (f - 0.5 * (eps * eps).sum(-1)).mean().backward()
        with torch.no_grad():
            return f.mean(), f.std() / math.sqrt(work.num_samples), (loc.grad, scale.grad)

    if task == "pathwise":
        return pathwise

    @torch.no_grad()
    def call():
        eps = torch.randn(work.num_samples, work.dim, dtype=torch.float64)
        f = log_weights(torch, work, eps, loc, scale, data)
        mean = f.mean()
        error = f.std() / math.sqrt(work.num_samples) if work.num_samples > 1 else math.nan
        if task == "elbo":
            return mean, error
        w = (f - mean) / (work.num_samples - 1)
        if not full_rank:
            return mean, error, mean_field_gradient(w, eps, scale)
        both = torch.column_stack([(eps * w[:, None]).T @ eps, w @ eps])
        solved = torch.linalg.solve_triangular(scale.T, both, upper=True)
        return mean, error, (solved[:, -1], torch.tril(solved[:, :-1]))

    return call


def numpyro_side(work, task, threads):
    jax = load_jax()
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import Trace_ELBO

    jnp = jax.numpy
    data = tuple(map(jnp.asarray, work.data))
    full_rank = work.family == "full_rank"
    loc = jnp.full(work.dim, work.loc)
    scale = jnp.asarray(work.scale_tril) if full_rank else jnp.full(work.dim, work.scale)

    def model():
        z = numpyro.sample("z", dist.Normal(jnp.zeros(work.dim), 1.0).to_event(1).mask(False))
        numpyro.factor("log_p", work.batched(jnp, z[None, :], data)[0])

    def guide():
        loc_, scale_ = numpyro.param("loc", loc), numpyro.param("scale", scale)
        q = dist.MultivariateNormal(loc_, scale_tril=scale_) if full_rank else dist.Normal(loc_, scale_).to_event(1)
        numpyro.sample("z", q)

    loss = Trace_ELBO(num_particles=work.num_samples, vectorize_particles=True).loss
    call = jax.jit(lambda key, parameters: loss(key, parameters, model, guide))
    key = jax.random.key(1)
    return lambda: -jax.block_until_ready(call(key, {"loc": loc, "scale": scale}))


SIDES = {"fastvi": fastvi_side, "numpy": numpy_side, "jax": jax_side, "torch": torch_side, "numpyro": numpyro_side}


def offers(side, task) -> bool:
    """NumPyro's Trace_ELBO has no score gradient with a baseline of this kind, NumPy no derivatives."""
    return side != "numpyro" and (task != "pathwise" or side != "numpy") or task == "elbo"


def normals(side, threads, count):
    """A call that makes ``count`` standard normals."""
    if side == "numpy":
        rng, out = np.random.Generator(np.random.SFC64(1)), np.empty(count)
        return lambda: rng.standard_normal(out=out)
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        out = torch.empty(count, dtype=torch.float64)
        return lambda: out.normal_()
    if side in ("jax", "numpyro"):
        jax = load_jax()
        call = jax.jit(lambda key: jax.random.normal(key, (count,)))
        key = jax.random.key(1)
        return lambda: jax.block_until_ready(call(key))
    from numba import njit

    from fastvi.kernels.random import normal

    @njit(error_model="numpy")
    def fill(eps, tiles):
        words = np.empty((2, eps.shape[1]), np.uint64)
        for tile in range(tiles):
            normal.fill(eps, eps.shape[0], tile * eps.shape[1], np.uint64(0), np.uint64(1), words)

    eps = np.empty((100, 96))
    return lambda: fill(eps, count // eps.size)


def confine(threads: int) -> None:
    """Keep this process, and every library that it has loaded or is about to load, to ``threads`` CPUs."""
    cpus = sorted(os.sched_getaffinity(0))
    if threads < len(cpus):
        os.sched_setaffinity(0, set(cpus[:threads]))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def measure(benchmark, call, group, side, draws):
    """Time a call after two untimed ones, which compile and warm up."""
    benchmark.group = group
    benchmark.extra_info.update(side=side, draws=draws)
    call()
    call()
    benchmark(call)
