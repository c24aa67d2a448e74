"""Stan models as targets, through BridgeStan's C functions."""

import ctypes
import re
from typing import Any

import numpy as np

from .. import checks
from ..targets.external import Address
from ..targets.target import Target
from .c import address_of, keep_alive

THREADS = "STAN_THREADS=true"


class ModelDensity(Address):
    """Stan's C functions, with the names and the constraints of the model."""

    what = "C function"

    def __init__(self, model, address: int, name: str, cost: float | None) -> None:
        super().__init__(address, model.param_unc_num(), name, cost=cost)
        self.model = model

    def constrained(self, points):
        """Parameters and transformed parameters, as the model reports them."""
        places = places_of(self.model.param_names(include_tp=True, include_gq=False))
        rows = np.array([self.model.param_constrain(z, include_tp=True, include_gq=False) for z in points])
        rows = rows.reshape(len(points), -1)
        return {name: rows[:, place] for name, place in places.items()}

    def unconstrained(self, values: Any, what="values", partly=False):
        places = places_of(self.model.param_names(include_tp=False, include_gq=False))
        wrong = [f"{name} is no parameter" for name in values if name not in places]
        wrong += [] if partly else [f"{name} is missing" for name in places if name not in values]
        if wrong:
            raise ValueError(f"{what}: expected {', '.join(places)}; {', '.join(wrong)}")
        x = np.array(self.model.param_constrain(np.zeros(self.dim), include_tp=False, include_gq=False))
        for name, value in values.items():
            if np.shape(value) != places[name].shape:
                raise ValueError(f"{what}[{name!r}]: expected shape {places[name].shape}, got {np.shape(value)}")
            x[places[name]] = value
        return np.asarray(self.model.param_unconstrain(x))


def places_of(names) -> dict[str, np.ndarray]:
    """Of each variable the places of its items, by Stan's names of them: ``theta.1.2``, numbered from 1."""
    found: dict[str, dict] = {}
    for place, name in enumerate(names):
        variable, *numbers = re.split(r"[.:]", name)
        found.setdefault(variable, {})[tuple(int(n) - 1 for n in numbers if n.isdigit())] = place
    out = {}
    for variable, places in found.items():
        shape = tuple(np.max(list(places), axis=0) + 1) if places and next(iter(places)) else ()
        out[variable] = np.zeros(shape, dtype=np.int64)
        for index, place in places.items():
            out[variable][index] = place
    return out


def from_model(model, *, cost: float | None = None, name: str | None = None) -> Target:
    """The log density of a Stan model on the unconstrained space, with all constants and Jacobians.

    Parameters
    ----------
    model : bridgestan.StanModel
        compiled with ``STAN_THREADS=true``, so that threads may evaluate it at once; it is kept alive.  What is called
        are its ``bs_log_density`` and, where a gradient is wanted, ``bs_log_density_gradient``, a draw a call
    cost : float, optional
        operations of a draw, as for :meth:`Target.from_address`

    Raises
    ------
    TypeError, ValueError
        for what is no such model

    Notes
    -----
    ``target.constrain`` and a fit's ``draws`` and ``summary`` have the names of the model, transformed parameters too.
    Where Stan has no answer (it rejects a draw) a RuntimeError names the draw; ``model.log_density`` there tells why.
    It needs nothing but what BridgeStan has made: no extra of fastvi's.
    """
    from ..kernels.density.one_draw import of_stan

    library, handle = getattr(model, "stanlib", None), getattr(model, "model", None)
    if library is None or handle is None:
        raise TypeError(f"model: expected a bridgestan.StanModel, got {checks.describe(model)}")
    if THREADS not in model.model_info():
        raise ValueError(f"model: compile it with make_args=['{THREADS}'], as several threads evaluate it")
    address = ctypes.cast(handle, ctypes.c_void_p).value or 0
    functions = (address_of(getattr(library, f)) for f in ("bs_log_density", "bs_log_density_gradient"))
    compiled = of_stan(address, *functions)
    target = Target.of(ModelDensity(model, compiled.address, name or model.name(), cost))
    keep_alive(target, model, compiled)
    return target
