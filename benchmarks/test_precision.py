"""Time to a standard error of 1e-3 nat on the ELBO (1e-2 for large models), and of 1 % on its gradient, on one core.

    pytest benchmarks/test_precision.py --sides fastvi,jax,torch,numpyro --threads 1 --benchmark-json precision.json
    python benchmarks/report.py precision.json

The peers are told how many draws their estimator needs; fastvi's own time includes finding out.  Gradients are taken
half a deviation away from the optimum, where there is one to be estimated; the peers' are pathwise, by their own
differentiation, and fastvi's the fastest of four of its estimators.
"""

import functools
import math
import timeit

import numpy as np
import precision

import fastvi as vi
from fastvi.kernels.families import registry

from sides import load_jax, measure

RELATIVE = 0.01
OURS = ("sticking_the_landing", "pathwise_quadratic", "quadratic", "cubic")  # of which the fastest is shown
NAMES = ["logistic N=200 d=10, mean-field"] + [
    f"{name}, {family}"
    for name in ("eight_schools", "kidiq-kidscore_momiq", "arK-arK", "sblri-blr", "sblrc-blr")
    for family in ("mean-field", "full-rank")
]
MANY = 50  # dimensions from which a polynomial fitted to values takes too many draws, and pilots are shorter
SMOKE = NAMES[:1] + NAMES[4:5]  # one of each kind where nothing is measured
SIDES = ("fastvi", "fastvi plain", "jax", "jax quadratic", "torch", "numpyro")


def quick(request) -> bool:
    """Whether this is a smoke test: a hundred times fewer draws."""
    return request.config.getoption("--benchmark-disable")


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--sides").split(",")
    sides = SIDES if metafunc.function is test_time_to_error else ("fastvi", "jax", "torch")
    names = NAMES + [*precision.LARGE] if metafunc.function is test_time_to_error else NAMES
    names = SMOKE if metafunc.config.getoption("--benchmark-disable") else names
    cases = [(name, side) for name in names for side in sides if side.split(" ")[0] in chosen]
    cases = [(name, side) for name, side in cases if side != "jax quadratic" or name not in precision.LARGE]
    metafunc.parametrize("name, side", cases)


def test_time_to_error(benchmark, request, name, side, threads):
    case = precision.case(name)
    atol = case.atol * (10.0 if quick(request) else 1.0)
    pilot = known(name, "quadratic" if side == "jax quadratic" else "plain")
    draws = math.ceil(pilot.standard_error**2 * pilot.num_samples / atol**2)
    if side == "fastvi":
        call = precision.fastvi_atol(case, atol)
        draws = call().num_samples
    elif side == "jax quadratic":
        call = precision.jax_quadratic(case, draws)
    else:
        call = precision.PLAIN[side](case, draws)
    found = call()
    value, error = (found.value, found.standard_error) if side.startswith("fastvi") else (found, None)
    if side in ("jax", "jax quadratic", "torch"):
        value, error = (float(v) for v in found)
    # every side computes the same number, to the error that was asked for
    assert abs(float(value) - pilot.value) < 5 * math.hypot(pilot.standard_error, 1.3 * atol)
    assert error is None or error < (2.0 + 4.0 / math.sqrt(draws)) * atol  # heavy tails: eight schools
    measure(benchmark, call, f"1e-3 nat: {name}", side, draws)


@functools.cache
def known(name, estimator):
    """The ELBO of a case, from many draws."""
    case = precision.case(name)
    draws = 4_000_000 if case.q.dim < MANY else 100_000
    return vi.elbo(case.target, case.q, draws, estimator=estimator, rng=9)


