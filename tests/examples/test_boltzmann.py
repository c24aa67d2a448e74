"""The Boltzmann machine: its two densities against each other, and fits against coordinate ascent in NumPy."""

import numpy as np
import pytest
from scipy.special import expit, xlogy

import fastvi as vi
from fastvi.examples import boltzmann as program
from fastvi.examples.binary import states
from fastvi.examples.digits import PIXELS

pytestmark = pytest.mark.slow


def mean_field(machine, starts, iterations=500):
    """The best bound of coordinate ascent, layer by layer, from random means."""
    best, rng = -np.inf, np.random.default_rng(1)
    for _ in range(starts):
        h = rng.random(len(machine.c))
        for _ in range(iterations):
            x = expit(machine.b + h @ machine.W)
            h = expit(machine.c + machine.W @ x)
        p = np.concatenate([x, h])
        entropy = -np.sum(xlogy(p, p) + xlogy(1 - p, 1 - p))
        best = max(best, machine.b @ x + machine.c @ h + h @ machine.W @ x + entropy)
    return best


@pytest.fixture(scope="module")
def found():
    return program.solve(steps=3000, num_threads=1)


def test_pixels_are_summed_out(found):
    """By all images that differ in three pixels alone, the others being off for certain"""
    W, b, c = found.machine.W, found.machine.b.copy(), found.machine.c
    b[3:] = -1e3
    x = np.zeros((8, PIXELS))
    x[:, :3] = states(3)
    h = states(16)[[5, 40_000]]
    whole = vi.Target(program.all_units, 80, (W, b, c))
    part = vi.Target(program.without_pixels, 16, (W, b, c)).value(h)
    each = np.array([whole.value(np.column_stack([x, np.tile(u, (8, 1))])) for u in h])
    np.testing.assert_allclose(np.logaddexp.reduce(each, axis=1), part, rtol=1e-12)


def test_bounds_are_in_order(found):
    """The best of 200 ascents is what the fit ends at; with the pixels summed out less is missing, and never all."""
    assert found.whole.converged and found.part.converged
    assert found.whole.elbo.value == pytest.approx(mean_field(found.machine, 200), abs=1e-6)
    error = found.part.elbo.standard_error
    assert found.whole.elbo.value < found.part.elbo.value - 5 * error < found.log_z
    assert found.part.elbo.value < found.log_z + 5 * error
