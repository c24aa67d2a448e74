"""Memory of large arrays, used again once nobody holds them: the system clears fresh pages one by one, which takes
longer than what is computed into them."""

import math
import threading

import numpy as np

LEAST, MOST = 2**20, 2**28  # bytes of an array that is worth it, and of all that is kept
SPARE = 2  # how many times larger a block may be than what it is used for


class Loan:
    """A block while arrays hold it."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...]) -> None:
        self.block = block
        where = block.__array_interface__["data"]
        self.__array_interface__ = {"version": 3, "typestr": "<f8", "data": where, "shape": shape}

    def __del__(self) -> None:
        give_back(self.block)


blocks: list[np.ndarray] = []
lock = threading.RLock()  # __del__ may run in the middle of anything


def give_back(block: np.ndarray) -> None:
    """Keep a block, and drop the oldest that are too many."""
    with lock:
        blocks.append(block)
        while sum(each.nbytes for each in blocks) > MOST:
            del blocks[0]


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """An array of float64 with anything in it, as ``numpy.empty``."""
    size = math.prod(shape)
    if not LEAST <= 8 * size <= MOST // SPARE:
        return np.empty(shape)
    with lock:
        fitting = [k for k, block in enumerate(blocks) if size <= block.size <= SPARE * size]
        block = blocks.pop(min(fitting, key=lambda k: blocks[k].size)) if fitting else np.empty(size)
    return np.asarray(Loan(block, shape))
