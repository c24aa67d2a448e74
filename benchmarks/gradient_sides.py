"""Value and gradient of many draws on each side, as a function of no arguments that waits for its result.

``fastvi``    Target.value_and_grad of an (n, dim) array, results in new arrays
``tiles``     the same compiled density on a tile of 96 draws that stays in cache, as the ELBO's sweep calls it
``written``   the same with a gradient that was written by hand, where there is one below
``jax``       jit(vmap(value_and_grad)) of one-draw code, the better of draws in rows and in columns
``torch``     vmap(grad_and_value) of one-draw code, eager
"""

import functools
import math
import time

import numpy as np
from numba import njit

import fastvi as vi
from fastvi.kernels.density import compilations, tape_memory
from fastvi.kernels.jit import call_density

from gradient_models import jax_ops, torch_ops

TILE = 96


def fastvi_side(model, threads):
    target, z = vi.Target(model.plain, model.dim, model.data), model.draws()
    return lambda: target.value_and_grad(z, num_threads=threads)


@njit(nogil=True)
def over_tiles(address, z, count, words, values, gradient, scratch):
    status = 0
    for _ in range(count):
        room = scratch.ctypes.data, 8 * scratch.size
        status |= call_density(address, z, z.shape[0], z.shape[1], words, values, gradient.ctypes.data, *room)
    return status


def aligned(*shape):
    """Empty memory that starts on a cache line, as the sweep's."""
    raw = np.empty(math.prod(shape) + 8)
    skip = -(raw.ctypes.data // 8) % 8
    return raw[skip : skip + math.prod(shape)].reshape(shape)


def tiles_side(model, threads, gradient=None):
    target = vi.Target(model.plain, model.dim, model.data, gradient=gradient)
    count = -(-model.num_draws // TILE)
    z, slope, values = aligned(model.dim, TILE), aligned(model.dim, TILE), aligned(TILE)
    z[:] = model.draws(TILE).T
    target.value_and_grad(model.draws(64), num_threads=1)  # compiles, and grows the tape to what it needs
    compiled = target.density.gradients()

    def call():
        status = over_tiles(
            compiled.address, z, count, target.density.memory().address, values, slope, tape_memory.buffer()
        )
        assert status == 0
        return values, slope

    return call


def jax_side(model, threads):
    import jax

    ops = jax_ops()
    data = tuple(map(jax.numpy.asarray, model.data))
    derive = jax.value_and_grad(functools.partial(model.peer, ops))
    axes = (None,) * len(data)
    calls = []
    for z, in_axis, out_axes in ((model.draws(), 0, (0, 0)), (model.draws().T.copy(), 1, (0, 1))):
        function = jax.jit(jax.vmap(derive, in_axes=(in_axis, *axes), out_axes=out_axes))
        z = jax.device_put(z)
        calls.append(lambda function=function, z=z: jax.block_until_ready(function(z, *data)))
    return min(calls, key=seconds)


def torch_side(model, threads):
    import torch

    torch.set_num_threads(threads)
    ops, z = torch_ops(), torch.tensor(model.draws())
    data = tuple(torch.tensor(d) for d in model.data)
    derive = torch.func.vmap(
        torch.func.grad_and_value(lambda z, *data: model.peer(ops, z, *data)), in_dims=(0, *(None,) * len(data))
    )
    return lambda: derive(z, *data)


def seconds(call):
    """The best of three calls, after one."""
    call()
    found = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


SIDES = {"fastvi": fastvi_side, "tiles": tiles_side, "jax": jax_side, "torch": torch_side}


# ---- gradients written by hand, in the way of each model's density
def normal_written(z, out):
    out[:] = -z


def correlated_written(z, whiten, out):
    out[:] = -(whiten.T @ (whiten @ z))


def funnel_written(z, out):
    shrink, total = math.exp(-z[0]), 0.0
    for i in range(1, len(z)):
        total += z[i] * z[i]
        out[i] = -shrink * z[i]
    out[0] = -z[0] / 9.0 - 0.5 * (len(z) - 1) + 0.5 * shrink * total


def schools_written(z, effects, errors, out):
    mu, tau = z[8], math.exp(z[9])
    slope_mu, slope_tau = -mu / 25.0, 1.0 - 2.0 * tau * tau / (25.0 + tau * tau)
    for j in range(8):
        q = (effects[j] - mu - tau * z[j]) / (errors[j] * errors[j])
        out[j] = q * tau - z[j]
        slope_mu += q
        slope_tau += q * tau * z[j]
    out[8] = slope_mu
    out[9] = slope_tau


def logistic_written(beta, X, y, out):
    out[:] = X.T @ (y - vi.expit(X @ beta)) - beta


WRITTEN = {
    "standard normal d=100, np.sum": normal_written,
    "correlated Gaussian d=100, C @ z": correlated_written,
    "funnel d=10": funnel_written,
    "eight schools": schools_written,
    "logistic N=200 d=10, X @ z": logistic_written,
    "logistic N=1000 d=50, X @ z": logistic_written,
}


def compiling(side, model):
    """A function that compiles value and gradient of a model from nothing and calls it once."""
    if side == "fastvi":

        def compile_():
            compilations._compiled.clear()
            vi.Target(model.plain, model.dim, model.data).value_and_grad(model.draws(32), num_threads=1)

        return compile_
    import jax

    ops, z = jax_ops(), jax.device_put(model.draws(32))
    data = tuple(map(jax.numpy.asarray, model.data))

    def compile_():
        jax.clear_caches()
        derive = jax.value_and_grad(lambda z, *data: model.peer(ops, z, *data))
        function = jax.jit(jax.vmap(derive, in_axes=(0, *(None,) * len(data))))
        jax.block_until_ready(function(z, *data))

    return compile_
