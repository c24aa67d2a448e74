"""Fitting as an ``init``/``step``/``sample`` triple of the shape that BlackJAX's variational algorithms have."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..fitting.objective import Objective
from . import guest
from .jax import elbo

jax = guest("jax", "jax")


class State(NamedTuple):
    """The parameters of q, flat, and the optimizer's own state."""

    parameters: Any
    opt_state: Any


class Info(NamedTuple):
    """The ELBO before the step."""

    elbo: Any


class Algorithm(NamedTuple):
    """Pure functions, for ``jax.jit`` and ``jax.lax.scan``.

    ``init(position=None) -> State``, ``step(rng_key, state) -> (State, Info)`` and
    ``sample(rng_key, state, num_samples) -> draws (num_samples, dim)``.
    """

    init: Callable
    step: Callable
    sample: Callable


def as_top_level_api(objective: Objective, optimizer) -> Algorithm:
    """An algorithm that maximises an :class:`Objective` with an optimizer of optax's.

    Parameters
    ----------
    objective : Objective
        its target, family, estimator and number of draws; every step has draws of its own, by the ``rng_key``
    optimizer : optax.GradientTransformation
        or any pair ``init``/``update`` of that kind, without a line search

    Raises
    ------
    ValueError
        for an objective of ``"bank"``, and a position of another shape

    Notes
    -----
    ``position`` is a flat vector of parameters (``q.parameters``), the objective's own by default.
    """
    if objective.estimator == "bank":
        raise ValueError("objective: estimator='bank' keeps its draws, and a step here has draws of its own")
    gradient = jax.value_and_grad(elbo(objective))
    bits = np.uint32

    def init(position=None):
        parameters = jax.numpy.asarray(objective.parameters if position is None else position, float)
        if parameters.shape != objective.parameters.shape:
            raise ValueError(f"position: expected shape {objective.parameters.shape}, got {parameters.shape}")
        return State(parameters, optimizer.init(parameters))

    def step(rng_key, state):
        value, slope = gradient(state.parameters, jax.random.bits(rng_key, dtype=bits))
        updates, opt_state = optimizer.update(-slope, state.opt_state, state.parameters)
        return State(state.parameters + updates, opt_state), Info(value)

    def sample(rng_key, state, num_samples=1):
        shape = jax.ShapeDtypeStruct((num_samples, objective.target.dim), state.parameters.dtype)

        def draws(parameters, seed):
            q = objective.q(np.asarray(parameters, float))
            return q.sample(num_samples, rng=int(seed)).astype(shape.dtype)

        seed = jax.random.bits(rng_key, dtype=bits)
        return jax.pure_callback(draws, shape, state.parameters, seed, vmap_method="sequential")

    return Algorithm(init, step, sample)
