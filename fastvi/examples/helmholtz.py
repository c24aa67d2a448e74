"""A Helmholtz machine of binarised digits: wake-sleep beside score-function gradients, where log p is known exactly.

A sigmoid belief net (Neal 1992): 8 units h2 ~ Bernoulli(a), 12 units h1 with logits U h2 + c, 64 pixels x with logits
W h1 + b; q(h | x) has 20 factors with logits R x + r.  All 2^20 states can be added up, which gives log p(x).
Wake-sleep (Hinton, Dayan, Frey and Neal 1995) learns from draws of q and of p in turn, reweighted wake-sleep
(Bornschein and Bengio 2015) from draws of q weighted by p over q, both in NumPy.  The third way climbs the ELBO by
``elbo_gradient``: leave-one-out for the logits, and the net's parameters as point masses.  Each evaluates log p(x, h)
two million times.  In the end q's of single held-out images are fitted by ``fit``, which tells what the encoder loses
(Cremer, Li and Duvenaud 2018).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from ..estimators.elbo import elbo
from ..estimators.gradient import elbo_gradient
from ..families.bernoulli import Bernoulli
from ..families.delta import Delta
from ..families.product import Product
from ..fitting.fit import fit
from ..targets.target import Target
from .adam import Adam, parts
from .binary import drawn, states
from .digits import PIXELS, digits, log_odds, mean, mosaic
from .drawn import FORWARD, GREY, REVERSE, Drawn

MIDDLE, TOP = 12, 8
UNITS = MIDDLE + TOP
SHAPES = (TOP,), (MIDDLE, TOP), (MIDDLE,), (PIXELS, MIDDLE), (PIXELS,)
BATCH, DRAWS, RATE, STEPS = 20, 32, 0.04, 3000  # images and draws of a step by score functions
SLEEP_BATCH, SLEEP_RATE, SLEEP_STEPS = 100, 0.02, 10_000
WEIGHTED = 4  # draws of q for each image of a reweighted step, of half as many images
STARTS, FITTED = 3, 20  # held-out images that get a q of their own


def bernoulli(x, logits):
    return np.sum(x * logits - np.logaddexp(0.0, logits))


def log_density(h, a, U, c, W, b, X):
    """log p(x, h) of some images, summed; h holds the middle and the top units of each."""
    total = 0.0
    for n in range(X.shape[0]):
        middle, top = h[20 * n : 20 * n + 12], h[20 * n + 12 : 20 * n + 20]
        total += bernoulli(top, a) + bernoulli(middle, U @ top + c) + bernoulli(X[n], W @ middle + b)
    return total


class Machine:
    """The net and its encoder, in one flat vector."""

    def __init__(self, rng: Any = 0, num_threads: int | None = None) -> None:
        self.random, self.num_threads = np.random.default_rng(rng), num_threads
        training, self.held = (images.bits for images in digits())
        self.training = training
        shapes = (*SHAPES, (UNITS, PIXELS), (UNITS,))
        drawn = [0.1 * self.random.normal(size=s) if len(s) > 1 else np.zeros(s) for s in shapes]
        drawn[4] = log_odds(training)
        self.flat = np.concatenate([part.ravel() for part in drawn])
        *self.net, self.R, self.r = parts(self.flat, shapes)

    def exact(self, x: np.ndarray) -> np.ndarray:
        """log p(x) of each image: a sum over all 2^8 states of the top units for each of 2^12 of the middle ones."""
        a, U, c, W, b = self.net
        middle, top = states(MIDDLE), states(TOP)
        logits = top @ U.T + c
        joint = middle @ logits.T + (top @ a - np.logaddexp(0.0, a).sum() - np.logaddexp(0.0, logits).sum(axis=1))
        pixels = middle @ W.T + b
        prior = np.logaddexp.reduce(joint, axis=1) - np.logaddexp(0.0, pixels).sum(axis=1)
        blocks = np.array_split(x, -(-len(x) // 64))
        return np.concatenate([np.logaddexp.reduce(block @ pixels.T + prior, axis=1) for block in blocks])

    def dream(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exact draws of the net: (top, middle, x)"""
        a, U, c, W, b = self.net
        top = self.drawn(np.broadcast_to(a, (count, TOP)))
        middle = self.drawn(top @ U.T + c)
        return top, middle, self.drawn(middle @ W.T + b)

    def drawn(self, logits: np.ndarray) -> np.ndarray:
        return drawn(logits, self.random)

    def of_net(self, x: np.ndarray, h: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
        """The gradient of log p(x, h) by the net's parameters, of rows with weights (n, 1)"""
        a, U, c, W, b = self.net
        middle, top = h[:, :MIDDLE], h[:, MIDDLE:]
        by_top, by_middle = weights * (top - expit(a)), weights * (middle - expit(top @ U.T + c))
        by_x = weights * (x - expit(middle @ W.T + b))
        return [by_top.sum(axis=0), by_middle.T @ top, by_middle.sum(axis=0), by_x.T @ middle, by_x.sum(axis=0)]

    def of_encoder(self, x: np.ndarray, h: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
        """That of log q(h | x) by the encoder's"""
        by_h = weights * (h - expit(x @ self.R.T + self.r))
        return [by_h.T @ x, by_h.sum(axis=0)]

    def wake_sleep(self) -> np.ndarray:
        """A direction: of log p(x, h) in the net for h of q, of log q(h | x) in the encoder for x and h of the net."""
        x = self.training[self.random.integers(len(self.training), size=SLEEP_BATCH)]
        once = np.ones((SLEEP_BATCH, 1))
        of_net = self.of_net(x, self.drawn(x @ self.R.T + self.r), once)
        top, middle, x = self.dream(SLEEP_BATCH)
        of_encoder = self.of_encoder(x, np.concatenate([middle, top], axis=1), once)
        return np.concatenate([g.ravel() for g in (*of_net, *of_encoder)]) / SLEEP_BATCH

    def reweighted(self) -> np.ndarray:
        """A direction: of log p(x, h) and log q(h | x) for h of q, weighted to add up to 1, and half of sleep's."""
        some = SLEEP_BATCH // 2
        x = np.repeat(self.training[self.random.integers(len(self.training), size=some)], WEIGHTED, axis=0)
        logits = x @ self.R.T + self.r
        h = self.drawn(logits)
        log_w = self.joint(x, h) - np.sum(h * logits - np.logaddexp(0.0, logits), axis=1)
        weights = softmax(log_w.reshape(some, WEIGHTED), axis=1).reshape(-1, 1)
        of_net, awake = self.of_net(x, h, weights), self.of_encoder(x, h, weights)
        top, middle, x = self.dream(some)
        asleep = self.of_encoder(x, np.concatenate([middle, top], axis=1), np.ones((some, 1)))
        both = [0.5 * (one + other) for one, other in zip(awake, asleep, strict=True)]
        return np.concatenate([g.ravel() for g in (*of_net, *both)]) / some

    def joint(self, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """log p(x, h) of each row"""
        a, U, c, W, b = self.net
        middle, top = h[:, :MIDDLE], h[:, MIDDLE:]
        pairs = (top, a), (middle, top @ U.T + c), (x, middle @ W.T + b)
        return sum(np.sum(s * logits - np.logaddexp(0.0, logits), axis=1) for s, logits in pairs)

    def q(self, x: np.ndarray) -> Product:
        """q of the units of all these images, and the net's parameters as point masses."""
        masses = {name: Delta(part) for name, part in zip("aUcWb", self.net, strict=True)}
        return Product(h=Bernoulli(logits=(x @ self.R.T + self.r).ravel()), **masses)

    def slope(self, target: Target, draws: int = DRAWS) -> np.ndarray:
        """The gradient of the mean ELBO of the target's images by net and encoder, with q as one product for all of
        them: of leave-one-out the baselines are shared, which more draws make up for, and one call serves all."""
        (x,) = target.data
        options: Any = dict(estimator="leave_one_out", rng=self.random, num_threads=self.num_threads)
        found = elbo_gradient(target, self.q(x), draws, **options).gradient
        by_logits, of_net = found[: UNITS * len(x)].reshape(-1, UNITS), found[UNITS * len(x) :]
        return np.concatenate([of_net, (by_logits.T @ x).ravel(), by_logits.sum(axis=0)]) / len(x)

    def sleep(self, steps: int = SLEEP_STEPS, weighted: bool = False) -> None:
        """Wake-sleep, by Adam."""
        ascent = Adam(SLEEP_RATE, steps)
        for _ in range(steps):
            ascent.climb(self.flat, self.reweighted() if weighted else self.wake_sleep())

    def climb(self, steps: int = STEPS) -> None:
        """Score functions, by Adam."""
        ascent, x = Adam(RATE, steps), self.training[:BATCH].copy()
        target = Target(log_density, self.q(x).latents, (x,), name="belief net")
        for _ in range(steps):
            x[:] = self.training[self.random.integers(len(self.training), size=BATCH)]  # data are read at each call
            ascent.climb(self.flat, self.slope(target))

    def gaps(self, x: np.ndarray, draws: int) -> np.ndarray:
        """log p(x) - ELBO of each image, by the encoder's q and by the best of its family: (images, 2)"""
        found = []
        options: Any = dict(rng=self.random, num_threads=self.num_threads)
        for image in x:
            target = Target(log_density, UNITS, (*self.net, image[None]), name="image")
            q = Bernoulli(logits=self.R @ image + self.r)
            found.append((elbo(target, q, draws, **options).value, fit(target, q, **options).elbo.value))
        return self.exact(x)[:, None] - np.array(found)


class Outcome(NamedTuple):
    """Held-out log p(x) of each image, exact, of the machines by wake-sleep, as it is and reweighted, and by score
    functions; and, of the latter, what ELBOs are below it: by the encoder's q and by q's that are fitted."""

    asleep: np.ndarray
    reweighted: np.ndarray
    climbed: np.ndarray
    gaps: np.ndarray


def solve(
    num_samples: int,
    rng: Any = 0,
    num_threads: int | None = None,
    steps: tuple[int, int] = (SLEEP_STEPS, STEPS),
    images: int = FITTED,
) -> Outcome:
    """Train three machines from one start, and fit q's of some held-out images."""
    machines = [Machine(rng, num_threads) for _ in range(3)]
    machines[0].sleep(steps[0])
    machines[1].sleep(steps[0], weighted=True)
    machines[2].climb(steps[1])
    gaps = machines[2].gaps(machines[2].held[:images], max(2, num_samples // images))
    asleep, reweighted, climbed = (machine.exact(machine.held) for machine in machines)
    return Outcome(asleep, reweighted, climbed, gaps)


def report(num_samples: int = 60_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples helmholtz`` prints; the encoders' ELBOs are of so many draws together."""
    starts = np.random.SeedSequence(rng).spawn(STARTS)
    found = [solve(num_samples // STARTS, start, num_threads) for start in starts]
    gaps = np.concatenate([outcome.gaps for outcome in found])
    lines = [
        (f"nats a held-out image, ± over images; {STARTS} starts", ""),
        (f"log p(x) by {SLEEP_STEPS:,} steps of wake-sleep", ", ".join(mean(outcome.asleep) for outcome in found)),
        ("  of reweighted wake-sleep", ", ".join(mean(outcome.reweighted) for outcome in found)),
        (f"log p(x) by {STEPS:,} steps of elbo_gradient", ", ".join(mean(outcome.climbed) for outcome in found)),
        (f"log p(x) - ELBO of {len(gaps)} images, q by the encoder", mean(gaps[:, 0])),
        ("  q by fit", mean(gaps[:, 1])),
        ("  least of all, which must not be below 0", f"{gaps.min():.4f}"),
    ]
    return "\n".join(f"{name:<48}{value}" for name, value in lines)


def draw(axes) -> Drawn:
    """Dreams of the net beside data, and what the encoder's ELBOs lack, on a figure of the gallery."""
    machine, side = Machine(), 12
    machine.climb(500)
    shown = np.concatenate([machine.dream(5 * side)[2], machine.held[: 5 * side]])
    axes[0].imshow(mosaic(shown, side), cmap="Greys")
    axes[0].axhline(49.5, color=REVERSE, lw=2)
    axes[0].set_axis_off()
    axes[0].set_title("draws of the net, above held-out images")
    gaps = machine.gaps(machine.held[:16], 1000)
    most = float(gaps.max()) * 1.05
    axes[1].plot([0.0, most], [0.0, most], color=GREY)
    axes[1].plot(*gaps.T, "o", color=FORWARD)
    axes[1].set_xlabel("log p(x) - ELBO, q by the encoder (nats)")
    axes[1].set_ylabel("log p(x) - ELBO, q by fit (nats)")
    rows = ("q by the encoder", mean(gaps[:, 0])), ("q by fit", mean(gaps[:, 1]))
    return Drawn(
        "A sigmoid belief net 8-12-64 after 500 steps on gradients by elbo_gradient. Of 16 held-out images: what the "
        "encoder's ELBO is below log p(x), which is exact here, and what is left once each has a fitted q of its own.",
        [("log p(x) - ELBO", "nats an image, ± over images"), *rows],
    )
