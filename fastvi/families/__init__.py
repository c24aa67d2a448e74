"""What q is, and all of its mathematics: one file a family."""

from .full_rank import FullRankGaussian
from .mean_field import MeanFieldGaussian
from .mixture import GaussianMixture

__all__ = ["FullRankGaussian", "GaussianMixture", "MeanFieldGaussian"]
