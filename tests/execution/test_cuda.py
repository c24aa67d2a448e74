"""``backend="cuda"`` against the CPU: the same draws to the bit, the same estimates to 1e-12 of the mean of |log w|.

Each test runs in up to three lanes (see conftest.py): in the simulator, which runs the Python of the kernels; on the
PTX that they compile to, in an interpreter; and on a GPU.
"""

import math
import os
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from numba import cuda, njit

import fastvi as vi
from fastvi.control_variates import Surrogate
from fastvi.estimators.score import read
from fastvi.estimators.selection import PATHWISE
from fastvi.execution import gpu
from fastvi.execution.job import job_of
from fastvi.execution.sweep import sweep
from fastvi.execution.threads import Threads
from fastvi.kernels.families import registry
from fastvi.kernels.gpu import launch
from fastvi.kernels.gpu import plan as gpu_plan
from fastvi.kernels.sums import moments
from fastvi.rng import key_from
from fastvi.score_surrogates import Design

from cuda_models import MODELS, X, Y, funnel, logistic, normal, normals_kernel, of_factors, product
from factor_cases import SK, target_of

# the simulator's threads have no np.errstate
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in scalar:RuntimeWarning")
SIZES = {"sim": 33, "ptx": 300, "gpu": 200_001}


@pytest.fixture(params=[pytest.param(lane, marks=getattr(pytest.mark, lane)) for lane in SIZES])
def lane(request):
    """The lane's name and how many draws it can take."""
    if request.param != "ptx":
        yield SimpleNamespace(name=request.param, size=SIZES[request.param])
        return
    import ptx

    with ptx.interpreted():
        yield SimpleNamespace(name="ptx", size=SIZES["ptx"])


def family(name, dim):
    """A Gaussian of no particular kind."""
    draw = np.random.default_rng(dim)
    loc, scale = 0.3 * draw.standard_normal(dim), 0.5 + draw.random(dim)
    if name == "mean_field":
        return vi.MeanFieldGaussian(loc, scale)
    if name == "low_rank":
        return vi.LowRankGaussian(loc, scale, 0.3 * draw.standard_normal((dim, min(3, dim))))
    return vi.FullRankGaussian(loc, 0.2 * np.tril(draw.standard_normal((dim, dim)), -1) + np.diag(scale))


def close(found, expected, scale):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale)


# a kernel calls the density as a function: each one under a family, and each family under three of them
CASES = [(name, "mean_field") for name in MODELS]
CASES += [(name, family) for name in ("logistic", "cut off", "named branching") for family in ("low_rank", "full_rank")]


@pytest.mark.parametrize("name, family_name", CASES)
def test_estimates_are_those_of_the_cpu(lane, name, family_name):
    if lane.name == "ptx" and name == "special":
        pytest.skip("pow and huge angles are NVIDIA's, in code that the interpreter does not know; it links")
    if lane.name == "sim" and name not in ("logistic", "cut off", "integers", "named branching"):
        pytest.skip("the simulator runs the density as Python: these are enough")
    target = vi.Target(*MODELS[name])
    as_on_the_cpu(lane, target, family(family_name, target.dim))


def as_on_the_cpu(lane, target, q):
    """ELBO and score gradients."""
    expected = vi.elbo(target, q, lane.size, estimator="plain", rng=1)
    found = vi.elbo(target, q, lane.size, estimator="plain", rng=1, backend="cuda")
    scale = 1.0 + abs(expected.value)
    close(found.value, expected.value, scale)
    close(found.standard_error, expected.standard_error, scale)
    assert (found.num_samples, found.num_neginf) == (expected.num_samples, expected.num_neginf)
    for estimator in ("score", "leave_one_out", "optimal_baseline")[: 3 if lane.size >= 64 else 2]:
        options = dict(estimator=estimator, rng=2)
        one = vi.elbo_gradient(target, q, lane.size, **options)
        other = vi.elbo_gradient(target, q, lane.size, backend="cuda", **options)
        assert other.method == one.method
        close(other.gradient, one.gradient, scale)
        close(other.standard_error, one.standard_error, scale)


def test_products_of_factors(lane):
    as_on_the_cpu(lane, target_of(SK), vi.Bernoulli(logits=0.3 * np.arange(6.0) - 0.5))
    as_on_the_cpu(lane, vi.Target(of_factors, product().latents), product())


