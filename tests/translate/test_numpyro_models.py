"""JAX and NumPyro densities as source: JAX's values and gradients, names of sites, and what falls back."""

import numpy as np
import pytest

import fastvi as vi

pytestmark = [pytest.mark.guests, pytest.mark.filterwarnings("ignore")]  # JAX and NumPyro warn of each other
FIRST = ("schools", "radon", "softmax", "lkj", "autoregression")
REST = ("logistic", "mixture", "negative_binomial", "gaussian_process", "hidden_markov", "flat_cutpoints", "flows",
        "capture_recapture", "local_trend", "autoregressive_buffer", "seasonal", "proper_car", "low_rank",
        "imputed")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


def agrees(jax, target, f, z):
    expected, slopes = (np.asarray(a) for a in jax.vmap(jax.value_and_grad(f))(z))
    values, gradients = target.value_and_grad(z, num_threads=1)
    np.testing.assert_allclose(target.value(z, num_threads=1), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10)
    for found, slope in zip(gradients, slopes, strict=True):
        assert np.max(np.abs(found - slope) / np.maximum(np.abs(slope), np.mean(np.abs(slope)))) < 1e-10
    assert "vectorised" in target.explain()


@pytest.mark.parametrize("name", [*FIRST, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)])
def test_values_and_gradients_are_jaxs(jax, name):
    pytest.importorskip("numpyro")
    from fastvi.bridges.numpyro import from_model

    from numpyro_zoo import ZOO

    target = from_model(ZOO[name])
    z = 0.5 * np.random.default_rng(0).normal(size=(3, target.dim))
    agrees(jax, target, target.density.sites.log_density, z)


def functions(jax):
    """Densities for the primitives that the models leave out."""
    jnp = jax.numpy
    A, rows = np.random.default_rng(0).normal(size=(4, 6, 6)), np.array([0, 3, 3, 5, 0, 1])

    def softplus(z):
        return -jnp.sum(jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z))))

    def batched_products(z):
        return -jnp.sum(jnp.einsum("bij,bj->bi", A[:, :, :3], z[:12].reshape(4, 3)) ** 2)

    def scatter_adds(z):
        return -jnp.sum(jnp.zeros(7).at[rows].add(z[:6]) ** 2 * jnp.arange(7.0))

    def triangular(z):
        L = jnp.tril(A[0] * z[0] + 4.0 * jnp.eye(6))
        return -jnp.sum(jax.scipy.linalg.solve_triangular(L, z[:6], lower=True) ** 2)

    def backwards(z):
        L = jnp.linalg.cholesky(A[1] @ A[1].T + jnp.exp(z[0]) * jnp.eye(6))
        return -jnp.sum(jax.scipy.linalg.solve_triangular(L, z[:6], lower=True, trans=1) ** 2)

    def two_states(z):
        def step(state, x):
            a, b = state
            return (0.5 * b + x, jnp.tanh(a)), a * b

        (a, b), out = jax.lax.scan(step, (z[0], z[1]), z[2:12], reverse=True)
        return -(a**2) - b**2 - jnp.sum(out**2)

    def choice(z):
        return jax.lax.cond(z[0] > 0.0, lambda: -jnp.sum(z**2), lambda: -jnp.sum(z**4))

    def scattered_rows(z):
        return -(jnp.sum(jnp.ones((3, 4)).at[1].set(z[:4]).T @ z[4:7]) ** 2)

    @jax.checkpoint
    def stacked(z):
        return -jnp.sum(jnp.tanh(jnp.stack([z[:6], z[6:12] ** 2], axis=1)) ** 2)

    def counted(z):
        def lagged(t, total):
            return total + (z[t] - 0.3 * z[t - 1]) ** 2

        def window(state, t):
            here = jax.lax.dynamic_slice(z, (t,), (3,))
            return jnp.tanh(state + here @ here), state * z[11 - t]

        state, out = jax.lax.scan(window, 1.0, jnp.arange(9), reverse=True)
        return -jax.lax.fori_loop(1, 12, lagged, 0.0) - state - out @ out

    def buffers(z):
        places = jnp.asarray(rows)
        filled = jax.lax.fori_loop(
            1, 12, lambda t, x: x.at[t].set(0.5 * x[t - 1] + z[t]), jnp.zeros(12).at[0].set(z[0])
        )
        added = jax.lax.fori_loop(0, 30, lambda t, x: x.at[places[t % 6]].add(jnp.tanh(z[t % 12] * x[0])), jnp.ones(6))
        return -filled @ filled - added @ added

    def words(z):
        table = jax.nn.log_softmax(z[:9].reshape(3, 3), axis=-1)

        def step(state, word):
            return jax.scipy.special.logsumexp(state[:, None] + table, axis=0) + table[:, word], None

        return jax.scipy.special.logsumexp(jax.lax.scan(step, table[0], rows % 3)[0]) - z @ z

    def loops_in_loops(z):
        def step(x, y):
            x = jax.lax.fori_loop(0, 3, lambda i, x: x - 0.1 * (x - y) * jnp.exp(z[i]), x)
            return x, x

        return -jnp.sum(jax.lax.scan(step, z[5], A[0, 0])[1] ** 2)

    def vector_states(z):
        def step(state, y):
            return jnp.tanh(state * y + A[0].ravel() * z[0]), state.sum()

        state, out = jax.lax.scan(step, jnp.zeros(36), z[6:10])
        return -state @ state - out @ out

    def matrix_states(z):
        def step(P, y):
            P = A[0, :3, :3] @ P @ A[0, :3, :3].T * 0.1 + y * jnp.outer(z[:3], z[3:6])
            return P, jnp.trace(P)

        return -jnp.sum(jax.lax.scan(step, jnp.eye(3), A[0, 0])[1] ** 2)

    def switches(z):
        branches = [lambda: -z @ z, lambda: -2.0 * z @ z, lambda: -jnp.sum(z**4)]
        each = jax.vmap(lambda x: jax.lax.cond(x > 0.0, lambda: x**2, lambda: jnp.exp(x)))(z)
        return jax.lax.switch((z[0] > 0.0).astype(int) + (z[1] > 0.0).astype(int), branches) - jnp.sum(each)

    def outer_products(z):
        M = z.reshape(3, 4)
        both = jnp.einsum("i,j->ij", z[:6], jnp.tanh(z[6:])), jnp.einsum("ij,ij->", M, A[0, :3, :4])
        return -jnp.sum(both[0] ** 2) - both[1] ** 2 - jnp.sum(jnp.einsum("abi,ij->abj", A[:, :2, :3], M))

    def solves(z):
        matrix = A[1] @ A[1].T + jnp.exp(z[6]) * jnp.eye(6)
        return -z[:6] @ jax.scipy.linalg.solve(matrix, z[:6], assume_a="pos")

    def hyperbolic(z):
        inverse = jnp.arcsinh(z) + jnp.arctanh(0.9 * jnp.tanh(z)) + jnp.arccosh(1.5 + z**2)
        return -jnp.sum(inverse + jnp.cbrt(z**2 + 1.0) + jnp.exp2(z))

    every = counted, buffers, words, loops_in_loops, vector_states, matrix_states, switches, outer_products, solves
    every += (
        hyperbolic,
        softplus,
        batched_products,
        scatter_adds,
        triangular,
        backwards,
        two_states,
        choice,
        scattered_rows,
        stacked,
    )
    return {f.__name__: f for f in every}


