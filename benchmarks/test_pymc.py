"""The same PyMC model through PyMC and through fastvi, in an environment that has PyMC.

    pytest benchmarks/test_pymc.py --sides fastvi,pymc --threads 1 --benchmark-json pymc.json

The ELBO to a standard error of 1e-3 nat: PyMC evaluates its own vectorised log p - log q, 1000 draws a call, and is
told how many draws it needs; fastvi finds out.  Fits: a whole ``vi.fit``, its own stop and diagnosis included, against
the 10,000 steps that ``pm.fit`` takes by default; what each is short of the best ELBO known is kept as ``gap``, in
nats.  Three rounds after an untimed call, which compiles.
"""

import functools
import math

import numpy as np

import fastvi as vi

CHUNK, DEFAULT_STEPS, ATOL, JUDGED, ROUNDS = 1000, 10_000, 1e-3, 100_000, 3


def schools():
    import pymc as pm

    effect = pm.Data("effect", np.array([28.0, 8, -3, 7, -1, 1, 18, 12]))
    mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
    theta = mu + tau * pm.Normal("z", 0, 1, shape=8)
    pm.Normal("y", theta, np.array([15.0, 10, 16, 11, 9, 11, 10, 18]), observed=effect)


def logistic():
    import pymc as pm

    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 10))
    y = (rng.random(1000) < 1 / (1 + np.exp(-X @ np.linspace(-1, 1, 10)))).astype(int)
    beta = pm.Normal("beta", 0, 1, shape=10)
    pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)


MODELS = {"eight schools": schools, "logistic N=1000 d=10": logistic}


@functools.cache
def problem(name):
    """(model, target, the best q known, its ELBO)"""
    import pymc as pm

    from fastvi.bridges.pymc import from_model

    with pm.Model() as model:
        MODELS[name]()
    target = from_model(model)
    best = vi.fit(target, "mean_field", rng=5)
    return model, target, best.q, vi.elbo(target, best.q, JUDGED, rng=6).value


def elbo_of_fastvi(name, threads):
    _, target, q, _ = problem(name)
    return lambda: vi.elbo(target, q, CHUNK, atol=ATOL, rng=1, num_threads=threads)


def elbo_of_pymc(name, threads, mode=None):
    import pytensor

    from fastvi.bridges.pymc import to_approximation

    _, target, q, _ = problem(name)
    approximation = to_approximation(q, target)
    log_w = approximation.sized_symbolic_logp - approximation.symbolic_logq
    count = pytensor.tensor.iscalar("count")
    outputs = approximation.set_size_and_deterministic([log_w.mean(), log_w.var()], count, False)
    function = pytensor.function([count], outputs, mode=mode)
    pilot = vi.elbo(target, q, 100_000, estimator="plain", rng=2)
    calls = math.ceil(pilot.standard_error**2 * 100_000 / ATOL**2 / CHUNK)
    return lambda: np.mean([function(CHUNK) for _ in range(calls)], axis=0)


def fit_of_fastvi(name, threads):
    _, target, _, _ = problem(name)
    return lambda: vi.fit(target, "mean_field", rng=1, num_threads=threads).q


def fit_of_pymc(name, threads):
    import pymc as pm

    from fastvi.bridges.pymc import from_approximation

    model, target, _, _ = problem(name)
    with model:
        method = pm.ADVI(random_seed=1)
        step = method.objective.step_function(score=True)  # as pm.fit has it
    shared = step.get_shared()  # parameters, the optimizer's sums, the random stream
    start = [variable.get_value() for variable in shared]

    def call():
        for variable, value in zip(shared, start, strict=True):
            variable.set_value(value)
        for _ in range(DEFAULT_STEPS):
            step()
        return from_approximation(method.approx, target)

    return call


TASKS = {
    "1e-3 nat: ": {
        "fastvi": elbo_of_fastvi,
        "pymc": elbo_of_pymc,
        "pymc numba": functools.partial(elbo_of_pymc, mode="NUMBA"),
    },
    "own stop: ": {"fastvi": fit_of_fastvi, "pymc": fit_of_pymc},
}


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--sides").split(",")
    cases = [
        (f"{kind}{name} in PyMC", name, side, prepare)
        for kind, sides in TASKS.items()
        for name in MODELS
        for side, prepare in sides.items()
        if "pymc" in chosen and side.split()[0] in chosen
    ]
    metafunc.parametrize("group, name, side, prepare", cases)


def test_through_pymc(benchmark, group, name, side, prepare, threads):
    call = prepare(name, threads)
    benchmark.group = group
    benchmark.extra_info.update(side=side)
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=1)
    if group.startswith("own stop: "):
        _, target, _, best = problem(name)
        benchmark.extra_info["gap"] = best - vi.elbo(target, call(), JUDGED, rng=7).value
