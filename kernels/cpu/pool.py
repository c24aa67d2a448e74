"""A small pool of threads that run nogil sweeps.

Not ``prange``: own threads give the same bits, compile in half the time, let exceptions and Ctrl-C through, never
abort under concurrent callers and never spin on a busy machine.  The pool is rebuilt in a forked child.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None
_size = 0

SERIAL_SECONDS = 400e-6  # a shorter job is not worth waking a thread, which takes some 50 microseconds
TURN_SECONDS = 50e-3  # what a thread takes from the queue at a time, at most
LEAST_TURN_SECONDS = 60e-6  # a shorter turn would be spent waiting for the interpreter's lock
WAIT_SECONDS = 0.2
HERE_SECONDS = 0.1  # a longer turn would keep Ctrl-C waiting, so the calling thread takes none of them


_here = threading.local()  # whether this thread is one of ours, at work


def _forget():
    global _lock, _executor, _size
    _lock, _executor, _size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def available_threads() -> int:
    """The number of CPUs this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _threads(count):
    """The shared executor, grown to ``count`` threads."""
    global _executor, _size
    with _lock:
        if _executor is None or _size < count:
            # an older, smaller executor finishes what it has and goes
            _executor, _size = ThreadPoolExecutor(count, thread_name_prefix="fastvi"), count
        return _executor


def wait_for(futures: list[Future]) -> None:
    """Wait in slices: only between them can an interrupt that is no signal (``_thread.interrupt_main``) be raised."""
    while wait(futures, timeout=WAIT_SECONDS).not_done:
        pass


def run(
    chunks: int,
    call: Callable[[int, int], object],
    stop,
    num_threads: int,
    seconds: float | None,
    report: Callable[[int], None] | None,
) -> float:
    """Call ``call(first, last)`` over all chunks, each once; a true result means that no later chunk is wanted.

    ``seconds`` is what the whole job is expected to take on one thread, None if unknown; it decides where the work
    runs and nothing else.  The calling thread works too where its turns are short, and waits otherwise, so that Ctrl-C
    reaches it.  ``report`` is told the number of finished chunks.  On KeyboardInterrupt the threads are stopped
    through ``stop[0]`` before it goes on.  Returns the seconds that all threads together spent in ``call``.
    """
    start = time.perf_counter()
    nested = getattr(_here, "working", False)  # a density in Python that sweeps itself: its thread is all it has
    if nested or (seconds is not None and seconds < SERIAL_SECONDS and report is None):
        call(0, chunks)
        return time.perf_counter() - start
    num_threads = min(num_threads, chunks)
    here = seconds is not None and seconds < HERE_SECONDS * chunks
    least = longest = 1
    if seconds:
        least = max(1, round(chunks * LEAST_TURN_SECONDS / seconds))
        longest = max(least, int(chunks * TURN_SECONDS / seconds))
    taken, taking = 0, threading.Lock()

    def next_turn():
        # half of a thread's share of what is left: few turns, and small ones at the end, where threads finish together
        nonlocal taken
        with taking:
            first = taken
            taken += min(max((chunks - first) // (2 * num_threads), least), longest)
        return first, min(taken, chunks)

    finished, busy = [0] * num_threads, [0.0] * num_threads
    changed, enough = threading.Event(), threading.Event()

    def work(which, report=None):
        _here.working = True
        try:
            turns(which, report)
        finally:
            _here.working = False

    def turns(which, report):
        while True:
            first, last = next_turn()
            if first >= chunks or stop[0] or enough.is_set():
                return
            start = time.perf_counter()
            if call(first, last):
                enough.set()
            busy[which] += time.perf_counter() - start
            finished[which] += last - first
            changed.set()
            if report is not None:
                report(sum(finished))

    futures: list[Future] = []
    try:
        if not (here and num_threads == 1):
            executor = _threads(num_threads)
            futures = [executor.submit(work, which) for which in range(int(here), num_threads)]
        if here:
            work(0, report)
        elif report is not None:
            while not all(f.done() for f in futures):
                if changed.wait(0.1):
                    changed.clear()
                report(sum(finished))
        wait_for(futures)
    except BaseException:
        stop[0] = 1
        wait_for(futures)
        raise
    for future in futures:
        future.result()
    if report is not None:
        report(sum(finished))
    return sum(busy)
