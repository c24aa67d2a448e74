"""The deep belief net: sums over all states, the first layer turned over, and what little training reaches."""

import numpy as np
import pytest

from fastvi.examples import deep_belief_net as program
from fastvi.examples.binary import states
from fastvi.examples.digits import PIXELS, digits


def random_machine(hidden, visible, seed):
    rng = np.random.default_rng(seed)
    return program.Machine(0.5 * rng.normal(size=(hidden, visible)), rng.normal(size=visible), rng.normal(size=hidden))


def test_log_p_sums_to_one():
    """Over all images of three pixels, the others being off for certain; log Z from either side."""
    below, above = random_machine(program.UNITS, PIXELS, 0), random_machine(20, program.UNITS, 1)
    below.W[:, 3:], below.b[3:] = 0.0, -60.0
    x = np.zeros((8, PIXELS))
    x[:, :3] = states(3)
    assert np.exp(program.Net(below, above).exact(x)).sum() == pytest.approx(1.0, abs=1e-10)
    assert np.exp(below.log_marginal(x) - below.log_z()).sum() == pytest.approx(1.0, abs=1e-10)
    assert below.turned_over().log_z() == below.log_z()


def test_the_second_layer_gains():
    """Turned over it changes nothing, and its q leaves no noise (Hinton, Osindero and Teh 2006, section 4).  From
    -24.75 nats a held-out image, where pixels are independent, to beyond -20; every ELBO is below log p(x)."""
    first, net = program.trained(0, (4000, 3000), num_threads=1)
    held = digits()[1].bits
    exact = first.below.log_marginal(held) - first.below.log_z()
    np.testing.assert_allclose(first.exact(held), exact, atol=1e-9)
    elbo = first.elbo(held, 200)
    assert abs(elbo.value - exact.sum()) < 1e-8 and elbo.standard_error < 1e-9
    better = net.elbo(held, 1000)
    assert exact.mean() > -20.0 and 0.0 < better.value - exact.sum() < net.exact(held).sum() - exact.sum()
    gaps = net.gaps(held[:4])
    assert np.all(gaps > -0.01) and np.all(gaps[:, 1] < gaps[:, 0] + 0.01) and gaps[:, 0].mean() < 0.5
