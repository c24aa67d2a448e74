"""Value and gradient of plain densities: every model on every side, and what compiling them takes.

pytest benchmarks/test_value_and_grad.py --sides fastvi,jax,torch --threads 1 --benchmark-json run.json
"""

import numpy as np
import pytest
from gradient_sides import SIDES, WRITTEN, compiling, tiles_side

import fastvi as vi

from gradient_models import models
from sides import measure

MODELS = models()
SLOW = {"GARCH(1, 1) T=500": ("torch",)}  # a Python loop of 500 steps: minutes, and no news


def chosen(config):
    sides = config.getoption("--sides").split(",")
    return [s for s in (*sides, *(("tiles", "written") if "fastvi" in sides else ())) if s in (*SIDES, "written")]


def pytest_generate_tests(metafunc):
    sides = chosen(metafunc.config)
    if "name" in metafunc.fixturenames and "side" in metafunc.fixturenames:
        compiles = metafunc.function is test_compiling
        # where nothing is measured, one model: the comparison calls every side of all of them
        smoke = metafunc.config.getoption("--benchmark-disable") and "benchmark" in metafunc.fixturenames
        cases = [
            (name, side)
            for name in list(MODELS)[: 1 if smoke else None]
            for side in sides
            if side not in SLOW.get(name, ())
            and (side != "written" or name in WRITTEN)
            and (not compiles or side in ("fastvi", "jax"))
        ]
        metafunc.parametrize("name, side", cases)


def call_of(name, side, threads):
    if side == "written":
        return tiles_side(MODELS[name], threads, WRITTEN[name])
    return SIDES[side](MODELS[name], threads)


def test_value_and_gradient(benchmark, name, side, threads):
    if side in ("tiles", "written") and threads > 1:
        pytest.skip("tiles are run on one thread")
    measure(benchmark, call_of(name, side, threads), name, side, MODELS[name].num_draws)


def test_compiling(benchmark, name, side, threads):
    call = compiling(side, MODELS[name])
    call()
    benchmark.group = f"compile: {name}"
    benchmark.extra_info.update(side=side, draws=32)
    benchmark.pedantic(call, rounds=3)


def test_every_side_computes_the_same(name, side, threads):
    """Values and gradients agree to 1e-10 of the largest: the sides do the same work."""
    model = MODELS[name]
    expected = SIDES["fastvi"](model, threads)()
    found = call_of(name, side, threads)()
    value, gradient = (np.asarray(part) for part in (found if side != "torch" else found[::-1]))
    if side in ("tiles", "written"):
        gradient = gradient.T
        expected = vi.Target(model.plain, model.dim, model.data).value_and_grad(model.draws(len(value)))
    elif gradient.shape != expected[1].shape:
        gradient = gradient.T
    for a, b in zip((value, gradient), expected, strict=True):
        assert np.max(np.abs(a - b)) < 1e-10 * np.max(np.abs(b))
