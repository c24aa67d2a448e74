"""Run a piece of Python in a process of its own, with a time limit."""

import os
import subprocess
import sys
import textwrap

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


def succeed(code, **options):
    """What the process printed; its failure is ours."""
    done = run(code, **options)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
