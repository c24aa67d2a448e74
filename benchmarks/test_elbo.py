"""ELBO with its standard error, and with the leave-one-out score gradient: every workload on every side.

    pytest benchmarks --sides fastvi,numpy,jax,torch,numpyro --threads 1 --benchmark-json run.json
    python benchmarks/report.py run.json

Two untimed calls compile and warm up.  ``--benchmark-disable`` turns the suites into smoke tests.
"""

import re

import pytest

from sides import SIDES, TASKS, measure, normals, offers
from workloads import ALL

NORMALS = 960_000  # a hundred tiles of fastvi's
# where nothing is measured: each model in one of its sizes, the gradients of one
SMOKE = {re.sub(r" [dNS]=[\d,]*\d", "", name): name for name in reversed(ALL)}.values()


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--sides").split(",")
    smoke = metafunc.config.getoption("--benchmark-disable")
    if "task" in metafunc.fixturenames:
        cases = [
            (name, task, side)
            for name in (SMOKE if smoke else ALL)
            for task in TASKS
            for side in chosen
            if offers(side, task) and not (name.startswith("tiny") and task != "elbo")
            if not smoke or task == "elbo" or name == next(iter(ALL))
        ]
        metafunc.parametrize("name, task, side", cases)
    elif "side" in metafunc.fixturenames:
        metafunc.parametrize("side", [side for side in chosen if side != "numpyro"])


def test_estimators(benchmark, name, task, side, threads):
    work = ALL[name]
    measure(benchmark, SIDES[side](work, task, threads), f"{name}: {task}", side, work.num_samples)


def test_normals(benchmark, side, threads):
    measure(benchmark, normals(side, threads, NORMALS), "normals alone, 960,000", side, NORMALS)


@pytest.mark.parametrize("family", ["mean_field", "full_rank"])
def test_every_side_computes_the_same(family, threads, request):
    """The ELBOs of one workload agree within 5 standard errors: the sides do the same work."""
    work = ALL["standard normal d=100" if family == "mean_field" else "full rank d=20"]
    ours = SIDES["fastvi"](work, "elbo", threads)()
    for side in request.config.getoption("--sides").split(","):
        theirs = SIDES[side](work, "elbo", threads)()
        value = float(theirs[0] if isinstance(theirs, tuple) else theirs)
        assert abs(value - ours.value) < 5 * 1.5 * ours.standard_error, side
