"""The command line, as a person would use it."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastvi as vi
from fastvi.__main__ import KERNELS, main
from fastvi.examples import models
from fastvi.kernels import everything
from fastvi.kernels.cpu import adam, points, sweep
from fastvi.kernels.lanes import matrix, tape


def call(*arguments):
    return subprocess.run([sys.executable, "-m", "fastvi", *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_main_job():
    done = call("--num-samples", "100000")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == "model" and done.stderr == ""
    rows = [line for line in lines if line.startswith(("eight schools  ", "O-ring launches  "))]
    assert len(rows) == 4 and all("in lanes" in row for row in rows)
    assert len({row.index("in lanes") for row in rows}) == 1  # aligned
    named = [line.split()[0] for line in lines if line.startswith(("mu ", "tau ", "intercept ", "slope "))]
    assert named == ["mu", "tau", "intercept", "slope"] and "mcse" in done.stdout


def test_what_the_main_job_announces_are_kernels():
    assert set(KERNELS) <= set(everything.everything())


@pytest.mark.slow
def test_the_main_job_knows_its_kernels():
    """What it says is compiled beforehand is all that it runs."""
    code = """
from fastvi import __main__, warm
from fastvi.kernels import jit
asked, cached = [], jit._cached
jit._cached = lambda decorator, function: asked.append(function.__qualname__) or cached(decorator, function)
warm.prepare(__main__.KERNELS, lambda number, count: None)
assert len(asked) == len(__main__.KERNELS), asked
__main__.main(["--num-samples", "2000"])
assert len(asked) == len(__main__.KERNELS), asked
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_compiling_is_told_only_where_it_happens(tmp_path):
    """The first process compiles, the second finds it on disk."""
    code = "from fastvi import warm; warm.prepare(['merger'], lambda number, count: print(number, count))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    told = [subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) for _ in range(2)]
    assert told == ["1 1\n", ""]


def test_info():
    done = call("info")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("fastvi", "python", "numba", "numpy", "scipy", "cpu", "threads", "cuda"):
        assert f"\n{name} " in "\n" + done.stdout


def test_warm_knows_every_kernel(monkeypatch, capsys):
    """What is cached by its arguments in the modules of CPU kernels, ``warm`` compiles, in processes of its own."""
    found = everything.everything()
    known = {getattr(make, "func", make) for make in found.values()}
    for module in (adam, matrix, points, sweep, tape):
        makers = {
            f for f in vars(module).values() if hasattr(f, "cache_parameters") and f.__module__ == module.__name__
        }
        assert {f for f in makers if not f.__name__.endswith("access")} <= known
    monkeypatch.setattr(everything, "everything", lambda: {name: found[name] for name in ("merger", "score merger")})
    assert main(["warm", "--num-threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("  2/2 ") and "merger" in lines[1]


def test_bad_arguments():
    done = call("--num-samples", "0")
    assert done.returncode == 2 and "--num-samples: expected at least 1024, got 0" in done.stderr


def test_in_process(capsys):
    assert main(["info"]) == 0 and "fastvi" in capsys.readouterr().out


def test_the_launches_are_the_published_ones():
    """The maximum-likelihood fit of these 23 launches is logit p = 15.0429 - 0.2322 t (Dalal et al. 1989)."""
    t, y = models.TEMPERATURES, models.DISTRESS
    beta = np.array([15.0429, -0.2322])
    for _ in range(20):  # Newton
        p = 1 / (1 + np.exp(-beta[0] - beta[1] * t))
        X = np.column_stack([np.ones(23), t])
        beta = beta + np.linalg.solve((X.T * (p * (1 - p))) @ X, X.T @ (y - p))
    assert beta == pytest.approx([15.0429, -0.2322], abs=5e-5) and y.sum() == 7


@pytest.mark.parametrize("make", [models.eight_schools, models.launches])
def test_priors_are_normalized(make):
    """E_q[p / q] = 1 within 5 standard errors, under a q with heavier tails where it matters."""
    model = make()
    q = vi.MeanFieldGaussian(model.loc, 1.0 + model.scale)
    z = q.sample(200_000, rng=0)
    weight = np.exp(model.prior.value(z) - q.log_prob(z))
    assert abs(weight.mean() - 1.0) < 5 * weight.std() / np.sqrt(len(z)) + 1e-12


@pytest.mark.slow
def test_the_evidence_of_eight_schools_bounds_the_elbo():
    """log p(x) = -31.3113 = -32.0045 + log 2, the first by quadrature with the half-Cauchy lacking its factor 2."""
    model = models.eight_schools()
    for q in (found.q for found in model.fitted(rng=0)):
        estimate = vi.elbo(model.target, q, 100_000, rng=1)
        assert -31.9 < estimate.value < -31.3113 + 5 * estimate.standard_error


def test_a_cpu_without_fma_is_told(monkeypatch):
    """Measured on a logistic regression with LLVM's x86-64-v2: 35 times slower."""
    from fastvi.info import versions
    from fastvi.kernels import jit

    target = vi.Target(lambda z: -(z[0] ** 2), 1)
    assert "multiply-add" not in versions()["cpu"] + target.explain()
    monkeypatch.setattr(jit, "host_cpu", lambda: ("old", {"sse4.2"}))
    assert jit.WITHOUT_FMA in versions()["cpu"] and jit.WITHOUT_FMA in target.explain()
