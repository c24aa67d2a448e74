"""Ctrl-C, and the garbage collector, while something is compiled."""

import contextlib
import gc
import signal
import threading


@contextlib.contextmanager
def compiling():
    """Let Ctrl-C and the garbage collector wait for the end of this block.

    Numba makes so many objects, hardly any of them garbage, that looking through them takes a tenth of its time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with held_back():
            yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def held_back():
    """Let Ctrl-C wait for the end of this block.

    Numba fills its registries as it compiles and imports; a KeyboardInterrupt in the middle would leave them half
    filled, and functions "not available" for as long as the process lives.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous) or previous is _remember:
        yield
        return
    _caught.clear()
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if _caught:
            previous(*_caught[-1])


_caught: list = []  # of the main thread, the only one that signals reach


def _remember(number, frame):
    _caught.append((number, frame))
