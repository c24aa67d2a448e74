"""What q is, and all of its mathematics: one file a family."""

from .base import Family
from .bernoulli import Bernoulli
from .beta import Beta
from .categorical import Categorical
from .delta import Delta
from .dirichlet import Dirichlet
from .factors import Factors
from .full_rank import FullRankGaussian
from .gamma import Exponential, Gamma
from .log_normal import LogNormal
from .low_rank import LowRankGaussian
from .mean_field import MeanFieldGaussian
from .mixture import GaussianMixture
from .poisson import Poisson
from .product import Product

BY_NAME: dict[str, type[Family]] = {
    each.family: each for each in (MeanFieldGaussian, FullRankGaussian, LowRankGaussian)
}

__all__ = [
    "BY_NAME",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Delta",
    "Dirichlet",
    "Exponential",
    "Factors",
    "Family",
    "FullRankGaussian",
    "Gamma",
    "GaussianMixture",
    "LogNormal",
    "LowRankGaussian",
    "MeanFieldGaussian",
    "Poisson",
    "Product",
]
