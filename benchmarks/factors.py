"""Score gradients of Bernoulli latents in their logits: nanoseconds a draw and factor, and time × variance.

    taskset -c 1 python benchmarks/factors.py [--rounds 30] [--only Ising] [--out benchmarks/factors-1-cpu.json]

``vi.elbo_gradient`` of Ising models on a torus, of sigmoid belief nets with 64 visible units and of variable selection,
y ~ N(X (s * theta), 1) with theta given, beside leave-one-out (RLOO) of NumPy, torch and JAX, and DisARM of JAX (Dong,
Mnih and Tucker 2020), whose pairs are two evaluations of log p.  fastvi starts from plain code of one draw, the others
from batched code; its calls include pilots and standard errors, which the others do not have.

In a round each side makes 100,000 evaluations: fastvi in one call, the others in calls of as many as they do fastest.
Time is the median CPU time of interleaved rounds, so that other work on the CPU counts little; one thread, float64
unless named, compilation apart.  Variance is that of the rounds' gradients, summed over the logits, times their
evaluations.  It ends with an error where a side's gradient is more than five standard errors off (so few rounds have
Student's tails, and five is that of a normal variate as improbable), or fastvi's are not those that its rounds have.
"""

import argparse
import functools
import json
import pathlib
import time

import numpy as np
from factor_models import workloads
from scipy import special, stats

import fastvi as vi

from sides import confine, load_jax

DRAWS, SIZES = 100_000, (1000, 2000, 10_000, 100_000)
QUADRATIC = 64  # factors, up to which it is measured where "auto" takes another
EXACT = 1e-15  # of the variance of leave-one-out: rounding
LEAVE_ONE_OUT = "fastvi leave_one_out"
STANDARD_ERRORS, REPORTED = 5.0, (0.7, 1.4)  # the latter is reported over true variance


def of_fastvi(work, estimator):
    target, q = vi.Target(work.plain, len(work.logits), work.data), vi.Bernoulli(logits=work.logits)
    return lambda seed: vi.elbo_gradient(target, q, DRAWS, estimator=estimator, rng=seed, num_threads=1)


def leave_one_out(m, log_p, u, p, logits):
    """(ELBO, gradient) from uniform u (n, d)."""
    z = (u < p).astype(u.dtype) if m is np else (u < p) * m.ones_like(p)
    f = log_p(z) - z @ logits
    mean = f.mean()
    return mean, ((f - mean) / (len(z) - 1)) @ (z - p)


