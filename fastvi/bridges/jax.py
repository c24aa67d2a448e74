"""The ELBO as a JAX operation: under jit, vmap and scan, with a gradient for any optimizer of JAX's."""

import numpy as np

from ..fitting.objective import Objective
from . import guest

jax = guest("jax", "jax")
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