def polynomial(level, dim):
    """A surrogate of no particular values."""
    draw = np.random.default_rng(dim)
    matrices = dict(pairs=np.tril(draw.standard_normal((dim, dim)), -1), cubic=draw.standard_normal((dim, dim)))
    wanted = {"diagonal": (), "quadratic": ("pairs",), "cubic": ("pairs", "cubic")}[level]
    linear, squares = draw.standard_normal((2, dim))
    return Surrogate(level, 0.0, linear, squares, **{name: matrices[name] for name in wanted})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family_name", ["mean_field", "low_rank", "full_rank"])
def test_polynomials_and_single_precision(lane, family_name, dtype):
    for level, dim in (("diagonal", 3), ("quadratic", 2), ("quadratic", 5), ("cubic", 3)):
        subtracted_as_on_the_cpu(lane, vi.Target(funnel, dim), family(family_name, dim), polynomial(level, dim), dtype)


def subtracted_as_on_the_cpu(lane, target, q, surrogate, dtype):
    """The sums of a sweep, and what is read of them."""
    options = dict(gradient="score", control_variate=surrogate, dtype=dtype)
    job = job_of(target, q, min(lane.size, 1000), key_from(3), 0, **options)
    one, other = (sweep(target, job, on) for on in (Threads(), gpu.Gpu()))
    scale = 1.0 + abs(one.total[moments.MEAN_W])
    close(other.total[: moments.COLUMNS], one.total[: moments.COLUMNS], scale * job.num_samples)
    a, b = (read(s, q, "leave_one_out", key_from(3), surrogate) for s in (one, other))
    close(b.gradient, a.gradient, scale)
    close(b.standard_error, a.standard_error, scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_surrogates_of_scores(lane, dtype):
    q = product()
    for level in ("linear", "quadratic"):
        design = Design(q, q.sample(2, rng=0), level)
        surrogate = design.unpack(np.random.default_rng(0).standard_normal(design.shape[1]))
        subtracted_as_on_the_cpu(lane, vi.Target(of_factors, q.latents), q, surrogate, dtype)


def test_polynomials_that_pay_are_used(lane):
    if lane.name == "sim":
        pytest.skip("the pilot wants more draws than the simulator can take")
    target, q = vi.Target(normal, 2, (np.ones(2),)), vi.MeanFieldGaussian([0.0, 0.0], [1.5, 0.5])
    one, other = (vi.elbo(target, q, 2000, estimator="quadratic", rng=3, backend=b) for b in ("cpu", "cuda"))
    assert other.method == one.method != "plain"
    close(other.value, one.value, 1.0 + abs(one.value))


@pytest.mark.parametrize("family_name", ["mean_field", "low_rank", "full_rank"])
@pytest.mark.parametrize("dim", [2, 7, 22])
def test_any_number_of_dimensions(lane, dim, family_name):
    """More coordinates than threads, fewer, odd ones: all tasks of a block are done once."""
    target, q = vi.Target(normal, dim, (np.zeros(dim),)), family(family_name, dim)
    one = vi.elbo_gradient(target, q, 33, estimator="leave_one_out", rng=4)
    other = vi.elbo_gradient(target, q, 33, estimator="leave_one_out", rng=4, backend="cuda")
    close(other.gradient, one.gradient, 10.0)
    close(other.standard_error, one.standard_error, 10.0)


@pytest.mark.ptx
def test_more_tasks_than_threads():
    import ptx

    with ptx.interpreted():
        gaussian = (family("mean_field", 259), family("low_rank", 61), family("full_rank", 32))
        for q in (*gaussian, vi.Bernoulli(logits=np.zeros(131))):
            target = vi.Target(normal, q.dim, (np.zeros(q.dim),))
            one = vi.elbo_gradient(target, q, 3, estimator="leave_one_out", rng=4)
            other = vi.elbo_gradient(target, q, 3, estimator="leave_one_out", rng=4, backend="cuda")
            close(other.gradient, one.gradient, 100.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_draws_have_the_bits_of_the_cpu(lane, dtype):
    """10,000 counters, low and high; in the simulator 200."""
    from fastvi.kernels.gpu import device

    count, threads = (200, 8) if lane.name == "sim" else (10_000, 100)
    kernel = device.jit(*normals_kernel(dtype))
    counters = np.random.default_rng(0)
    draws = counters.integers(0, 2**62, count, dtype=np.uint64) >> counters.integers(0, 62, count, dtype=np.uint64)
    blocks = counters.integers(0, 2**16, count, dtype=np.uint64)
    step = registry.DRAWS[dtype].BLOCK
    out = device.to_device(np.empty((count, step)))
    stream, key = np.uint64(3), np.uint64(0x9E3779B97F4A7C15)
    inputs = (device.to_device(draws), device.to_device(blocks), stream, key)
    device.launch(kernel, (count // threads, 1), threads, out, *inputs)
    expected, on_cpu = np.empty((count, step)), njit(registry.DRAWS[dtype].fill_block)
    for row, draw, block in zip(expected, draws, blocks, strict=True):
        on_cpu(row[:, None], draw, block, stream, key)
    assert np.array_equal(device.to_host(out).view(np.int64), expected.view(np.int64))


def test_two_runs_have_the_same_bits(lane):
    target, q = vi.Target(*MODELS["eight schools"]), family("full_rank", 10)
    runs = [vi.elbo_gradient(target, q, lane.size, estimator="score", rng=5, backend="cuda") for _ in range(2)]
    assert runs[0].gradient.tobytes() == runs[1].gradient.tobytes()
    assert runs[0].elbo == runs[1].elbo


def test_what_is_not_finite_is_told_as_on_the_cpu(lane):
    def bad(z):
        return z[1] if z[0] > 0.5 else math.nan

    target, q = vi.Target(bad, 2), vi.MeanFieldGaussian([1.0, 0.0], [1.0, 1.0])
    told = []
    for backend in ("cpu", "cuda"):
        with pytest.raises(vi.NonFiniteError) as error:
            vi.elbo(target, q, lane.size, rng=6, backend=backend)
        told.append((str(error.value), error.value.draw, error.value.count))
    assert told[0] == told[1]


def test_exceptions_surface_as_themselves(lane):
    def picky(z):
        if z[0] > 1.0:
            raise ValueError("too large")
        return -z[0]

    def with_a_value(z):
        if z[0] > 1.0:
            raise ArithmeticError("too large", z[0])
        return -z[0]

    def beyond(z, x):
        return x[int(z[0] > 1.0) * 100]

    q = vi.MeanFieldGaussian([0.0], [1.0])
    with pytest.raises(ValueError, match="too large") as error:
        vi.elbo(vi.Target(picky, 1), q, lane.size, rng=7, backend="cuda")
    draw = int(error.value.__notes__[0].split("at draw ")[1].split(",")[0])
    draws = q.sample(draw + 1, rng=7)[:, 0]
    assert draws[draw] > 1.0 and (draws[:draw] <= 1.0).all()
    with pytest.raises(ArithmeticError) as error:
        vi.elbo(vi.Target(with_a_value, 1), q, lane.size, rng=7, backend="cuda")
    assert error.value.args == ("too large", draws[draw])
    with pytest.raises(IndexError):
        vi.elbo(vi.Target(beyond, 1, (np.zeros(3),)), q, lane.size, rng=7, backend="cuda")


def test_data_changed_in_place_are_seen(lane):
    loc = np.zeros(3)
    target, q = vi.Target(normal, 3, (loc,)), family("mean_field", 3)
    before = vi.elbo(target, q, 20, rng=8, backend="cuda").value
    loc[:] = 1.0
    after = vi.elbo(target, q, 20, rng=8, backend="cuda").value
    assert after != before
    close(after, vi.elbo(target, q, 20, rng=8).value, 10.0)


def test_a_density_that_is_redefined_is_compiled_again(lane):
    scale = 1.0

    def scaled(z):
        return -0.5 * scale * z[0] ** 2

    target, q = vi.Target(scaled, 1), vi.MeanFieldGaussian([0.0], [1.0])
    first = vi.elbo(target, q, 30, rng=9, backend="cuda").value
    scale = 3.0
    second = vi.elbo(target, q, 30, rng=9, backend="cuda").value
    assert first != second
    close(second, vi.elbo(target, q, 30, rng=9).value, 10.0)


def test_ctrl_c_and_progress(lane):
    """After the second of many batches: what is done so far is the CPU's estimate from the same groups of draws."""
    target, q, told = vi.Target(*MODELS["normal"]), family("mean_field", 5), []
    size = 5000 if lane.name == "gpu" else 300

    def stop(done, total):
        told.append((done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    with mock.patch.object(launch, "FIRST_BATCH", 1), pytest.raises(KeyboardInterrupt) as interrupt:
        vi.elbo_gradient(target, q, size, estimator="score", rng=10, backend="cuda", progress=stop)
    partial = interrupt.value.partial
    assert told[0][1] == size and 0 < partial.elbo.num_samples < size
    whole = vi.elbo_gradient(target, q, partial.elbo.num_samples, estimator="score", rng=10)
    close(partial.gradient, whole.gradient, 10.0)
    assert vi.elbo(target, q, size, rng=10, backend="cuda").num_samples == size


def test_batches_do_not_change_a_bit(lane):
    target, q = vi.Target(*MODELS["eight schools"]), family("mean_field", 10)
    options = dict(estimator="leave_one_out", rng=11, backend="cuda")
    whole = vi.elbo_gradient(target, q, lane.size, **options)
    for first, bytes_, block in ((1, 2**29, 1024), (4096, 1, 1024), (1, 2**14, 16)):
        with (
            mock.patch.object(launch, "FIRST_BATCH", first),
            mock.patch.object(launch, "BATCH_BYTES", bytes_),
            mock.patch.object(registry.FAMILIES["mean_field"], "GPU_BLOCK", block),
        ):
            gpu_plan.plan.cache_clear()
            pieces = vi.elbo_gradient(target, q, lane.size, **options)
            same = pieces.gradient.tobytes() == whole.gradient.tobytes() and pieces.elbo == whole.elbo
            assert same or block != 1024
            close(pieces.gradient, whole.gradient, 100.0)
    gpu_plan.plan.cache_clear()


def test_auto_takes_the_gpu_for_large_problems(lane):
    from fastvi.execution import gpu

    def needs_memory(z):
        return -0.5 * np.sum(np.linalg.solve(np.eye(2) * 2.0, np.ones(2))) * z[0] ** 2 - z[1] ** 2

    target, q = vi.Target(*MODELS["normal"]), family("mean_field", 5)
    with mock.patch.object(launch, "sweep", side_effect=launch.sweep) as swept:
        vi.elbo(target, q, 100, rng=1, backend="auto")
        assert not swept.called
        with mock.patch.object(gpu, "AUTO_SIZE", 1):
            vi.elbo(target, q, 100, rng=1, backend="auto")
            assert swept.called
            swept.reset_mock()
            pathwise = vi.elbo_gradient(target, q, 100, estimator="pathwise", rng=1, backend="auto")
            assert pathwise.method == "pathwise" and not swept.called
            if lane.name != "sim":  # which runs what CUDA cannot compile
                vi.elbo(vi.Target(needs_memory, 2), family("mean_field", 2), 100, rng=1, backend="auto")
                assert not swept.called


def test_what_a_gpu_does_not_do(lane):
    target, q = vi.Target(*MODELS["normal"]), family("mean_field", 5)
    with pytest.raises(ValueError, match="draws: backend='cuda' takes 'iid', got 'sobol'"):
        vi.elbo(target, q, 256, draws="sobol", backend="cuda")
    with pytest.raises(ValueError, match="estimator: 'pathwise' needs the gradient of log p"):
        vi.elbo_gradient(target, q, estimator="pathwise", backend="cuda")
    with pytest.raises(ValueError, match="up to 1024 dimensions, got 1025"):
        vi.elbo(vi.Target(normal, 1025, (np.zeros(1025),)), family("mean_field", 1025), backend="cuda")
    factors = vi.Target(of_factors, product().latents), product()
    with pytest.raises(ValueError, match="estimator: 'mixed' needs the gradient of log p"):
        vi.elbo_gradient(*factors, estimator="mixed", backend="cuda")
    with pytest.raises(ValueError, match="up to 1024 rows of scores, got 1026"):
        vi.elbo(vi.Target(normal, 513, (np.zeros(513),)), vi.Gamma(np.ones(513), 1.0), backend="cuda")
    point, points = vi.Target(normal, 1, (np.zeros(1),)), vi.Delta(2.0)
    with pytest.raises(ValueError, match="q: a Delta needs the gradient of log p"):
        vi.elbo_gradient(point, points, backend="cuda")
    assert vi.elbo(point, points, 10, backend="cuda").value == -2.0
    callback = vi.Target.from_address(12345, 5)
    with pytest.raises(ValueError, match="is a C function"):
        vi.elbo(callback, q, backend="cuda")
    if lane.name != "sim":  # where 5000 draws take a minute
        assert vi.elbo_gradient(target, q, 5000, rng=1, backend="cuda").method not in PATHWISE


@pytest.mark.gpu
def test_arrays_on_a_gpu_are_read_in_place():
    x, y = cuda.to_device(X), cuda.to_device(Y)
    target, q = vi.Target(logistic, 4, (x, y)), family("mean_field", 4)
    assert target.sources == (x, y) and isinstance(target.data[0], np.ndarray)
    one, other = vi.elbo(target, q, 1000, rng=1), vi.elbo(target, q, 1000, rng=1, backend="cuda")
    close(other.value, one.value, 10.0)
    x.copy_to_device(2.0 * X)
    changed = vi.Target(logistic, 4, (2.0 * X, Y))
    close(vi.elbo(target, q, 1000, rng=1, backend="cuda").value, vi.elbo(changed, q, 1000, rng=1).value, 10.0)


def test_keys_travel(lane):
    target, q = vi.Target(*MODELS["normal"]), family("mean_field", 5)
    found = vi.elbo(target, q, 50, rng=np.random.default_rng(1), backend="cuda")
    close(vi.elbo(target, q, 50, rng=found.key).value, found.value, 10.0)
    assert found.key == key_from(np.random.default_rng(1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_told(lane):
    """A driver's state does not survive a fork; what it would say, or do, is no answer."""
    if lane.name == "ptx":
        pytest.skip("nothing of a device is in the interpreter")
    target, q = vi.Target(*MODELS["one"]), family("mean_field", 1)
    vi.elbo(target, q, 10, rng=1, backend="cuda")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            vi.elbo(target, q, 10, rng=1, backend="cuda")
            os.write(write, b"no error")
        except RuntimeError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1000).startswith(b"backend='cuda': a process cannot use the GPU that was forked")


def test_a_call_from_within_a_call(lane):
    """What a progress function computes on the GPU is not written into the sweep that reports to it."""
    target, q = vi.Target(*MODELS["normal"]), family("mean_field", 5)
    expected = vi.elbo(target, q, lane.size, rng=1, backend="cuda")

    def report(done, total):
        vi.elbo_gradient(vi.Target(funnel, 3), family("full_rank", 3), 20, estimator="score", rng=2, backend="cuda")

    with mock.patch.object(launch, "FIRST_BATCH", 1):
        assert vi.elbo(target, q, lane.size, rng=1, backend="cuda", progress=report) == expected


def test_an_upload_that_fails_is_tried_again(lane):
    from fastvi.kernels.gpu import device

    if lane.name == "sim":
        pytest.skip("nothing is uploaded in the simulator")
    loc = np.zeros(3)
    target, q = vi.Target(normal, 3, (loc,)), family("mean_field", 3)
    vi.elbo(target, q, 20, rng=8, backend="cuda")
    loc[:] = 1.0
    with mock.patch.object(device, "to_device", side_effect=MemoryError), pytest.raises(MemoryError):
        vi.elbo(target, q, 20, rng=8, backend="cuda")
    close(vi.elbo(target, q, 20, rng=8, backend="cuda").value, vi.elbo(target, q, 20, rng=8).value, 10.0)


def test_ctrl_c_before_the_first_draw(lane):
    target, q = vi.Target(lambda z: -z @ z, 2), family("mean_field", 2)
    for place in ("weights_kernel", "in_batches"):
        with mock.patch.object(launch, place, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt) as error:
            vi.elbo(target, q, 20, rng=8, backend="cuda")
        assert error.value.partial.num_samples == 0 and math.isnan(error.value.partial.value)


def test_captured_arrays_are_constants(lane):
    weights = np.array([0.5, 1.0, 2.0])

    def captured(z):
        total = 0.0
        for i in range(3):
            total -= weights[i] * z[i] ** 2
        return total + math.log(2.0 * math.pi)

    target, q = vi.Target(captured, 3), family("mean_field", 3)
    one, other = (vi.elbo(target, q, lane.size, rng=8, backend=backend) for backend in ("cpu", "cuda"))
    close(other.value, one.value, 10.0)


def test_arguments_are_checked_as_on_the_cpu(lane):
    target, q = vi.Target(*MODELS["normal"]), family("mean_field", 5)
    with pytest.raises(TypeError, match="num_threads: "):
        vi.elbo(target, q, 20, rng=8, backend="cuda", num_threads="many")
    with pytest.raises(TypeError, match="target: expected a fastvi.Target"):
        vi.elbo("x", q, 20, draws="sobol", backend="cuda")
