"""Natural parameters eta and mean statistics E t = dA/d eta (Wainwright and Jordan 2008, proposition 3.1)."""

import numpy as np
import pytest
from scipy import special

import fastvi as vi

# (q, its natural parameters, E t): closed forms of t = z; the indicators of all categories but the last; (log z, z);
# (log z, log(1 - z)); z of an exponential and a Poisson factor; (log z, log^2 z) of a log-normal; log z of a Dirichlet
A, B = np.array([0.7, 3.0]), np.array([2.0, 0.5])
P = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
FAMILIES = {
    "bernoulli": (vi.Bernoulli(logits=[-1.0, 2.0]), [[-1.0], [2.0]], special.expit([[-1.0], [2.0]])),
    "categorical": (vi.Categorical(probabilities=P), np.log(P[:, :2] / P[:, 2:]), P[:, :2]),
    "gamma": (vi.Gamma(A, B), np.stack([A, -B], 1), np.stack([special.digamma(A) - np.log(B), A / B], 1)),
    "beta": (vi.Beta(A, B), np.stack([A, B], 1), (special.digamma([A, B]) - special.digamma(A + B)).T),
    "exponential": (vi.Exponential(B), -B[:, None], 1.0 / B[:, None]),
    "poisson": (vi.Poisson(A), np.log(A)[:, None], A[:, None]),
    "log_normal": (
        vi.LogNormal([0.3, -1.0], B),
        np.stack([[0.3, -1.0] / B**2, -0.5 / B**2], 1),
        np.stack([[0.3, -1.0], np.array([0.3, -1.0]) ** 2 + B**2], 1),
    ),
    "dirichlet": (vi.Dirichlet(A), A[None], (special.digamma(A) - special.digamma(A.sum()))[None]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_natural_parameters(name):
    q, natural, means = FAMILIES[name]
    np.testing.assert_allclose(q.natural, natural, rtol=1e-14)
    np.testing.assert_allclose(q.mean_statistics, means, rtol=1e-13)
    same = q.with_natural(q.natural)
    np.testing.assert_allclose(same.parameters, q.parameters, rtol=1e-14, atol=1e-15)
    moved = q.natural * 1.01
    block = q.with_natural(moved).blocks[0]
    for w in range(moved.shape[1]):
        step = np.zeros_like(moved)
        step[:, w] = 1e-5
        up, down = (q.with_natural(moved + sign * step).blocks[0].log_normaliser for sign in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-5, block.mean_statistics[:, w], rtol=1e-7, atol=1e-8)
    # KL(q || p) = (eta - eta')' E t - A(eta) + A(eta')
    p = q.with_natural(moved)
    gap = np.sum((q.natural - moved) * means) - np.sum(q.blocks[0].log_normaliser - block.log_normaliser)
    assert vi.kl_divergence(q, p).value == pytest.approx(gap, rel=1e-6, abs=1e-15)
    with pytest.raises(ValueError, match="natural: expected shape"):
        q.with_natural(np.zeros((5, 7)))


def test_a_product_is_asked_factor_by_factor():
    q = vi.Product(s=vi.Bernoulli(logits=[0.5]), rate=vi.Gamma(2.0, 1.0))
    np.testing.assert_array_equal(q["rate"].natural, [[2.0, -1.0]])
    with pytest.raises(TypeError, match=r"q\['name'\].natural"):
        assert q.natural
    with pytest.raises(ValueError, match="natural: expected those of a Gamma"):
        q["rate"].with_natural([[2.0, 1.0]])
