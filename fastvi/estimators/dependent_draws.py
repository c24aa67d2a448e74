"""Draws that depend on each other: antithetic pairs and scrambled Sobol points, with errors that know it.

An error is that of independent groups: of pairs (eps, -eps), or of replicates (Owen 1997), each a Sobol sequence with a
scrambling of its own (Matousek 1998, as SciPy has it).  Antithetic pairs remove what is odd in eps and are wasted on
what is even; Sobol points pay where log w is smooth and dimensions are few.
"""

import math

import numpy as np

from ..errors import NonFiniteError
from ..families.base import LOG_2PI
from ..families.mean_field import fill_standard_normals
from ..kernels.families import registry
from ..results import Estimate, GradientEstimate
from ..running_moments import Running
from .selection import entropy_slope

DRAWS = ("iid", "antithetic", "sobol")
REPLICATES, LEAST_POINTS = 8, 4
MARGIN, ROUNDING = 1.5, 2.0**-50
BLOCK = 2**22  # float64s of a block's terms


class Groups:
    """eps of groups of draws, block by block; ``size`` draws a group."""

    def __init__(self, draws, dim, num_samples, key, stream):
        self.draws, self.dim, self.key, self.stream = draws, dim, key, stream
        if draws == "antithetic":
            if num_samples % 2 or num_samples < 4:
                raise ValueError(
                    f"num_samples: expected an even number of at least 4 for draws='antithetic', got {num_samples}"
                )
            self.size, self.count = 2, num_samples // 2
        else:
            least = REPLICATES * LEAST_POINTS
            if num_samples < least:
                raise ValueError(f"num_samples: expected at least {least} for draws='sobol', got {num_samples}")
            self.size = 2 ** int(math.log2(num_samples // REPLICATES))  # Sobol points are balanced at powers of two
            self.count = num_samples // self.size

    @property
    def num_samples(self) -> int:
        return self.size * self.count

    def blocks(self, terms):
        """(first group, eps (groups, size, dim)) in order, for ``terms`` float64s a draw."""
        at_once = max(1, BLOCK // (self.size * max(terms, self.dim)))
        for first in range(0, self.count, at_once):
            last = min(self.count, first + at_once)
            yield first, self.pairs(first, last) if self.draws == "antithetic" else self.replicates(first, last)

    def pairs(self, first, last):
        eps = np.empty((last - first, self.dim))
        fill_standard_normals(eps, self.key, self.stream, first)
        return np.stack([eps, -eps], axis=1)

    def replicates(self, first, last):
        from scipy.special import ndtri
        from scipy.stats import qmc

        out = np.empty((last - first, self.size, self.dim))
        for k in range(first, last):
            seed = np.random.SeedSequence([self.key.word, self.stream, k])
            sobol = qmc.Sobol(self.dim, scramble=True, bits=52, rng=np.random.default_rng(seed))
            # the middle of a cell: 0 would be a normal of -inf
            out[k - first] = ndtri(sobol.random_base2(int(math.log2(self.size))) + 2.0**-53)
        return out


def enough(error, pilot_count, atol, limit, draws) -> int:
    """Draws for a standard error of ``atol`` after a pilot's, supposing that it falls like that of i.i.d. draws."""
    if not math.isfinite(error):
        return pilot_count
    wanted = max(pilot_count, math.ceil(MARGIN * pilot_count * (error / atol) ** 2))
    wanted = (
        wanted + wanted % 2 if draws == "antithetic" else REPLICATES * 2 ** math.ceil(math.log2(wanted / REPLICATES))
    )
    return wanted if wanted <= limit else limit - limit % 2


def transformed(q, eps):
    """z of eps (..., dim)"""
    return q.loc + (eps * q.scale if q.family == "mean_field" else eps @ q.scale_tril.T)


def log_weights(target, q, groups, num_threads):
    """log w of every draw, (groups, size), and |eps|^2 / 2."""
    log_w, half = np.empty((groups.count, groups.size)), np.empty((groups.count, groups.size))
    for first, eps in groups.blocks(1):
        z = transformed(q, eps).reshape(-1, groups.dim)
        log_p = target.value(z, num_threads=num_threads)
        bad = np.isnan(log_p) | (log_p == np.inf)
        if bad.any():
            count, where = int(bad.sum()), int(np.argmax(bad))
            raise NonFiniteError(
                f"the log density {target.name} is not finite (nan or +inf) at {count:,} of {len(z):,} draws, first "
                f"{log_p[where]} at z = {z[where]}",
                count=count,
                num_samples=len(z),
                draw=first * groups.size + where,
                z=z[where],
            )
        part = slice(first, first + len(eps))
        half[part] = 0.5 * np.sum(eps * eps, axis=2)
        log_w[part] = log_p.reshape(half[part].shape) + half[part] + 0.5 * groups.dim * LOG_2PI + q.log_det
    return log_w, half


def grouped(values, groups, key, method, rounding=0.0) -> Estimate:
    """The mean over all draws, with the error of independent groups."""
    neginf = int(np.sum(values == -np.inf))
    if neginf:
        return Estimate(-math.inf, math.nan, groups.num_samples, neginf, method, key=key)
    means = values.mean(axis=1)
    degrees = groups.count - 1.0
    error = float(np.std(means, ddof=1)) / math.sqrt(groups.count)
    value = float(means.mean())
    error = max(error, rounding * abs(value))
    return Estimate(value, error, groups.num_samples, 0, method, key=key, degrees_of_freedom=max(1.0, degrees))


def rounding(surrogate) -> float:
    """What rounding leaves of an exact fit, relative to the value: it varies too little to show its own size."""
    return 0.0 if surrogate is None else ROUNDING


def elbo_of_groups(target, q, groups, key, method, surrogate=None, num_threads=None) -> Estimate:
    """The ELBO by "plain", "entropy" or a surrogate's residuals."""
    log_w, half = log_weights(target, q, groups, num_threads)
    return grouped(values_of(log_w, half, groups, method, surrogate), groups, key, method, rounding(surrogate))


def values_of(log_w, half, groups, method, surrogate):
    """What is averaged."""
    if method == "entropy":
        return log_w - half + 0.5 * groups.dim
    if surrogate is not None:
        for first, eps in groups.blocks(1):
            part = log_w[first : first + len(eps)]
            part -= surrogate.value(eps.reshape(-1, groups.dim)).reshape(part.shape)
    return log_w


def gradient_of_groups(target, q, groups, key, method, surrogate=None, num_threads=None) -> GradientEstimate:
    """The gradient, each group against a baseline from the others."""
    log_w, half = log_weights(target, q, groups, num_threads)
    paths = method in ("pathwise", "sticking_the_landing", "pathwise_quadratic")
    f = log_w if paths else values_of(log_w, half, groups, method, surrogate)
    value = grouped(f, groups, key, "plain" if surrogate is None or paths else method, rounding(surrogate))
    size = len(q.parameters)
    if not math.isfinite(value.value):
        empty = np.full(size, math.nan)
        return GradientEstimate(value, empty, empty, method)
    baseline = np.zeros(groups.count)
    if not paths and method != "score":
        sums = f.sum(axis=1)
        baseline = (sums.sum() - sums) / (f.size - groups.size)
    total = Running()
    layout = registry.FAMILIES[q.family].path_layout(q.scale)[2]
    for first, eps in groups.blocks(size):
        flat = eps.reshape(-1, groups.dim)
        if paths:
            z = transformed(q, flat)
            slopes = target.value_and_grad(z, num_threads=num_threads)[1]
            check_gradients(target, z, slopes, first * groups.size)
            terms = path_terms(q, flat, slopes, method, surrogate)
        else:
            part = f[first : first + len(eps)] - baseline[first : first + len(eps), None]
            terms = part.reshape(-1, 1) * scores(q, flat)
        total.add(terms.reshape(len(eps), groups.size, size).mean(axis=1))
    gradient, error = total.mean, total.standard_error
    if paths and method != "sticking_the_landing":
        gradient = gradient + layout
    if surrogate is not None:
        gradient = gradient + surrogate.gradient(q)
    return GradientEstimate(value, gradient, error, method)


def check_gradients(target, z, slopes, first_draw) -> None:
    """Raise for a gradient that is not finite."""
    bad = ~np.isfinite(slopes).all(axis=1)
    if bad.any():
        where = int(np.argmax(bad))
        raise NonFiniteError(
            f"the gradient of the log density {target.name} is not finite at {bad.sum():,} of {len(z):,} draws, first "
            f"{slopes[where]} at z = {z[where]}",
            count=int(bad.sum()),
            num_samples=len(z),
            draw=first_draw + where,
            z=z[where],
        )


def scores(q, eps):
    """d log q / d parameters at eps (n, dim), (n, parameters)"""
    if q.family == "mean_field":
        return np.concatenate([eps / q.scale, eps * eps - 1.0], axis=1)
    y = entropy_slope(q, eps)
    i, j, units = q.triangle
    return np.concatenate([y, y[:, i] * eps[:, j] * units - (i == j)], axis=1)


def path_terms(q, eps, slopes, method, lines):
    """Pathwise terms in the order of the parameters, without the entropy's."""
    if method == "sticking_the_landing":
        slopes = slopes + entropy_slope(q, eps)
    elif lines is not None:
        slopes = slopes - lines.offset - eps @ lines.slope.T
    if q.family == "mean_field":
        return np.concatenate([slopes, slopes * eps * q.scale], axis=1)
    i, j, units = q.triangle
    return np.concatenate([slopes, slopes[:, i] * eps[:, j] * units], axis=1)
