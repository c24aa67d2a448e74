"""What q is, and all of its mathematics: one file a family."""

from .base import Family
from .bernoulli import Bernoulli
from .categorical import Categorical
from .factors import Factors
from .full_rank import FullRankGaussian
from .low_rank import LowRankGaussian
from .mean_field import MeanFieldGaussian
from .mixture import GaussianMixture
from .product import Product

BY_NAME: dict[str, type[Family]] = {
    each.family: each for each in (MeanFieldGaussian, FullRankGaussian, LowRankGaussian)
}

__all__ = [
    "BY_NAME",
    "Bernoulli",
    "Categorical",
    "Factors",
    "Family",
    "FullRankGaussian",
    "GaussianMixture",
    "LowRankGaussian",
    "MeanFieldGaussian",
    "Product",
]
