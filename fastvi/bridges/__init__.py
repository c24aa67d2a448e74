"""Ways into other people's libraries; each imports its guest when it is imported itself, and not before."""

import importlib


def guest(name: str, extra: str):
    """The module ``name``, or an ImportError that names the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"fastvi.bridges.{extra} needs {extra}: pip install 'fastvi[{extra}]' ({error})"
        raise ImportError(message) from None
