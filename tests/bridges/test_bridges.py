"""Bridges to JAX and torch: the same values and gradients, and their optimizers reach the optimum."""

import subprocess
import sys

import numpy as np
import pytest

import fastvi as vi

from oracles import gaussian_target, random_gaussian

MEAN, COVARIANCE = random_gaussian(3, seed=4)
TARGET = gaussian_target(MEAN, COVARIANCE, log_z=2.5)
START = vi.FullRankGaussian(MEAN + 0.2, np.linalg.cholesky(COVARIANCE) * 1.2)


def objective(estimator="pathwise", num_samples=200):
    return vi.Objective(TARGET, START, num_samples, estimator=estimator, rng=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jax", "torch", "pymc", "arviz"])
def test_a_missing_guest_is_one_line(name):
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        f"try:\n    import fastvi.bridges.{name}\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith(f"fastvi.bridges.{name} needs {name}: pip install 'fastvi[{name}]'"), done
    assert done.stdout.count("\n") == 1


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.guests
@pytest.mark.parametrize("estimator", ["pathwise", "bank"])
def test_jax_has_the_direct_call_s_numbers(jax, estimator):
    from fastvi.bridges.jax import elbo

    own = objective(estimator)
    f, p = elbo(own), own.parameters
    value, gradient = own.value_and_grad(p)
    for transform in (lambda g: g, jax.jit):
        found, slope = transform(jax.value_and_grad(f))(p)
        assert float(found) == value and np.array_equal(np.asarray(slope), gradient)
    points = np.stack([p, p + 0.01, p - 0.02])
    several = jax.jit(jax.vmap(jax.grad(f)))(points)
    assert np.array_equal(np.asarray(several), np.stack([own.gradient(q) for q in points]))
    single = f(p.astype(np.float32))
    assert single.dtype == np.float32 and float(single) == pytest.approx(value, rel=1e-5)


@pytest.mark.guests
def test_jax_scan_trains_by_steps(jax):
    """Adam inside lax.scan on fresh draws; sticking the landing has no noise at the optimum, so the end is exact."""
    from fastvi.bridges.jax import elbo

    jnp, own = jax.numpy, objective("sticking_the_landing", 64)
    slope = jax.grad(elbo(own))

    def update(state, step):
        p, m, v = state
        g = -slope(p, step)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        rate = 0.05 * 0.99**step
        return (p - rate * (m / (1 - 0.9 ** (step + 1))) / (jnp.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-8), m, v), p

    @jax.jit
    def train(p):
        return jax.lax.scan(update, (p, jnp.zeros_like(p), jnp.zeros_like(p)), jnp.arange(600))[0][0]

    q = own.q(np.asarray(train(own.parameters)))
    np.testing.assert_allclose(q.loc, MEAN, atol=2e-3)
    np.testing.assert_allclose(q.covariance, COVARIANCE, atol=5e-3)


@pytest.mark.guests
def test_errors_reach_jax(jax):
    from fastvi.bridges.jax import elbo

    with pytest.raises(Exception, match="gives a gradient that is not that of its value"):
        jax.block_until_ready(elbo(objective("leave_one_out"))(START.parameters))


@pytest.mark.guests
@pytest.mark.parametrize("estimator", ["pathwise", "bank"])
def test_torch_passes_gradcheck(torch, estimator):
    from fastvi.bridges.torch import elbo

    own = objective(estimator)
    p = torch.tensor(own.parameters, requires_grad=True)
    value = elbo(own, p)
    (2.0 * value).backward()
    expected, gradient = own.value_and_grad(own.parameters)
    assert value.item() == expected and np.array_equal(p.grad.numpy(), 2.0 * gradient)
    assert torch.autograd.gradcheck(lambda x: elbo(own, x), (p,), eps=1e-6, atol=1e-6)
    assert elbo(own, p.detach().float()).dtype == torch.float32
    with pytest.raises(TypeError, match="parameters: expected a floating torch.Tensor"):
        elbo(own, own.parameters)


def pixels(z, x, W, b):
    r = b + W @ z
    return np.sum(x * r - np.logaddexp(0.0, r)) - 0.5 * np.dot(z, z)


@pytest.mark.guests
def test_torch_batches_pass_gradcheck(torch):
    """By the q's and by the decoder; gradcheck asks row by row, which counts them differently."""
    from fastvi.bridges.torch import elbo_batch

    rng = np.random.default_rng(0)
    x = (rng.random((40, 5)) < 0.5).astype(float)
    W, b, loc, log_scale = (rng.normal(size=shape) for shape in ((5, 2), 5, (40, 2), (40, 2)))
    target = vi.Target(pixels, 2, (x, W, b))
    given = [torch.tensor(v, requires_grad=True) for v in (loc, 0.1 * log_scale, W, b)]

    def values(loc, log_scale, W, b):
        return elbo_batch(target, loc, torch.exp(log_scale), 3, rng=1, data=(x, W, b))

    assert torch.autograd.gradcheck(values, given, eps=1e-6, atol=1e-5)
    same = vi.elbo_batch(target, loc, np.exp(0.1 * log_scale), 3, rng=1).value
    np.testing.assert_allclose(values(*given).detach().numpy(), same, rtol=1e-12)  # each has an exp of its own
    with pytest.raises(TypeError, match="loc: expected a floating torch.Tensor"):
        elbo_batch(target, loc, torch.ones(40, 2), 3)


@pytest.mark.guests
def test_jax_batches_have_the_gradients_of_differences(jax):
    """By the q's and by the decoder, under jit and with rows that count differently."""
    from fastvi.bridges.jax import elbo_batch

    jnp, rng = jax.numpy, np.random.default_rng(0)
    x = (rng.random((40, 5)) < 0.5).astype(float)
    W, b, loc, log_scale, weights = (rng.normal(size=shape) for shape in ((5, 2), 5, (40, 2), (40, 2), 40))
    f = elbo_batch(vi.Target(pixels, 2, (x, W, b)), 3, parameters=(1, 2), rng=1)

    @jax.jit
    def loss(given, weights):
        loc, log_scale, W, b = given
        return jnp.sum(weights * f(loc, jnp.exp(0.1 * log_scale), (x, W, b), step=2))

    given = [jnp.asarray(v) for v in (loc, log_scale, W, b)]
    for each in (weights, np.ones(40)):
        slopes = jax.grad(loss)(given, each)
        for k, slope in enumerate(slopes):
            away = rng.normal(size=slope.shape)
            ends = [loss([v + (h * away if i == k else 0) for i, v in enumerate(given)], each) for h in (1e-5, -1e-5)]
            assert float((ends[0] - ends[1]) / 2e-5) == pytest.approx(float(np.sum(slope * away)), rel=1e-6)
    assert loss(given, weights) != jnp.sum(weights * f(loc, np.exp(0.1 * log_scale), step=3))
    assert f(jnp.float32(loc), jnp.float32(np.ones((40, 2)))).dtype == jnp.float32


@pytest.mark.guests
def test_torch_trains_to_the_same_optimum(torch):
    from fastvi.bridges.torch import elbo

    own = objective("bank", 500)
    p = torch.tensor(own.parameters, requires_grad=True)
    optimizer = torch.optim.Adam([p], lr=0.02)
    for step in range(600):
        optimizer.zero_grad()
        (-elbo(own, p, step)).backward()
        optimizer.step()
    q = own.q(p.detach().numpy())
    np.testing.assert_allclose(q.loc, MEAN, atol=1e-3)
    np.testing.assert_allclose(q.covariance, COVARIANCE, atol=5e-3)


@pytest.mark.guests
def test_optax_and_the_shape_of_blackjax(jax):
    """optax's Adam inside scan, with a falling rate; no noise is left at the optimum."""
    optax = pytest.importorskip("optax")
    from fastvi.bridges.blackjax import as_top_level_api

    own = objective("sticking_the_landing", 64)
    algorithm = as_top_level_api(own, optax.adam(optax.exponential_decay(0.05, 1, 0.99)))

    @jax.jit
    def train(key):
        keys = jax.random.split(key, 600)
        return jax.lax.scan(lambda state, key: algorithm.step(key, state), algorithm.init(), keys)

    state, info = train(jax.random.key(1))
    q = own.q(np.asarray(state.parameters))
    np.testing.assert_allclose(q.loc, MEAN, atol=2e-3)
    np.testing.assert_allclose(q.covariance, COVARIANCE, atol=5e-3)
    assert abs(float(info.elbo[-1]) - 2.5) < 1e-3 and info.elbo.shape == (600,)
    draws = jax.jit(algorithm.sample, static_argnums=2)(jax.random.key(2), state, 20_000)
    error = np.sqrt(np.diag(COVARIANCE) / 20_000)
    assert (np.abs(np.asarray(draws).mean(0) - MEAN) < 5 * error + 2e-3).all()


@pytest.mark.guests
def test_what_the_shape_of_blackjax_refuses(jax):
    optax = pytest.importorskip("optax")
    from fastvi.bridges.blackjax import as_top_level_api

    with pytest.raises(ValueError, match="objective: estimator='bank' keeps its draws"):
        as_top_level_api(objective("bank"), optax.adam(0.1))
    with pytest.raises(ValueError, match=r"position: expected shape \(9,\), got \(4,\)"):
        as_top_level_api(objective(), optax.adam(0.1)).init(np.zeros(4))


@pytest.mark.guests
def test_steps_are_checked_in_jax(jax):
    from fastvi.bridges.jax import elbo

    f, p = elbo(objective()), START.parameters
    with pytest.raises(TypeError, match="step: expected an int >= 0, got 1.7"):
        f(p, 1.7)
    for call in (f, jax.jit(f)):
        with pytest.raises(Exception, match="step: expected an int >= 0"):
            jax.block_until_ready(call(p, -1))
    with pytest.raises(ValueError, match="step: expected less than"):
        objective().value_and_grad(p, 2**60)
