"""Coordinate ascent on a quadratic surrogate of log w in the factors' scores: sweeps that cost no evaluations.

With f = c0 + sum c_j' w_j + sum w_j' T_jk w_k in whitened scores of q_0, w = L^-1 (t - mu_0), the best factor j given
the others has eta_j = eta_0j + L_j^-T (c_j + sum_k T_jk E[w_k]) (Bishop 2006, equation 10.9), exactly where log p is
such a form: Ising models, conjugate models with pair interactions.  Moves x of point masses come after the scores, as
one factor whose log w bends by -|x|^2 / 2.
"""

from typing import Any, NamedTuple

import numpy as np

SWEEPS, SETTLED = 1000, 1e-12
ASTRAY = 1e-2  # what still moves after all sweeps, where nothing is near, rather than nearing it slowly


class Ascents(NamedTuple):
    """Where ascents from several starts ended: natural parameters of each block, (starts, count, width), the ELBO that
    the surrogate gives each, (starts,), whether its steps were held back at the end or never settled, (starts,), and
    the moves of point masses, (starts, points)."""

    natural: list[np.ndarray]
    elbo: np.ndarray
    held: np.ndarray
    moves: np.ndarray

    def member(self, q: Any, which: int) -> Any:
        """The q of one of the ends, with the point masses of q"""
        return q.with_blocks([b.with_natural(n[which]) for b, n in zip(q.blocks, self.natural, strict=True)])


def ascend(q, surrogate, starts: list, step: float = 1.0, cap: float | None = None) -> Ascents:
    """Sweeps from each of ``starts``, members of q's family, until nothing moves.

    ``step`` is the share of the way from q that each factor goes, ``cap`` how far at most in its whitened scores.
    """
    blocks, many = q.blocks, len(starts)
    whence = [[b.natural if b.is_point else start.blocks[k].natural for start in starts] for k, b in enumerate(blocks)]
    natural = [np.stack(each) for each in whence]
    roots = [block.root for block in blocks]
    inverse = [np.linalg.inv(root) for root in roots]
    linear, pairs = surrogate.linear, surrogate.pairs
    expected, held = np.zeros((many, len(linear))), np.zeros(many, bool)

    def update(k, j, own):
        new = blocks[k].with_natural(natural[k][:, j])
        expected[:, own] = (new.mean_statistics - blocks[k].mean_statistics[j]) @ inverse[k][j].T

    factors, first = [], 0
    for k, block in enumerate(blocks):
        for j in range(0 if block.is_point else block.count):
            factors.append((k, j, slice(first, first + block.width)))
            first += block.width
            update(*factors[-1])
    before, points = [block.natural for block in blocks], slice(first, len(linear))

    def uphill(own):
        h = np.broadcast_to(linear[own], (many, own.stop - own.start))
        return h if pairs is None else h + expected @ pairs[:, own]

    def capped(h):
        size = np.max(np.abs(h), axis=1)
        return h * np.minimum(1.0, cap / np.maximum(size, 1e-300))[:, None], size > cap

    for _ in range(SWEEPS):
        moved, held = np.zeros(many), np.zeros(many, bool)
        for k, j, own in factors:
            h = uphill(own)
            if cap is not None:
                h, more = capped(h)
                held |= more
            found = blocks[k].held(before[k][j], before[k][j] + step * (h @ inverse[k][j]))
            moved = np.maximum(moved, np.max(np.abs(found - natural[k][:, j]) / (1.0 + np.abs(found)), axis=1))
            natural[k][:, j] = found
            update(k, j, own)
        if points.stop > points.start:
            h = uphill(points)
            if cap is not None:
                h, more = capped(h)
                held |= more
            moved = np.maximum(moved, np.max(np.abs(step * h - expected[:, points]), axis=1))
            expected[:, points] = step * h
        if not np.any(moved > SETTLED):
            break
    else:
        held |= moved > ASTRAY  # the surrogate has no maximum: with point masses it need not bend down
    value = surrogate.constant + expected @ linear
    if pairs is not None:
        value = value + 0.5 * np.sum((expected @ pairs) * expected, axis=1)
    value = value - 0.5 * np.sum(expected[:, points] ** 2, axis=1)
    for k, j, _ in factors:
        old = blocks[k].with_natural(np.broadcast_to(before[k][j], (many, blocks[k].width)))
        value = value - blocks[k].with_natural(natural[k][:, j]).kl_each(old)
    return Ascents(natural, np.where(np.isfinite(value), value, -np.inf), held, expected[:, points])
