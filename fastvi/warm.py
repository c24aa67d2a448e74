"""Compile kernels into the disk cache: all at once, for the images of containers and the nodes of clusters, or some."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from multiprocessing import get_context

from . import checks
from .kernels import everything, jit


def compiled(name: str) -> float:
    """Compile one kernel, or read it; the seconds that it took."""
    start = time.perf_counter()
    everything.everything()[name]()
    return time.perf_counter() - start


def prepare(names: Sequence[str], tell: Callable[[int, int], object]) -> None:
    """Compile some kernels in this process; ``tell(number, all)`` before each that is not in the disk cache."""
    makers = everything.everything()
    for number, name in enumerate(names, 1):
        with jit.compilations(cache(partial(tell, number, len(names)))):  # once for all that a kernel is made of
            makers[name]()


def warm(num_processes: int | None = None, report: Callable[[str, float, int, int], None] | None = None) -> int:
    """Compile every kernel in several processes, all CPUs by default; the number of kernels.

    ``report(name, seconds, done, all)`` is called after each.
    """
    names = list(everything.everything())
    with ProcessPoolExecutor(checks.thread_count(num_processes), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(compiled, name): name for name in names}
        for done, future in enumerate(as_completed(futures), 1):
            seconds = future.result()
            if report is not None:
                report(futures[future], seconds, done, len(names))
    return len(names)
