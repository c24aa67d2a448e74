"""JAX log densities as targets; and the ELBO as a JAX operation, under jit, vmap and scan, with a gradient."""

import functools
from collections.abc import Callable

import numpy as np

from .. import checks
from ..fitting.objective import Objective
from ..targets.target import Target
from . import guest
from .jax_batch import elbo_batch
from .jax_density import density_of

jax = guest("jax", "jax")
__all__ = ["elbo", "elbo_batch", "from_jax"]
NO_STEP = -(2**31)


def elbo(objective: Objective):
    """``f(parameters, step=None)``: the value of an :class:`Objective` as a JAX scalar, differentiable once.

    Parameters
    ----------
    objective : Objective
        of any estimator; those that need fresh draws want a ``step``, an integer that may be traced

    Returns
    -------
    callable
        parameters (n,) of float32 or float64 -> a scalar of that dtype; the work is done in float64 on the host.  Under
        ``vmap`` the calls are made one after the other.  Errors of fastvi surface as JAX's own, with their text
    """
    jnp = jax.numpy

    def host(parameters, step):
        # no JAX in here: a callback that waits for JAX may wait forever
        dtype, step = np.asarray(parameters).dtype, int(step)
        value, gradient = objective.value_and_grad(np.asarray(parameters, float), None if step == NO_STEP else step)
        return np.asarray(value, dtype), np.asarray(gradient, dtype)

    def both(parameters, step):
        shapes = (jax.ShapeDtypeStruct((), parameters.dtype), jax.ShapeDtypeStruct(parameters.shape, parameters.dtype))
        return jax.pure_callback(host, shapes, parameters, step, vmap_method="sequential")

    @jax.custom_vjp
    def value(parameters, step):
        return both(parameters, step)[0]

    def forward(parameters, step):
        return both(parameters, step)

    def backward(gradient, cotangent):
        return cotangent * gradient, None

    value.defvjp(forward, backward)

    def operation(parameters, step=None):
        parameters = jnp.asarray(parameters)
        if step is not None and not jnp.issubdtype(jnp.result_type(step), jnp.integer):
            raise TypeError(f"step: expected an int >= 0, got {step!r}")
        return value(parameters.astype(jnp.result_type(parameters, jnp.float32)), NO_STEP if step is None else step)

    return operation


def from_jax(f: Callable, dim: int, *, name: str | None = None) -> Target:
    """The target of a JAX log density ``f(z)`` of one draw z of shape (dim,), compiled like a density written by hand.

    Parameters
    ----------
    f : callable
        traced once, in JAX's double precision (``jax_enable_x64``).  What it closes over is part of the density: for
        other data make another target
    dim : int
    name : str, optional
        for messages, the function's own name otherwise

    Returns
    -------
    Target
        ``target.source`` is the translation.  Where a primitive has none, ``target.explain()`` names it and JAX
        evaluates the density in batches, as by :meth:`Target.from_batched`

    Raises
    ------
    ValueError
        where JAX computes in single precision
    """
    if not callable(f):
        raise TypeError(f"f: expected a JAX function of z ({dim},), got {checks.describe(f)}")
    if not jax.config.jax_enable_x64:
        raise ValueError('f: JAX computes in single precision; call jax.config.update("jax_enable_x64", True) first')
    dim, name = checks.count("dim", dim), str(name or getattr(f, "__name__", "JAX density"))
    return Target.of(density_of(f, dim, name, (functools.partial(from_jax, name=name), (f, dim))))
