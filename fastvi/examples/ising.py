"""The Ising model on a torus of 32 x 32 spins, whose log Z is known: what mean field misses, and where it goes wrong.

log p(s) = K sum of s_i s_j over neighbours, spins -1 or 1.  ``fit`` finds q by coordinate ascent, exactly, as log p
has pairs of factors only: of spins, Bernoulli factors, or of blocks of 2 x 2 spins, categorical ones with 16 states.
The best q looks the same everywhere: it is fitted on a torus of 4 x 4, and ``elbo`` has its bound on the large one.
Kaufman (1949) has the exact log Z, and Yang (1952) the magnetisation of a large torus, which is 0 up to the critical
K = log(1 + sqrt 2) / 2; mean field magnetises at K = 1/4 already (Bishop 2006, section 10.1, on factorised q's).
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ..estimators.elbo import elbo
from ..families.bernoulli import Bernoulli
from ..families.categorical import Categorical
from ..families.factors import Factors
from ..fitting.fit import fit
from ..results import with_error
from ..targets.target import Target

SIDE, FITTED = 32, 4
CRITICAL = 0.5 * math.log(1.0 + math.sqrt(2.0))
COUPLINGS = (0.1, 0.2, 0.275, 0.3, 0.35, 0.4, CRITICAL, 0.5, 0.6)
NEAR = {"spins": (0.252, 0.256, 0.264), "blocks": (0.288, 0.292, 0.3)}  # above the onsets, not far
TOLERANCE = 1e-9  # nats
SPINS = 2.0 * np.array(list(itertools.product((0, 1), repeat=4))).T - 1.0  # of a block: two in a row, two below them
INSIDE = SPINS[0] * SPINS[1] + SPINS[2] * SPINS[3] + SPINS[0] * SPINS[2] + SPINS[1] * SPINS[3]


def spins_log_density(z, side, K):
    """z_i is 1 of a spin up, 0 of one down"""
    total = 0.0
    for i in range(side):
        below = (i + 1) % side
        for j in range(side):
            right = (j + 1) % side
            s = 2.0 * z[i * side + j] - 1.0
            total += s * (z[i * side + right] + z[below * side + j] - 1.0)
    return 2.0 * K * total


def blocks_log_density(z, side, K, spins, inside):
    """z_i is the state of a block, ``side`` of them in a row"""
    total = 0.0
    for i in range(side):
        for j in range(side):
            here, right = int(z[i * side + j]), int(z[i * side + (j + 1) % side])
            below = int(z[((i + 1) % side) * side + j])
            total += inside[here]
            total += spins[1, here] * spins[0, right] + spins[3, here] * spins[2, right]
            total += spins[2, here] * spins[0, below] + spins[3, here] * spins[1, below]
    return K * total


def log_z(side: int, K: float) -> float:
    """log Z of the torus, nats a spin: Kaufman (1949), equation 66, by logarithms"""
    n = np.arange(2 * side)
    cosh = math.cosh(2.0 * K) / math.tanh(2.0 * K) - np.cos(math.pi * n / side)
    gamma = np.arccosh(np.maximum(cosh, 1.0))
    gamma[0] = 2.0 * K + math.log(math.tanh(K))
    x = 0.5 * side * gamma
    logs = np.abs(x) + np.log1p(np.exp(-2.0 * np.abs(x))), np.abs(x) + np.log(-np.expm1(-2.0 * np.abs(x)))
    terms = [each[start::2].sum() for start in (1, 0) for each in logs]
    top, signs = max(terms), (1.0, 1.0, 1.0, math.copysign(1.0, gamma[0]))
    total = sum(sign * math.exp(term - top) for sign, term in zip(signs, terms, strict=True))
    return (top + math.log(0.5 * total)) / side**2 + 0.5 * math.log(2.0 * math.sinh(2.0 * K))


def magnetisation(K: float) -> float:
    """Of a large torus, Yang (1952)"""
    return 0.0 if K <= CRITICAL else (1.0 - math.sinh(2.0 * K) ** -4) ** 0.125


def target_of(kind: str, side: int, K: float) -> Target:
    """The torus of side x side spins, spin by spin or by blocks"""
    if kind == "spins":
        return Target(spins_log_density, side**2, (side, K), name="ising")
    return Target(blocks_log_density, (side // 2) ** 2, (side // 2, K, SPINS, INSIDE), name="ising")


def start_of(kind: str, side: int) -> Factors:
    """A q with more spins up than down"""
    if kind == "spins":
        return Bernoulli(logits=np.ones(side**2))
    return Categorical(logits=np.tile(0.5 * SPINS.sum(axis=0), ((side // 2) ** 2, 1)))


def repeated(q: Any, times: int) -> Factors:
    """q of a torus side by side on one that is so many times as large"""
    side = math.isqrt(q.dim)
    own = q.logits.reshape(side, side, *q.logits.shape[1:])
    logits = np.tile(own, (times, times, *(1,) * (own.ndim - 2)))
    return type(q)(logits=logits.reshape(-1, *own.shape[2:]))


def mean_spin(q: Any) -> float:
    """How much q is magnetised, upwards or downwards"""
    up = 2.0 * q.probabilities - 1.0 if isinstance(q, Bernoulli) else q.probabilities @ SPINS.mean(axis=0)
    return abs(float(np.mean(up)))


def fitted(kind: str, K: float, rng: Any = 0, num_threads: int | None = None) -> Any:
    """The best q on the small torus"""
    options = dict(tolerance=TOLERANCE, rng=rng, num_threads=num_threads)
    return fit(target_of(kind, FITTED, K), start_of(kind, FITTED), **options).q


def onset(kind: str, rng: Any = 0, num_threads: int | None = None) -> float:
    """The K at which q magnetises: K is smooth in the square of the magnetisation, so a parabola leads to its zero"""
    squares = [mean_spin(fitted(kind, K, rng, num_threads)) ** 2 for K in NEAR[kind]]
    return float(np.polyfit(squares, NEAR[kind], 2)[-1])


class Bound(NamedTuple):
    """Of one family at one K: the ELBO of the large torus, nats a spin, its standard error, and q's magnetisation."""

    elbo: float
    error: float
    magnetisation: float


