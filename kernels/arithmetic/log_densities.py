"""Log densities for use inside log densities, normalised: the same in Python, in lanes, with gradients and on a GPU.

Arguments are numbers or arrays that broadcast, as in ``np.sum(vi.normal_logpdf(y, mu, sigma))``.  In lanes the formulas
are written where they are called: see ``lanes.composite``, whose names they may use and no others.  Outside of its
support a density is -inf.
"""

import math

import numpy as np

from .functions import gammaln, softplus, spread, within

TINY = 1e-300  # x + TINY > 0 is x >= 0; no subnormal number, as those are 0 in threads of JAX
HALF_LOG_2PI, LOG_PI = 0.5 * math.log(2.0 * math.pi), math.log(math.pi)


def normal_logpdf(x, loc, scale):
    """Log density of the normal distribution.

    Parameters
    ----------
    x, loc, scale : float or array
        the standard deviation is ``scale``

    See Also
    --------
    student_t_logpdf, lognormal_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.normal_logpdf(1.0, 0.0, 2.0)), 6)
    -1.737086
    """
    t = (x - loc) / scale
    return -0.5 * t * t - np.log(scale) - HALF_LOG_2PI


def student_t_logpdf(x, df, loc, scale):
    """Log density of Student's t distribution with ``df`` degrees of freedom; df = 1 is the Cauchy distribution.

    Parameters
    ----------
    x, df, loc, scale : float or array

    See Also
    --------
    normal_logpdf, half_cauchy_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.student_t_logpdf(0.0, 3.0, 0.0, 1.0)), 6)
    -1.000889
    """
    t = (x - loc) / scale
    constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(df)
    return constant - 0.5 * LOG_PI - np.log(scale) - 0.5 * (df + 1.0) * np.log1p(t * t / df)


def half_cauchy_logpdf(x, scale):
    """Log density of the half-Cauchy distribution on x >= 0.

    Parameters
    ----------
    x, scale : float or array

    See Also
    --------
    student_t_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.half_cauchy_logpdf(1.0, 1.0)), 6)
    -1.14473
    """
    t = x / scale
    return within(x + TINY, math.log(2.0) - LOG_PI - np.log(scale) - np.log1p(t * t))


def gamma_logpdf(x, concentration, rate):
    """Log density of the gamma distribution, whose mean is concentration / rate.

    Parameters
    ----------
    x, concentration, rate : float or array

    See Also
    --------
    exponential_logpdf, lognormal_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.gamma_logpdf(1.0, 2.0, 3.0)), 6)
    -0.802775
    """
    value = concentration * np.log(rate) - gammaln(concentration) + (concentration - 1.0) * np.log(x) - rate * x
    return within(x, value)


def beta_logpdf(x, concentration1, concentration0):
    """Log density of the beta distribution, whose mean is concentration1 / (concentration1 + concentration0).

    Parameters
    ----------
    x, concentration1, concentration0 : float or array

    See Also
    --------
    dirichlet_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.beta_logpdf(0.25, 2.0, 3.0)), 6)
    0.523248
    """
    constant = gammaln(concentration1 + concentration0) - gammaln(concentration1) - gammaln(concentration0)
    value = constant + (concentration1 - 1.0) * np.log(x) + (concentration0 - 1.0) * np.log1p(-x)
    return within(x, within(1.0 - x, value))


def exponential_logpdf(x, rate):
    """Log density of the exponential distribution, whose mean is 1 / rate.

    Parameters
    ----------
    x, rate : float or array

    See Also
    --------
    gamma_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> float(vi.exponential_logpdf(2.0, 1.0))
    -2.0
    """
    return within(x + TINY, np.log(rate) - rate * x)


