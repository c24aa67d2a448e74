"""µs a draw of translated models, against their own library: python benchmarks/translate.py [--out FILE] [MODEL …]

PyMC models beside the bridge to PyTensor's Numba code, what models were before they were translated, and beside
PyMC's own functions in its Numba mode, called a draw at a time; NumPyro models beside JAX's ``jit(vmap(…))`` of the
same draws.  Everything on one thread, sides in turn, the fastest round of each counts; compiling is apart.  What is not
installed is left out, and rows of a file that is there already are kept, so the halves may come from two environments.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))

import numpy as np

from fastvi.kernels import jit

PYMC = ("logistic", "schools_noncentered", "radon", "negbin", "softmax_regression", "stoch_vol", "irt_2pl",
        "normal_mixture", "garch_scan")  # fmt: skip
NUMPYRO = ("schools", "logistic", "radon", "softmax", "mixture", "negative_binomial")
DRAWS, FEW, ONE_BY_ONE = 2048, 256, 64


def clock(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def cpu(call):
    start = time.process_time()
    call()
    return round(time.process_time() - start, 2)


def fastest(sides, seconds) -> dict[str, float]:
    """µs a draw of each side: {name: (call, draws)}."""
    best = dict.fromkeys(sides, float("inf"))
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < 5:
        for name, (call, draws) in sides.items():
            best[name] = min(best[name], clock(call) / draws * 1e6)
        rounds += 1
    return {name: float(f"{value:.3g}") for name, value in best.items()}


def of_target(name, target, z):
    return {
        f"{name} value": (lambda: target.value(z, num_threads=1), len(z)),
        f"{name} value and gradient": (lambda: target.value_and_grad(z, num_threads=1), len(z)),
    }


def pymc_row(name, seconds) -> dict:
    import pymc as pm
    import pytensor

    from fastvi.bridges.pymc import from_model

    from pymc_zoo import ZOO

    model, made = ZOO[name](), {}
    row = dict(translate_cpu_s=cpu(lambda: made.update(target=from_model(model))))
    target, before = made["target"], from_model(model, translate=False)
    density = target.density
    start = np.concatenate([np.ravel(model.initial_point(0)[n]) for n in density.layout.names])
    z = start + 0.3 * np.random.default_rng(0).normal(size=(DRAWS, target.dim))
    row["compile_cpu_s"] = cpu(lambda: target.value(z[:2])), cpu(lambda: target.value_and_grad(z[:2]))
    row["before_compile_cpu_s"] = cpu(lambda: before.value(z[:2])), cpu(lambda: before.value_and_grad(z[:2]))
    (log_p,) = density.in_terms_of_x([density.log_p])
    slope = pytensor.gradient.grad(log_p, density.x)
    sides = of_target("translated", target, z) | of_target("before", before, z[:FEW])
    for what, outputs in (("value", [log_p]), ("value and gradient", [log_p, slope])):
        with model:
            function = pm.pytensorf.compile([density.x], outputs, mode="NUMBA", on_unused_input="ignore")
        function.trust_input = True
        function(z[0])
        sides[f"PyMC Numba {what}"] = (lambda f=function: [f(row) for row in z[:ONE_BY_ONE]], ONE_BY_ONE)
    return row | dict(dim=target.dim, microseconds=fastest(sides, seconds), explain=target.explain())


def numpyro_row(name, seconds) -> dict:
    import jax

    from fastvi.bridges.numpyro import from_model

    from numpyro_zoo import ZOO

    jax.config.update("jax_enable_x64", True)
    made: dict = {}
    row = dict(translate_cpu_s=cpu(lambda: made.update(target=from_model(ZOO[name]))))
    target = made["target"]
    z = 0.3 * np.random.default_rng(0).normal(size=(DRAWS, target.dim))
    row["compile_cpu_s"] = cpu(lambda: target.value(z[:2])), cpu(lambda: target.value_and_grad(z[:2]))
    f, there = target.density.sites.log_density, jax.numpy.asarray(z)
    values, both = jax.jit(jax.vmap(f)), jax.jit(jax.vmap(jax.value_and_grad(f)))
    row["jax_compile_cpu_s"] = cpu(lambda: values(there)), cpu(lambda: both(there))
    sides = of_target("translated", target, z)
    sides["JAX jit(vmap) value"] = (lambda: values(there).block_until_ready(), DRAWS)
    sides["JAX jit(vmap) value and gradient"] = (lambda: jax.block_until_ready(both(there)), DRAWS)
    return row | dict(dim=target.dim, microseconds=fastest(sides, seconds), explain=target.explain())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("models", nargs="*")
    given = parser.parse_args()
    run = json.loads(given.out.read_text()) if given.out and given.out.exists() else dict(models={})
    run["machine"] = f"{jit.host_cpu()[0]}, Python {platform.python_version()}, 1 thread, fastest of interleaved rounds"
    for library, names, make in (("pymc", PYMC, pymc_row), ("numpyro", NUMPYRO, numpyro_row)):
        for name in names if importlib.util.find_spec(library) else ():
            if given.models and name not in given.models:
                continue
            row = make(name, given.seconds) | dict(load=round(os.getloadavg()[0], 1), date=time.strftime("%Y-%m-%d"))
            run["models"][f"{library} {name}"] = row
            print(library, name, json.dumps(row["microseconds"]), flush=True)
            if given.out:
                given.out.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()