def bound(kind: str, K: float, num_samples: int, rng: Any = 0, num_threads: int | None = None) -> Bound:
    """Fit on the small torus, estimate on the large one"""
    q = fitted(kind, K, rng, num_threads)
    large, options = repeated(q, SIDE // FITTED), dict(rng=rng, num_threads=num_threads)
    found = elbo(target_of(kind, SIDE, K), large, num_samples, estimator="plain", **options)
    return Bound(found.value / SIDE**2, found.standard_error / SIDE**2, mean_spin(q))


def report(num_samples: int = 1_000_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples ising`` prints, from so many draws of all couplings together."""
    each = max(1000, num_samples // (2 * len(COUPLINGS)))
    lines = ["                 below it, nats a spin               magnetisation"]
    lines.append("     K  log Z/N   mean field         2 x 2 blocks       mean field  blocks  exact")
    for K in COUPLINGS:
        exact, (spins, blocks) = log_z(SIDE, K), (bound(kind, K, each, rng, num_threads) for kind in NEAR)
        gaps = (with_error(exact - b.elbo, b.error) for b in (spins, blocks))
        lines.append(
            f"{K:6.4f}  {exact:7.5f}  {'  '.join(f'{gap:<17}' for gap in gaps)}  "
            f"{spins.magnetisation:10.3f}  {blocks.magnetisation:6.3f}  {magnetisation(K):5.3f}"
        )
    at = {kind: onset(kind, rng, num_threads) for kind in NEAR}
    lines.append(f"\n{SIDE} x {SIDE} spins, log Z by Kaufman; ELBOs from {each:,} draws each")
    lines.append(
        f"magnetised from K = {at['spins']:.5f} by mean field (1/4 in theory), {at['blocks']:.5f} by blocks, "
        f"{CRITICAL:.5f} in truth"
    )
    return "\n".join(lines)
