"""Spaces of parameters: from unconstrained u to constrained x, with log |det dx/du| and the way back of gradients.

``elementwise``  real, positive, bounded
``vectors``      simplex, ordered, Cholesky factors of correlation matrices
``stage``        several of them side by side, run in Python
``code``         the same as code that is being written
"""

from .elementwise import Above, Below, Interval, Real, Softplus
from .stage import Row, Stage
from .vectors import CorrCholesky, Ordered, Simplex

__all__ = ["Above", "Below", "CorrCholesky", "Interval", "Ordered", "Real", "Row", "Simplex", "Softplus", "Stage"]
