"""A batch of q's as a JAX operation: an encoder in JAX, its ELBOs and their gradients from fastvi."""

from collections.abc import Callable, Sequence

import numpy as np

from ..estimators import batch
from ..rng import STEP, RandomSource, key_from
from ..targets.target import Target
from . import guest

jax = guest("jax", "jax")


def elbo_batch(
    target: Target,
    num_samples: int = 1,
    *,
    rows: Sequence[int] = (0,),
    parameters: Sequence[int] = (),
    rng: RandomSource = None,
    num_threads: int | None = None,
) -> Callable:
    """``f(loc, scale, data=None, step=0)``: the ELBOs of :func:`fastvi.elbo_batch`, (N,), as a JAX operation.

    It works under ``jit``, ``scan`` and ``grad``; differentiable once in ``loc``, ``scale`` (N, dim) and in the items
    of ``data`` that are ``parameters``; the work is done in float64 on the host.

    Parameters
    ----------
    target, num_samples, rows, parameters, num_threads
        as for :func:`fastvi.elbo_batch`
    rng : optional
        each ``step``, an integer that may be traced, has draws of its own

    Returns
    -------
    callable
        ``data``, in place of the target's, is a tuple of all of its items, of arrays that may be traced
    """
    jnp, source, wanted = jax.numpy, key_from(rng), tuple(parameters)

    def estimate(loc, scale, data, step, weights=None):
        # no JAX in here: a callback that waits for JAX may wait forever
        loc, scale = (np.asarray(v, dtype=np.float64) for v in (loc, scale))
        return batch.elbo_batch(
            target,
            loc,
            scale,
            num_samples,
            rows=rows,
            parameters=wanted,
            data=tuple(map(np.asarray, data)),
            weights=weights,
            rng=source.child(STEP, int(step)),
            num_threads=num_threads,
        )

    def host(loc, scale, data, step):
        found, dtype = estimate(loc, scale, data, step), np.asarray(loc).dtype
        every = found.value, found.loc_gradient, found.log_scale_gradient, *found.parameter_gradients
        return tuple(np.asarray(v, dtype) for v in every)

    def host_weighted(loc, scale, data, step, weights, known):
        weights = np.asarray(weights, dtype=np.float64)
        if (weights == weights[0]).all():
            return tuple(np.asarray(weights[0] * np.asarray(k), np.asarray(k).dtype) for k in known)
        found = estimate(loc, scale, data, step, weights).parameter_gradients  # of the same draws
        return tuple(np.asarray(g, np.asarray(loc).dtype) for g in found)

    def shaped(loc, *shapes):
        return tuple(jax.ShapeDtypeStruct(shape, loc.dtype) for shape in shapes)

    def all_of(loc, scale, data, step):
        shapes = shaped(loc, loc.shape[:1], loc.shape, loc.shape, *(jnp.shape(data[i]) for i in wanted))
        return jax.pure_callback(host, shapes, loc, scale, data, step, vmap_method="sequential")

    @jax.custom_vjp
    def values(loc, scale, data, step):
        return all_of(loc, scale, data, step)[0]

    def forward(loc, scale, data, step):
        value, *slopes = all_of(loc, scale, data, step)
        return value, (loc, scale, data, step, slopes)

    def backward(kept, cotangent):
        loc, scale, data, step, (by_loc, by_log_scale, *by_parameters) = kept
        each, found = cotangent[:, None], [None] * len(data)
        if wanted:
            shapes = shaped(loc, *(g.shape for g in by_parameters))
            given = loc, scale, data, step, cotangent, tuple(by_parameters)
            weighted = jax.pure_callback(host_weighted, shapes, *given, vmap_method="sequential")
            for i, gradient in zip(wanted, weighted, strict=True):
                found[i] = gradient.astype(data[i].dtype)
        return each * by_loc, each * by_log_scale / scale, tuple(found), None

    values.defvjp(forward, backward)

    def operation(loc, scale, data=None, step=0):
        loc = jnp.asarray(loc)
        loc = loc.astype(jnp.result_type(loc, jnp.float32))
        items = tuple(map(jnp.asarray, target.data if data is None else data))
        return values(loc, jnp.asarray(scale, dtype=loc.dtype), items, step)

    return operation
