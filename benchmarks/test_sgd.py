"""Stochastic gradient ascent by Adam: steps and seconds to 0.01 nat of the best ELBO, from location 0 and scale 1.

    pytest benchmarks/test_sgd.py --sides fastvi,jax,numpyro --threads 1 --benchmark-json sgd.json
    python benchmarks/report.py sgd.json

Every side takes 64 draws a step and the best of three step sizes, which are constant; what is judged is the mean of the
last block's second half, at no cost to the side.  fastvi's gradients are those of ``elbo_gradient(..., 64)`` as it
comes, called step by step from Python; the peers' steps are compiled, a block of them at a time.  ``extra_info`` has
the steps and the step size.
"""

import numpy as np
import test_fits

import fastvi as vi

from sides import measure

CLOSE, DRAWS, BLOCK, MOST_BLOCKS, RATES = 0.01, 64, 25, 400, (0.1, 0.03, 0.01)
NAMES = ("eight_schools, mean-field", "kidiq-kidscore_momiq, full-rank", "logistic N=1000 d=50, mean-field")
SIDES = ("fastvi", "jax", "numpyro")


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--sides").split(",")
    names = NAMES[:1] if metafunc.config.getoption("--benchmark-disable") else NAMES
    metafunc.parametrize("name, side", [(name, side) for name in names for side in SIDES if side in chosen])


def fastvi_climb(case, rate, draws):
    """``run(state) -> state`` of BLOCK steps of Adam (Kingma and Ba 2015, algorithm 1); state[0] is (loc, scale)"""
    start = type(case.q).standard(case.q.dim)

    def run(state):
        if state is None:
            zero = np.zeros(len(start.parameters))
            return None, start.parameters, zero, zero, 0
        _, parameters, mean, square, step = state
        total = np.zeros(len(parameters))
        for k in range(BLOCK):
            step += 1
            q = start.with_parameters(parameters)
            g = vi.elbo_gradient(case.target, q, draws, rng=step, num_threads=1).gradient
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
            move = mean / (1.0 - 0.9**step) / (np.sqrt(square / (1.0 - 0.999**step)) + 1e-8)
            parameters = parameters + rate * move
            if k >= BLOCK // 2:
                total += parameters
        q = start.with_parameters(total / (BLOCK - BLOCK // 2))
        return (q.loc, q.scale), parameters, mean, square, step

    return run


def test_time_to_optimum(benchmark, request, monkeypatch, name, side, threads):
    smoke = request.config.getoption("--benchmark-disable")
    monkeypatch.setattr(test_fits, "BLOCK", BLOCK)
    case, _, _ = test_fits.known(name)
    climb = {"fastvi": fastvi_climb, "jax": test_fits.jax_climb, "numpyro": test_fits.numpyro_climb}[side]
    reached = {}
    for rate in RATES[:1] if smoke else RATES:
        blocks = test_fits.blocks_needed(name, climb(case, rate, DRAWS), 2 if smoke else MOST_BLOCKS, CLOSE)
        if blocks:
            reached[rate] = blocks
    assert reached or smoke, f"{side}: not within {CLOSE} nat after {BLOCK * MOST_BLOCKS} steps at any rate"
    rate = min(reached, key=lambda k: reached[k], default=RATES[0])
    run, blocks = climb(case, rate, DRAWS), reached.get(rate, 1)
    benchmark.extra_info.update(rate=rate, steps=blocks * BLOCK)
    measure(benchmark, test_fits.repeated(run, blocks), f"sgd: {name}", side, blocks * BLOCK * DRAWS)
