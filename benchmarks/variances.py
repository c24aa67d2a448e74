"""Variance of one draw of the ELBO at fitted q's, plain and with polynomials as control variates.

    python benchmarks/variances.py [--num-samples 1000000] [--out benchmarks/variances.json]

The posteriors are posteriordb's, with their best q's (``tests/data/posteriors.json``), and a logistic regression.
"""

import argparse
import json
import pathlib

import precision

import fastvi as vi

ESTIMATORS = ("plain", "quadratic", "cubic")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-samples", type=int, default=1_000_000)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    found = {}
    for name, case in precision.cases().items():
        made = case() if callable(case) else case
        row = {}
        for estimator in ESTIMATORS:
            value = vi.elbo(made.target, made.q, options.num_samples, estimator=estimator, rng=0)
            row[estimator] = float(f"{value.standard_error**2 * value.num_samples:.3g}")
        found[name] = row
        print(name, row, flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
