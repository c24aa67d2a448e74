"""A Boltzmann machine of digits, whose log Z is known: what mean field misses, and what less of it misses.

log p(x, h) = b'x + c'h + h'W x for 64 pixels x and 16 units h, learnt as in ``deep_belief_net``.  The ELBO of a product
of Bernoullis is a lower bound of log Z (Hinton 1989, for Boltzmann machines): over all 80 units, or over the 16 alone
with the pixels summed out, which leaves log p(h) = c'h + sum of log(1 + exp(b + W'h)).  ``fit`` climbs both from 25
starts; the first is quadratic in the units, so its fits are exact.  Sums over all 2^16 states have log Z itself.
"""

from typing import Any, NamedTuple

import numpy as np

from ..families.bernoulli import Bernoulli
from ..fitting.fit import fit
from ..fitting.result import FitResult
from ..results import with_error
from ..targets.target import Target
from .deep_belief_net import STEPS, UNITS, Machine, learnt
from .digits import PIXELS, digits, mosaic
from .drawn import Drawn

TOLERANCE = 1e-3  # nats


def all_units(s, W, b, c):
    """Of pixels and units"""
    x, h = s[:64], s[64:80]
    return np.dot(b, x) + np.dot(c, h) + np.dot(h, W @ x)


def without_pixels(h, W, b, c):
    return np.dot(c, h) + np.sum(np.logaddexp(0.0, h @ W + b))


class Outcome(NamedTuple):
    """The machine, its exact log Z, and the fits with all units and without the pixels."""

    machine: Machine
    log_z: float
    whole: FitResult
    part: FitResult


def solve(rng: Any = 0, num_threads: int | None = None, steps: int = STEPS) -> Outcome:
    """Learn a machine, and fit both q's."""
    machine = learnt(digits()[0].bits, steps, np.random.default_rng(rng))
    weights = machine.W, machine.b, machine.c
    problems = (all_units, PIXELS + UNITS), (without_pixels, UNITS)
    whole, part = (
        fit(
            Target(density, dim, weights, name="Boltzmann machine"),
            Bernoulli(logits=np.zeros(dim)),
            tolerance=TOLERANCE,
            rng=rng,
            num_threads=num_threads,
        )
        for density, dim in problems
    )
    return Outcome(machine, machine.log_z(), whole, part)


def report(num_samples: int = 0, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples boltzmann`` prints; fits choose their draws"""
    found = solve(rng, num_threads)
    nearest = "".join(str(digit) for digit in nearest_digits(found.whole))
    lines = [("log Z, exact", f"{found.log_z:.6f}")]
    for name, result in (("all 80 units", found.whole), ("16 units, pixels summed out", found.part)):
        gap = with_error(found.log_z - result.elbo.value, result.elbo.standard_error)
        lines += [(f"ELBO, {name}", f"{result.elbo.value:.6f}"), ("  below log Z", gap)]
    lines += [("digits that the first q is nearest to", nearest)]
    return "\n".join(f"{name:<40}{value}" for name, value in lines)


def nearest_digits(result: FitResult, count: int = 5) -> np.ndarray:
    """What the training images show that are most probable under q's pixels"""
    logits = result.q.logits[:PIXELS]  # type: ignore[attr-defined]
    images = digits()[0]
    return images.digit[np.argsort(-(images.bits @ logits))[:count]]


def draw(axes) -> Drawn:
    """q's pixels beside the images nearest to them, on a figure of the gallery."""
    found = solve(steps=10_000)
    pixels, images = found.whole.q.probabilities[:PIXELS], digits()[0]  # type: ignore[attr-defined]
    order = np.argsort(-(images.bits @ found.whole.q.logits[:PIXELS]))  # type: ignore[attr-defined]
    axes[0].imshow(pixels.reshape(8, 8), cmap="Greys", vmin=0.0, vmax=1.0)
    axes[0].set_title("pixels of the best q")
    axes[1].imshow(mosaic(images.bits[order[:9]], 3), cmap="Greys")
    axes[1].set_title("images nearest to it")
    for ax in axes:
        ax.set_axis_off()
    rows = [
        (name, f"{found.log_z - result.elbo.value:.3f}")
        for name, result in (("all 80 units", found.whole), ("pixels summed out", found.part))
    ]
    return Drawn(
        "The best product of Bernoullis for a Boltzmann machine of digits sits on one of its modes: one prototype of a "
        "digit. What its ELBO misses of log Z, which is exact here, is mostly the other modes.",
        [("q over", "log Z - ELBO, nats"), *rows],
    )
