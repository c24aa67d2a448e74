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

    means = [block.mean_statistics for block in blocks]

    def update(k, j, own):
        new = blocks[k].with_natural(natural[k][:, j].reshape(-1, blocks[k].width))
        away = new.mean_statistics.reshape(many, -1, blocks[k].width) - means[k][j]
        expected[:, own] = np.einsum("jab,mjb->mja", inverse[k][j], away).reshape(many, -1)

    factors = list(together(blocks, pairs))
    for each in factors:
        update(*each)
    first = sum(block.count * block.width for block in blocks if not block.is_point)
    before, points = [block.natural for block in blocks], slice(first, len(linear))

    def uphill(own):
        h = np.broadcast_to(linear[own], (many, own.stop - own.start))
        return h if pairs is None else h + expected @ pairs[:, own]

    def capped(h):
        size = np.max(np.abs(h), axis=-1)
        return h * np.minimum(1.0, cap / np.maximum(size, 1e-300))[..., None], (size > cap).reshape(many, -1).any(
            axis=1
        )

    for _ in range(SWEEPS):
        moved, held = np.zeros(many), np.zeros(many, bool)
        for k, j, own in factors:
            h = uphill(own).reshape(many, -1, blocks[k].width)
            if cap is not None:
                h, more = capped(h)
                held |= more
            new = before[k][j] + step * np.einsum("mja,jab->mjb", h, inverse[k][j])
            old = np.broadcast_to(before[k][j], new.shape)
            found = blocks[k].held(*(each.reshape(-1, blocks[k].width) for each in (old, new))).reshape(new.shape)
            change = np.abs(found - natural[k][:, j]) / (1.0 + np.abs(found))
            moved = np.maximum(moved, np.max(change, axis=(1, 2)))
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
        shape = natural[k][:, j].shape
        new, old = (np.broadcast_to(each, shape).reshape(-1, shape[-1]) for each in (natural[k][:, j], before[k][j]))
        away = blocks[k].with_natural(new).kl_each(blocks[k].with_natural(old))
        value = value - np.sum(away.reshape(many, -1), axis=1)
    return Ascents(natural, np.where(np.isfinite(value), value, -np.inf), held, expected[:, points])


def together(blocks, pairs):
    """(block, which of its factors, their scores) in the order of a sweep: all of a block at once where none depends on
    another of them, as those of a mixture, and else one after the other."""
    first = 0
    for k, block in enumerate(blocks):
        if block.is_point:
            continue
        last = first + block.count * block.width
        apart = pairs is not None and np.any(pairs[first:last, first:last])
        size = 1 if apart else block.count
        for j in range(0, block.count, size):
            yield k, slice(j, j + size), slice(first + j * block.width, first + (j + size) * block.width)
        first = last
