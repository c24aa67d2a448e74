"""Variable selection: which columns of X does y need?  A binary latent for each, its slope integrated out, and two
parameters of the prior, the share of columns that are in and the variance of their slopes, as point masses.

``fit`` is variational EM here.  All 4096 sets of twelve columns can be added up, which tells how good q is.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ..estimators.gradient import elbo_gradient
from ..families.bernoulli import Bernoulli
from ..families.delta import Delta
from ..families.product import Product
from ..fitting.fit import fit
from ..fitting.result import FitResult
from ..results import GradientEstimate
from ..targets.constraints import positive, unit
from ..targets.target import Target

SLOPES = (1.0, -0.6, 0.35, *9 * (0.0,))
ROWS, SHARED, SEED = 60, 0.5, 1  # of X; what its columns have in common
ESTIMATORS = ("leave_one_out", "quadratic")


def log_density(s, share, slab, G, b, constant):
    """y ~ N(X (s slopes), 1), slopes ~ N(0, slab), s_i = 1 with probability ``share``; G = X'X, b = X'y.

    With L L' = I + slab s G s it is constant - log det L + slab |L^-1 s b|^2 / 2 and the prior of s.
    """
    dim = len(b)
    factor, solved = np.zeros((dim, dim)), np.zeros(dim)
    total = constant
    for i in range(dim):
        for j in range(i + 1):
            a = slab * s[i] * G[i, j] * s[j]
            if i == j:
                a += 1.0
            for k in range(j):
                a -= factor[i, k] * factor[j, k]
            if i == j:
                factor[i, i] = np.sqrt(a)
            else:
                factor[i, j] = a / factor[j, j]
        rest = s[i] * b[i]
        for k in range(i):
            rest -= factor[i, k] * solved[k]
        solved[i] = rest / factor[i, i]
        total += 0.5 * slab * solved[i] * solved[i] - np.log(factor[i, i])
        total += s[i] * np.log(share) + (1.0 - s[i]) * np.log(1.0 - share)
    return total


class Selection(NamedTuple):
    """A fit; gradients there by estimator; log p(y) and the probability of each column, both of all sets of columns at
    the fitted share and slab."""

    found: FitResult
    gradients: dict[str, GradientEstimate]
    log_evidence: float
    exact: np.ndarray


def problem() -> tuple[Target, Product]:
    """The model with its data, and a q to start from."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(ROWS, len(SLOPES))) + SHARED * rng.normal(size=(ROWS, 1))
    y = X @ np.array(SLOPES) + rng.normal(size=ROWS)
    constant = -0.5 * float(y @ y) - 0.5 * ROWS * math.log(2.0 * math.pi)
    s = Bernoulli(logits=np.zeros(len(SLOPES)))
    q = Product(s=s, share=Delta(0.5, unit()), slab=Delta(1.0, positive()))
    return Target(log_density, q.latents, (X.T @ X, X.T @ y, constant), name="selection"), q


def solve(num_samples: int, rng: Any = 0, num_threads: int | None = None) -> Selection:
    """Fit q and the two parameters, and compare with all sets of columns."""
    target, start = problem()
    found = fit(target, start, rng=rng, num_threads=num_threads)
    q: Any = found.q
    sets = np.array(list(itertools.product((0.0, 1.0), repeat=len(SLOPES))))
    theta = np.broadcast_to(q.mean[len(SLOPES) :], (len(sets), 2))
    log_p = target.value(np.concatenate([sets, theta], axis=1), num_threads=num_threads)
    log_evidence = float(np.logaddexp.reduce(log_p))
    options = dict(rng=rng, num_threads=num_threads)
    gradients = {e: elbo_gradient(target, q, num_samples, estimator=e, **options) for e in ESTIMATORS}
    return Selection(found, gradients, log_evidence, np.exp(log_p - log_evidence) @ sets)


def report(num_samples: int = 100_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples selection`` prints."""
    result = solve(num_samples, rng, num_threads)
    q: Any = result.found.q
    lines = ["column  true slope  in, by q  in, of all 4096 sets"]
    for i, (slope, p, exact) in enumerate(zip(SLOPES, q["s"].probabilities, result.exact, strict=True)):
        lines.append(f"{i:6}  {slope:10.2f}  {p:8.3f}  {exact:20.3f}")
    share, slab = float(q["share"].value), float(q["slab"].value)
    lines.append(f"\nby EM the share of columns is {share:.3f}, the variance of slopes {slab:.3f}")
    lines.append(f"ELBO {result.found.elbo}; log p(y) there {result.log_evidence:.4f}; {result.found.message}")
    largest = [float(np.nanmax(result.gradients[e].standard_error[: len(SLOPES)])) for e in ESTIMATORS]
    lines.append(
        f"largest error of a logit's gradient from {num_samples:,} draws: leave-one-out {largest[0]:.1e}, with a "
        f"surrogate in the factors' scores {largest[1]:.1e}"
    )
    return "\n".join(lines)