def disarm(m, log_p, u, p, logits):
    """(ELBO, gradient) from the first half of u and its mirror image."""
    u = u[: len(u) // 2]
    z, mirrored = (u < p) * m.ones_like(p), (u > 1.0 - p) * m.ones_like(p)
    f, g = (log_p(x) - x @ logits for x in (z, mirrored))
    return (f + g).mean() / 2, (f - g) @ (z - mirrored) * m.maximum(p, 1.0 - p) / (2 * len(u))


def of_numpy(work, size):
    p, u = 1.0 / (1.0 + np.exp(-work.logits)), np.empty((size, len(work.logits)))

    def call(seed):
        np.random.Generator(np.random.SFC64(seed)).random(out=u)
        return leave_one_out(np, lambda z: work.batched(np, z, *work.data), u, p, work.logits)

    return call


def of_torch(work, size):
    import torch

    torch.set_num_threads(1)
    logits, *data = (torch.tensor(v) if isinstance(v, np.ndarray) else v for v in (work.logits, *work.data))
    p, random = torch.sigmoid(logits), torch.Generator()

    @torch.no_grad()
    def call(seed):
        u = torch.rand(size, len(p), dtype=torch.float64, generator=random.manual_seed(seed))
        return leave_one_out(torch, lambda z: work.batched(torch, z, *data), u, p, logits)

    return call


def of_jax(work, size, estimator, dtype):
    jax = load_jax()
    jnp = jax.numpy
    logits, *data = (jnp.asarray(v, dtype) if isinstance(v, np.ndarray) else v for v in (work.logits, *work.data))

    @jax.jit
    def call(seed):
        u = jax.random.uniform(jax.random.key(seed), (size, len(logits)), dtype)
        return estimator(jnp, lambda z: work.batched(jnp, z, *data), u, jax.nn.sigmoid(logits), logits)

    return lambda seed: jax.block_until_ready(call(seed))


PEERS = {"NumPy RLOO": of_numpy, "torch RLOO": of_torch}
for dtype in ("float64", "float32"):
    for name, estimator in (("RLOO", leave_one_out), ("DisARM", disarm)):
        PEERS[f"JAX {name}, {dtype}"] = functools.partial(of_jax, estimator=estimator, dtype=dtype)


def one_round(call, size, seed):
    """(seconds, gradient, standard errors or None) of as many calls as there are in a round."""
    start = time.process_time()
    calls = [call(seed + which) for which in range(DRAWS // size)]
    spent = time.process_time() - start
    if isinstance(calls[0], vi.GradientEstimate):
        return spent, calls[0].gradient, calls[0].standard_error
    return spent, np.mean([np.asarray(gradient, float) for _, gradient in calls], axis=0), None


def fastest(make, work):
    """(the call, its evaluations) of the sizes that takes least."""
    calls = [(make(work, size), size) for size in SIZES]
    for call in calls:
        one_round(*call, 0)
    return min(calls, key=lambda call: min(one_round(*call, 0)[0] for _ in range(3)))


def measure(work, rounds):
    method, estimators = of_fastvi(work, "auto")(0).method, ["leave_one_out", "auto"]
    if method != "quadratic" and len(work.logits) <= QUADRATIC:
        estimators.append("quadratic")
    calls = {f"fastvi {estimator}": (of_fastvi(work, estimator), DRAWS) for estimator in estimators}
    calls |= {name: fastest(make, work) for name, make in PEERS.items()}
    found = {name: [] for name in calls}
    for which in range(-1, rounds):
        for place, (name, call) in enumerate(calls.items()):
            made = one_round(*call, 1_000_000 * (place + 1) + 1000 * (which + 1))
            if which >= 0:
                found[name].append(made)
    sizes = {name: size for name, (_, size) in calls.items()}
    return dict(factors=len(work.logits), auto=method, sides=compared(found, sizes, len(work.logits)))


def compared(found, sizes, factors):
    """What the rounds of each side tell, if their gradients agree."""
    gradients = {name: np.array([gradient for _, gradient, _ in made]) for name, made in found.items()}
    mean = {name: each.mean(axis=0) for name, each in gradients.items()}
    spread = {name: each.var(axis=0, ddof=1) for name, each in gradients.items()}
    best, rows = min(found, key=lambda name: spread[name].sum()), {}
    for name, made in found.items():
        seconds, variance = float(np.median([spent for spent, _, _ in made])), float(spread[name].sum())
        rows[name] = row = dict(call=sizes[name], ns=1e9 * seconds / DRAWS / factors, variance=DRAWS * variance)
        row |= dict(time_variance=seconds * variance, exact=variance < EXACT * float(spread[LEAVE_ONE_OUT].sum()))
        if name != best:
            error = np.sqrt((spread[name] + spread[best]) / len(made))
            student = stats.t.logsf(np.max(np.abs(mean[name] - mean[best]) / error), len(made) - 1)
            row["off"] = off = float(-special.ndtri_exp(student))
            if off > STANDARD_ERRORS:
                raise SystemExit(f"{name}: its gradient is {off:.1f} standard errors from that of {best}")
        if name.startswith("fastvi") and not row["exact"]:
            row["reported"] = ratio = float(np.mean([np.sum(errors**2) for _, _, errors in made])) / variance
            if not REPORTED[0] < ratio < REPORTED[1]:
                raise SystemExit(f"{name}: it reports {ratio:.2f} of the variance that its rounds have")
    return rows


def table(found):
    """In Markdown, ns a draw and factor; in brackets multiples: of fastvi's leave-one-out, and of the least time ×
    variance that fastvi has where it is not exact."""
    names = list(dict.fromkeys(name for case in found.values() for name in case["sides"]))
    lines = ["| workload | auto | " + " | ".join(names) + " |", "|---|---" + "|---:" * len(names) + "|"]
    for work, case in found.items():
        sides, cells = case["sides"], []
        own = [row for name, row in sides.items() if name.startswith("fastvi")]
        ns, best = sides[LEAVE_ONE_OUT]["ns"], min(row["time_variance"] for row in own if not row["exact"])
        for row in (sides.get(name) for name in names):
            price = row and ("exact" if row["exact"] else f"{row['time_variance'] / best:.3g}x")
            cells.append(f"{row['ns']:.3g} ({row['ns'] / ns:.1f}x, {price})" if row else "")
        lines.append(f"| {work} | {case['auto']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="workloads whose names have this in them")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    confine(1)
    found = {}
    for name, work in workloads().items():
        if options.only in name:
            found[name] = measure(work, options.rounds)
            print(name, json.dumps(found[name]), flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{table(found)}")


if __name__ == "__main__":
    main()