NAMES = ("softplus", "batched_products", "scatter_adds", "triangular", "backwards", "two_states", "choice",
         "scattered_rows", "stacked", "counted", "buffers", "words", "loops_in_loops", "vector_states", "matrix_states",
         "switches", "outer_products", "solves", "hyperbolic")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_primitives(jax, name):
    from fastvi.bridges.jax import from_jax

    f = functions(jax)[name]
    target = from_jax(f, 12)
    agrees(jax, target, f, np.random.default_rng(1).normal(size=(3, 12)))
    if name == "softplus":
        assert "vi.softplus(z[0:12])" in target.source


def test_what_falls_back_is_evaluated_by_jax(jax):
    from fastvi.bridges.jax import from_jax

    target = from_jax(lambda z: -jax.numpy.sum(jax.numpy.sort(z) * z), 5, name="sorted")
    assert "in batches: JAX evaluates it, as the primitive sort is not translated" in target.explain()
    z = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(target.value(z), -np.sum(np.sort(z) * z, axis=1), rtol=1e-12)
    assert target.source is None and target.gradient(z).shape == (3, 5)


def test_while_loops_whose_steps_are_known(jax):
    """JAX itself has no gradient of these."""
    from fastvi.bridges.jax import from_jax

    def halves(z):
        return -jax.lax.while_loop(lambda c: c[0] < 7, lambda c: (c[0] + 1, c[1] * 0.5 + z[c[0]] ** 2), (0, 0.0))[1]

    target, z = from_jax(halves, 7), np.random.default_rng(0).normal(size=(3, 7))
    np.testing.assert_allclose(target.value(z), jax.vmap(halves)(z), rtol=1e-12)
    np.testing.assert_allclose(target.gradient(z), -2.0 * z * 0.5 ** np.arange(6.0, -1.0, -1.0), rtol=1e-12)
    until = from_jax(lambda z: -jax.lax.while_loop(lambda x: x < 10.0, lambda x: 2.0 * x + 1.0, z[0] ** 2), 1)
    assert "a number of steps that depends on z" in until.explain()


