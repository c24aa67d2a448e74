"""A linear variational autoencoder, whose best ELBO is known: the maximum of probabilistic PCA's likelihood.

x ~ N(W z + m, s² I) with z ~ N(0, I), and q(z | x) = N(V (x - m), diag(t²)), whose one t serves all rows.  At the
optimum the columns of W are orthogonal, q is the exact posterior, and W spans the first principal axes (Tipping and
Bishop 1999, equation 7; Lucas, Tucker, Grosse and Norouzi 2019, section 4).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import subspace_angles
from scipy.optimize import minimize

from ..estimators.batch import elbo_batch
from ..targets.target import Target

ROWS, PIXELS, LATENT, NOISE = 500, 8, 2, 0.5
DRAWS, JUDGED = 64, 2000  # of each row: fixed ones that are climbed on, fresh ones that judge


def log_density(z, x, m, W, log_s):
    r = x - m - W @ z
    size = len(x) + len(z)
    return (
        -0.5 * np.dot(r, r) * math.exp(-2.0 * log_s)
        - len(x) * log_s
        - 0.5 * np.dot(z, z)
        - 0.5 * size * math.log(2.0 * math.pi)
    )


class Outcome(NamedTuple):
    """Nats a row: the exact maximum, the ELBO reached and its standard error; the largest angle, in degrees, between
    the span of W and the principal axes; and the steps taken."""

    exact: float
    elbo: float
    error: float
    angle: float
    steps: int


def data(rng: int = 0) -> np.ndarray:
    """Rows of two factors and noise."""
    random = np.random.default_rng(rng)
    W = random.normal(size=(PIXELS, LATENT)) * [2.0, 1.0]
    return random.normal(size=(ROWS, LATENT)) @ W.T + NOISE * random.normal(size=(ROWS, PIXELS)) + 1.0


def exact(X: np.ndarray) -> tuple[float, np.ndarray]:
    """(log likelihood of probabilistic PCA at its maximum, a row; the principal axes), by eigenvalues."""
    values, axes = np.linalg.eigh(np.cov(X.T, bias=True))
    rest = values[:-LATENT]
    spread = np.log(values[-LATENT:]).sum() + len(rest) * math.log(rest.mean())
    return -0.5 * (PIXELS * (math.log(2.0 * math.pi) + 1.0) + spread), axes[:, -LATENT:]


class Autoencoder:
    """The ELBO of all rows as a function of W, log s, V and log t, side by side in one vector."""

    def __init__(self, X: np.ndarray, num_threads: int | None = None) -> None:
        self.X, self.m, self.num_threads = X, X.mean(axis=0), num_threads
        self.target = Target(log_density, LATENT, (X, self.m, np.zeros((PIXELS, LATENT)), 0.0))
        self.ends = np.cumsum([PIXELS * LATENT, 1, PIXELS * LATENT])

    def start(self) -> np.ndarray:
        """Small weights, and what is no direction."""
        return 0.1 * np.random.default_rng(1).normal(size=self.ends[-1] + LATENT)

    def estimate(self, p: np.ndarray, draws: int, rng: Any):
        """(the ELBO of every row, its gradient by the parameters)"""
        W, log_s, V, log_t = np.split(p, self.ends)
        W, V, centred = W.reshape(PIXELS, LATENT), V.reshape(LATENT, PIXELS), self.X - self.m
        loc, scale = centred @ V.T, np.broadcast_to(np.exp(log_t), (len(centred), LATENT))
        items = self.X, self.m, W, float(log_s[0])
        found = elbo_batch(
            self.target, loc, scale, draws, parameters=(2, 3), data=items, rng=rng, num_threads=self.num_threads
        )
        by_W, by_log_s = found.parameter_gradients
        by_V, by_log_t = found.loc_gradient.T @ centred, found.log_scale_gradient.sum(axis=0)
        return found, np.concatenate([by_W.ravel(), np.atleast_1d(by_log_s), by_V.ravel(), by_log_t])

    def climbed(self, draws: int = DRAWS, most: int = 500):
        """The best parameters over fixed draws."""

        def downhill(p):
            found, slope = self.estimate(p, draws, 0)
            return -found.value.mean(), -slope / len(self.X)

        return minimize(downhill, self.start(), jac=True, method="L-BFGS-B", options=dict(maxiter=most, gtol=1e-7))


def solve(draws: int = DRAWS, judged: int = JUDGED, rng: Any = 1, num_threads: int | None = None) -> Outcome:
    """Train it on ``draws`` of each row, and judge it on others."""
    X = data()
    best, axes = exact(X)
    model = Autoencoder(X, num_threads)
    end = model.climbed(draws)
    found, _ = model.estimate(end.x, judged, rng)
    angle = math.degrees(subspace_angles(end.x[: PIXELS * LATENT].reshape(PIXELS, LATENT), axes).max())
    error = float(np.sqrt(np.sum(found.standard_error**2))) / len(X)
    return Outcome(best, float(found.value.mean()), error, angle, end.nit)


def report(num_samples: int = ROWS * JUDGED, rng: Any = 1, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples linear_vae`` prints, judged by so many draws of all rows together."""
    outcome = solve(DRAWS, max(2, num_samples // ROWS), (rng, 1), num_threads)
    lines = [
        ("exact maximum, nats a row", f"{outcome.exact:.6f}"),
        (f"ELBO after {outcome.steps} steps of L-BFGS", f"{outcome.elbo:.6f} ± {outcome.error:.6f}"),
        ("short of it", f"{outcome.exact - outcome.elbo:.6f}"),
        ("angle of span(W) to the principal axes", f"{outcome.angle:.3f}°"),
    ]
    return "\n".join(f"{name:<40}{value}" for name, value in lines)
