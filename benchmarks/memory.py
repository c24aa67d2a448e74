"""Memory that large calls take beside their data, in MB: a batch of 100,000 q's, and a gradient over ten million rows.

    python benchmarks/memory.py [--out benchmarks/memory.json]

The growth of the resident size over the call, at its largest, each in a process of its own.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import batch
import numpy as np

import fastvi as vi

MANY_QS, LATENTS, DRAWS = 100_000, 8, 32
MANY_ROWS, COLUMNS, BLOCK = 10_000_000, 20, 1_000_000


def resident(which: str) -> float:
    """VmRSS, now, or VmHWM, the largest since it was reset, in MB; Linux alone tells."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1024


def growth(call, warm) -> float:
    """From before a call to its largest size, once ``warm()`` has compiled."""
    warm()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


def batch_of_qs(parameters):
    x, theta, loc, scale = batch.data_of("linear", LATENTS, MANY_QS)
    target = vi.Target(batch.linear, LATENTS, (x, *theta))

    def call(n):
        vi.elbo_batch(target, loc[:n], scale[:n], DRAWS, parameters=parameters, data=(x[:n], *theta), rng=0)

    return growth(lambda: call(MANY_QS), lambda: call(64))


def log_density(z, X, y):
    eta = X @ z
    return np.sum(y * eta - np.logaddexp(0.0, eta))


def log_prior(z):
    return -0.5 * np.dot(z, z)


def gradient_of_rows():
    rng, X = np.random.default_rng(0), np.empty((MANY_ROWS, COLUMNS))
    for start in range(0, MANY_ROWS, BLOCK):
        X[start : start + BLOCK] = rng.normal(size=(BLOCK, COLUMNS))
    y = (rng.random(MANY_ROWS) < 0.5).astype(float)
    q = vi.MeanFieldGaussian(np.zeros(COLUMNS), np.full(COLUMNS, 1e-3))

    def call(n):
        target = vi.Target(log_density, COLUMNS, (X[:n], y[:n]), rows=(0, 1), log_prior=log_prior)
        vi.elbo_gradient(target, q, DRAWS, estimator="pathwise", rng=0)

    return growth(lambda: call(MANY_ROWS), lambda: call(1000))


CASES = {
    f"elbo_batch of {MANY_QS:,} q's, {DRAWS} draws, 64 pixels": lambda: batch_of_qs(()),
    "the same with the decoder's gradient": lambda: batch_of_qs((1, 2)),
    f"pathwise gradient over {MANY_ROWS:,} rows x {COLUMNS}, {DRAWS} draws": gradient_of_rows,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--case", choices=CASES)
    options = parser.parse_args()
    if options.case:
        print(CASES[options.case]())
        return
    found = {}
    for case in CASES:
        done = subprocess.run([sys.executable, __file__, "--case", case], capture_output=True, text=True, check=True)
        found[case] = round(float(done.stdout))
        print(f"{found[case]:5} MB  {case}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
