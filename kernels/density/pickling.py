"""Python objects as bytes for another process, functions of a script or a notebook included (by value)."""

import pickle

from numba import cloudpickle


def dumps(thing) -> bytes:
    """What :func:`loads` reads, in any process that has the same packages."""
    return cloudpickle.dumps(thing)


def loads(data: bytes):
    """The thing again."""
    return pickle.loads(data)
