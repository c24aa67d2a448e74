"""The stupid version of everything: NumPy and Python integers, no thought for speed."""

import math

import numpy as np

MASK = 0xFFFFFFFF


def philox4x32(counter, key, rounds=10):
    """Salmon et al. 2011, in Python integers."""
    x, k = list(counter), list(key)
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(p1 >> 32) ^ x[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ x[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return tuple(x)


def normal_pair(draw, pair, key, stream=0):
    """Box and Muller 1958 on the words of one address."""
    w = philox4x32((draw & MASK, draw >> 32, pair, stream), (key & MASK, key >> 32))
    radius_word, angle_word = w[0] | w[1] << 32, w[2] | w[3] << 32
    u = ((radius_word >> 12) + 0.5) * 2.0**-52
    # the quadrant from the top two bits, then an angle about the middle of it
    turn = (angle_word >> 62) / 4.0 + (((angle_word << 2 & (2**64 - 1)) >> 12) * 2.0**-52 - 0.5) / 4.0
    radius = math.sqrt(-2.0 * math.log(u))
    return radius * math.cos(2 * math.pi * turn), radius * math.sin(2 * math.pi * turn)


def normals(num_samples, dim, key, stream=0):
    """(num_samples, dim)"""
    pairs = [[normal_pair(s, p, key, stream) for p in range((dim + 1) // 2)] for s in range(num_samples)]
    return np.array(pairs).reshape(num_samples, -1)[:, :dim]


def log_weights(target, q, z):
    """log p - log q, one draw at a time"""
    log_p = np.array([target.density.source(row, *target.data) for row in z])
    delta = np.linalg.solve(q.covariance, (z - q.mean).T).T
    square = np.sum((z - q.mean) * delta, axis=1)
    log_q = -0.5 * square - 0.5 * np.linalg.slogdet(q.covariance)[1] - 0.5 * q.dim * math.log(2 * math.pi)
    return log_p, log_p - log_q


def scores(q, z):
    """(num_samples, parameters): d log q / d q.parameters by complex-free central differences of the formula"""
    step, base = 1e-6, q.parameters
    columns = []
    for k in range(len(base)):
        up, down = base.copy(), base.copy()
        up[k] += step
        down[k] -= step
        columns.append((q.with_parameters(up).log_prob(z) - q.with_parameters(down).log_prob(z)) / (2 * step))
    return np.array(columns).T


def path_terms(q, eps, slopes, step=1e-4):
    """(num_samples, parameters): slopes in z by the chain rule, through central differences of the map from eps"""
    base, columns = q.parameters, []
    for e in np.eye(len(base)):
        z = [q.with_parameters(base + h * e).transform(eps) for h in (step, -step, step / 2, -step / 2)]
        moved = (4.0 * (z[2] - z[3]) / step - (z[0] - z[1]) / (2 * step)) / 3.0
        columns.append(np.sum(slopes * moved, axis=1))
    return np.array(columns).T


def score(f, s):
    """mean of f s and its standard error"""
    terms = f[:, None] * s
    return terms.mean(0), terms.std(0, ddof=1) / math.sqrt(len(f))


def leave_one_out(f, s):
    """each draw against the mean of the others"""
    n = len(f)
    baseline = np.array([np.delete(f, i).mean() for i in range(n)])
    return np.mean((f - baseline)[:, None] * s, axis=0)


def optimal_baseline(f, s, chunk):
    """E[f s^2] / E[s^2] from the draws outside of each chunk"""
    total = np.zeros(s.shape[1])
    for first in range(0, len(f), chunk):
        inside = np.zeros(len(f), bool)
        inside[first : first + chunk] = True
        fo, so = f[~inside], s[~inside]
        baseline = (fo @ so**2) / np.sum(so**2, axis=0)
        total += np.sum((f[inside][:, None] - baseline) * s[inside], axis=0)
    return total / len(f)


# ---- derivatives
def gradient(function, z, data=(), step=1e-3):
    """(dim,): central differences of a plain density with one step of Richardson's extrapolation, error O(step^4)"""

    def central(h):
        return np.array([(function(z + h * e, *data) - function(z - h * e, *data)) / (2 * h) for e in np.eye(len(z))])

    with np.errstate(all="ignore"):
        return (4 * central(step / 2) - central(step)) / 3


# ---- surrogates
def hermite_value(surrogate, eps):
    """(n,): the polynomial term by term"""
    total = 0.0 * eps[:, 0]
    for i in range(eps.shape[1]):
        x = eps[:, i]
        total = total + surrogate.linear[i] * x + surrogate.squares[i] * (x**2 - 1)
        for j in range(eps.shape[1]):
            if surrogate.pairs is not None and j < i:
                total += surrogate.pairs[i, j] * x * eps[:, j]
            if surrogate.cubic is not None:
                total += surrogate.cubic[i, j] * (x**3 - 3 * x if i == j else x * (eps[:, j] ** 2 - 1))
    return total
