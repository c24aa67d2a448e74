"""The normals: accurate, finite at the extremes, and the same from every road that leads to them."""

import math

import mpmath
import numpy as np
import pytest
from numba import njit, types
from scipy import stats

import fastvi as vi
from fastvi.kernels.random import normal
from fastvi.rng import key_from

import naive

EXTREMES = [0, 1, 2**12 - 1, 2**12, 2**63, 2**64 - 1, 2**64 - 2**12, 2**62 - 1, 2**62, 3 * 2**62 - 1]


@njit
def box_muller(radius_words, angle_words, out):
    for i in range(radius_words.size):
        out[0, i], out[1, i] = normal.box_muller(radius_words[i], angle_words[i])


def exact_box_muller(radius_word, angle_word):
    u = (mpmath.mpf(int(radius_word) >> 12) + mpmath.mpf(1) / 2) / 2**52
    low = mpmath.mpf((int(angle_word) << 2 & (2**64 - 1)) >> 12) / 2**52
    turn = (mpmath.mpf(int(angle_word) >> 62) + low - mpmath.mpf(1) / 2) / 4
    radius = mpmath.sqrt(-2 * mpmath.log(u))
    return radius * mpmath.cospi(2 * turn), radius * mpmath.sinpi(2 * turn)


def test_absolute_error_below_1e_14():
    rng = np.random.default_rng(3)
    a = np.concatenate([rng.integers(0, 2**64, 2000, dtype=np.uint64), np.array(EXTREMES, dtype=np.uint64)])
    b = np.concatenate([rng.integers(0, 2**64, 2000, dtype=np.uint64), np.array(EXTREMES[::-1], dtype=np.uint64)])
    out = np.empty((2, len(a)))
    box_muller(a, b, out)
    with mpmath.workdps(40):
        for i in range(len(a)):
            for found, exact in zip(out[:, i], exact_box_muller(a[i], b[i]), strict=True):
                assert abs(found - exact) <= 1e-14


def test_extreme_words_give_finite_normals():
    grid = np.array([(a, b) for a in EXTREMES for b in EXTREMES], dtype=np.uint64)
    out = np.empty((2, len(grid)))
    box_muller(grid[:, 0].copy(), grid[:, 1].copy(), out)
    assert np.isfinite(out).all() and np.abs(out).max() < 8.58


def test_python_and_compiled_agree_to_the_bit():
    words = [normal.words(np.uint64(draw), np.uint64(3), np.uint64(0), np.uint64(99)) for draw in range(5)]
    a, b = (np.array(w, dtype=np.uint64) for w in zip(*words, strict=True))
    out = np.empty((2, 5))
    box_muller(a, b, out)
    assert [normal.box_muller(x, y) for x, y in words] == [tuple(row) for row in out.T]


def test_types():
    compiled = njit(lambda a, b: normal.box_muller(a, b))
    compiled.compile((types.uint64, types.uint64))
    assert compiled.nopython_signatures[0].return_type == types.UniTuple(types.float64, 2)
    words = njit(lambda d, p, s, k: normal.words(d, p, s, k))
    words.compile((types.uint64,) * 4)
    assert words.nopython_signatures[0].return_type == types.UniTuple(types.uint64, 2)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7])
def test_samples_are_the_naive_normals(dim):
    key = key_from(42)
    sample = vi.MeanFieldGaussian(np.zeros(dim), np.ones(dim)).sample(40, rng=42)
    np.testing.assert_allclose(sample, naive.normals(40, dim, key.word), rtol=0, atol=2e-14)


def test_a_draw_depends_on_its_address_alone():
    """Not on the dimension, on how many draws are asked for, nor on the first of them."""
    wide = vi.MeanFieldGaussian(np.zeros(9), np.ones(9)).sample(333, rng=5)
    for dim in (1, 2, 5, 8):
        narrow = vi.MeanFieldGaussian(np.zeros(dim), np.ones(dim))
        assert np.array_equal(narrow.sample(70, rng=5), wide[:70, :dim])
        part = np.empty((10, dim))
        narrow.fill(part, key_from(5), 0, 123)
        assert np.array_equal(part, wide[123:133, :dim])
    identity = vi.FullRankGaussian(np.zeros(9), np.eye(9)).sample(333, rng=5)
    assert np.array_equal(identity, wide)


def test_draw_numbers_beyond_32_bits():
    q, out = vi.MeanFieldGaussian(np.zeros(3), np.ones(3)), np.empty((4, 3))
    first = 2**32 - 2
    q.fill(out, key_from(1), 0, first)
    expected = [
        [*naive.normal_pair(first + s, 0, key_from(1).word), naive.normal_pair(first + s, 1, key_from(1).word)[0]]
        for s in range(4)
    ]
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-14)


def test_they_look_normal():
    """Moments within 5 standard errors and Kolmogorov-Smirnov above 1e-5: one false alarm in 60,000 seeds."""
    x = vi.MeanFieldGaussian(np.zeros(10), np.ones(10)).sample(200_000, rng=8)
    n = x.size
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        assert abs((x**power).mean() - mean) < 5 * math.sqrt(variance / n)
    correlation = np.corrcoef(x, rowvar=False)[np.triu_indices(10, 1)]
    assert np.abs(correlation).max() < 5 / math.sqrt(len(x))
    squares = np.corrcoef(x**2, rowvar=False)[np.triu_indices(10, 1)]
    assert np.abs(squares).max() < 5 / math.sqrt(len(x))
    assert stats.kstest(x[:20_000].ravel(), "norm").pvalue > 1e-5
