"""Binary latents for ``factors.py``: log p of one draw for fastvi, and of draws (n, d) for an array module ``m``."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import fastvi as vi

BETA, LOG_ODDS = 0.3, -1.0


def ising(z, fields, side):
    total = 0.0
    for i in range(side):
        for j in range(side):
            below, right = z[(i + 1) % side * side + j], z[i * side + (j + 1) % side]
            total += (2.0 * z[i * side + j] - 1.0) * (fields[i, j] + 2.0 * BETA * (below + right - 1.0))
    return total


def ising_batched(m, z, fields, side):
    s = (2.0 * z - 1.0).reshape(-1, side, side)
    inside = (s[:, 1:] * s[:, :-1]).sum((1, 2)) + (s[:, :, 1:] * s[:, :, :-1]).sum((1, 2))
    around = (s[:, 0] * s[:, -1]).sum(1) + (s[:, :, 0] * s[:, :, -1]).sum(1)
    return (s * fields).sum((1, 2)) + BETA * (inside + around)


def belief_net(z, x, W, c, b):
    return np.dot(b, z) + np.sum(vi.bernoulli_logit_logpdf(x, W @ z + c))


def belief_net_batched(m, z, x, W, c, b):
    r = z @ W.T + c
    return z @ b + r @ x - (m.log1p(m.exp(-m.abs(r))) + r.clip(0.0)).sum(-1)


def selection(s, X, y, theta):
    r = y - X @ (s * theta)
    return LOG_ODDS * np.sum(s) - 0.5 * np.dot(r, r)


def selection_batched(m, s, X, y, theta):
    r = y - (s * theta) @ X.T
    return LOG_ODDS * s.sum(-1) - 0.5 * (r * r).sum(-1)


class Work(NamedTuple):
    plain: Callable
    batched: Callable
    data: tuple
    logits: np.ndarray


def workloads():
    rng, found = np.random.default_rng(0), {}
    for side in (4, 8):
        data = 0.1 * rng.normal(size=(side, side)), side
        found[f"Ising {side} x {side}"] = Work(ising, ising_batched, data, 0.7 * rng.normal(size=side * side))
    for hidden in (50, 200):
        W, x = rng.normal(size=(64, hidden)) / math.sqrt(hidden), (rng.random(64) < 0.4).astype(float)
        data = x, W, 0.5 * rng.normal(size=64), 0.5 * rng.normal(size=hidden)
        found[f"belief net, {hidden} hidden"] = Work(belief_net, belief_net_batched, data, rng.normal(size=hidden))
    for d in (12, 20):
        X, theta = rng.normal(size=(200, d)), 0.3 * rng.normal(size=d)
        y = X @ (theta * (rng.random(d) < 0.5)) + rng.normal(size=200)
        found[f"selection, 200 x {d}"] = Work(selection, selection_batched, (X, y, theta), rng.normal(size=d))
    return found
