"""Is q good: importance weights, and what they say about bounds, divergences and misfit."""

from .attribution import Attribution
from .bounds import Bounds
from .comparison import compare
from .diagnosis import Diagnosis, diagnose
from .divergences import divergence
from .psis import SmoothedWeights

__all__ = [
    "Attribution",
    "Bounds",
    "Diagnosis",
    "SmoothedWeights",
    "compare",
    "diagnose",
    "divergence",
]
