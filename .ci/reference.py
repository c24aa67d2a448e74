"""The API reference as HTML, from the docstrings: ``python .ci/reference.py FOLDER``.  A warning is an error."""

import importlib
import inspect
import pathlib
import sys
import warnings

import pdoc

import fastvi
from fastvi.bridges import c, stan

BRIDGES = ("jax", "numpyro", "torch", "blackjax", "pymc")  # documented where their library is installed


def at_home(thing) -> None:
    """Public classes say that they live in ``fastvi``; their source is found where they were written."""
    for module in [m for name, m in sys.modules.items() if name.startswith("fastvi.")]:
        if vars(module).get(thing.__name__) is thing and f"\nclass {thing.__name__}" in inspect.getsource(module):
            thing.__module__ = module.__name__


def main(folder: str) -> None:
    for name in fastvi.__all__:
        if isinstance(getattr(fastvi, name), type):
            at_home(getattr(fastvi, name))
    modules = [fastvi.__name__, c.__name__, stan.__name__]
    for name in BRIDGES:
        try:
            modules.append(importlib.import_module(f"fastvi.bridges.{name}").__name__)
        except ImportError as missing:
            print(f"left out: {missing}")
    pdoc.render.configure(docformat="numpy", math=True, footer_text=f"fastvi {fastvi.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*modules, output_directory=pathlib.Path(folder))
    print(f"{folder}/index.html: {len(modules)} modules")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python .ci/reference.py FOLDER")
    main(sys.argv[1])
