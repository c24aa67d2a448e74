"""The Ising program: Kaufman's log Z against all states and Onsager, fits against their fixed points, two onsets."""

import itertools
import math

import numpy as np
import pytest

from fastvi.__main__ import main
from fastvi.examples import ising


def test_kaufmans_log_z_is_that_of_all_states():
    """65,536 of a torus of 4 x 4; Onsager (1944): 2 G / pi + log(2) / 2 a spin at the critical point, G Catalan's"""
    states = np.array(list(itertools.product((0.0, 1.0), repeat=16)))
    for K in (0.1, ising.CRITICAL, 0.8):
        log_p = ising.target_of("spins", 4, K).value(states)
        assert abs(ising.log_z(4, K) - np.logaddexp.reduce(log_p) / 16) < 1e-12
    onsager = 2.0 * 0.915965594177219 / math.pi + 0.5 * math.log(2.0)
    assert abs(ising.log_z(400, ising.CRITICAL) - onsager) < 1e-5


def test_blocks_are_the_same_model():
    spins = np.random.default_rng(0).integers(0, 2, (20, 8, 8)).astype(float)
    states = np.zeros((20, 4, 4))
    for (i, j), weight in zip(((0, 0), (0, 1), (1, 0), (1, 1)), (8, 4, 2, 1), strict=True):
        states += weight * spins[:, i::2, j::2]
    by_spins = ising.target_of("spins", 8, 0.3).value(spins.reshape(20, 64))
    np.testing.assert_allclose(ising.target_of("blocks", 8, 0.3).value(states.reshape(20, 16)), by_spins, atol=1e-12)


def test_mean_field_is_its_fixed_point():
    """m = tanh(4 K m), whose bound is 2 K m^2 + H a spin, and which is 0 up to K = 1/4"""
    K, m = 0.275, 0.5029405749446467
    assert abs(math.tanh(4 * K * m) - m) < 1e-14
    found = ising.bound("spins", K, 4_000, num_threads=1)
    up = 0.5 * (1.0 + m)
    exact = 2 * K * m**2 - up * math.log(up) - (1.0 - up) * math.log1p(-up)
    assert abs(found.magnetisation - m) < 1e-9 and found.error < 2e-4
    assert abs(found.elbo - exact) < 5 * found.error
    assert abs(ising.onset("spins", num_threads=1) - 0.25) < 1e-4


@pytest.mark.slow
def test_blocks_are_better_and_magnetise_later(capsys, monkeypatch):
    """A uniform fixed point of 16 states in the field of its neighbours, iterated in NumPy, at K = 0.3: .7410820343
    nats a spin and m = 0.4002401723801; by linear response to the field its onset is at K = 0.28575"""
    assert ising.mean_spin(ising.fitted("blocks", 0.28, num_threads=1)) < 1e-5
    bounds, real = [], ising.bound
    monkeypatch.setattr(ising, "COUPLINGS", (0.3,))
    monkeypatch.setattr(ising, "bound", lambda *options: bounds.append(real(*options)) or bounds[-1])
    monkeypatch.setattr(ising, "onset", lambda *options: 0.25)
    assert main(["examples", "ising", "--num-samples", "8192", "--num-threads", "1"]) == 0
    assert "0.659   0.400  0.000" in capsys.readouterr().out
    spins, blocks = bounds
    assert abs(blocks.magnetisation - 0.4002401723801) < 1e-6 and abs(blocks.elbo - 0.7410820343) < 5 * blocks.error
    assert blocks.elbo > spins.elbo
