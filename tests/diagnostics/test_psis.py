"""Pareto smoothing: ArviZ's numbers, the population's, and streaming in bounded memory."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import ndtri

import fastvi as vi
from fastvi.diagnostics.log_weights import Largest, LogWeights, PowerMean, Summary
from fastvi.diagnostics.psis import fit_pareto
from fastvi.execution.threads import Threads
from fastvi.families.closed_forms import as_target
from fastvi.rng import DIAGNOSE, key_from

from oracles import load


@pytest.mark.parametrize("case", load("psis")["cases"], ids=lambda c: f"{c['n']}-{c['scale']}")
def test_it_agrees_with_arviz(case):
    log_weights = case["scale"] * ndtri((np.arange(1, case["n"] + 1) * 0.6180339887498949) % 1.0) - 500.0
    found = vi.psis(log_weights)
    assert found.khat == pytest.approx(float(case["khat"]), abs=1e-8)
    assert found.log_weights.max() == pytest.approx(case["largest"], abs=1e-8)
    assert found.ess == pytest.approx(1.0 / case["sum_of_squares"], rel=1e-8)
    assert np.exp(found.log_weights).sum() == pytest.approx(1.0, abs=1e-12)
    largest = Largest(case["n"])
    for block in np.array_split(log_weights, 7):
        largest.add(block)
    assert largest.khat() == pytest.approx(found.khat, abs=1e-12)


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9])
def test_a_pareto_sample_gives_its_shape(k):
    """Zhang and Stephens's estimator on exact quantiles of the distribution, where the prior on k weighs 10 of n."""
    n = 20_000
    excess = np.expm1(-k * np.log1p(-(np.arange(n) + 0.5) / n)) / k
    assert fit_pareto(excess)[0] == pytest.approx(k, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, num_samples, band",
    [("reverse", 10**4, (0.65, 0.95)), ("reverse", 10**6, (0.78, 0.92)), ("reverse", 10**7, (0.82, 0.88))]
    + [("forward", 10**6, (0.40, 0.50))],
)
def test_the_correlated_gaussian_from_below(kind, num_samples, band):
    """Population shapes |rho| = .9 for the reverse and |rho| / (1 + |rho|) = .474 for the forward mean-field fit: the
    estimate comes from below and slowly, .84-.87 at 1e7.  Bands are the range over ten seeds and a margin."""
    rho = 0.9
    p = as_target(vi.FullRankGaussian([0, 0], np.linalg.cholesky([[1, rho], [rho, 1]])))
    scale = math.sqrt(1 - rho**2) if kind == "reverse" else 1.0
    q = vi.MeanFieldGaussian([0, 0], [scale, scale])
    found = Summary(LogWeights(p, q, num_samples, key_from(1), DIAGNOSE, Threads()))
    assert band[0] < found.khat < band[1]
    if kind == "reverse":  # KL(q || p) = -1/2 log(1 - rho^2)
        error = found.moments.standard_error
        assert abs(-found.moments.mean + 0.5 * math.log(1 - rho**2)) < 5 * error


def test_streaming_is_the_same_as_all_at_once(monkeypatch):
    target, q = vi.Target(lambda z: -0.5 * np.sum(z**2), 2), vi.MeanFieldGaussian([0.5, 0], [0.8, 1.1])
    import fastvi.diagnostics.log_weights as module

    monkeypatch.setattr(module, "BLOCK", 1000)
    found = Summary(LogWeights(target, q, 4500, key_from(3), DIAGNOSE, Threads()), (2.0,))
    monkeypatch.setattr(module, "BLOCK", 10**6)
    weights = next(iter(LogWeights(target, q, 4500, key_from(3), DIAGNOSE, Threads())))
    top = weights.max()
    w = np.exp(weights - top)
    assert found.khat == pytest.approx(vi.psis(weights).khat, abs=1e-12)
    assert found.moments.mean == pytest.approx(weights.mean(), rel=1e-13)
    assert found.moments.squares == pytest.approx(np.sum((weights - weights.mean()) ** 2), rel=1e-12)
    assert found.weight.log == pytest.approx(top + math.log(w.mean()), rel=1e-13)
    assert found.weight.ess == pytest.approx(w.sum() ** 2 / (w @ w), rel=1e-12)
    assert found.max_weight == pytest.approx(w.max() / w.sum(), rel=1e-12)
    assert found.powers[2.0].relative_error == pytest.approx(
        np.std(w**2, ddof=1) / np.mean(w**2) / math.sqrt(4500), rel=1e-10
    )


def test_log_weights_far_from_zero():
    mean = PowerMean()
    mean.add(np.array([-1e6, -1e6 + 1.0]))
    mean.add(np.array([-np.inf, -2e6]))
    assert mean.log == pytest.approx(-1e6 + math.log((1 + math.e) / 4), abs=1e-9)
    nothing = PowerMean()
    nothing.add(np.array([-np.inf, -np.inf]))
    assert nothing.log == -math.inf and math.isnan(nothing.relative_error)


@pytest.mark.parametrize("bad", [[], [[0.0]], [0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
def test_bad_log_weights(bad):
    with pytest.raises(ValueError, match="log_weights: "):
        vi.psis(bad)


def test_minus_infinity_is_a_weight_of_zero():
    log_weights = np.append(ndtri((np.arange(1, 400) * 0.618) % 1.0), -np.inf)
    found = vi.psis(log_weights)
    assert found.log_weights[-1] == -np.inf and math.isfinite(found.khat)


@pytest.mark.slow
def test_forty_million_weights_in_bounded_memory():
    """Under 400 MB, all of the process counted; the weights alone would take 320."""
    code = (
        "import fastvi as vi, numpy as np\n"
        "target, q = vi.Target(lambda z: -0.5 * z[0] ** 2, 1), vi.MeanFieldGaussian([0.1], [1.2])\n"
        "found = vi.diagnose(target, q, 40_000_000, rng=0)\n"
        "assert found.khat < 0.2 and found.num_samples == 40_000_000\n"
        "peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "assert peak < 400_000, peak\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
