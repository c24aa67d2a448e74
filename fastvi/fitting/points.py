"""Point masses in the fit of a product: what log w tells of a move of theta, to second order.

At draws of q the slopes d log p / d theta are followed by the scores of the other factors, g + B w, as log w is, and
H = E d2 log p / d theta2 comes from differences of slopes at some of the draws.  With -H = R R' and x = R' (theta -
theta_0) the surrogate gains x' R^-1 g + w' B R^-T x - |x|^2 / 2: theta is one more factor of the ascent, with the
scores x, and what the ascent promises is that of q and theta together (Neal and Hinton 1998, section 3).
"""

from typing import NamedTuple

import numpy as np

from ..score_surrogates import Design, ScoreSurrogate, fitted

STEP = 1e-4  # of a difference in a coordinate of theta
CURVATURE_DRAWS, MOST_EVALUATIONS, LEAST_DRAWS = 64, 4096, 8
FLATTEST, BENT = 1e-8, 1e-6  # curvatures, against the largest: the least that a step reckons with; of a saddle


class Moves(NamedTuple):
    """``linear`` (points,) and ``cross`` (points, scores) in x, ``root`` R, whether log p is concave in theta, and
    ``residuals`` of the slopes in x at the draws (n, points)."""

    linear: np.ndarray
    cross: np.ndarray
    root: np.ndarray
    concave: bool
    residuals: np.ndarray

    def coordinates(self, x: np.ndarray) -> np.ndarray:
        """Moves x (..., points) in the coordinates of theta"""
        return np.linalg.solve(self.root.T, x.T).T if x.shape[-1] else x


class Points:
    """The point masses of a product, where they are in z and what log p says of their coordinates."""

    def __init__(self, target, on, derived: bool, q) -> None:
        self.target, self.on, self.derived, self.evaluations = target, on, derived, 0
        spots = [spot for block, spot in zip(q.blocks, q.spots, strict=True) if block.is_point]
        self.rows = np.concatenate([np.arange(spot.start, spot.stop) for spot in spots])

    def parameters(self, q) -> np.ndarray:
        """The coordinates of theta, (points,)"""
        return np.concatenate([block.parameters for block in q.blocks if block.is_point])

    def moved(self, q, to: np.ndarray):
        """q with other coordinates of theta"""
        blocks, first = [], 0
        for block in q.blocks:
            if block.is_point:
                block, first = block.with_natural(to[first : first + block.count, None]), first + block.count
            blocks.append(block)
        return q.with_blocks(blocks)

    def units(self, q) -> np.ndarray:
        """d theta / d coordinates"""
        places = zip(q.path_layout[1], q.path_parameters("points"), strict=True)
        return np.array([unit for unit, own in places if own])

    def at(self, z: np.ndarray, q) -> np.ndarray:
        """z with the theta of q"""
        z = z.copy()
        z[:, self.rows] = q.mean[self.rows]
        return z

    def values_and_slopes(self, q, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p (n,) and its slopes in the coordinates of theta (n, points), by its gradient"""
        self.evaluations += len(z)
        log_p, slopes = self.on.evaluate(self.target, self.at(z, q), True)
        return log_p, slopes[:, self.rows] * self.units(q)

    def slopes(self, q, z: np.ndarray) -> np.ndarray:
        """d log p / d coordinates at draws z (n, dim) of the other factors, with the theta of q; (n, points)"""
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            if self.derived:
                return self.values_and_slopes(q, z)[1]
            return np.stack(self.differences(lambda at: self.values(at, z), q), axis=1)

    def values(self, q, z: np.ndarray) -> np.ndarray:
        self.evaluations += len(z)
        return self.on.evaluate(self.target, self.at(z, q))

    def differences(self, f, q) -> list:
        """Central differences of f(q) in each coordinate of theta"""
        here, found = self.parameters(q), []
        for k in range(len(here)):
            step = np.zeros(len(here))
            step[k] = STEP * max(1.0, abs(here[k]))
            up, down = here + step, here - step
            found.append((f(self.moved(q, up)) - f(self.moved(q, down))) / (up[k] - down[k]))
        return found

    def curvature_draws(self, n: int) -> int:
        """How many draws of n tell the curvature"""
        count = len(self.rows)
        some = min(n, max(LEAST_DRAWS, min(CURVATURE_DRAWS, MOST_EVALUATIONS // (2 * count))))
        return some if self.derived else min(some, max(LEAST_DRAWS, MOST_EVALUATIONS // (4 * count**2)))

    def moves(self, q, design: Design, z: np.ndarray, log_ratio: np.ndarray, own: np.ndarray) -> Moves | None:
        """Of draws z with log of q over what they are drawn from, and ``own`` ones of q for the curvature; None where
        slopes are not finite"""
        slopes = self.slopes(q, z)
        if not np.isfinite(slopes).all():
            return None
        fits = [fitted(design, slope, log_ratio) for slope in slopes.T]
        linear = np.array([found.constant for found, _, _ in fits])
        cross = np.array([found.linear for found, _, _ in fits])
        residuals = np.stack([left for _, left, _ in fits], axis=1)
        weights = np.full(len(own), 1.0 / len(own))
        curvature = np.array(self.differences(lambda at: weights @ self.slopes(at, own), q))
        if not np.isfinite(curvature).all():
            return None
        values, vectors = np.linalg.eigh(-0.5 * (curvature + curvature.T))
        largest = max(float(np.max(np.abs(values))), np.finfo(float).tiny)
        root = vectors * np.sqrt(np.maximum(np.abs(values), FLATTEST * largest))
        inverse = np.linalg.inv(root)
        concave = bool(np.min(values) > -BENT * largest)
        return Moves(inverse @ linear, inverse @ cross, root, concave, residuals @ inverse.T)


def joined(found: ScoreSurrogate, moves: Moves) -> ScoreSurrogate:
    """The surrogate with x among its scores, behind the others"""
    count, more = len(found.linear), len(moves.linear)
    pairs = np.zeros((count + more, count + more))
    if found.pairs is not None:
        pairs[:count, :count] = found.pairs
    pairs[count:, :count], pairs[:count, count:] = moves.cross, moves.cross.T
    return ScoreSurrogate(found.level, found.constant, np.concatenate([found.linear, moves.linear]), pairs, found.q)
