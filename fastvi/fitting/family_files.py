"""A q as JSON and arrays, and back: what its constructor takes, to the same bits, and nothing that runs."""

from typing import Any

import numpy as np

from .. import families
from ..families import Family

KNOWN = {name: getattr(families, name) for name in families.__all__ if name not in ("BY_NAME", "Factors", "Family")}


def described(value: Any, arrays: list[np.ndarray]) -> Any:
    """A q, or one of the arguments of one; arrays are appended and told by their number."""
    if isinstance(value, Family):
        make, arguments = value.__reduce__()
        name = type(value).__name__
        if KNOWN.get(name) is not type(value):
            raise TypeError(f"q: expected one of {', '.join(KNOWN)} to save, got {name}")
        given = [described(each, arrays) for each in arguments]
        return dict(family=name, arguments=given, as_made=make is not type(value))
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return dict(array=len(arrays) - 1)
    return [described(each, arrays) for each in value] if isinstance(value, tuple | list) else value


def restored(description: Any, arrays: list[np.ndarray]) -> Any:
    """What was described."""
    if isinstance(description, list):
        return tuple(restored(each, arrays) for each in description)
    if not isinstance(description, dict):
        return description
    if "array" in description:
        return arrays[description["array"]]
    kind: Any = KNOWN[description["family"]]
    make = kind._made if description["as_made"] else kind
    return make(*restored(description["arguments"], arrays))
