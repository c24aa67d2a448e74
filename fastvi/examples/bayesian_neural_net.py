"""A Bayesian neural net with ten hidden units: what mean field makes of them, and whether it predicts as ridge does.

y ~ N(c + v tanh(W x + b) / sqrt(10), exp(-0.4 + 0.5 s)²) and N(0, 1) for W, b, v, c and s, 122 in all; x are the ten
columns divided by sqrt(10), all standardised (Neal 1996, chapter 2, for the scaling by the number of inputs and units).
Mean field keeps two hidden units and returns the others to their prior: over-pruning (Trippe and Turner 2018).  The
data are those of Efron, Hastie, Johnstone and Tibshirani (2004), in data/diabetes.csv.
"""

import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from ..estimators.elbo import elbo
from ..estimators.kl import kl_divergence
from ..families.low_rank import LowRankGaussian
from ..families.mean_field import MeanFieldGaussian
from ..fitting.fit import fit
from ..kernels.arithmetic.log_densities import normal_logpdf
from ..results import Estimate, with_error
from ..targets.constraints import real
from ..targets.target import Target
from .drawn import FORWARD, REVERSE, Drawn

DATA = pathlib.Path(__file__).parent / "data" / "diabetes.csv"
HIDDEN, RANK, FOLDS, ALIVE = 10, 5, 5, 1.0  # a unit is alive whose inputs are so many nats from their prior
TOLERANCE, LOOSE = 0.05, 0.2  # nats: of the fit that is reported, and of those to folds and of low rank
# Mean over four seeds of 8000 steps of Adam in torch, 16 draws each, with sticking-the-landing gradients; the ELBO from
# 100,000 draws a seed, +- 0.012 and 0.010
REFERENCE = {"mean field": -520.309, "low rank": -516.045}


def output(W, b, v, c, x):
    """Of the net, for one row."""
    return c + np.dot(v, np.tanh(W @ x + b)) / math.sqrt(len(b))


def noise(s):
    """Standard deviation of y, a priori between 0.25 and 1.8 times that of all rows with probability 0.95."""
    return math.exp(0.5 * s - 0.4)


def log_density(W, b, v, c, s, X, y):
    """log p(y, W, b, v, c, s)"""
    total = normal_logpdf(c, 0.0, 1.0) + normal_logpdf(s, 0.0, 1.0)
    total += (
        np.sum(normal_logpdf(W, 0.0, 1.0)) + np.sum(normal_logpdf(b, 0.0, 1.0)) + np.sum(normal_logpdf(v, 0.0, 1.0))
    )
    for i in range(len(y)):
        total += normal_logpdf(y[i], output(W, b, v, c, X[i]), noise(s))
    return total


def log_density_of_rows(W, b, v, c, s, X, y):
    """log p(y_i | W, b, v, c, s)"""
    found = np.empty(len(y))
    for i in range(len(y)):
        found[i] = normal_logpdf(y[i], output(W, b, v, c, X[i]), noise(s))
    return found


class Outcome(NamedTuple):
    """ELBOs of a mean-field and of a low-rank q on all rows; KL(q || prior) of each hidden unit's inputs under the
    first, sorted; and log predictive densities of held-out rows, in the units of y, by mean field and by ridge."""

    mean_field: Estimate
    low_rank: Estimate
    units: np.ndarray
    net: np.ndarray
    ridge: np.ndarray


