"""The autoencoder: gradients of its encoder, bounds in their order, and what an untold code of two numbers reaches."""

import numpy as np

from fastvi.examples import vae


def test_the_encoders_gradient_is_that_of_the_elbo():
    """By central differences at common draws, in directions through encoder and decoder."""
    net = vae.Autoencoder(2, 1)
    x, start = net.training.bits[:20], net.flat.copy()

    def value(flat):
        net.flat[:], net.random = flat, np.random.default_rng(5)
        return net.estimate(x, 2).value.mean()

    value(start)
    net.random = np.random.default_rng(5)
    slope = net.slope(x, 2)
    ends = np.cumsum([net.A.size, net.a.size, net.B.size, net.d.size])
    for part in np.split(np.arange(len(start)), ends):
        direction = np.zeros(len(start))
        direction[part] = np.random.default_rng(2).normal(size=len(part))
        difference = (value(start + 1e-5 * direction) - value(start - 1e-5 * direction)) / 2e-5
        assert abs(difference - slope @ direction) < 1e-6 * np.linalg.norm(slope) * np.linalg.norm(direction)


def test_bounds_are_in_order():
    """ELBO, IWAE-1000 and log p(x) by quadrature of held-out images; after 1000 steps -20.6 nats, as in torch (Adam
    at 3e-3, one draw each), and far from -24.75 of independent pixels."""
    net = vae.Autoencoder(2)
    found = vae.solve(net, 1000, 1000)
    assert found.elbo.shape == (359,) and found.exact is not None
    assert found.elbo.mean() < found.iwae.mean() and np.all(found.iwae < found.exact + 0.5)
    assert -0.05 < (found.exact - found.iwae).mean() < 0.1
    assert found.exact.mean() > -21.3


def test_log_p_is_that_of_the_decoder():
    """Quadrature sums to 1 over all images: of three pixels, the others' logits far from 0."""
    net = vae.Autoencoder(2)
    _, _, W, b = net.decoder
    W[3:], b[3:] = 0.0, -60.0
    x = np.zeros((8, vae.PIXELS))
    x[:, :3] = [[k & 1, k >> 1 & 1, k >> 2] for k in range(8)]
    assert abs(np.exp(net.exact(x)).sum() - 1.0) < 1e-6
