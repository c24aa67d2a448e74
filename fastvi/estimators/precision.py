"""How many draws a standard error takes."""

import math

from .. import checks

MAX_SAMPLES = 10**9
VARIANCE_MARGIN = 4.0  # standard errors of the pilot's variance that the draw count allows for
REPLICATE_MARGIN = 1.5  # the same for replicates, as a factor of the draws
REPLICATES = 8  # of Sobol points, at least


def sample_limit(atol: float | None, max_samples: int | None, num_samples: int) -> int:
    """``max_samples`` checked against the other counts."""
    if atol is not None:
        checks.positive("atol", atol)
    if max_samples is None:
        return max(MAX_SAMPLES, num_samples)
    limit = checks.count("max_samples", max_samples)
    if limit < num_samples:
        raise ValueError(f"max_samples: expected at least num_samples, {num_samples}, got {limit}")
    return limit


def enough_samples(variance: float, checked: int, atol: float, least: int, limit: int) -> int:
    """I.i.d. draws for a standard error of ``atol``, where ``checked`` draws tell the variance of one."""
    if not math.isfinite(variance):
        return least
    margin = 1.0 + VARIANCE_MARGIN * math.sqrt(2.0 / checked)
    return int(min(limit, max(least, math.ceil(margin * variance / atol**2))))


def enough_dependent(error: float, pilot_count: int, atol: float, limit: int, draws: str) -> int:
    """Dependent draws for the same after a pilot's error, supposing that it falls like that of i.i.d. draws."""
    if not math.isfinite(error):
        return pilot_count
    wanted = max(pilot_count, math.ceil(REPLICATE_MARGIN * pilot_count * (error / atol) ** 2))
    if draws == "antithetic":
        wanted += wanted % 2
    else:
        wanted = REPLICATES * 2 ** math.ceil(math.log2(wanted / REPLICATES))
    return wanted if wanted <= limit else limit - limit % 2
