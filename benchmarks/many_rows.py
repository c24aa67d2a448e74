"""Whole fits of a logistic regression on many rows, and how far each ends from the best mean-field q, in nats.

    taskset -c 0 python benchmarks/many_rows.py [--rows 1000000] [--out benchmarks/many-rows-1-cpu.json]

"fastvi" is ``vi.fit`` as it comes, with ``rows=`` and without.  scikit-learn's optimum (L-BFGS) gets the Laplace
approximation, by a Hessian in NumPy.  NumPyro's SVI has an ``AutoNormal`` guide, 1000 rows a step and Adam, whose rate
falls to a hundredth over the steps; the best rate of three, and the time of its steps alone.  One thread.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

import fastvi as vi

from sides import load_jax

COLUMNS, BATCH, STEPS, RATES, JUDGED = 20, 1000, 3000, (0.1, 0.03, 0.01), 400


def data_of(rows):
    rng = np.random.default_rng(0)
    X = np.concatenate([np.ones((rows, 1)), rng.normal(size=(rows, COLUMNS - 1))], axis=1)
    y = rng.random(rows) < 1.0 / (1.0 + np.exp(-X @ (0.5 * rng.normal(size=COLUMNS))))
    return X, y.astype(float)


def log_likelihood(z, X, y):
    eta = X @ z
    return np.sum(y * eta - np.logaddexp(0.0, eta))


def log_prior(z):
    return -0.5 * np.dot(z, z) - 0.5 * len(z) * np.log(2.0 * np.pi)


def log_density(z, X, y):
    return log_likelihood(z, X, y) + log_prior(z)


def timed(call):
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def by_fastvi(target):
    def call():
        return vi.fit(target, "mean_field", rng=0, num_threads=1)

    call()
    seconds, found = timed(call)
    return seconds, found.q


def by_scikit_learn(X, y):
    from sklearn.linear_model import LogisticRegression

    def call():
        found = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=1000).fit(X, y).coef_[0]
        p = 1.0 / (1.0 + np.exp(-X @ found))
        precision = np.einsum("ni,n,ni->i", X, p * (1.0 - p), X) + 1.0
        return vi.MeanFieldGaussian(found, 1.0 / np.sqrt(precision))

    return timed(call)


def by_numpyro(X, y, rate):
    jax = load_jax()
    import numpyro
    import optax
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoNormal

    dist = numpyro.distributions

    def model(X, y):
        beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([COLUMNS]).to_event(1))
        with numpyro.plate("rows", len(X), subsample_size=BATCH) as chosen:
            numpyro.sample("y", dist.Bernoulli(logits=X[chosen] @ beta), obs=y[chosen])

    guide = AutoNormal(model)
    schedule = optax.exponential_decay(rate, STEPS, 0.01)
    svi = SVI(model, guide, numpyro.optim.optax_to_numpyro(optax.adam(schedule)), Trace_ELBO())
    X, y = jax.numpy.asarray(X), jax.numpy.asarray(y)
    state = svi.init(jax.random.PRNGKey(0), X, y)
    many = jax.jit(lambda state, X, y: jax.lax.scan(lambda s, _: (svi.update(s, X, y)[0], None), state, None, STEPS)[0])
    compiled = many.lower(state, X, y).compile()
    seconds, state = timed(lambda: jax.block_until_ready(compiled(state, X, y)))
    found = svi.get_params(state)
    return seconds, vi.MeanFieldGaussian(*(np.asarray(found[f"beta_auto_{what}"]) for what in ("loc", "scale")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    X, y = data_of(options.rows)
    in_rows = vi.Target(log_likelihood, COLUMNS, (X, y), rows=(0, 1), log_prior=log_prior)
    best = vi.fit(in_rows, "mean_field", rng=9, tolerance=1e-4).q
    sides = {
        "fastvi, rows=": lambda: by_fastvi(in_rows),
        "fastvi": lambda: by_fastvi(vi.Target(log_density, COLUMNS, (X, y))),
        "scikit-learn, Laplace": lambda: by_scikit_learn(X, y),
        **{f"NumPyro, rate {rate:g}": lambda rate=rate: by_numpyro(X, y, rate) for rate in RATES},
    }
    found = {}
    for name, side in sides.items():
        seconds, q = side()
        gap = vi.compare(in_rows, best, q, JUDGED, rng=7)
        found[name] = dict(seconds=round(seconds, 3), gap=gap.value, error=gap.standard_error)
        print(f"{name:24} {seconds:7.2f} s, {gap.value:.4g} ± {gap.standard_error:.1g} nat short", flush=True)
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
