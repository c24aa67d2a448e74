"""What ``help()`` shows of the public names: it stands alone, its examples run, its signatures say what goes in."""

import doctest
import inspect

import pytest

import fastvi

FUNCTIONS = [name for name in fastvi.__all__ if inspect.isfunction(getattr(fastvi, name))]
CLASSES = [name for name in fastvi.__all__ if inspect.isclass(getattr(fastvi, name))]
# numbers in, numbers out
ELSEWHERE = {name for name in FUNCTIONS if getattr(fastvi, name).__module__.startswith("fastvi.kernels.")}


def methods_of(name):
    """Public methods and constructors, those that a NamedTuple or an exception brings along apart."""
    thing = getattr(fastvi, name)
    for key, value in vars(thing).items():
        function = getattr(value, "__func__", value)
        if inspect.isfunction(function) and (not key.startswith("_") or key == "__init__"):
            yield f"{name}.{key}", function


CALLABLES = [(name, getattr(fastvi, name)) for name in FUNCTIONS if name not in ELSEWHERE]
CALLABLES += [pair for name in CLASSES if not issubclass(getattr(fastvi, name), tuple) for pair in methods_of(name)]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_examples_run(name):
    thing = getattr(fastvi, name)
    found = doctest.DocTestFinder(recurse=False).find(thing, name, globs={})
    for test in found:
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=True)
        assert result.failed == 0


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ELSEWHERE])
def test_functions_have_examples_and_see_also(name):
    text = inspect.getdoc(getattr(fastvi, name))
    assert "Examples\n--------" in text and ("See Also\n--------" in text or name == "show_versions"), name
    assert "@" not in text.replace("X @ z", ""), "an option without a text"


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ELSEWHERE])
def test_every_parameter_is_described(name):
    function = getattr(fastvi, name)
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter} : " in text or f"{parameter}, " in text or f", {parameter} :" in text, parameter


@pytest.mark.parametrize("name, function", CALLABLES, ids=[name for name, _ in CALLABLES])
def test_every_parameter_is_annotated(name, function):
    bare = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.annotation is p.empty and p.name not in ("self", "cls", "options", "arguments", "key", "executor", "z")
    ]
    assert not bare
