"""Graphs of other libraries as plain Python log densities: see README.md in this folder."""

from .arrays import Array
from .known import Known, Unsupported
from .translation import Translation

__all__ = ["Array", "Known", "Translation", "Unsupported"]
