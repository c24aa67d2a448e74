"""Pairs of scores of a discrete factor a and a continuous one b, from slopes in z_b at each state of z_a.

The coefficient of w_as w_bt is E[log p w_as w_bt] = sum_v q(v) w_as(v) E[log p w_bt | z_a = v].  What log p at a state
has of the scores of b shows in its slope in z_b, so the sum over states of slopes is made of dw_b / dz_b, by least
squares over draws of the others: without error where z_b given z_a is conjugate to the rest, as in mixtures.  Nothing
is asked of log p between the values of z_a.
"""

from typing import Any

import numpy as np


def told(q: Any) -> bool:
    """Whether there are such pairs"""
    return any(block.is_finite for block in q.blocks) and any(is_continuous(block) for block in q.blocks)


def is_continuous(block) -> bool:
    return block.has_paths and not block.is_point


class StatePairs:
    """Those of the factors of q, from slopes (moves, dim) where blocks with these numbers are moved to their states,
    (values, count) each."""

    def __init__(self, q: Any, of_states: list[tuple[int, np.ndarray]]) -> None:
        self.q = q
        self.parts: list[tuple[np.ndarray, np.ndarray]] = []
        self.found: list[np.ndarray] = []
        scores = [np.empty(0, int)]
        for number, moves in of_states:
            values, probabilities = q.blocks[number].states
            self.parts.append((moves, probabilities[:, :, None] * q.blocks[number].whitened(values)))
            scores.append(np.arange(q.score_spots[number].start, q.score_spots[number].stop))
        self.scores = np.concatenate(scores)

    def add(self, slopes: np.ndarray) -> None:
        """Those about a further draw, summed over states with their weights, (scores, dim)"""
        if len(self.scores):
            each = [np.einsum("vcw,vcd->cwd", weights, slopes[moves]) for moves, weights in self.parts]
            self.found.append(np.concatenate([one.reshape(-1, slopes.shape[1]) for one in each]))

    def write(self, z: np.ndarray, pairs: np.ndarray) -> None:
        """Into T (scores, scores), of the draws z that slopes were added of"""
        if not len(self.scores):
            return
        sums = np.stack(self.found)
        for block, spot, scores in zip(self.q.blocks, self.q.spots, self.q.score_spots, strict=True):
            if not is_continuous(block):
                continue
            basis, slopes = block.whitened_slopes(z[:, spot]), sums[:, :, spot]
            entries = basis.shape[2]
            slopes = slopes.reshape(*slopes.shape[:2], block.count, entries)
            if block.support == "simplex":  # no slope but along it
                basis, slopes = (x - np.mean(x, axis=axis, keepdims=True) for x, axis in ((basis, 2), (slopes, 3)))
            basis = np.moveaxis(basis, 1, 0).reshape(block.count, -1, block.width)
            slopes = np.moveaxis(slopes, 2, 0).swapaxes(2, 3).reshape(block.count, -1, len(self.scores))
            if not (np.isfinite(basis).all() and np.isfinite(slopes).all()):
                pairs[:] = np.nan
                return
            of_each = np.moveaxis(np.linalg.pinv(basis) @ slopes, 2, 0).reshape(len(self.scores), -1)
            pairs[self.scores, scores] = of_each
            pairs[scores, self.scores] = of_each.T
