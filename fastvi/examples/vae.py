"""A variational autoencoder of binarised digits, its bounds beside the exact log p(x) where z has two dimensions.

z ~ N(0, I), and pixels are Bernoulli with logits W tanh(V z + c) + b; q(z | x) = N(m(x), diag s(x)²) by an encoder of
one hidden layer too (Kingma and Welling 2014).  ``elbo_batch`` gives the gradients by every q and by V, c, W and b; the
encoder takes those by its outputs on, in NumPy.  (For a decoder much larger than its 4,352 numbers here, take torch:
benchmarks/README.md.)  IWAE-K is the bound of Burda, Grosse and Salakhutdinov (2016).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from ..diagnostics.bounds import bounds
from ..estimators.batch import elbo_batch
from ..estimators.batch_estimate import BatchEstimate
from ..families.mean_field import MeanFieldGaussian
from ..targets.target import Target
from .adam import Adam, parts
from .digits import PIXELS, digits, log_odds, mean, mosaic
from .drawn import Drawn

HIDDEN, BATCH, STEPS, RATE, DECAY = 64, 100, 8000, 3e-3, 0.1
PARTICLES, GRID, EDGE = 1000, 241, 6.0  # of IWAE; points and half width of the quadrature, good to 1e-6 nat


def log_density(z, x, V, c, W, b):
    """log p(x, z)"""
    logits = W @ np.tanh(V @ z + c) + b
    return np.sum(x * logits - np.logaddexp(0.0, logits)) - 0.5 * np.dot(z, z) - 0.5 * len(z) * math.log(2.0 * math.pi)


class Held(NamedTuple):
    """Of each held-out image, in nats: ELBO, IWAE with 1000 weights, and log p(x), or None."""

    elbo: np.ndarray
    iwae: np.ndarray
    exact: np.ndarray | None


class Autoencoder:
    """Encoder A, a, B, d and decoder V, c, W, b, in one flat vector."""

    def __init__(self, latent: int, rng: Any = 0, num_threads: int | None = None) -> None:
        self.latent, self.num_threads, self.random = latent, num_threads, np.random.default_rng(rng)
        self.training, self.held = digits()
        encoder = (HIDDEN, PIXELS), (HIDDEN,), (2 * latent, HIDDEN), (2 * latent,)
        decoder = (HIDDEN, latent), (HIDDEN,), (PIXELS, HIDDEN), (PIXELS,)
        drawn = [self.random.uniform(-1.0, 1.0, s) / math.sqrt(s[-1]) for s in (*encoder, *decoder)]
        drawn[-1] = log_odds(self.training.bits)
        self.flat = np.concatenate([part.ravel() for part in drawn])
        self.A, self.a, self.B, self.d, *self.decoder = parts(self.flat, [*encoder, *decoder])
        self.target = Target(log_density, latent, (self.training.bits, *self.decoder), name="autoencoder")

    def encoded(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(hidden units, location, scale) of each image's q"""
        hidden = np.tanh(x @ self.A.T + self.a)
        loc, log_scale = np.split(hidden @ self.B.T + self.d, 2, axis=1)
        return hidden, loc, np.exp(log_scale)

    def estimate(self, x: np.ndarray, draws: int, parameters: tuple[int, ...] = ()) -> BatchEstimate:
        """ELBOs of images."""
        _, loc, scale = self.encoded(x)
        options: Any = dict(
            parameters=parameters, data=(x, *self.decoder), rng=self.random, num_threads=self.num_threads
        )
        return elbo_batch(self.target, loc, scale, draws, **options)

    def slope(self, x: np.ndarray, draws: int = 1) -> np.ndarray:
        """The gradient of the mean ELBO of these images by all parameters."""
        found = self.estimate(x, draws, (1, 2, 3, 4))
        hidden = self.encoded(x)[0]
        out = np.concatenate([found.loc_gradient, found.log_scale_gradient], axis=1)
        back = (out @ self.B) * (1.0 - hidden**2)
        by_encoder = back.T @ x, back.sum(axis=0), out.T @ hidden, out.sum(axis=0)
        return np.concatenate([g.ravel() for g in (*by_encoder, *found.parameter_gradients)]) / len(x)

    def train(self, steps: int) -> None:
        """Adam on batches of 100 images, a draw of each."""
        ascent = Adam(RATE, steps, DECAY)
        for _ in range(steps):
            rows = self.random.integers(len(self.training.bits), size=BATCH)
            ascent.climb(self.flat, self.slope(self.training.bits[rows]))

    def iwae(self, x: np.ndarray, draws: int) -> np.ndarray:
        """IWAE-1000 of each image."""
        _, locs, scales = self.encoded(x)
        found = []
        for row, loc, scale in zip(x, locs, scales, strict=True):
            target, q = Target(log_density, self.latent, (row, *self.decoder)), MeanFieldGaussian(loc, scale)
            options: Any = dict(num_particles=PARTICLES, rng=self.random, num_threads=self.num_threads)
            found.append(bounds(target, q, draws, **options).iwae[PARTICLES].value)
        return np.array(found)

    def logits(self, z: np.ndarray) -> np.ndarray:
        """Of the pixels, for each row of z."""
        V, c, W, b = self.decoder
        return np.tanh(z @ V.T + c) @ W.T + b

    def exact(self, x: np.ndarray) -> np.ndarray:
        """log p(x) of each image by quadrature over two latents."""
        points = np.linspace(-EDGE, EDGE, GRID)
        z = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
        logits = self.logits(z)
        prior = -0.5 * np.sum(z**2, axis=1) - math.log(2.0 * math.pi) + 2.0 * math.log(points[1] - points[0])
        rest = prior - np.sum(np.logaddexp(0.0, logits), axis=1)
        blocks = np.array_split(x, -(-len(x) // 32))
        return np.concatenate([np.logaddexp.reduce(block @ logits.T + rest, axis=1) for block in blocks])


def solve(net: Autoencoder, steps: int, draws: int) -> Held:
    """Train it, and judge it on held-out images by so many draws of each."""
    net.train(steps)
    x = net.held.bits
    value, bound = net.estimate(x, draws).value, net.iwae(x, max(PARTICLES, draws // PARTICLES * PARTICLES))
    return Held(value, bound, net.exact(x) if net.latent == 2 else None)


def report(num_samples: int = 359 * 2000, rng: Any = 0, num_threads: int | None = None, steps: int = STEPS) -> str:
    """What ``python -m fastvi examples vae`` prints, judged by so many draws of all images together."""
    lines = [("nats a held-out image, ± over images", "")]
    for latent in (8, 2):
        found = solve(Autoencoder(latent, rng, num_threads), steps, max(2, num_samples // 359))
        lines.append((f"{latent} latents, ELBO", mean(found.elbo)))
        lines.append(("  IWAE-1000", mean(found.iwae)))
        lines.append(("  IWAE-1000 above the ELBO, paired", mean(found.iwae - found.elbo)))
        if found.exact is not None:
            lines.append(("  log p(x), by quadrature", mean(found.exact)))
            lines.append(("  log p(x) above IWAE-1000, paired", mean(found.exact - found.iwae)))
    return "\n".join(f"{name:<40}{value}" for name, value in lines)


def draw(axes) -> Drawn:
    """What two latents mean, and where held-out images are, on a figure of the gallery."""
    net = Autoencoder(2)
    found = solve(net, 1000, PARTICLES)
    assert found.exact is not None
    side = 12
    at = ndtri((np.arange(side) + 0.5) / side)
    z = np.stack(np.meshgrid(at, at[::-1]), axis=-1).reshape(-1, 2)
    pixels = 1.0 / (1.0 + np.exp(-net.logits(z)))
    axes[0].imshow(mosaic(pixels, side), cmap="Greys")
    axes[0].set_axis_off()
    axes[0].set_title("decoded, over quantiles of the prior")
    _, loc, _ = net.encoded(net.held.bits)
    for digit in range(10):
        mine = net.held.digit == digit
        axes[1].plot(*loc[mine].T, ".", color=f"C{digit}", label=str(digit))
    axes[1].legend(frameon=False, fontsize=8, ncols=2)
    axes[1].set_title("means of q, held-out images")
    axes[1].set_xlabel("$z_1$")
    axes[1].set_ylabel("$z_2$")
    rows = (("ELBO", found.elbo), ("IWAE-1000", found.iwae), ("log p(x), by quadrature", found.exact))
    return Drawn(
        "A variational autoencoder of 8 x 8 digits with two latents after 1000 steps of Adam on gradients by "
        "elbo_batch, which were not told the digits. On held-out images the ELBO is below IWAE's bound, and that below "
        "log p(x).",
        [("nats a held-out image", "± over images"), *((name, mean(values)) for name, values in rows)],
    )
