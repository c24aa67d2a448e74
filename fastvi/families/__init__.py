"""What q is, and all of its mathematics: one file a family."""

from .base import Family
from .full_rank import FullRankGaussian
from .low_rank import LowRankGaussian
from .mean_field import MeanFieldGaussian
from .mixture import GaussianMixture

BY_NAME: dict[str, type[Family]] = {
    each.family: each for each in (MeanFieldGaussian, FullRankGaussian, LowRankGaussian)
}

__all__ = ["BY_NAME", "Family", "FullRankGaussian", "GaussianMixture", "LowRankGaussian", "MeanFieldGaussian"]
