"""Pairs of scores from slopes: a quadratic surrogate where there are too many pairs for least squares.

With w_j = (z_j - E z_j) / sd_j the coefficient of w_j w_k is sd_j sd_k times how the slope of log p in z_j changes
from one value of z_k to another (of a full-rank Gaussian, z = loc + L eps, the same through L), on average over draws
of the others: discrete in k and as of real numbers in j. Those of a discrete factor and a continuous one, of all their
scores, are told by :mod:`fastvi.state_pairs`. Least squares then has the linear terms and one factor for all pairs to
find. It is a second-order MuProp (Gu, Levine, Sutskever and Mnih 2016) whose linear part is fitted, for log densities
that mean something between the values of their latents.
"""

from functools import cached_property
from typing import Any

import numpy as np

from . import state_pairs
from .score_surrogates import HESSIAN, Design, ScoreSurrogate, owners

DRAWS = 8  # of the others, over which slopes are averaged
MOVES = 2 * DRAWS  # of each factor
MOST_SCORES = 5000  # whose pairs are 200 MB


def evaluations(q: Any) -> int:
    """How many gradients of log p it takes"""
    return DRAWS * len(Moves(q).places)


def fit_memory(q: Any) -> bool:
    """Whether the pairs do"""
    return sum(block.count * block.width for block in q.blocks) <= MOST_SCORES


def tells_all(q: Any) -> bool:
    """Whether slopes tell of all pairs of factors"""
    return all(block.ends is not None or block.is_point for block in q.blocks)


class Moves:
    """Where factors are moved to: entry ``places`` of z to ``values``, (moves,) each.

    Of those with scores that are affine in z ``affine`` are the entries, and ``low`` and ``high`` two moves of each; of
    those at their states ``of_states`` are the numbers of their blocks and of their moves, (values, count).
    """

    def __init__(self, q: Any) -> None:
        states, ends, first = state_pairs.told(q), [], 0
        self.of_states: list[tuple[int, np.ndarray]] = []
        moves: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, int), np.empty(0))]
        for number, (block, spot) in enumerate(zip(q.blocks, q.spots, strict=True)):
            values = block.states[0] if states and block.is_finite else block.ends
            if values is None:
                continue
            if states and block.is_finite:
                self.of_states.append((number, first + np.arange(values.size).reshape(values.shape)))
            entries = np.arange(spot.start, spot.stop)
            moves.append((np.tile(entries, len(values)), np.concatenate(values)))
            if block.ends is not None:
                ends.append((entries, first + np.arange(len(entries))))
            first += len(values) * len(entries)
        self.places, self.values = (np.concatenate(part) for part in zip(*moves, strict=True))
        none = np.empty(0, int), np.empty(0, int)
        self.affine, self.low = (np.concatenate(part) for part in zip(none, *ends, strict=True))
        sizes = [np.full(len(own), len(own)) for own, _ in ends]
        self.high = self.low + np.concatenate([np.empty(0, int), *sizes])

    def slopes(self, draw, gradient) -> np.ndarray:
        """Slopes of log p about a draw (dim,), (moves, dim)"""
        points = np.repeat(draw[None], len(self.places), axis=0)
        points[np.arange(len(points)), self.places] = self.values
        return gradient(points)


def pairs(q: Any, z: np.ndarray, gradient) -> np.ndarray | None:
    """T (scores, scores), symmetric, from slopes about some draws z (n, dim); None where they are not finite"""
    moves = Moves(q)
    by_states = state_pairs.StatePairs(q, moves.of_states)
    total = np.zeros((len(moves.affine),) * 2)
    for draw in z:
        slopes = moves.slopes(draw, gradient)
        changes = (slopes[moves.high] - slopes[moves.low])[:, moves.affine]
        total += changes / (moves.values[moves.high] - moves.values[moves.low])[:, None]
        by_states.add(slopes)
    owner = owners(q)[0]
    axes, first = np.zeros((len(owner), len(total))), 0
    for block, scores in zip(q.blocks, q.score_spots, strict=True):
        if block.ends is not None:
            which, matrix = block.axes
            axes[scores.start + which, first : first + block.size] = matrix.T
            first += block.size
    found = axes @ (0.5 * (total + total.T) / len(z)) @ axes.T
    by_states.write(z, found)
    return np.where(owner[:, None] == owner, 0.0, found) if np.isfinite(found).all() else None


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

    def times(self, x):
        return x[0] + self.whitened @ x[1:-1] + x[-1] * self.together

    def transposed_times(self, r):
        return np.append(super().transposed_times(r), self.together @ r)

    def matrices(self):
        for own, matrix in super().matrices():
            yield own, np.column_stack([matrix, self.together[own]])