def test_time_to_gradient(benchmark, request, name, side, threads):
    case = precision.case(name)
    away = type(case.q)(case.q.loc + 0.5 * case.q.stddev, case.q.scale)
    share = RELATIVE * (10.0 if quick(request) else 1.0)
    units = lengths(away)
    exact = vi.elbo_gradient(case.target, away, 4_000_000, estimator="sticking_the_landing", rng=9)
    size = np.linalg.norm(exact.gradient * units)

    def draws_for(estimator):
        pilot = vi.elbo_gradient(case.target, away, 100_000, estimator=estimator, rng=8, num_threads=1)
        per_draw = np.sum((pilot.standard_error * units) ** 2) * pilot.num_samples
        least = 64 if estimator in ("pathwise", "sticking_the_landing") else 2000
        return max(least, math.ceil(per_draw / (share * size) ** 2))

    if side == "fastvi":
        calls = {name: fastvi_gradient(case, away, draws_for(name), name) for name in OURS}
        call = calls[min(calls, key=lambda name: seconds(calls[name]))]
        draws, gradient = call().num_samples, call().gradient
    else:
        draws = draws_for("pathwise")
        call = {"jax": jax_gradient, "torch": torch_gradient}[side](case, away, draws)
        gradient = flat(away, *call())
    assert np.linalg.norm((gradient - exact.gradient) * units) < 8 * share * size  # heavy tails, again
    measure(benchmark, call, f"1 % gradient: {name}", side, draws)


def fastvi_gradient(case, q, draws, estimator):
    options = dict(estimator=estimator, rng=1, num_threads=1)
    return lambda: vi.elbo_gradient(case.target, q, draws, **options)


def seconds(call) -> float:
    """The least of three calls after one that compiles."""
    call()
    return min(timeit.repeat(call, number=1, repeat=3))


def lengths(q):
    """Units of the parameters: deviations of z, or factors e."""

    out = np.empty(len(q.parameters))
    registry.FAMILIES[q.family].steps(q.scale, q.dim, out)
    return out


def flat(q, loc, scale):
    """A peer's gradient in (loc, scale) in the order of q.parameters."""
    loc, scale = np.asarray(loc), np.asarray(scale)
    if q.family == "mean_field":
        return np.concatenate([loc, scale * q.scale])
    i, j = np.tril_indices(q.dim)
    return np.concatenate([loc, scale[i, j] * np.where(i == j, np.diag(q.scale)[i], 1.0)])


def negative_entropy(m, case, scale):
    return -m.log(m.diagonal(scale) if scale.ndim == 2 else scale).sum()


def jax_gradient(case, q, draws):
    jax, jnp, data, _, _ = precision.jax_parts(case)
    count, size = precision.chunks(draws)

    def elbo(parameters, eps):
        loc, scale = parameters
        z = loc + eps @ jnp.tril(scale).T if scale.ndim == 2 else loc + scale * eps
        return case.batched(jnp, z, *data).mean() - negative_entropy(jnp, case, scale)

    @jax.jit
    def call(key, parameters):
        def step(total, key):
            found = jax.grad(elbo)(parameters, jax.random.normal(key, (size, case.q.dim)))
            return jax.tree.map(jnp.add, total, found), None

        zero = jax.tree.map(jnp.zeros_like, parameters)
        total, _ = jax.lax.scan(step, zero, jax.random.split(key, count))
        return jax.tree.map(lambda t: t / count, total)

    parameters, key = (jnp.asarray(q.loc), jnp.asarray(q.scale)), load_jax().random.key(1)
    return lambda: jax.block_until_ready(call(key, parameters))


def torch_gradient(case, q, draws):
    import torch

    torch.set_num_threads(1)
    data = tuple(torch.tensor(d) if isinstance(d, np.ndarray) else d for d in case.data)
    loc, scale = torch.tensor(q.loc, requires_grad=True), torch.tensor(q.scale, requires_grad=True)
    count, size = precision.chunks(draws)

    def call():
        loc.grad = scale.grad = None
        for _ in range(count):
            eps = torch.randn(size, case.q.dim, dtype=torch.float64)
            z = loc + eps @ torch.tril(scale).T if scale.ndim == 2 else loc + scale * eps
            value = case.batched(torch, z, *data).mean() - negative_entropy(torch, case, scale)
            (value / count).backward()
        return loc.grad, scale.grad

    return call
