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

from .diagnostics.attribution import Attribution
from .diagnostics.bounds import Bounds, bounds
from .diagnostics.comparison import compare
from .diagnostics.diagnosis import Diagnosis, diagnose
from .diagnostics.divergences import divergence
from .diagnostics.psis import SmoothedWeights, psis
from .errors import ExecutorError, NonFiniteError
from .estimators.elbo import elbo
from .estimators.gradient import elbo_gradient
from .estimators.kl import kl_divergence
from .families.full_rank import FullRankGaussian
from .families.mean_field import MeanFieldGaussian
from .families.mixture import GaussianMixture
from .fitting.fit import fit
from .fitting.laplace import LaplaceResult
from .fitting.objective import Objective
from .fitting.result import FitResult, Round
from .info import show_versions
from .kernels.arithmetic.functions import (
    digamma,
    erf,
    erfc,
    erfcx,
    expit,
    gammaln,
    log1mexp,
    log_ndtr,
    logaddexp,
    softplus,
    where,
)
from .results import Estimate, GradientEstimate
from .targets.derivatives import GradientCheck
from .targets.target import Target
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
    "digamma",
    "divergence",
    "elbo",
    "elbo_gradient",
    "erf",
    "erfc",
    "erfcx",
    "expit",
    "fit",
    "gammaln",
    "kl_divergence",
    "log1mexp",
    "log_ndtr",
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
