"""What log p is: a density with its data, compiled or found elsewhere, and trusted once it has agreed with Python."""

from .derivatives import GradientCheck
from .target import Target

__all__ = ["GradientCheck", "Target"]
