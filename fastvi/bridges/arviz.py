"""Draws of an approximation as ArviZ has them: ``InferenceData`` before ArviZ 1.0, a ``DataTree`` since."""

import numpy as np

from .. import checks
from ..diagnostics.psis import psis
from ..families.base import Family
from ..rng import key_from
from ..targets.target import Target
from ..version import __version__
from . import guest

arviz = guest("arviz", "arviz")


def to_arviz(
    target: Target,
    q: Family,
    num_samples: int = 1000,
    *,
    rng: object = None,
    attributes: dict | None = None,
    coords: dict | None = None,
    dims: dict | None = None,
):
    """Draws of q, with what is known about each.

    Parameters
    ----------
    target : Target
        with named parameters, or from ``fastvi.bridges.pymc.from_model`` for constrained variables, deterministics,
        coords and dims; of any other target the one variable is ``z``
    num_samples : int
        draws of one chain
    attributes : dict, optional
        to add to those of every group
    coords, dims : dict, optional
        as for ``arviz.from_dict``: labels of axes, and the names of a variable's axes

    Returns
    -------
    InferenceData or DataTree
        ``posterior``; ``unconstrained_posterior`` where variables are transformed; ``sample_stats`` with ``lp`` (log p
        of the unconstrained draw), ``log_q`` and ``log_w``; ``observed_data`` and ``constant_data``.  k-hat of these
        draws is the attribute ``pareto_khat`` of ``sample_stats``
    """
    num_samples, key = checks.count("num_samples", num_samples), key_from(rng)
    z = q.sample(num_samples, rng=key)
    log_p, log_q = target.value(z), q.log_prob(z)
    log_w = log_p - log_q
    khat = float(psis(log_w).khat) if num_samples >= LEAST_FOR_KHAT and np.isfinite(log_w).any() else float("nan")
    stats = dict(lp=log_p, log_q=log_q, log_w=log_w)
    groups = groups_of(target, z)
    groups["coords"] = {**(groups.get("coords") or {}), **(coords or {})} or None
    groups["dims"] = {**(groups.get("dims") or {}), **(dims or {})} or None
    sampled = {name: groups.get(name, {}) for name in SAMPLED[:2]} | dict(sample_stats=stats)
    sampled = {
        group: {name: np.asarray(values)[None] for name, values in variables.items()}
        for group, variables in sampled.items()
        if variables
    }
    described = dict(inference_library="fastvi", inference_library_version=__version__, pareto_khat=khat)
    described |= attributes or {}
    kept = {name: groups[name] for name in ("observed_data", "constant_data") if groups.get(name)}
    make = data_tree if int(arviz.__version__.split(".")[0]) >= 1 else inference_data
    result = make(sampled, kept, groups.get("coords"), groups.get("dims"))
    for name in (*sampled, *kept):
        result[name].attrs.update(described)
    return result


def groups_of(target: Target, z) -> dict:
    """Variables by group."""
    if hasattr(target.density, "arviz_groups"):
        return target.density.arviz_groups(z)
    if target.parameters is None:
        return dict(posterior=dict(z=z))
    free = {name: z[:, place] for name, place in target.parameters.places.items()}
    return dict(posterior=target.constrain(z), unconstrained_posterior=free)


SAMPLED = ("posterior", "unconstrained_posterior", "sample_stats")
LEAST_FOR_KHAT = 25


def inference_data(sampled, kept, coords, dims):
    """For ArviZ 0.x."""
    name, groups = SAMPLED[1], sampled | kept
    free = groups.pop(name, None)
    result = arviz.from_dict(**groups, coords=coords, dims=dims)
    if free:
        result.add_groups({name: arviz.from_dict(posterior=free).posterior})
    return result


def data_tree(sampled, kept, coords, dims):
    """For ArviZ 1.x."""
    return arviz.from_dict(sampled | kept, coords=coords, dims=dims, sample_dims=["chain", "draw"])
