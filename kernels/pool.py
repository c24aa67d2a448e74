"""A small pool of threads that run nogil sweeps.

Not ``prange``: own threads give the same bits, compile in half the time, let exceptions and Ctrl-C through, never
abort under concurrent callers and never spin on a busy machine.  The pool is rebuilt in a forked child.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None
_size = 0

# Handing work to threads costs about 50 microseconds; a job of less than four times that stays where it is, and so
# does one for a single thread that leaves Ctrl-C waiting unnoticeably.
SERIAL_SECONDS, ALONE_SECONDS = 200e-6, 50e-3
TURN_SECONDS = 2e-3  # what a thread takes from the queue at a time


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


def run(
    leaves: int,
    call: Callable[[int, int], object],
    stop,
    num_threads: int,
    seconds: float | None,
    report: Callable[[int], None] | None,
) -> None:
    """Call ``call(first, last)`` over all leaves, each once; a true result means that no later leaf is wanted.

    ``seconds`` is what the whole job is expected to take, None if unknown; it decides where the work runs and nothing
    else.  ``report`` is told the number of finished leaves.  On KeyboardInterrupt the threads are stopped through
    ``stop[0]`` before it goes on.
    """
    num_threads = min(num_threads, leaves)
    here = ALONE_SECONDS if num_threads == 1 else SERIAL_SECONDS
    if seconds is not None and seconds < here and report is None:
        call(0, leaves)
        return
    turn = 1 if not seconds else max(1, min(leaves // num_threads, int(leaves * TURN_SECONDS / seconds)))
    turns = itertools.count()  # next() on it is atomic
    finished = [0] * num_threads
    changed, enough = threading.Event(), threading.Event()

    def work(which):
        for k in turns:
            first = k * turn
            if first >= leaves or stop[0] or enough.is_set():
                return
            last = min(first + turn, leaves)
            if call(first, last):
                enough.set()
            finished[which] += last - first
            changed.set()

    try:
        executor = _threads(num_threads)
        futures = [executor.submit(work, which) for which in range(num_threads)]
    except RuntimeError:  # no threads can be started, as when the interpreter is shutting down
        call(0, leaves)
        return
    try:
        if report is not None:
            while not all(f.done() for f in futures):
                if changed.wait(0.1):
                    changed.clear()
                report(sum(finished))
        wait(futures)
    except BaseException:
        stop[0] = 1
        wait(futures)
        raise
    for future in futures:
        future.result()
    if report is not None:
        report(sum(finished))