def test_steps_keep_their_scores_and_kinks_their_paths(jax):
    """d/dm E step(z) = the normal density there, 0.3989 at the mean; through the draws it would be 0."""
    from fastvi.bridges.jax import from_jax

    jnp, q = jax.numpy, vi.MeanFieldGaussian([0.0, 0.0], [1.0, 1.0])
    step = from_jax(lambda z: jnp.where(z[0] > 0, 0.0, -1.0) - z @ z, 2, name="step")
    found = vi.elbo_gradient(step, q, 20_000, rng=0)
    assert abs(found.gradient[0] - 0.39894) < 5.0 * found.standard_error[0] < 0.1
    assert vi.fit(step, q, rng=0).method == "score"
    huber = from_jax(lambda z: jnp.where(abs(z[0]) < 1, -0.5 * z[0] ** 2, 0.5 - abs(z[0])) - z[1] ** 2, 2, name="huber")
    assert vi.elbo_gradient(huber, q, 20_000, rng=0).method.startswith("pathwise")


def test_a_derivative_of_ones_own_is_kept(jax):
    from fastvi.bridges.jax import from_jax

    @jax.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, g: (jax.numpy.clip(g, -0.1, 0.1),))
    target = from_jax(lambda z: -clipped(z) @ z, 2, name="clipped")
    assert "derivative of its own (custom_vjp)" in target.explain()
    f = lambda z: -clipped(z) @ z  # noqa: E731
    np.testing.assert_allclose(target.gradient([0.3, -0.4]), jax.grad(f)(jax.numpy.array([0.3, -0.4])), rtol=1e-12)


def test_checks_of_finite_numbers_are_left_out(jax):
    numpyro = pytest.importorskip("numpyro")
    from fastvi.bridges.numpyro import from_model

    def model(X, y):
        b = numpyro.sample("b", numpyro.distributions.Normal(0, 1).expand([3]).to_event(1))
        numpyro.sample("y", numpyro.distributions.Bernoulli(logits=X @ b), obs=y)

    target = from_model(model, np.ones((4, 3)), np.array([0.0, 1.0, 1.0, 0.0]))
    assert "inf" not in target.source and "where" not in target.source
    z = target.unconstrain(target.constrain(np.array([0.1, 0.2, -0.3])))
    assert target.value(z) == pytest.approx(float(target.density.sites.log_density(z)), rel=1e-12)


def test_bad_input_is_told_in_one_line(jax):
    from fastvi.bridges.jax import from_jax

    with pytest.raises(TypeError, match="f: expected a JAX function"):
        from_jax(3, 2)
    with pytest.raises(TypeError, match="f: expected a number, got shape"):
        from_jax(lambda z: z, 2)
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="f: JAX computes in single precision"):
            from_jax(lambda z: -jax.numpy.sum(z**2), 2)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_names_of_sites(jax):
    numpyro = pytest.importorskip("numpyro")
    from fastvi.bridges.numpyro import from_model

    dist = numpyro.distributions

    def model(y, scale=1.0):
        mu, tau = numpyro.sample("mu", dist.Normal(0, scale)), numpyro.sample("tau", dist.HalfNormal(1.0))
        p = numpyro.sample("p", dist.Beta(2.0, 2.0).expand([2]).to_event(1))
        both = numpyro.deterministic("both", mu + p.sum())
        numpyro.sample("y", dist.Normal(both, tau), obs=y)

    target = from_model(model, np.array([1.0, 2.0]), scale=2.0)
    assert dict(target.parameters) == dict(mu=vi.real(), tau=vi.positive(), p=vi.unit(2))
    z = np.array([0.3, -0.2, 0.5, -1.0])
    found = target.constrain(z)
    assert set(found) == {"mu", "tau", "p", "both"} and found["tau"] == pytest.approx(np.exp(-0.2))
    for name, value in target.parameters.constrain(z[None]).items():
        np.testing.assert_allclose(found[name], value[0], rtol=1e-12)
    np.testing.assert_allclose(target.unconstrain(found), z, rtol=1e-12)  # without what is deterministic
    np.testing.assert_allclose(target.start({"tau": 2.0}), [0.0, np.log(2.0), 0.0, 0.0], atol=1e-12)
    with pytest.raises(ValueError, match=r"start\['tau'\]: expected a value of its support"):
        target.start({"tau": -1.0})
    with pytest.raises(ValueError, match="start: expected mu, tau, p; theta is no latent site"):
        target.start({"theta": -1.0})
    result = vi.fit(target, "mean_field", rng=0)
    assert result.summary(1000).index[:3] == ["both", "mu", "p[0]"] or "mu" in result.summary(1000).index

    def discrete(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("k", dist.Poisson(3.0)), 1.0), obs=y)

    with pytest.raises(ValueError, match="model: the latent site k is discrete"):
        from_model(discrete, 1.0)
