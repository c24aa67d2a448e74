"""fastvi: Monte Carlo ELBO, KL and score gradients with their standard errors, from a plain Python log density."""

import os as _os

_here = _os.path.dirname(__file__)
if not _os.path.isdir(_os.path.join(_here, "kernels")):  # a checkout or an editable install: kernels/ lies beside us
    __path__.append(_os.path.dirname(_here))

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
from .fit_result import FitResult
from .gradients import elbo_gradient
from .info import show_versions
from .kernels.functions import expit, log1mexp, logaddexp, softplus, where
from .kl import kl_divergence
from .laplace import LaplaceResult
from .mixture import GaussianMixture
from .objective import Objective
from .psis import psis
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
