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
from .estimators.batch import elbo_batch
from .estimators.batch_estimate import BatchEstimate
from .estimators.elbo import elbo
from .estimators.gradient import elbo_gradient
from .estimators.kl import kl_divergence
from .families.bernoulli import Bernoulli
from .families.beta import Beta
from .families.categorical import Categorical
from .families.delta import Delta
from .families.dirichlet import Dirichlet
from .families.full_rank import FullRankGaussian
from .families.gamma import Exponential, Gamma
from .families.log_normal import LogNormal
from .families.low_rank import LowRankGaussian
from .families.mean_field import MeanFieldGaussian
from .families.mixture import GaussianMixture
from .families.poisson import Poisson
from .families.product import Product
from .fitting.fit import fit
from .fitting.laplace import LaplaceResult
from .fitting.objective import Objective
from .fitting.result import FitResult, Round
from .fitting.saving import load
from .fitting.summary import Table
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
from .kernels.arithmetic.log_densities import (
    bernoulli_logit_logpdf,
    beta_logpdf,
    binomial_logit_logpdf,
    dirichlet_logpdf,
    exponential_logpdf,
    gamma_logpdf,
    half_cauchy_logpdf,
    lkj_cholesky_logpdf,
    lognormal_logpdf,
    neg_binomial_logpdf,
    normal_logpdf,
    poisson_log_logpdf,
    student_t_logpdf,
)
from .results import Estimate, GradientEstimate
from .targets.constraints import (
    Space,
    corr_cholesky,
    greater_than,
    interval,
    less_than,
    ordered,
    positive,
    real,
    simplex,
    unit,
)
from .targets.derivatives import GradientCheck
from .targets.target import Target
from .version import __version__

__all__ = [
    "Attribution",
    "BatchEstimate",
    "Bernoulli",
    "Beta",
    "Bounds",
    "Categorical",
    "Delta",
    "Diagnosis",
    "Dirichlet",
    "Estimate",
    "ExecutorError",
    "Exponential",
    "FitResult",
    "FullRankGaussian",
    "Gamma",
    "GaussianMixture",
    "GradientCheck",
    "GradientEstimate",
    "LaplaceResult",
    "LogNormal",
    "LowRankGaussian",
    "MeanFieldGaussian",
    "NonFiniteError",
    "Objective",
    "Poisson",
    "Product",
    "Round",
    "SmoothedWeights",
    "Space",
    "Table",
    "Target",
    "__version__",
    "bernoulli_logit_logpdf",
    "beta_logpdf",
    "binomial_logit_logpdf",
    "bounds",
    "compare",
    "corr_cholesky",
    "diagnose",
    "digamma",
    "dirichlet_logpdf",
    "divergence",
    "elbo",
    "elbo_batch",
    "elbo_gradient",
    "erf",
    "erfc",
    "erfcx",
    "expit",
    "exponential_logpdf",
    "fit",
    "gamma_logpdf",
    "gammaln",
    "greater_than",
    "half_cauchy_logpdf",
    "interval",
    "kl_divergence",
    "less_than",
    "lkj_cholesky_logpdf",
    "load",
    "log1mexp",
    "log_ndtr",
    "logaddexp",
    "lognormal_logpdf",
    "neg_binomial_logpdf",
    "normal_logpdf",
    "ordered",
    "poisson_log_logpdf",
    "positive",
    "psis",
    "real",
    "show_versions",
    "simplex",
    "softplus",
    "student_t_logpdf",
    "unit",
    "where",
]

# One public home, so that a pickle or a traceback never names a private module that may move
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
