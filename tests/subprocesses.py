"""Run a piece of Python in a process of its own, with a time limit."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
import math, os, sys, time
import numpy as np
import fastvi as vi

def normal(z):
    total = 0.0
    for i in range(len(z)):
        total += z[i] * z[i]
    return -0.5 * total

Q = vi.MeanFieldGaussian(np.full(4, 0.1), np.full(4, 0.7))
"""


def run(code, *, timeout=120, env=None, cwd=None, preamble=True):
    """The finished process; a process that outlives the limit is an error."""
    code = (PREAMBLE if preamble else "") + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


def c_library(folder, source):
    """The path of a shared library from C; a machine without a compiler skips."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    (folder / "f.c").write_text(source)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", folder / "f.so", folder / "f.c"], check=True)
    return str(folder / "f.so")


def succeed(code, **options):
    """What the process printed; its failure is ours."""
    done = run(code, **options)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
