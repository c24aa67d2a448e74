"""The options that several functions take, described once: ``@option`` in a docstring stands for its text."""

import re
import textwrap
from collections.abc import Callable
from typing import TypeVar

OPTIONS = {
    "target": """
    target : Target
        log p(z), or log p(x, z) as a function of z""",
    "q": """
    q : MeanFieldGaussian, LowRankGaussian, FullRankGaussian, Bernoulli or Product
        the approximation""",
    "rng": """
    rng : int, sequence of int, SeedSequence, Generator, BitGenerator, Key or None
        where the draws come from (Scientific Python SPEC 7).  Integers, sequences and a Key repeat the same draws; a
        generator gives one 64-bit word and advances; None takes fresh entropy.  The result carries the ``key``""",
    "draws": """
    draws : {"iid", "antithetic", "sobol"}
        how draws relate to each other.  ``"antithetic"``: pairs eps and -eps, with the error of pairs: half the work
        where log w is odd in eps, twice where it is even.  ``"sobol"``: scrambled Sobol points in at least eight
        replicates (sixteen from 128 draws on) of a power of two each, with the error of replicates and Student's t in
        ``interval``; at most ``num_samples`` are used.  Neither reports progress or a partial result""",
    "atol": """
    atol : float, optional
        the standard error to reach, in nats: pilots of at most ``num_samples`` draws, more where it takes many times
        that, fix the number of draws, and only fresh draws are reported, so that the estimate stays unbiased.
        There is no relative tolerance: the zero of an ELBO is arbitrary""",
    "max_samples": """
    max_samples : int, optional
        a limit for ``atol``, 10^9 by default.  Where it, or a heavy tail that the pilot did not see, keeps the error
        above ``atol``, ``converged`` is False""",
    "dtype": """
    dtype : {"float64", "float32"}
        of the standard normals behind i.i.d. draws; everything computed from them is float64.  ``"float32"`` takes
        half the random words, and cuts |eps| at 6.66 (a probability of 3e-11) and its digits at 3e-7 of its size, so
        that an estimate is off by some 1e-7 of the mean of |log w|: far below any standard error in reach""",
    "backend": """
    backend : {"cpu", "cuda", "auto"}
        where the draws that count are swept; pilots stay on the CPU.  ``"cuda"`` takes i.i.d. draws and estimators
        that need no gradient of log p, draws the same normals to the bit, makes the same estimate to rounding (1e-12
        of the mean of |log w|), and raises where there is no GPU.  ``"auto"`` takes it for large problems where there
        is one""",
    "num_threads": """
    num_threads : int, optional
        all CPUs by default; results are bitwise identical for any number""",
    "executor": """
    executor : optional
        anything with ``submit(f, *arguments)`` that returns a future: of concurrent.futures, dask's
        ``Client.get_executor(pure=False)``, mpi4py.futures.  Draws are computed there in chunks, up to 128 of them,
        one thread each; pilots stay here.  Chunks depend on the problem and not on the workers, so the result has the
        bits of a local run on the same kind of CPU.  The target travels as its source and data and is compiled once
        in each process; what it reads of modules must be equal there""",
    "progress": """
    progress : bool or callable
        True for a tqdm bar (extra ``progress``), or a function of (draws done, draws in all)""",
}

Function = TypeVar("Function", bound=Callable)


def documented(function: Function) -> Function:
    """Put the texts of the options into a docstring."""
    if function.__doc__:  # there is none under python -OO
        function.__doc__ = re.sub(r"^( *)@(\w+)$", _text, function.__doc__, flags=re.M)
    return function


def _text(found) -> str:
    # Python 3.13 takes the indentation off a docstring when it compiles it
    return textwrap.indent(textwrap.dedent(OPTIONS[found.group(2)].strip("\n")), found.group(1))
