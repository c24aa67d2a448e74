"""fastvi: Monte Carlo ELBO, KL and score gradients with their standard errors, from a plain Python log density."""

import importlib.util as _importlib
import os as _os
import sys as _sys

_here = _os.path.dirname(_os.path.abspath(__file__))
if not _os.path.isdir(_os.path.join(_here, "kernels")):
    # A checkout or an editable install, where kernels/ lies beside this package.  It is loaded by its own path: putting
    # the checkout on __path__ would make a second copy of everything in it importable.
    _kernels = _os.path.join(_os.path.dirname(_here), "kernels")
    _spec = _importlib.spec_from_file_location(
        "fastvi.kernels", _os.path.join(_kernels, "__init__.py"), submodule_search_locations=[_kernels]
    )
    assert _spec is not None and _spec.loader is not None
    kernels = _sys.modules["fastvi.kernels"] = _importlib.module_from_spec(_spec)
    _spec.loader.exec_module(kernels)

from .attribution import Attribution
from .bounds import Bounds, bounds
from .comparison import compare
from .derivatives import GradientCheck
from .diagnostics import Diagnosis, diagnose
from .divergences import divergence
from .elbo import elbo
from .errors import ExecutorError, NonFiniteError
from .estimates import Estimate, GradientEstimate
from .families import FullRankGaussian, MeanFieldGaussian
from .fit import fit
from .fit_result import FitResult, Round
from .gradients import elbo_gradient
from .info import show_versions
from .kernels.functions import expit, log1mexp, logaddexp, softplus, where
from .kl import kl_divergence
from .laplace import LaplaceResult
from .mixture import GaussianMixture
from .objective import Objective
from .psis import SmoothedWeights, psis
from .target import Target
from .version import __version__

__all__ = [
    "Attribution",
    "Bounds",
    "Diagnosis",
    "Estimate",
    "ExecutorError",
    "FitResult",
    "FullRankGaussian",
    "GaussianMixture",
    "GradientCheck",
    "GradientEstimate",
    "LaplaceResult",
    "MeanFieldGaussian",
    "NonFiniteError",
    "Objective",
    "Round",
    "SmoothedWeights",
    "Target",
    "__version__",
    "bounds",
    "compare",
    "diagnose",
    "divergence",
    "elbo",
    "elbo_gradient",
    "expit",
    "fit",
    "kl_divergence",
    "log1mexp",
    "logaddexp",
    "psis",
    "show_versions",
    "softplus",
    "where",
]

# One public home, so that a pickle or a traceback never names a private module that may move
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
