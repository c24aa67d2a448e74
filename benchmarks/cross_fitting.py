"""Variance times evaluations of log p, with cross-fitting and with a pilot: python benchmarks/cross_fitting.py

    python benchmarks/cross_fitting.py [--seeds 100] [--dims 3,10,30,100]

Logistic regressions with 200 rows or ten a dimension, at their Laplace approximation: full-rank, and mean-field with
the same conditional variances.  The variance is that over seeds, summed over ``q.parameters`` for a gradient.  An
evaluation with gradient counts twice for an ELBO; a pilot's are counted.
"""

import argparse
from unittest import mock

import numpy as np

import fastvi as vi
from fastvi.estimators import cross_fitting
from fastvi.estimators.cost import PATHWISE_COST, slopes_pilot

COUNTS, MOST = (64, 256, 1000, 4000), 60  # draws; those a dimension


def logistic(z, X, y):
    eta = X @ z
    return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(z * z)


def problem(dim):
    """(target, {family: q})"""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(max(200, 10 * dim), dim)) / np.sqrt(dim) * 2
    beta = rng.normal(size=dim)
    y = (rng.random(len(X)) < 1.0 / (1.0 + np.exp(-X @ beta))).astype(float)
    target = vi.Target(logistic, dim, (X, y))
    whole = target.laplace(np.zeros(dim)).q
    mean_field = vi.MeanFieldGaussian(whole.loc, np.diag(np.linalg.inv(whole.covariance)) ** -0.5)
    return target, {"mean-field": mean_field, "full-rank": whole}


def variance(call, seeds):
    """(summed over entries, reported over true standard deviation)"""
    found = [call(seed) for seed in range(seeds)]
    values = np.array([getattr(f, "gradient", getattr(f, "value", None)) for f in found])
    true = np.sum(np.var(values, axis=0, ddof=1))
    return true, np.sqrt(np.mean([np.sum(np.square(f.standard_error)) for f in found]) / true)


def cells(target, q, num_samples):
    """(what, estimator, evaluations with cross-fitting, with a pilot, calls of a seed)"""
    pilot = slopes_pilot(("quadratic", "cubic"), q.dim, num_samples)
    options = dict(num_threads=1)
    for name in ("quadratic", "cubic") if q.dim < 50 else ("quadratic",):
        costs = PATHWISE_COST * num_samples, num_samples + PATHWISE_COST * pilot.draws
        yield "elbo", name, *costs, lambda s, e=name: vi.elbo(target, q, num_samples, estimator=e, rng=s, **options)
    name, costs = "pathwise_quadratic", (num_samples, num_samples + pilot.draws)
    yield "gradient", name, *costs, lambda s: vi.elbo_gradient(target, q, num_samples, estimator=name, rng=s, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--dims", default="3,10,30,100")
    options = parser.parse_args()
    print("| d, q, draws | estimator | pilot | cross-fitted | reported / true |\n|---|---|---:|---:|---:|")
    for dim in map(int, options.dims.split(",")):
        target, families = problem(dim)
        for family, q in families.items():
            for count in (n for n in COUNTS if 2.5 * (dim + 1) <= n < MOST * dim):
                for what, name, ours, theirs, call in cells(target, q, count):
                    wide = dict(MOST_VALUES=MOST, MOST_GRADIENTS=MOST)
                    with mock.patch.multiple(cross_fitting, **wide):
                        new, ratio = variance(call, options.seeds)
                    with mock.patch.object(cross_fitting, "place_for", lambda *_: None):
                        old = variance(call, options.seeds)[0]
                    cells_ = f"{dim}, {family}, {count}", f"{what}, {name}", f"{theirs * old:.3g}", f"{ours * new:.3g}"
                    print("| " + " | ".join([*cells_, f"{ratio:.2f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
