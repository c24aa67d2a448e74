"""The same pipeline on a GPU; ``cuda`` and ``device`` alone know numba-cuda."""
