"""What ``backend`` and ``dtype`` say and do where there is no GPU, and single precision on the CPU."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

import fastvi as vi
from fastvi.kernels.families import registry
from fastvi.kernels.gpu import device
from fastvi.kernels.random import normal_float32
from fastvi.rng import key_from

import naive

no_gpu = pytest.mark.skipif(device.SIMULATED or device.why_not() is None, reason="there is a GPU")
Q = vi.MeanFieldGaussian([0.5, -1.0, 0.0], [1.0, 0.5, 2.0])


def normal(z):
    return -0.5 * np.sum(z * z)


TARGET = vi.Target(normal, 3)


@no_gpu
@pytest.mark.parametrize("call", [vi.elbo, vi.elbo_gradient])
def test_cuda_without_a_gpu_is_one_line(call):
    with pytest.raises(RuntimeError) as error:
        call(TARGET, Q, backend="cuda")
    message = str(error.value)
    assert message.startswith("backend='cuda': ") and "\n" not in message
    assert "fastvi[cuda13]" in message or "driver" in message  # numba-cuda is missing, or it says what it misses


@no_gpu
def test_auto_without_a_gpu_is_the_cpu():
    large = 2**25
    assert vi.elbo(TARGET, Q, large // 3 + 1, rng=1, backend="auto") == vi.elbo(TARGET, Q, large // 3 + 1, rng=1)


@no_gpu
def test_an_array_on_a_gpu_is_refused_by_name():
    class OnGPU:
        __cuda_array_interface__ = dict(shape=(3,), typestr="<f8", data=(4096, False), version=3)

    with pytest.raises(RuntimeError, match=r"^data\[1\]: an array on a GPU that fastvi cannot read: "):
        vi.Target(lambda z, a, b: 0.0, 1, (1.0, OnGPU()))


def test_bad_choices():
    with pytest.raises(ValueError, match="backend: expected one of 'cpu', 'cuda', 'auto', got 'gpu'"):
        vi.elbo(TARGET, Q, backend="gpu")
    with pytest.raises(ValueError, match="dtype: expected one of 'float64', 'float32', got 'float16'"):
        vi.elbo(TARGET, Q, dtype="float16")
    with pytest.raises(ValueError, match="dtype: draws='sobol' takes 'float64', got 'float32'"):
        vi.elbo(TARGET, Q, 256, dtype="float32", draws="sobol")
    with pytest.raises(ValueError, match="backend: expected one of 'cpu'"):
        vi.divergence(Q, Q, "hellinger", backend="cuda", method="monte_carlo")


def test_show_versions_tells_of_cuda(capsys):
    vi.show_versions()
    assert "cuda" in capsys.readouterr().out


# ---- single precision
def draws(q, count, dtype, first=0):
    out = np.empty((count, q.dim))
    q.fill(out, key_from(7), 0, first, dtype)
    return out


def test_single_normals_are_normal():
    """Moments and Kolmogorov-Smirnov over 2,000,000 normals; false alarms below 1e-6."""
    eps = draws(vi.MeanFieldGaussian(np.zeros(20), np.ones(20)), 100_000, "float32")
    for power, mean, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10170.0)):
        assert abs(np.mean(eps**power) - mean) < 5 * math.sqrt(variance / eps.size)
    assert stats.kstest(eps.ravel()[:200_000], "norm").pvalue > 1e-6
    correlations = np.corrcoef(eps.T) - np.eye(20)
    assert np.max(np.abs(correlations)) < 5.5 / math.sqrt(len(eps))  # 190 pairs
    assert (eps == eps.astype(np.float32)).all() and np.max(np.abs(eps)) < 6.67


@pytest.mark.slow
def test_single_normals_are_accurate():
    """Within 3e-7 relatively of exact arithmetic on the same words, at the ends of the range too."""
    words = np.random.default_rng(1).integers(0, 2**64, 2000, dtype=np.uint64)
    ends = [0, 2**64 - 1, 2**31 - 1, 2**31 - 2, 2**30, 0x5A82799A, 0x5A82799B, (2**29) << 32, (2**30 - 1) << 32]
    for word in [*map(int, words), *ends]:
        n, angle = word & (2**31 - 1), word >> 32
        quadrant, rest = angle >> 30, (angle & (2**30 - 1)) - 2**29
        with mpmath.workdps(30):
            radius = mpmath.sqrt(-2 * mpmath.log((n + mpmath.mpf(1) / 2) / 2**31))
            turns = mpmath.mpf(quadrant) / 4 + mpmath.mpf(rest) / 2**32
            exact = radius * mpmath.cospi(2 * turns), radius * mpmath.sinpi(2 * turns)
        for found, value in zip(
            (normal_float32.first_normal(word), normal_float32.second_normal(word)), exact, strict=True
        ):
            assert abs(found - value) <= 3e-7 * abs(value)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 11])
def test_single_draws_depend_on_their_address_alone(dim):
    """Not on the number of dimensions, the tile or the place in it; compiled and in Python the same bits."""
    wide, q = vi.MeanFieldGaussian(np.zeros(11), np.ones(11)), vi.MeanFieldGaussian(np.zeros(dim), np.ones(dim))
    whole = draws(wide, 200, "float32")
    assert np.array_equal(draws(q, 200, "float32"), whole[:, :dim])
    assert np.array_equal(draws(q, 9, "float32", 123), whole[123:132, :dim])
    column = np.empty((dim, 1))
    normal_float32.fill_draw(column, dim, 150, 0, np.uint64(key_from(7).word))
    assert np.array_equal(column[:, 0], whole[150, :dim])


@pytest.mark.slow
@pytest.mark.parametrize("q", [Q, vi.FullRankGaussian([0.5, 0.0, 1.0], np.tril(np.ones((3, 3))))], ids=str)
def test_single_estimates_equal_the_naive_version(q):
    z = draws(q, 4096, "float32")
    _, log_w = naive.log_weights(TARGET, q, z)
    found = vi.elbo(TARGET, q, 4096, estimator="plain", rng=7, dtype="float32")
    assert found.value == pytest.approx(np.mean(log_w), rel=1e-12)
    assert found.standard_error == pytest.approx(np.std(log_w, ddof=1) / 64, rel=1e-9)
    for estimator in ("leave_one_out", "pathwise", "quadratic"):
        options = dict(estimator=estimator, rng=7)
        double = vi.elbo_gradient(TARGET, q, 4096, **options)
        found = vi.elbo_gradient(TARGET, q, 4096, dtype="float32", **options)
        distance = np.hypot(double.standard_error, found.standard_error) + 1e-6
        assert found.method == double.method and (np.abs(found.gradient - double.gradient) <= 5.0 * distance).all()


def test_single_draws_are_told_where_something_is_wrong():
    def bad(z):
        return math.nan if z[0] > 1.0 else 0.0

    with pytest.raises(vi.NonFiniteError) as error:
        vi.elbo(vi.Target(bad, 3), Q, 100, rng=7, dtype="float32")
    assert np.array_equal(error.value.z, draws(Q, 100, "float32")[error.value.draw]) and error.value.z[0] > 1.0


def test_single_needs_half_of_the_words():
    """Four dimensions come from one block: the words of block p are those of double precision, cut in two."""
    key = np.uint64(key_from(7).word)
    low, high = registry.DRAWS["float64"].words(np.uint64(5), np.uint64(2), np.uint64(0), key)
    expected = [f(w) for w in (low, high) for f in (normal_float32.first_normal, normal_float32.second_normal)]
    assert expected == list(draws(vi.MeanFieldGaussian(np.zeros(12), np.ones(12)), 1, "float32", 5)[0, 8:])
