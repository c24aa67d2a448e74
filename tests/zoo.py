"""What users write: densities that must run in lanes, and ones that must fall back draw by draw, each with its data.

Every function takes (z, *data) with z of five dimensions unless it says otherwise.
"""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

import fastvi as vi

DATA = np.arange(1.0, 6.0)
GROUP = np.array([0, 3, -1, 2, 2, 4])
MATRIX = np.array([[0.5, -1.0, 2.0, 0.25, 1.0], [1.5, 0.5, -0.5, 1.0, -2.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
TALL = np.linspace(-1.0, 1.0, 4000).reshape(800, 5)
COUNTS = np.array([0, 3, 1, 7, 2])
WEIGHTS = np.array([0.5, 1.5, 2.5])


@njit
def normal_lpdf(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - math.log(sd) - 0.9189385332046727


@njit(fastmath=True)
def hurried(x):
    return np.log1p(np.exp(-abs(x))) + max(x, 0.0)


@register_jitable
def squared(x):
    return x * x


def plain_helper(x, sd):
    return -0.5 * (x / sd) ** 2


def helper_of_helper(x):
    return plain_helper(x, 2.0) + 1.0


@njit
def halved(x, n):
    if n == 0:
        return x
    return halved(x, n - 1) * 0.5


@njit
def items(z):
    for i in range(len(z)):
        yield z[i]


def closing():
    factor, weights = 3.0, np.arange(5.0)

    def closure(z):
        return factor * z[0] + weights[2] * z[1]

    return closure


# ---- models
def standard_normal(z):
    total = 0.0
    for k in range(z.size):
        total += z[k] * z[k]
    return -0.5 * total - 0.9189385332046727 * len(z)


def standard_normal_array(z):
    return -0.5 * np.sum(z * z) - 0.9189385332046727 * z.size


def correlated(z, C):
    total = 0.0
    for i in range(C.shape[0]):
        t = 0.0
        for k in range(z.size):
            t += C[i, k] * z[k]
        total += t * t
    return -0.5 * total


def correlated_matrix(z, C):
    t = C @ z
    return -0.5 * np.sum(t * t)


def funnel(z):
    total = 0.0
    for k in range(1, len(z)):
        total += z[k] ** 2
    return -0.5 * z[0] * z[0] / 9.0 - 0.5 * (z.size - 1) * z[0] - 0.5 * math.exp(-z[0]) * total


def schools_array(z, y):
    mu, tau, eta = z[0], np.exp(z[1]), z[2:]
    return -0.5 * mu**2 / 25.0 - np.log1p(tau**2 / 25.0) - 0.5 * np.sum(((y[:3] - (mu + tau * eta)) / 2.0) ** 2)


def logistic_loop(z, X):
    total = 0.0
    for i in range(X.shape[0]):
        eta = 0.0
        for k in range(z.size):
            eta += X[i, k] * z[k]
        total -= max(eta, 0.0) + math.log1p(math.exp(-abs(eta)))
    return total


def logistic_rows(z, X):
    total = 0.0
    for i in range(X.shape[0]):
        total -= np.logaddexp(0, X[i] @ z)
    return total


def logistic_matrix(z, X):
    eta = X @ z
    return np.dot(X[:, 0], eta) - np.sum(np.logaddexp(0.0, eta)) - 0.5 * np.dot(z, z)


def logistic_tall(z, X):
    eta = X @ z
    return np.sum(0.3 * eta - np.logaddexp(0.0, eta)) + np.sum(vi.softplus(2.0 * eta) - eta)


def poisson(z, y, group):
    tau = math.exp(z[1])
    total = -0.5 * z[0] * z[0]
    for i in range(y.size):
        eta = z[0] + tau * z[group[i]]
        total += y[i] * eta - math.exp(eta) - math.lgamma(y[i] + 1.0)
    return total


def poisson_gather(z, y, group):
    eta = z[0] + z[group[:5]]
    return np.sum(y * eta - np.exp(eta))


def garch(z, y):
    variance, total = 1.0, 0.0
    for t in range(y.size):
        variance = np.exp(z[0]) + vi.expit(z[1]) * y[t] ** 2 + vi.expit(z[2]) * variance
        total += -0.5 * np.log(variance) - 0.5 * y[t] ** 2 / variance
    return total


def mixture(z, y):
    total = 0.0
    for i in range(y.size):
        total += np.logaddexp(math.log(0.3) - 0.5 * (y[i] - z[0]) ** 2, math.log(0.7) - 0.5 * (y[i] - z[1]) ** 2)
    return total


def network(z, X):
    total = 0.0
    for i in range(3):
        hidden = math.tanh(X[i, 0] * z[0] + z[1]) * z[2] + np.tanh(X[i, 1] * z[3]) * z[4]
        total -= (hidden - 1.0) ** 2
    return total


def student(z, y):
    return -2.5 * np.sum(np.log1p((y - z[0]) ** 2 / (4.0 * np.exp(2.0 * z[1])))) - y.size * z[1]


# ---- ways of writing
PATTERNS = {
    "np.exp slice": (lambda z, y: np.sum(np.exp(z[1:]) * y[1:] - (z[0] - 2) ** 2), (DATA,)),
    "njit helpers": (lambda z: normal_lpdf(z[0], 0.0, math.exp(z[1])) + squared(z[2]), ()),
    "fastmath helper": (lambda z: hurried(z[0]) + hurried(30.0 * z[1]), ()),
    "plain helpers": (lambda z: helper_of_helper(z[0]) + plain_helper(z[1], 3.0), ()),
    "recursion": (lambda z: halved(z[0], 3), ()),
    "tuple": (lambda z: (z[0], z[1])[0] * (z[1], z[2])[1], ()),
    "unpacking": (lambda z: sum_of_pair(z), ()),
    "list": (lambda z: sum([z[0], z[1]]), ()),
    "methods": (lambda z: z.sum() + z.mean() + z.dot(z) + z.max() - z.min(), ()),
    "functions": (lambda z: np.sum(z) + np.mean(z) + np.max(z) - np.min(z) + np.prod(z), ()),
    "iteration": (lambda z, y: iterate(z, y), (DATA,)),
    "negative index": (lambda z: -(z[-1] ** 2) / 2, ()),
    "branch on data": (lambda z, y: branch_on_data(z, y), (DATA,)),
    "logsumexp loop": (lambda z: logsumexp(z), ()),
    "log sum exp": (lambda z: np.log(np.sum(np.exp(z))), ()),
    "where": (lambda z: np.sum(np.where(z > 0, z, 0.0)) + vi.where(z[0] < 0.3, z[0], 2.0), ()),
    "masks": (lambda z: np.where((z[0] > 0) & (z[1] > 0) | np.logical_not(z[2] < 0), z[0], 0) + (z > 0).sum(), ()),
    "conditional on size": (lambda z: z[0] if z.size > 3 else 0.0, ()),
    "copysign": (lambda z: math.copysign(z[0], z[1]) * z[2] + np.copysign(2.0, z[3]) * z[4], ()),
    "while-free maximum": (lambda z: max(z[0], 0.5, z[1]) + min(z[0], z[1], z[2]) + np.maximum(z[0], z[1]), ()),
    "global array": (lambda z: np.sum(WEIGHTS * z[1:4]), ()),
    "augmented": (lambda z, y: augmented(z, y), (DATA,)),
    "constant": (lambda z: 1.5, ()),
    "expit by hand": (lambda z: 1.0 / (1.0 + np.exp(-z[0])) + math.hypot(z[0], z[1]), ()),
    "matmul vector": (lambda z, y: z @ y + y @ z + np.dot(z, z), (DATA,)),
    "integer total": (lambda z: integer_total(z), ()),
    "clip, sign, power": (lambda z: np.clip(z[0], -1, 1) + np.sign(z[1]) + np.power(z[2], 2) + np.square(z[3]), ()),
    "strides": (lambda z: np.sum(z[::2]) - np.sum(z[::-1] * DATA), ()),
    "try": (lambda z: attempt(z), ()),
    "assert on data": (lambda z: asserting(z), ()),
    "shape": (lambda z: z[2:4][0] * z.shape[0] + z[1:].shape[0] * z[1] + z.ndim, ()),
    "trigonometry": (lambda z: np.sum(np.log(np.abs(np.sin(z)) + 1)) + math.cos(z[0]) * math.erf(z[1]), ()),
    "special functions": (lambda z: math.lgamma(z[0] * z[0] + 1.0) + math.expm1(z[1]) + math.log2(z[2] ** 2 + 1), ()),
    "int of data": (lambda z, y: z[int(y[2])] + z[np.int64(y[1])], (DATA,)),
    "generator": (lambda z: total_of(items(z)), ()),
    "gather": (lambda z, g: np.sum(z[g]) + z[g][1] + (z[g] * z[g]).mean(), (GROUP,)),
    "differences": (lambda z: -0.5 * np.sum((z[1:] - z[:-1]) ** 2), ()),
    "shared expression": (lambda z: shared(z), ()),
    "rebinding": (lambda z, y: rebinding(z, y), (DATA,)),
    "numpy scalars": (lambda z: np.float32(0.5) * z[0] + True * z[1] + np.int64(3) * z[2] + float(z[3]), ()),
    "powers": (lambda z: z[0] ** 3 + z[1] ** -2 + np.exp(z[2]) ** 0.5 + abs(z[3]) ** 1.7 + 2.0 ** z[4], ()),
    "own functions": (
        lambda z: vi.softplus(z[0]) + vi.expit(z[1]) + vi.log1mexp(-abs(z[2]) - 0.1) + vi.logaddexp(z[3], z[4]),
        (),
    ),
    "nan and inf tests": (lambda z: np.where(np.isfinite(z[0]) & np.logical_not(np.isnan(z[1])), z[0], 0.0), ()),
    "column of data": (lambda z, X: np.dot(X[:, 1], X[:, 0]) * z[0] + np.sum(X[0] * z), (MATRIX,)),
    "a conversion": (lambda z: np.float64(z[0]) * np.float64(z[1] > 0.0) + np.float64(3) * z[2], ()),
    "row times matrix": (lambda z, X: np.sum(z @ X.T) + np.dot(np.exp(z), X.T)[1] - z.dot(X.T)[0], (MATRIX,)),
    "the one axis": (lambda z: np.sum(z * z, axis=0) - np.sum(z, axis=-1) + np.sum(z[1:], 0), ()),
    "a special function beside an array": (lambda z: np.sum(math.lgamma(z[0] * z[0] + 1.0) + z[1:]), ()),
    "functions of SciPy": (
        lambda z: vi.gammaln(z[0] - 2.5) + vi.digamma(z[1] + 7.0) + vi.erf(z[2]) + vi.erfc(z[3]) + math.erfc(z[4]),
        (),
    ),
    "functions of SciPy, array": (
        lambda z, y: np.sum(vi.log_ndtr(3.0 * z) * y - vi.gammaln(y + np.exp(z))) + np.sum(vi.erfcx(z) + np.sin(9 * z)),
        (DATA,),
    ),
    "integer data": (lambda z, n: np.sum(n * z) + n[0] * z[0] + n @ z, (COUNTS,)),
}


def sum_of_pair(z):
    a, b = z[0], z[1]
    a, b = b, a
    return a - 2 * b


def iterate(z, y):
    total = 0.0
    for i, v in enumerate(z):
        total += i * v
    for v, x in zip(z, y):  # noqa: B905
        total += v * x
    return total


def branch_on_data(z, y):
    total = 0.0
    for j in range(len(z)):
        if y[j] > 2:
            total += z[j]
        else:
            total -= z[j]
    return total


def logsumexp(z):
    largest = -np.inf
    for v in z:
        largest = max(largest, v)
    total = 0.0
    for v in z:
        total += math.exp(v - largest)
    return largest + math.log(total)


def augmented(z, y):
    a = z[0]
    a += 1
    a -= y[1]
    a *= 2
    a /= 3
    a **= 2
    return a


def integer_total(z):
    total = 0
    for j in range(z.size):
        total += z[j]
    return total


def attempt(z):
    x = 0.0
    try:
        x = z[0]
    except Exception:
        x = z[1]
    return x


def asserting(z):
    assert z.size == 5
    return z[0]


def total_of(values):
    total = 0.0
    for v in values:
        total += v
    return total


def shared(z):
    r = np.exp(z)
    return np.sum(r) + np.sum(r * r) + r.mean()


def rebinding(z, y):
    v = z
    if y[0] < 3:
        v = z[1:]
    return v[0]


def temporary(z):
    t = np.empty(z.size)
    for j in range(z.size):
        t[j] = z[j] * 2
    return t.sum()


def zeros_like(z):
    t = np.zeros_like(z)
    t[0] = z[1]
    return t[0] + t[1]


def cholesky(z):
    L = np.zeros((3, 3))
    for i in range(3):
        L[i, i] = 1.0 + z[i] ** 2
        for j in range(i):
            L[i, j] = 0.3 * z[i] * z[j]
    total, x = 0.0, np.zeros(3)
    for i in range(3):
        x[i] = (z[i + 2] - np.dot(L[i, :i], x[:i])) / L[i, i]
        total -= 0.5 * x[i] ** 2 + np.log(L[i, i])
    return total


def rewritten(z, y):
    """What is read later must be what was there when the expression was written."""
    t, u = np.ones(len(z)), np.zeros(len(z))
    for i in range(len(z)):
        t[i] *= z[i]
        u[i] = y[i]
    first, second = t * z, np.exp(0.1 * u) * z
    for i in range(len(z)):
        t[i] += 2.0
        u[-1 - i] = z[i]
    return np.sum(first) + np.sum(second) + np.sum(t * t) - np.dot(u, t[::-1])


def walk(z, y):
    path = np.cumsum(np.exp(0.3 * z[1:]) * z[0])
    return -0.5 * np.sum((y[1:] - path) ** 2) + np.cumsum(z)[-1] * z.cumsum()[2]


def settled(z, X):
    hidden = np.tanh(X @ z + 0.1).copy()
    return np.sum(hidden) * hidden[1] - np.dot(hidden, hidden) + np.copy(z[1:] * z[0])[2] - np.max(hidden)


MODELS = {
    "standard normal": (standard_normal, ()),
    "standard normal, array": (standard_normal_array, ()),
    "correlated": (correlated, (MATRIX,)),
    "correlated, matrix": (correlated_matrix, (MATRIX,)),
    "funnel": (funnel, ()),
    "schools, array": (schools_array, (DATA,)),
    "logistic, loop": (logistic_loop, (MATRIX,)),
    "logistic, rows": (logistic_rows, (MATRIX,)),
    "logistic, matrix": (logistic_matrix, (MATRIX,)),
    "logistic, tall": (logistic_tall, (TALL,)),
    "poisson": (poisson, (COUNTS, GROUP[:5] % 5)),
    "poisson, gather": (poisson_gather, (COUNTS, GROUP)),
    "garch": (garch, (DATA,)),
    "mixture": (mixture, (DATA,)),
    "network": (network, (MATRIX,)),
    "student": (student, (DATA,)),
    "closure": (closing(), ()),
}
WITH_ARRAYS = {
    "np.empty": (temporary, ()),
    "zeros_like": (zeros_like, ()),
    "triangle": (cholesky, ()),
    "rewritten": (rewritten, (DATA,)),
    "cumsum": (walk, (DATA,)),
    "copy": (settled, (MATRIX,)),
}
VECTORISED = {**MODELS, **PATTERNS, **WITH_ARRAYS}


# ---- what cannot vectorise
def branching(z):
    if z[0] > 0:
        return z[0]
    return -z[0]


def looping(z):
    x = z[0]
    while x < 3:
        x = x + 1
    return x


@njit
def signed(x):
    if x > 0:
        return x
    return -x


@njit("float64(float64)")
def explicit(x):
    return x * x


DRAW_BY_DRAW = {
    "if": (branching, ()),
    "conditional expression": (lambda z: z[0] if z[0] > 0 else -z[0], ()),
    "while": (looping, ()),
    "and": (lambda z: 1.0 * ((z[0] > 0) and (z[1] > 0)), ()),
    "np.linalg": (lambda z: np.linalg.norm(z), ()),
    "determinant": (lambda z: np.linalg.slogdet(np.eye(2) * (z[0] ** 2 + 1.0))[1], ()),
    "reshape": (lambda z: (z.reshape(1, 5) * z).sum(), ()),
    "branching helper": (lambda z: signed(z[0]), ()),
    "explicit helper": (lambda z: explicit(z[0]), ()),
    "int of z": (lambda z: 1.0 * int(z[0] * 3), ()),
    "floor division": (lambda z: z[0] // 2 + z[0] % 3, ()),
    "not": (lambda z: 1.0 * (not (z[0] > 0)), ()),
    "chained comparison": (lambda z: 1.0 * (0 < z[0] < 1), ()),
    "outer": (lambda z: np.outer(z, z)[0, 1], ()),
    "transposed": (lambda z: z.copy()[0] + z.T[1], ()),
    "variance": (lambda z: np.var(z) + np.std(z), ()),
    "any, all": (lambda z: 1.0 * np.any(z > 0) + np.all(z > -3), ()),
    "sorting": (lambda z: np.sort(z)[0] * z[np.argmax(z)], ()),
}
