"""A table of estimates, bit by bit: ``python tests/bits.py FILE`` writes it, and ``--against FILE`` compares with it.

Estimates are a promise to the last bit.  A change that should not move them is checked by a table made before it, on
the same machine, as the order of a sum's lanes belongs to the CPU.  Only the public interface is used here.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import math

import numpy as np

import fastvi as vi


def smooth(z, x):
    """Coupled and skewed, without a branch."""
    total = -0.5 * np.dot(z, z) - 0.5 * len(z) * math.log(2.0 * math.pi)
    for i in range(len(z)):
        total -= 0.1 * math.exp(0.5 * z[i]) + 0.05 * z[i] * z[(i + 1) % len(z)] * x[i]
    return total


def branching(z, x):
    if z[0] > 0.3:
        return -0.5 * np.dot(z, z) - 0.1
    return -0.4 * np.dot(z, z) + x[0] * z[0]


def logistic(z, X, y):
    eta = X @ z
    return -0.5 * np.dot(z, z) + np.sum(y * eta - np.logaddexp(0.0, eta))


def gaussian(z, mean, precision):
    away = z - mean
    return -0.5 * np.dot(away, precision @ away)


def gaussian_gradient(z, mean, precision, out):
    out[:] = -(precision @ (z - mean))


def rows(z):
    return -0.5 * np.sum(z**2, axis=1) - 0.1 * np.sum(np.exp(0.3 * z), axis=1)


def rows_with_gradient(z):
    return rows(z), -z - 0.03 * np.exp(0.3 * z)


def targets():
    """(name, target) of every way in that needs no guest."""
    rng = np.random.default_rng(0)
    for dim in (1, 2, 3, 7, 20, 33):
        yield f"smooth{dim}", vi.Target(smooth, dim, (rng.normal(size=dim),))
    X = rng.normal(size=(40, 5))
    yield "logistic", vi.Target(logistic, 5, (X, (rng.random(40) < 0.5).astype(float)))
    yield "branching", vi.Target(branching, 3, (np.array([0.2]),))
    root = np.tril(rng.normal(size=(4, 4))) + 3.0 * np.eye(4)
    data = rng.normal(size=4), root @ root.T
    yield "gaussian", vi.Target(gaussian, 4, data)
    yield "written", vi.Target(gaussian, 4, data, gradient=gaussian_gradient)
    yield "batched", vi.Target.from_batched(rows, 3, value_and_grad=rows_with_gradient, batch_size=256)


def approximations(dim):
    rng = np.random.default_rng(dim)
    yield "mf", vi.MeanFieldGaussian(0.3 * rng.normal(size=dim), np.exp(0.3 * rng.normal(size=dim)))
    tril = np.tril(0.3 * rng.normal(size=(dim, dim)), -1) + np.diag(np.exp(0.2 * rng.normal(size=dim)))
    yield "fr", vi.FullRankGaussian(0.3 * rng.normal(size=dim), tril)
    factors = 0.3 * rng.normal(size=(dim, min(2, dim)))
    yield "lr", vi.LowRankGaussian(0.3 * rng.normal(size=dim), np.exp(0.2 * rng.normal(size=dim)), factors)


PATHWISE = ("pathwise", "sticking_the_landing", "pathwise_quadratic")
SCORES = ("score", "leave_one_out", "optimal_baseline", "diagonal", "quadratic", "cubic")
KINDS = "kl_reverse kl_forward chi2 renyi alpha hellinger jeffreys jensen_shannon total_variation".split()
FITS = ("newton", "lbfgs", "score", "coordinate_ascent")


def calls():
    """(name, function without arguments) of every number in the table."""
    for name, target in targets():
        yield f"{name}/value", lambda t=target: t.value(np.linspace(-1, 1, 7 * t.dim).reshape(7, t.dim))
        if name != "branching":
            yield f"{name}/slope", lambda t=target: t.value_and_grad(np.linspace(-1, 1, 7 * t.dim).reshape(7, t.dim))
            yield f"{name}/laplace", lambda t=target: t.laplace(np.zeros(t.dim)).q.parameters
        for family, q in approximations(target.dim):
            at = f"{name}/{family}"
            yield f"{at}/sample", lambda q=q: q.sample(100, rng=1)
            for estimator in ("auto", "plain", "entropy", "diagonal", "quadratic", "cubic"):
                for count in (32, 1000, 6000):
                    yield (
                        f"{at}/elbo/{estimator}/{count}",
                        lambda *a, t=target, q=q, e=estimator, n=count: vi.elbo(
                            t, q, n, estimator=e, rng=1, num_threads=2
                        ),
                    )
            for estimator in ("auto", *SCORES, *(PATHWISE if name != "branching" else ())):
                for count in (100, 5000):
                    yield (
                        f"{at}/gradient/{estimator}/{count}",
                        lambda t=target, q=q, e=estimator, n=count: vi.elbo_gradient(
                            t, q, n, estimator=e, rng=2, num_threads=2
                        ),
                    )
            for draws in ("antithetic", "sobol"):
                yield f"{at}/elbo/{draws}", lambda t=target, q=q, d=draws: vi.elbo(t, q, 512, draws=d, rng=3)
                yield (
                    f"{at}/gradient/{draws}",
                    lambda t=target, q=q, d=draws: vi.elbo_gradient(t, q, 512, draws=d, rng=3),
                )
            yield f"{at}/elbo/atol", lambda t=target, q=q: vi.elbo(t, q, 500, atol=0.01, rng=4)
            yield f"{at}/gradient/atol", lambda t=target, q=q: vi.elbo_gradient(t, q, 500, atol=0.05, rng=4)
            yield f"{at}/elbo/sobol/atol", lambda t=target, q=q: vi.elbo(t, q, 500, draws="sobol", atol=0.02, rng=4)
            yield f"{at}/elbo/float32", lambda t=target, q=q: vi.elbo(t, q, 3000, dtype="float32", rng=5)
            yield f"{at}/bounds", lambda t=target, q=q: vi.bounds(t, q, 4000, orders=(0.5, 2.0), rng=6)
            yield f"{at}/diagnose", lambda t=target, q=q: vi.diagnose(t, q, 4000, rng=6)
            yield f"{at}/compare", lambda t=target, q=q: vi.compare(t, q, q.member(0 * q.loc, q.scale), 2000, rng=7)
            for estimator in ("pathwise", "bank") if name != "branching" else ("bank",):
                yield (
                    f"{at}/objective/{estimator}",
                    lambda t=target, q=q, e=estimator: vi.Objective(t, q, 100, estimator=e, rng=8).value_and_grad(
                        q.parameters + 0.01
                    ),
                )
            for method in FITS if name in ("smooth2", "smooth7", "gaussian", "logistic") else ():
                options = {"method": method, "max_rounds": 2, "max_samples": 100_000, "rng": 9}
                yield f"{at}/fit/{method}", lambda t=target, q=q, o=options: vi.fit(t, q, **o)
    yield from pairs()
    yield from products()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        target = dict(targets())["smooth3"]
        for family, q in approximations(3):
            yield f"executor/{family}", lambda t=target, q=q: vi.elbo(t, q, 5000, executor=pool, rng=1)
            yield (
                f"executor/{family}/gradient",
                lambda t=target, q=q: vi.elbo_gradient(t, q, 5000, executor=pool, rng=1),
            )


def of_factors(s, x, k, g, b, d, n, y, theta, t, table):
    total = -0.5 * np.dot(x, x) - 0.5 * np.dot(t, t) + table[int(k[0])] * x[0] + s[0] * s[1] * x[1] - 0.3 * g[0] + theta
    total += np.log(g[0]) + np.log(b[0]) + np.sum(np.log(d)) + n[0] * np.log(2.0 + s[0]) - 0.2 * n[0] * n[0]
    return total - 0.5 * (np.log(y[0]) - theta) ** 2 + 0.2 * t[0] * x[1]


def products():
    """Of factors of every kind."""
    q = vi.Product(
        s=vi.Bernoulli(logits=[0.3, -0.8]),
        x=vi.MeanFieldGaussian([0.1, -0.2], [0.8, 1.1]),
        k=vi.Categorical(logits=[[0.2, -0.1, 0.4]]),
        g=vi.Gamma([2.3], [1.4]),
        b=vi.Beta([1.5], [2.5]),
        d=vi.Dirichlet([1.2, 2.0, 0.9]),
        n=vi.Poisson([2.2]),
        y=vi.LogNormal([0.1], [0.5]),
        theta=vi.Delta(0.3),
        t=vi.FullRankGaussian([0.2, -0.1], [[0.9, 0.0], [0.3, 0.7]]),
    )
    target = vi.Target(of_factors, q.latents, (np.array([0.3, -0.2, 0.1]),))
    yield "product/sample", lambda: q.sample(100, rng=1)
    yield "product/log_prob", lambda: q.log_prob(q.sample(100, rng=1))
    for estimator in ("auto", "plain", "entropy", "linear", "quadratic"):
        yield f"product/elbo/{estimator}", lambda e=estimator: vi.elbo(target, q, 6000, estimator=e, rng=1)
    for estimator in ("auto", "leave_one_out", "optimal_baseline", "linear", "quadratic", "mixed"):
        yield f"product/gradient/{estimator}", lambda e=estimator: vi.elbo_gradient(target, q, 6000, estimator=e, rng=2)
    for draws in ("antithetic", "sobol"):
        yield f"product/gradient/{draws}", lambda d=draws: vi.elbo_gradient(target, q, 512, draws=d, rng=3)
    yield "product/fit", lambda: vi.fit(target, q, rng=9, max_rounds=2, max_samples=100_000)


def pairs():
    """Divergences between every two kinds of distribution."""
    mixture = vi.GaussianMixture([0.3, 0.7], [[0.0, 0.5], [1.0, -1.0]], [[1.0, 0.5], [0.7, 1.2]])
    (_, mf), (_, fr), (_, lr) = approximations(2)
    unnormalised = dict(targets())["smooth2"]
    for (a, q), (b, p) in [
        (("mf", mf), ("fr", fr)),
        (("fr", fr), ("mf", mf)),
        (("lr", lr), ("fr", fr)),
        (("mf", mf), ("mixture", mixture)),
        (("fr", fr), ("smooth2", unnormalised)),
    ]:
        for kind in KINDS:
            options = {"alpha": {"alpha": 0.3}, "renyi": {"order": 0.7}}.get(kind, {})
            for method in ("auto", "monte_carlo"):
                yield (
                    f"{a}-{b}/{kind}/{method}",
                    lambda q=q, p=p, k=kind, m=method, o=options: vi.divergence(q, p, k, 3000, method=m, rng=10, **o),
                )
    yield "mixture/sample", lambda: mixture.sample(100, rng=1)
    yield "psis", lambda: vi.psis(np.random.default_rng(1).normal(size=3000) * 2)


def numbers(value):
    """Every float of a result in a fixed order, whatever else it carries."""
    if value is None or isinstance(value, str | vi.Target | bytes | slice):
        return []
    if isinstance(value, bool | int | float | np.ndarray | np.generic):
        return np.asarray(value, float).ravel().tolist()
    if isinstance(value, dict):
        return [x for k in value for x in numbers(value[k])]
    if isinstance(value, list | tuple):
        return [x for v in value for x in numbers(v)]
    if isinstance(value, vi.FitResult):
        return numbers([value.q.parameters, value.elbo, *(h[:4] for h in value.history), value.diagnosis])
    if isinstance(value, vi.Bounds):
        return numbers([value.elbo, value.iwae, value.renyi, value.log_evidence, value.cubo, value.khat, value.ess])
    if isinstance(value, vi.Diagnosis):
        return numbers([value.elbo, value.khat, value.ess, value.max_weight, value.log_evidence, value.deviation])
    if isinstance(value, vi.Estimate):
        return [value.value, value.standard_error, value.num_samples, value.khat, value.ess]
    if dataclasses.is_dataclass(value):
        return numbers([getattr(value, f.name) for f in dataclasses.fields(value)])
    return [] if type(value).__name__ == "Key" else numbers(vars(value))


def table():
    """{name: [digest of all bits, the first number]}"""
    found = {}
    for name, call in calls():
        with contextlib.suppress(ZeroDivisionError):
            try:
                values = numbers(call())
            except (ValueError, TypeError) as error:
                found[name] = [type(error).__name__, 0.0]
                continue
            digest = hashlib.blake2b(np.array(values).tobytes(), digest_size=8).hexdigest()
            found[name] = [digest, values[0] if values and math.isfinite(values[0]) else 0.0]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", help="where to write the table")
    parser.add_argument("--against", help="a table made before")
    options = parser.parse_args()
    found = table()
    print(f"{len(found)} results")
    if options.file:
        with open(options.file, "w") as file:
            json.dump(found, file, indent=0)
    if options.against:
        with open(options.against) as file:
            before = json.load(file)
        moved = [name for name in before if found.get(name) != before[name]]
        for name in moved:
            print(f"moved: {name} {before[name]} -> {found.get(name)}")
        print(f"{len(before) - len(moved)} of {len(before)} the same")
        raise SystemExit(bool(moved))


if __name__ == "__main__":
    main()