def lognormal_logpdf(x, loc, scale):
    """Log density of x where log x is normal with mean ``loc`` and standard deviation ``scale``.

    Parameters
    ----------
    x, loc, scale : float or array

    See Also
    --------
    normal_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.lognormal_logpdf(1.0, 0.0, 1.0)), 6)
    -0.918939
    """
    t = (np.log(x) - loc) / scale
    return within(x, -0.5 * t * t - np.log(x) - np.log(scale) - HALF_LOG_2PI)


def bernoulli_logit_logpdf(x, logit):
    """Log probability of x, 0 or 1, where that of 1 is expit(logit); exact however large the logit is.

    Parameters
    ----------
    x, logit : float or array

    See Also
    --------
    binomial_logit_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> float(vi.bernoulli_logit_logpdf(0, 800.0))
    -800.0
    """
    return within(TINY - x * x * (1.0 - x) * (1.0 - x), x * logit - softplus(logit))


def binomial_logit_logpdf(x, total, logit):
    """Log probability of x successes in ``total`` trials, each of probability expit(logit).

    Parameters
    ----------
    x, total, logit : float or array

    See Also
    --------
    bernoulli_logit_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.binomial_logit_logpdf(1, 3, 0.0)), 6)
    -0.980829
    """
    choose = gammaln(total + 1.0) - gammaln(x + 1.0) - gammaln(total - x + 1.0)
    return choose + x * logit - total * softplus(logit)


def poisson_log_logpdf(x, log_rate):
    """Log probability of the count x of a Poisson distribution with the mean exp(log_rate).

    Parameters
    ----------
    x, log_rate : float or array

    See Also
    --------
    neg_binomial_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> float(vi.poisson_log_logpdf(0, 0.0))
    -1.0
    """
    return x * log_rate - np.exp(log_rate) - gammaln(x + 1.0)


def neg_binomial_logpdf(x, mean, concentration):
    """Log probability of the count x of a negative binomial distribution with variance mean + mean² / concentration.

    Parameters
    ----------
    x, mean, concentration : float or array

    See Also
    --------
    poisson_log_logpdf

    Examples
    --------
    >>> import fastvi as vi
    >>> round(float(vi.neg_binomial_logpdf(2, 3.0, 4.0)), 6)
    -1.630474
    """
    choose = gammaln(x + concentration) - gammaln(concentration) - gammaln(x + 1.0)
    return choose - concentration * np.log1p(mean / concentration) + x * (np.log(mean) - np.log(mean + concentration))


def dirichlet_logpdf(x, concentration):
    """Log density of the Dirichlet distribution over all but the last of the components of x.

    Parameters
    ----------
    x : array of shape (k,)
    concentration : array of shape (k,), or a number for all components

    See Also
    --------
    beta_logpdf

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> round(float(vi.dirichlet_logpdf(np.array([0.2, 0.3, 0.5]), np.array([1.0, 2.0, 3.0]))), 6)
    1.504077
    """
    each = spread(concentration, x)
    return np.sum((each - 1.0) * np.log(x)) + gammaln(np.sum(each)) - np.sum(gammaln(each))


def lkj_cholesky_logpdf(L, concentration):
    """Log density of the Cholesky factor L of a correlation matrix under the LKJ distribution, over the entries below
    its diagonal (Lewandowski, Kurowicka and Joe 2009, page 1998).

    Parameters
    ----------
    L : array of shape (k, k)
        lower triangle
    concentration : float
        1 for a uniform distribution over correlation matrices

    See Also
    --------
    dirichlet_logpdf

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> round(float(vi.lkj_cholesky_logpdf(np.array([[1.0, 0.0], [0.6, 0.8]]), 2.0)), 6)
    -0.733969
    """
    n = L.shape[0]
    total = (n - 1) * gammaln(concentration + 0.5 * (n - 1))
    for k in range(1, n):
        total += (n - 1 - k + 2.0 * (concentration - 1.0)) * np.log(L[k, k])
        total -= 0.5 * k * LOG_PI + gammaln(concentration + 0.5 * (n - 1 - k))
    return total


__all__ = [name for name in tuple(globals()) if name.endswith("_logpdf")]
