"""One readable line out of Numba's nested reports."""

import os
import re

import numba

from .. import jit
from .spellings import refused_spelling

# names of lane types in Numba's messages, for people: "<draws>"
TYPES = r"\b(?:Lane\w*|Leaf|Recorded|Expression\d+|Table)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"

CHANGES = r"Cannot unify <draws> and <draws> for '(?:(\w+)[^']*|[^']*)'.*"
FILL = "fill np.zeros(n) item by item instead, a[i] = …"
# What Numba itself trips over where an array of numbers is to hold draws
IN_PLACE = "'NoneType' object has no attribute 'args'", f"an array cannot be added to in place, as in a += z; {FILL}"


class DensityError(TypeError):
    """The log density cannot be compiled at all; ``details`` is Numba's whole report."""

    def __init__(self, message, details):
        super().__init__(message, details)
        self.details = details

    def __str__(self):
        return self.args[0]


def explain_error(error, function, of_what="") -> str:
    """One line out of Numba's nested report: what was refused, with file and line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    spelling = refused_spelling(function, text)
    if spelling is not None:
        what, file, line = spelling
        return f"cannot compile {what} [{file}:{line}]"
    found = re.findall(
        r"this `if`.*|No implementation of function .*|Unknown attribute .*|Use of unsupported.*|Cannot unify .*"
        r"|a default argument .*|the log density returned .*|an assignment to an item.*|Untyped global name .*"
        r"|[Ii]nvalid use of .*|cannot (?:compile|print) .*"
        r"|Cannot determine .*|an array depends on z in one branch.*|cannot assign .*|Unsupported .*",
        text,
    )
    found = [w for w in found if "<intrinsic run>" not in w]  # our own loop around the user's function
    what = next((w for w in found if w.startswith("this `if`")), found[-1] if found else None)
    if what is None:
        noise = (
            "Failed in nopython mode",
            "No implementation of function Function(<intrinsic run>)",
            ">>> run(float64*",
        )
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
        what = lines[0] if lines else type(error).__name__
    call = [c for c in re.findall(r">>> (.*)", text) if not c.startswith("run(float64*")]
    if "No implementation" in what and call:
        what = f"{call[-1].strip()} is not available{of_what}"
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    places = [p for p in places if not of_the_machinery(p[0])]
    code = function.__code__
    file, line = places[-1] if places else (code.co_filename, code.co_firstlineno)
    if "scipy." in what and "Unknown attribute" in what:
        what += "; SciPy does not compile, vi.normal_logpdf and its kin do"
    readable = what
    while True:  # names of types from the inside out
        simpler = re.sub(TYPES, "<draws>", readable)
        if simpler == readable:
            break
        readable = simpler
    if readable.strip() == IN_PLACE[0]:
        readable = IN_PLACE[1]
    elif "Expression" in what:
        readable = re.sub(CHANGES, changing, readable)
    return f"{readable.strip()} [{file}:{line}]"


def changing(found) -> str:
    """An array expression that another one replaces."""
    name = found[1] or "an array of z"
    return f"{name} is another array expression in each turn of a loop, or in each branch; {FILL}"


_numba = os.path.dirname(os.path.realpath(numba.__file__))
MACHINERY = tuple(
    folder + os.sep
    for folder in (
        os.path.dirname(os.path.realpath(jit.__file__)),  # all of kernels/, wherever this file lies in it
        _numba,
        os.path.join(os.path.dirname(_numba), "numba_cuda"),
    )
)


def of_the_machinery(path) -> bool:
    """Whether a file is one of ours or Numba's, and not the user's: by its place, as a folder may have any name."""
    return os.path.realpath(path).startswith(MACHINERY)
