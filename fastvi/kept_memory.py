"""Memory of large arrays, used again once nobody holds them: the system clears fresh pages one by one, which takes
longer than what is computed into them."""

import collections
import math
import os
import threading

import numpy as np

LEAST, MOST = 2**20, 2**28  # bytes of an array that is worth it, and of all that is kept
SPARE = 2  # how many times larger a block may be than what it is used for

blocks: list[np.ndarray] = []  # free ones; who holds the lock alone changes it
given_back: collections.deque[np.ndarray] = collections.deque()  # to be taken into ``blocks``
lock = threading.Lock()


class Loan:
    """A block while arrays hold it."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...]) -> None:
        self.block = block
        where = block.__array_interface__["data"]
        self.__array_interface__ = {"version": 3, "typestr": "<f8", "data": where, "shape": shape}

    def __del__(self, kept=blocks, back=given_back, most=MOST) -> None:
        # at any moment, in the middle of ``empty`` and at the end of the interpreter too, when the names of modules are
        # gone: no lock, and what cannot be counted because another thread changes it is not kept
        try:
            if sum(block.nbytes for block in (*kept, *back, self.block)) <= most:
                back.append(self.block)
        except Exception:
            return


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """An array of float64 with anything in it, as ``numpy.empty``."""
    size = math.prod(shape)
    if not LEAST <= 8 * size <= MOST // SPARE:
        return np.empty(shape)
    with lock:
        while given_back:
            blocks.append(given_back.popleft())
        fitting = [k for k, block in enumerate(blocks) if size <= block.size <= SPARE * size]
        block = blocks.pop(min(fitting, key=lambda k: blocks[k].size)) if fitting else np.empty(size)
    return np.asarray(Loan(block, shape))


def forget() -> None:
    """Keep nothing, and no lock that another thread held at a fork."""
    global lock
    lock = threading.Lock()
    blocks.clear()
    given_back.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
