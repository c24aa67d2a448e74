"""PyMC models as targets, on the unconstrained space, and approximations to and fro."""

import numpy as np

from .. import checks
from ..families.base import Family
from ..families.full_rank import FullRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..targets.target import Target
from . import guest
from .pymc_density import ModelDensity

pymc = guest("pymc", "pymc")


def from_model(model=None, *, translate: bool = True, cost: float | None = None, name: str | None = None) -> Target:
    """The log density of a PyMC model on the unconstrained space, its Jacobians included, as a :class:`Target`.

    z holds the value variables of ``model.free_RVs`` in their order, raveled.  The graph of the model is translated
    into Python source (``target.source``) that compiles like a density written by hand, with its gradient.  A model
    with an Op that has no translation is evaluated by PyTensor's own code, compiled by Numba when it is first asked
    for (seconds), one draw at a time; ``target.explain()`` names the Op.  ``pm.set_data`` is seen at the next call
    and does not recompile; data of another shape are translated again.  A BLAS inside PyTensor's code may start threads
    of its own in each of ours: limit it (threadpoolctl) or pass ``num_threads=1``.

    Parameters
    ----------
    model : pm.Model, optional
        the one on the context stack by default
    translate : bool
        False for PyTensor's own code
    cost : float, optional
        operations of a draw, as for :meth:`Target.from_address`

    Raises
    ------
    TypeError
        for no model, discrete free variables, and ``pm.Minibatch``
    """
    try:
        model = pymc.modelcontext(model)
    except TypeError:
        model = None
    if not isinstance(model, pymc.Model):
        raise TypeError("model: expected a pm.Model, as an argument or on the context stack")
    if not model.free_RVs:
        raise ValueError("model: it has no free variables")
    for rv in model.free_RVs:
        value = model.rvs_to_values[rv]
        if not value.dtype.startswith("float"):
            raise TypeError(
                f"model: the free variable {rv.name} is discrete ({value.dtype}); sum it out (pymc_extras.marginalize)"
            )
        if value.dtype != "float64":
            raise TypeError(f"model: the free variable {rv.name} is {value.dtype}; expected float64 (floatX)")
    if not isinstance(translate, bool):
        raise TypeError(f"translate: expected a bool, got {checks.describe(translate)}")
    return Target.of(ModelDensity(model, name or model.name or "PyMC model", cost, translate))


def model_of(target) -> ModelDensity:
    """The bridge's side of a target that came from :func:`from_model`."""
    density = getattr(target, "density", None)
    if not isinstance(density, ModelDensity):
        raise TypeError(f"target: expected one from fastvi.bridges.pymc.from_model, got {checks.describe(target)}")
    return density


def from_approximation(approximation, target: Target) -> Family:
    """The Gaussian of a ``pm.MeanField`` or ``pm.FullRank``, such as ``pm.fit`` returns, in the order of a target.

    Raises
    ------
    TypeError
        for other approximations
    ValueError
        where it is not of the target's variables
    """
    layout = model_of(target).layout
    if not isinstance(approximation, pymc.MeanField | pymc.FullRank):
        kind = type(approximation).__name__
        raise TypeError(f"approximation: expected a pm.MeanField or pm.FullRank, got {checks.describe(kind)}")
    order = order_of(approximation, layout)
    loc = approximation.mean.eval()[order]
    if isinstance(approximation, pymc.MeanField):
        return MeanFieldGaussian(loc, approximation.std.eval()[order])
    covariance = approximation.cov.eval()[np.ix_(order, order)]
    return FullRankGaussian(loc, np.linalg.cholesky(covariance))


def to_approximation(q: Family, target: Target, history=()):
    """``pm.MeanField`` or ``pm.FullRank`` with the parameters of q: its ``sample``, ``mean`` and ``std`` are PyMC's.

    ``history`` becomes its ``hist``: losses, that is negative ELBOs.
    """
    density = model_of(target)
    kind = pymc.MeanField if q.is_diagonal else pymc.FullRank
    approximation = kind(model=density.model)
    back = np.argsort(order_of(approximation, density.layout))
    shared = {parameter.name: parameter for parameter in approximation.params}
    shared["mu"].set_value(q.loc[back])
    if q.is_diagonal:
        shared["rho"].set_value(softplus_inverse(q.scale[back]))
    else:
        factor = np.linalg.cholesky(q.covariance[np.ix_(back, back)])
        np.fill_diagonal(factor, softplus_inverse(np.diag(factor)))
        shared["L_tril"].set_value(factor[np.tril_indices(q.dim)])
    approximation.hist = np.asarray(history, float)
    return approximation


def order_of(approximation, layout) -> np.ndarray:
    """order[i] is the place in the approximation of the target's i-th coordinate."""
    places = {name: place[1] for name, place in approximation.ordering.items()}
    if set(places) != set(layout.names):
        raise ValueError(f"approximation: it is of {sorted(places)}, the target of {sorted(layout.names)}")
    return np.concatenate([np.arange(places[name].start, places[name].stop) for name in layout.names])


def softplus_inverse(y) -> np.ndarray:
    """x with log(1 + e^x) = y."""
    return y + np.log(-np.expm1(-y))
