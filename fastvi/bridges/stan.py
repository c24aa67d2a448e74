"""Stan models as targets, through BridgeStan's C functions."""

import ctypes

from .. import checks
from ..targets.target import Target
from .c import address_of, keep_alive

THREADS = "STAN_THREADS=true"


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
    target = Target.from_address(compiled.address, model.param_unc_num(), cost=cost, name=name or model.name())
    keep_alive(target, model, compiled)
    return target
