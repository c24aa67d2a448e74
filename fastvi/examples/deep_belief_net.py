"""A deep belief net of binarised digits, layer by layer, where every log p is known exactly.

A restricted Boltzmann machine (Smolensky 1986) of 64 pixels x and 16 units h, p(x, h) in proportion to
exp(b'x + c'h + h'W x), learns by persistent contrastive divergence (Tieleman 2008); sums over all 2^16 states of h
give its log Z and log p(x).  Its p(h | x) is a product of Bernoullis, so ``elbo`` with that q has log p(x) at every
draw.  A second machine in place of p(h) makes it a deep belief net (Hinton, Osindero and Teh 2006): one that starts as
the first turned over changes nothing, and learning from draws of h raises the ELBO of that q.  ``elbo`` tells by how
much, the sums over h what the ELBO is below log p(x), and ``fit`` how much of that a q of its own for an image brings
back.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from ..estimators.elbo import elbo
from ..families.bernoulli import Bernoulli
from ..fitting.fit import fit
from ..results import Estimate, with_error
from ..targets.target import Target
from .binary import drawn, states
from .digits import PIXELS, digits, log_odds, mean, mosaic
from .drawn import REVERSE, Drawn

UNITS, CHAINS = 16, 100
RATE, MOMENTUM, DECAY = 0.05, 0.5, 1e-4
STEPS, STEPS_ABOVE, COPIES = 40_000, 30_000, 5  # of contrastive divergence; draws of h from a training image
FITTED = 20  # held-out images that get a q of their own


def softplus(x):
    return np.logaddexp(0.0, x)


class Machine:
    """W (hidden, visible), b of what is visible, c of what is hidden."""

    def __init__(self, W: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        self.W, self.b, self.c = W.copy(), b.copy(), c.copy()

    def logits(self, v: np.ndarray) -> np.ndarray:
        """Of hidden units given visible ones (n, visible)"""
        return v @ self.W.T + self.c

    def turned_over(self) -> "Machine":
        """The same with visible for hidden"""
        return Machine(self.W.T, self.c, self.b)

    def log_marginal(self, v: np.ndarray) -> np.ndarray:
        """log p(v) + log Z"""
        return v @ self.b + softplus(self.logits(v)).sum(axis=1)

    def log_z(self) -> float:
        """By all 2^16 states of the smaller layer"""
        small = self if len(self.b) == UNITS else self.turned_over()
        return float(np.logaddexp.reduce(small.log_marginal(states(UNITS))))

    def learn(self, data: np.ndarray, steps: int, random: np.random.Generator) -> None:
        """Persistent contrastive divergence with momentum, in steps that fall to 0."""
        chains = data[random.integers(len(data), size=CHAINS)]
        moves = [np.zeros_like(p) for p in (self.W, self.b, self.c)]
        for step in range(steps):
            own = data[random.integers(len(data), size=CHAINS)]
            hidden = drawn(self.logits(chains), random)
            chains = drawn(hidden @ self.W + self.b, random)
            awake, asleep = expit(self.logits(own)), expit(self.logits(chains))
            slopes = awake.T @ own - asleep.T @ chains, (own - chains).sum(axis=0), (awake - asleep).sum(axis=0)
            for p, move, slope in zip((self.W, self.b, self.c), moves, slopes, strict=True):
                move *= MOMENTUM
                move += RATE * (1.0 - step / steps) * (slope / CHAINS - (DECAY * p if p is self.W else 0.0))
                p += move


def log_density(h, W, b, V, d, e, log_z, X):
    """log p(x, h) of some images, summed: x given h, and h by a machine above with weights V and log Z"""
    total = 0.0
    for n in range(X.shape[0]):
        own = h[16 * n : 16 * n + 16]
        logits = own @ W + b
        total += np.sum(X[n] * logits - np.logaddexp(0.0, logits))
        total += np.dot(d, own) + np.sum(np.logaddexp(0.0, V @ own + e)) - log_z
    return total


class Net:
    """A machine of pixels and one above it."""

    def __init__(self, below: Machine, above: Machine, num_threads: int | None = None) -> None:
        self.below, self.above, self.log_z, self.num_threads = below, above, above.log_z(), num_threads

    def exact(self, x: np.ndarray) -> np.ndarray:
        """log p(x) of each image"""
        h = states(UNITS)
        logits = h @ self.below.W + self.below.b
        prior = self.above.log_marginal(h) - self.log_z - softplus(logits).sum(axis=1)
        blocks = np.array_split(x, -(-len(x) // 32))
        return np.concatenate([np.logaddexp.reduce(block @ logits.T + prior, axis=1) for block in blocks])

    def problem(self, x: np.ndarray) -> tuple[Target, Bernoulli]:
        """log p of these images and the units h of each, and p(h | x) of the machine below as q"""
        data = self.below.W, self.below.b, self.above.W, self.above.b, self.above.c, self.log_z, x
        return Target(log_density, UNITS * len(x), data, name="deep belief net"), Bernoulli(
            logits=self.below.logits(x).ravel()
        )

    def elbo(self, x: np.ndarray, num_samples: int, rng: Any = 0) -> Estimate:
        """Of all these images together"""
        options: Any = dict(estimator="plain", rng=rng, num_threads=self.num_threads)
        return elbo(*self.problem(x), num_samples, **options)

    def gaps(self, x: np.ndarray, rng: Any = 0) -> np.ndarray:
        """log p(x) - ELBO of each image, by the machine's q and by the best of its family: (images, 2)"""
        options: Any = dict(rng=rng, num_threads=self.num_threads)
        found = []
        for image in x:
            target, q = self.problem(image[None])
            found.append((elbo(target, q, 20_000, **options).value, fit(target, q, **options).elbo.value))
        return self.exact(x)[:, None] - np.array(found)

    def dream(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Exact draws of x: h by its probabilities, x given h"""
        h = states(UNITS)
        p = np.exp(self.above.log_marginal(h) - self.log_z)
        chosen = h[random.choice(len(h), size=count, p=p / p.sum())]
        return drawn(chosen @ self.below.W + self.below.b, random)


class Outcome(NamedTuple):
    """Of held-out images: exact log p(x) of the machine and of the net, ELBOs of both, and what single ones lack."""

    machine: np.ndarray
    net: np.ndarray
    elbos: tuple[Estimate, Estimate]
    gaps: np.ndarray


def learnt(bits: np.ndarray, steps: int, random: np.random.Generator) -> Machine:
    """A machine of these images"""
    machine = Machine(0.05 * random.normal(size=(UNITS, PIXELS)), log_odds(bits), np.zeros(UNITS))
    machine.learn(bits, steps, random)
    return machine


def trained(rng: Any = 0, steps=(STEPS, STEPS_ABOVE), num_threads: int | None = None) -> tuple[Net, Net]:
    """The net whose upper machine is the lower one turned over, and the one that has learnt"""
    random, (training, _) = np.random.default_rng(rng), digits()
    below = learnt(training.bits, steps[0], random)
    first = Net(below, below.turned_over(), num_threads)
    above = below.turned_over()
    logits = below.logits(np.repeat(training.bits, COPIES, axis=0))
    above.learn(drawn(logits, random), steps[1], random)
    return first, Net(below, above, num_threads)


def solve(num_samples: int, rng: Any = 0, num_threads: int | None = None, steps=(STEPS, STEPS_ABOVE), images=FITTED):
    """Train both layers and judge them on held-out images."""
    first, net = trained(rng, steps, num_threads)
    held = digits()[1].bits
    elbos = first.elbo(held, num_samples, rng), net.elbo(held, num_samples, rng)
    return Outcome(first.exact(held), net.exact(held), elbos, net.gaps(held[:images], rng))


def report(num_samples: int = 20_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples deep_belief_net`` prints"""
    found = solve(num_samples, rng, num_threads)
    n, (first, second) = len(found.machine), found.elbos
    shown = [with_error(e.value / n, e.standard_error / n) for e in found.elbos]
    lines = [
        (f"nats an image of {n} held out, exact, ± over images", ""),
        ("log p(x) of the machine", mean(found.machine)),
        ("log p(x) of the net of two", mean(found.net)),
        ("  gained, paired", mean(found.net - found.machine)),
        ("by elbo, ± over draws", ""),
        ("ELBO of the machine turned over", shown[0]),
        ("  less the exact log p(x)", f"{first.value / n - found.machine.mean():.1e}"),
        ("ELBO of the net", shown[1]),
        ("  gained", with_error((second.value - first.value) / n, second.standard_error / n)),
        (f"log p(x) - ELBO of {len(found.gaps)} images, q by the machine", mean(found.gaps[:, 0])),
        ("  q by fit", mean(found.gaps[:, 1])),
        ("  least of all, which must not be below 0", f"{found.gaps.min():.4f}"),
    ]
    return "\n".join(f"{name:<52}{value}" for name, value in lines)


def draw(axes) -> Drawn:
    """The units' weights, and draws of the net beside held-out images, on a figure of the gallery."""
    random, side = np.random.default_rng(0), 12
    _, net = trained(0, (10_000, 8_000))
    held = digits()[1].bits
    W = net.below.W
    axes[0].imshow(mosaic(W / np.abs(W).max(axis=1, keepdims=True), 4), cmap="RdBu", vmin=-1.0, vmax=1.0)
    axes[0].set_title("weights of the 16 units")
    axes[1].imshow(mosaic(np.concatenate([net.dream(5 * side, random), held[: 5 * side]]), side), cmap="Greys")
    axes[1].axhline(49.5, color=REVERSE, lw=2)
    axes[1].set_title("draws of the net, above held-out images")
    for ax in axes:
        ax.set_axis_off()
    gaps = net.gaps(held[:8])
    rows = ("q by the machine", mean(gaps[:, 0])), ("q by fit", mean(gaps[:, 1]))
    return Drawn(
        "A deep belief net 64-16-64 after 10,000 and 8,000 steps of contrastive divergence. Its log p(x) is exact, so "
        "what ELBOs lack is known, by the lower machine's q and by one of its own for each of eight held-out images.",
        [("log p(x) - ELBO", "nats an image, ± over images"), *rows],
    )
