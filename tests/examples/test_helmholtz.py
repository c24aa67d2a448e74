"""The belief net: log p and the ELBO's gradient against enumeration, and what little training reaches."""

import numpy as np
from scipy.special import expit, softmax

from fastvi.examples import helmholtz as program
from fastvi.examples.digits import PIXELS
from fastvi.targets.target import Target


def test_log_p_sums_to_one():
    """Over all images of three pixels, the others being off for certain."""
    machine = program.Machine(1)
    machine.flat *= 5.0
    W, b = machine.net[3:]
    W[3:], b[3:] = 0.0, -60.0
    x = np.zeros((8, PIXELS))
    x[:, :3] = program.states(3)
    assert abs(np.exp(machine.exact(x)).sum() - 1.0) < 1e-10


def test_the_gradient_is_that_of_the_elbo():
    """Of net and encoder: E log p(x, h) - log q(h | x) by all states of h, in differences along the slope of each."""
    machine = program.Machine(2)
    x, start = machine.training[:2].copy(), 3.0 * machine.flat
    middle, top = program.states(program.MIDDLE), program.states(program.TOP)

    def exact(flat):
        machine.flat[:] = flat
        a, U, c, W, b = machine.net
        total = 0.0
        for image, p in zip(x, expit(x @ machine.R.T + machine.r), strict=True):
            log_q = [h @ np.log(r) + (1 - h) @ np.log1p(-r) for h, r in ((middle, p[:12]), (top, p[12:]))]
            logits, pixels = top @ U.T + c, middle @ W.T + b
            of_middle = pixels @ image - np.logaddexp(0.0, pixels).sum(axis=1) - log_q[0]
            of_top = top @ a - np.logaddexp(0.0, a).sum() - np.logaddexp(0.0, logits).sum(axis=1) - log_q[1]
            q = [softmax(v) for v in log_q]
            total += q[0] @ of_middle + q[1] @ of_top + q[0] @ middle @ logits.T @ q[1]
        return total / len(x)

    machine.flat[:] = start
    target = Target(program.log_density, machine.q(x).latents, (x,))
    slope, size = machine.slope(target, 10_000), machine.flat.size - machine.R.size - machine.r.size
    for part in (slice(size), slice(size, None)):
        direction = np.zeros(len(start))
        direction[part] = slope[part] / np.linalg.norm(slope[part])
        expected = (exact(start + 1e-5 * direction) - exact(start - 1e-5 * direction)) / 2e-5
        machine.flat[:] = start
        found = [machine.slope(target, 10_000) @ direction for _ in range(8)]
        error = np.std(found, ddof=1) / np.sqrt(8)
        assert abs(np.mean(found) - expected) < 5.0 * error < 0.1 * expected


def test_it_learns():
    """300 steps from where pixels are independent, -24.75 nats held out, beyond -21.5; ELBOs are below log p(x), and
    those of fitted q's above the encoder's."""
    found = program.solve(5 * 4000, steps=(600, 300), images=5)
    assert found.asleep.shape == (359,)
    assert min(x.mean() for x in (found.asleep, found.reweighted, found.climbed)) > -21.5
    assert np.all(found.gaps > -0.1) and np.all(found.gaps[:, 1] < found.gaps[:, 0] + 0.1)
    assert found.gaps[:, 1].mean() < 0.8 * found.gaps[:, 0].mean()
