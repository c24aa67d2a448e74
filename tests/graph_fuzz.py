"""Random PyTensor graphs of a vector x: element-wise operations with broadcasting, reductions, indices, joins.

    python tests/graph_fuzz.py --graphs 2000

compares the source of each, run in Python, with PyTensor's own evaluation; a seed that fails is printed with it.
"""

import argparse
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt

from fastvi.bridges import pytensor_graph

DIM = 30
AS_IT_IS = pytensor.compile.mode.Mode(linker="py", optimizer=None)
UNARY = [
    pt.tanh, pt.exp, pt.sigmoid, pt.softplus, lambda a: pt.log1p(a**2), lambda a: pt.sqrt(1.0 + a**2), pt.sin,
    lambda a: -a, pt.gammaln, lambda a: pt.erf(a), lambda a: pt.switch(a > 0.1, a, 2.0 * a), abs,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (2.0 + b**2),
    pt.maximum, lambda a, b: pt.switch(a < b, a, b), pt.logaddexp,
]  # fmt: skip


def bounded(a):
    """Kept small, so that nothing overflows."""
    return 2.0 * pt.tanh(0.5 * a)


def part_of(x, rng):
    """A number, a vector, or a matrix of items of x."""
    kind = rng.integers(6)
    if kind == 0:
        return x[int(rng.integers(DIM))]
    if kind == 1:
        start, n = int(rng.integers(5)), int(rng.integers(2, 25))
        return x[start : start + n]
    if kind == 2:
        return x[:: int(rng.integers(2, 4))]
    if kind == 3:
        return x[rng.integers(0, DIM, int(rng.integers(2, 40)))]
    rows = int(rng.choice([2, 3, 5, 10]))
    return x.reshape((rows, DIM // rows)) if kind == 4 else x.reshape((rows, DIM // rows)).T


def constant(shape, rng):
    value = rng.normal(size=shape)
    return pt.as_tensor(value) if rng.integers(4) else pytensor.shared(value, name="data")


def changed(a, rng, shape):
    """One operation more."""
    kind = rng.integers(8)
    n = len(shape)
    if kind == 0 and n:
        axis = int(rng.integers(n))
        return getattr(pt, str(rng.choice(["sum", "max", "logsumexp", "mean"])))(a, axis=axis)
    if kind == 1 and n:
        axis = int(rng.integers(n))
        return pt.concatenate([a, bounded(a) * 0.5], axis=axis)
    if kind == 2 and n:
        at = rng.integers(0, shape[0], int(rng.integers(2, 12)))
        return a[at] if rng.integers(2) else pt.set_subtensor(a[0], 0.25)
    if kind == 3 and n == 2:
        return a.T
    if kind == 4 and n == 1 and shape[0] > 1:
        return pt.cumsum(a) * 0.1
    if kind == 5 and n == 2:
        return pt.dot(constant((3, shape[0]), rng), a) if rng.integers(2) else a @ constant((shape[1],), rng)
    if kind == 6 and n:
        return pt.special.softmax(a, axis=-1)
    return UNARY[rng.integers(len(UNARY))](a)


def graph(seed):
    """(x, a scalar graph of it)"""
    rng = np.random.default_rng(seed)
    x = pt.vector("x", shape=(DIM,), dtype="float64")
    pool = [part_of(x, rng) for _ in range(3)]
    pool.append(constant((), rng))
    for _ in range(int(rng.integers(3, 10))):
        a = pool[rng.integers(len(pool))]
        if rng.integers(2):
            pool.append(bounded(changed(a, rng, shape_of(a))))
            continue
        b = fitting(a, pool, rng)
        pool.append(bounded(BINARY[rng.integers(len(BINARY))](a, b)))
    return x, sum(a.sum() for a in pool[3:]) - 0.5 * (x**2).sum()


def shape_of(a):
    if None not in a.type.shape:
        return tuple(a.type.shape)
    found = [v for v in pytensor.graph.traversal.explicit_graph_inputs([a]) if v.name == "x"]
    given = {v: np.zeros(DIM) for v in found}
    return tuple(int(s) for s in a.shape.eval(given, mode=AS_IT_IS, on_unused_input="ignore"))


def fitting(a, pool, rng):
    """Something that broadcasts with a."""
    shape = shape_of(a)
    for b in rng.permutation(len(pool)):
        other = shape_of(pool[b])
        pairs = zip(shape[::-1], other[::-1], strict=False)
        if all(m == n or 1 in (m, n) for m, n in pairs) and np.prod(np.broadcast_shapes(shape, other)) <= 400:
            return pool[b]
    return constant(tuple(s if rng.integers(3) else 1 for s in shape), rng)


def translated(seed):
    """(translation, PyTensor's function of values and gradients)"""
    x, y = graph(seed)
    found = pytensor_graph.translate(pytensor_graph.rewritten(y), x, DIM, f"graph {seed}")
    mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_run")
    return found, pytensor.function([x], [y, pytensor.gradient.grad(y, x)], mode=mode)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    wrong, refused = 0, 0
    for seed in range(given.first, given.first + given.graphs):
        try:
            x, y = graph(seed)
            found = pytensor_graph.translate(pytensor_graph.rewritten(y), x, DIM, f"graph {seed}")
        except pytensor_graph.Unsupported as error:
            refused += 1
            print(seed, "refused:", error)
            continue
        z = np.random.default_rng(seed).normal(size=DIM)
        with np.errstate(all="ignore"):
            ours, theirs = float(found.function(z, *found.data())), float(y.eval({x: z}, mode=AS_IT_IS))
        if not abs(ours - theirs) <= 1e-10 * max(1.0, abs(theirs)):
            wrong += 1
            print(seed, ours, theirs, found.source, sep="\n")
    print(f"{given.graphs} graphs: {wrong} wrong, {refused} refused")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