def data() -> tuple[np.ndarray, np.ndarray]:
    """Ten columns and y, as published."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=4)
    return table[:, :-1], table[:, -1]


def standardised(X, y, rows):
    """(X / sqrt(columns), y), standardised by the moments of ``rows``, and the deviation of y there"""
    X = (X - X[rows].mean(axis=0)) / X[rows].std(axis=0)
    return X / math.sqrt(X.shape[1]), (y - y[rows].mean()) / y[rows].std(), y[rows].std()


def problem(X, y, rng: int = 0) -> tuple[Target, MeanFieldGaussian]:
    """The model of standardised rows, and a q to start from: at 0 all units would be one and the same for ever."""
    spaces = dict(W=real((HIDDEN, X.shape[1])), b=real(HIDDEN), v=real(HIDDEN), c=real(), s=real())
    target = Target(log_density, spaces, (X, y), name="neural net")
    loc = 0.3 * np.random.default_rng(rng).normal(size=target.dim)
    return target, MeanFieldGaussian(loc, np.full(target.dim, 0.14))


def units(q, columns: int = 10) -> np.ndarray:
    """KL(q || prior) of the inputs of each hidden unit, largest first."""
    size = HIDDEN * columns
    locs, scales = q.loc[:size].reshape(HIDDEN, columns), q.scale[:size].reshape(HIDDEN, columns)
    prior = MeanFieldGaussian.standard(columns)
    found = [kl_divergence(MeanFieldGaussian(*pair), prior).value for pair in zip(locs, scales, strict=True)]
    return np.sort(found)[::-1]


def ridge(X, y, new_X, new_y) -> np.ndarray:
    """log p(y_i | X, y) of new rows, by linear regression with the precisions of noise and slopes that maximise the
    evidence (MacKay 1992, "Bayesian interpolation")."""
    variances, axes = np.linalg.eigh(X.T @ X)
    moments, noise_precision, precision = axes.T @ (X.T @ y), 1.0, 1.0
    for _ in range(300):
        mean = noise_precision * moments / (noise_precision * variances + precision)
        used = float(np.sum(noise_precision * variances / (noise_precision * variances + precision)))
        rest = float(np.sum((y - X @ (axes @ mean)) ** 2))
        precision, noise_precision = used / float(mean @ mean), (len(y) - used) / rest
    along = new_X @ axes
    spread = np.sqrt(1.0 / noise_precision + along**2 @ (1.0 / (noise_precision * variances + precision)))
    return normal_logpdf(new_y, along @ mean, spread)


def folds(count: int = FOLDS):
    """(rows to fit, rows held out, deviation of y) of the first so many folds, each pair standardised by the former."""
    X, y = data()
    fold = np.empty(len(y), dtype=int)
    fold[np.random.default_rng(0).permutation(len(y))] = np.arange(len(y)) % FOLDS
    for k in range(count):
        out = fold == k
        columns, values, deviation = standardised(X, y, ~out)
        yield (columns[~out], values[~out]), (columns[out], values[out]), deviation


def solve(
    num_samples: int,
    rng: Any = 0,
    num_threads: int | None = None,
    tolerances: tuple[float, float] = (TOLERANCE, LOOSE),
    count: int = FOLDS,
) -> Outcome:
    """Both fits to all rows, their ELBOs by so many draws, and the predictions of so many folds."""
    options = dict(rng=rng, num_threads=num_threads)
    tolerance, loose = tolerances
    start: Any
    target, start = problem(*standardised(*data(), slice(None))[:2])
    narrow = fit(target, start, tolerance=tolerance, **options).q
    # Factors of 0 are those that the fit finds itself
    wide = fit(
        target, LowRankGaussian(narrow.loc, narrow.scale, np.zeros((target.dim, RANK))), tolerance=loose, **options
    ).q
    predicted: list = []
    for old, new, deviation in folds(count):
        found = fit(*problem(*old), tolerance=loose, **options)
        net = found.log_predictive(log_density_of_rows, data=new, rng=rng)
        predicted.append(np.array([net, ridge(*old, *new)]) - math.log(deviation))
    first, second = (elbo(target, q, num_samples, **options) for q in (narrow, wide))
    net, linear = np.concatenate(predicted, axis=1)
    return Outcome(first, second, units(narrow), net, linear)


def paired(outcome: Outcome) -> tuple[float, float]:
    """Mean log predictive density of the net above that of ridge, a row, and its standard error over rows."""
    difference = outcome.net - outcome.ridge
    return float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(len(difference))


def table(outcome: Outcome) -> str:
    """The outcome as text, beside the ELBOs that are known."""
    error = float(outcome.net.std(ddof=1)) / math.sqrt(len(outcome.net))
    alive = int(np.sum(outcome.units > ALIVE))
    lines = [("KL(q||prior) of the inputs of a unit", " ".join(f"{kl:.3g}" for kl in outcome.units))]
    lines.append(("units alive", f"{alive} of {HIDDEN}"))
    lines.append(("log predictive density a row, net", with_error(float(outcome.net.mean()), error)))
    lines.append(("  above Bayesian ridge, paired", with_error(*paired(outcome))))
    for name, found in (("mean field", outcome.mean_field), ("low rank", outcome.low_rank)):
        value = with_error(found.value, found.standard_error)
        lines.append((f"ELBO, {name}", f"{value} (by Adam in torch: {REFERENCE[name]:.2f})"))
    return "\n".join(f"{name:<40}{value}" for name, value in lines)


def report(num_samples: int = 100_000, rng: Any = 0, num_threads: int | None = None) -> str:
    """What ``python -m fastvi examples bayesian_neural_net`` prints."""
    return table(solve(num_samples, rng, num_threads))


def draw(axes) -> Drawn:
    """Hidden units that are alive, on a figure of the gallery."""
    found = fit(*problem(*standardised(*data(), slice(None))[:2]), tolerance=1.0, rng=0)
    heights = units(found.q)
    axes[0].bar(np.arange(1, HIDDEN + 1), heights, color=np.where(heights > ALIVE, REVERSE, FORWARD))
    axes[0].set_yscale("log")
    axes[0].set_xlabel("hidden unit, sorted")
    axes[0].set_ylabel("KL(q‖prior) of its inputs (nats)")
    return Drawn(
        "A neural net with ten tanh units on the 442 patients of Efron et al. (2004), by a mean-field q: "
        f"{int(np.sum(heights > ALIVE))} of them learn, and the inputs of the others stay at their prior N(0, 1).",
        [("unit", "KL(q‖prior) of its inputs"), *((str(k + 1), f"{kl:.4f}") for k, kl in enumerate(heights))],
    )
