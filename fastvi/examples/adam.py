"""Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), upwards, on one flat vector."""

import math
from collections.abc import Sequence

import numpy as np


class Adam:
    """Steps of ``rate``, which falls to 0 by a cosine over ``steps``."""

    def __init__(self, rate: float, steps: int, decay: float = 0.0) -> None:
        self.rate, self.steps, self.decay, self.taken = rate, steps, decay, 0
        self.mean, self.square = np.zeros(1), np.zeros(1)

    def climb(self, parameters: np.ndarray, gradient: np.ndarray) -> None:
        """Move the parameters, in place."""
        rate = self.rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.taken / self.steps)))
        self.taken += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        scale = np.sqrt(self.square / (1.0 - 0.999**self.taken)) + 1e-8
        parameters *= 1.0 - rate * self.decay
        parameters += rate * (self.mean / (1.0 - 0.9**self.taken)) / scale


def parts(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Views of a flat vector by shape."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]
