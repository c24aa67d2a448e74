"""Pairs of scores from slopes: a quadratic surrogate where there are too many pairs for least squares.

With w_j = (z_j - E z_j) / sd_j the coefficient of w_j w_k is sd_j sd_k times how the slope of log p in z_j changes
from one value of z_k to another (of a full-rank Gaussian, z = loc + L eps, the same through L), on average over draws
of the others: discrete in k and as of real numbers in j. Least squares then has the linear terms and one factor for
all pairs to find. It is a second-order MuProp (Gu, Levine, Sutskever and Mnih 2016) whose linear part is fitted, for
log densities that mean something between the values of their latents.
"""

from functools import cached_property
from typing import Any

import numpy as np

from .score_surrogates import HESSIAN, Design, ScoreSurrogate, owners

DRAWS = 8  # of the others, over which slopes are averaged
MOVES = 2 * DRAWS  # of each factor


def moving(q: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the factors with scores that are affine in z: where they are in z, and between which values they move"""
    found: list[tuple[np.ndarray, ...]] = [(np.empty(0, int), np.empty(0), np.empty(0))]
    for block, spot in zip(q.blocks, q.spots, strict=True):
        if block.ends is not None:
            found.append((np.arange(spot.start, spot.stop), *block.ends))
    places, low, high = (np.concatenate(part) for part in zip(*found, strict=True))
    return places, low, high


def evaluations(q: Any) -> int:
    """How many gradients of log p it takes"""
    return MOVES * sum(block.size for block in q.blocks if block.ends is not None)


def tells_all(q: Any) -> bool:
    """Whether slopes tell of all pairs of factors"""
    return all(block.ends is not None or block.is_point for block in q.blocks)


def pairs(q: Any, z: np.ndarray, gradient) -> np.ndarray | None:
    """T (scores, scores), symmetric, from slopes about some draws z (n, dim); None where they are not finite"""
    places, low, high = moving(q)
    own, total = np.arange(len(places)), np.zeros((len(places),) * 2)
    for draw in z:
        points = np.repeat(draw[None], 2 * len(places), axis=0)
        points[own, places], points[len(own) + own, places] = low, high
        slopes = gradient(points)[:, places]
        total += (slopes[len(own) :] - slopes[: len(own)]) / (high - low)[:, None]
    if not np.isfinite(total).all():
        return None
    owner = owners(q)[0]
    axes, first = np.zeros((len(owner), len(places))), 0
    for block, scores in zip(q.blocks, q.score_spots, strict=True):
        if block.ends is not None:
            which, matrix = block.axes
            axes[scores.start + which, first : first + block.size] = matrix.T
            first += block.size
    found = axes @ (0.5 * (total + total.T) / len(z)) @ axes.T
    return np.where(owner[:, None] == owner, 0.0, found)


class HessianDesign(Design):
    """The whitened scores at z (n, dim), and all pairs as one column"""

    def __init__(self, q, z, pairs: np.ndarray) -> None:
        super().__init__(q, z, "linear")
        self.level, self.of_pairs = HESSIAN, pairs
        self.shape = len(z), self.shape[1] + 1

    @cached_property
    def together(self) -> np.ndarray:
        """(n,): sum over pairs of T_jk w_j w_k"""
        return 0.5 * np.sum((self.whitened @ self.of_pairs) * self.whitened, axis=1)

    def unpack(self, x) -> ScoreSurrogate:
        return ScoreSurrogate(self.level, float(x[0]), x[1:-1], x[-1] * self.of_pairs, self.q)

    def transposed_times(self, r):
        return np.append(super().transposed_times(r), self.together @ r)

    def matrices(self):
        for own, matrix in super().matrices():
            yield own, np.column_stack([matrix, self.together[own]])
