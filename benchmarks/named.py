"""What named parameters cost against the same density of a flat z written by hand: one thread, interleaved rounds.

python benchmarks/named.py --out benchmarks/named-1-cpu.json
"""

import argparse
import json
import platform
import time

import numpy as np

import fastvi as vi

from named_models import CASES


def best(calls, rounds):
    """The shortest time of each call in interleaved rounds, in seconds."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    return [min(kept) for kept in times]


def row(name, rounds):
    """Nanoseconds a draw and ratios of a case, after both sides have agreed."""
    case = CASES[name]
    sides = [vi.Target(case.by_hand, len(case.loc), case.data), vi.Target(case.named, case.parameters, case.data)]
    q = vi.MeanFieldGaussian(case.loc, np.full(len(case.loc), 0.1))
    z = q.sample(200, rng=1)
    found, result = [t.value_and_grad(z) for t in sides], dict(model=name)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-9 * np.abs(one).max())
    options = dict(rng=0, num_threads=1)
    for what, call in (
        ("value", lambda t: vi.elbo(t, q, case.num_samples, estimator="plain", **options)),
        ("gradient", lambda t: vi.elbo_gradient(t, q, case.num_samples, estimator="pathwise", **options)),
    ):
        hand, named = best([lambda t=t, call=call: call(t) for t in sides], rounds)
        result[what] = dict(by_hand=1e9 * hand / case.num_samples, named=1e9 * named / case.num_samples)
        result[what]["ratio"] = named / hand
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    rows = [row(name, options.rounds) for name in CASES]
    ratios = [r[what]["ratio"] for r in rows for what in ("value", "gradient")]
    for r in rows:
        print(r["model"], *(f"{what} {r[what]['by_hand']:.1f} -> {r[what]['named']:.1f} ns a draw "
              f"({r[what]['ratio']:.3f})" for what in ("value", "gradient")), sep="  ", flush=True)  # fmt: skip
    print(f"median {np.median(ratios):.3f}, worst {max(ratios):.3f}")
    if options.out:
        about = dict(processor=platform.processor(), machine=platform.machine(), fastvi=vi.__version__)
        with open(options.out, "w") as file:
            json.dump(dict(rows=rows, median=float(np.median(ratios)), worst=max(ratios), **about), file, indent=1)


if __name__ == "__main__":
    main()
