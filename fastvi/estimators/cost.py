"""What a draw costs: committed counts of operations, so that a choice is a function of the arguments and no clock."""

from ..control_variates import size
from ..families.base import Family

# What a draw costs when log p comes with its gradient, against score sums: the median over benchmarks/run-1-cpu.json
PATHWISE_COST = 2.0
# What a pilot takes before its first draw, in the same unit
CALL_OPERATIONS = 2**21
PER_COEFFICIENT, LEAST, LEAST_PER_COEFFICIENT = 8, 384, 4
SMOOTH_ITERATIONS = 30  # of LSMR, as a rule


def operations(level: str, q: Family, gradient: bool = False) -> float:
    """Of a draw in the sweep."""
    dim = q.dim
    more = {"none": 0.0, "diagonal": 4.0 * dim, "quadratic": 2.0 * dim * dim, "cubic": 6.0 * dim * dim}
    return q.operations(dim, gradient) + more[level]


def affordable(levels, q: Family, num_samples: int) -> list[str]:
    """The levels whose fit takes no more than half of what the draws will take."""
    budget = 0.5 * num_samples * operations("none", q)
    return [level for level in possible(levels, q.dim, num_samples) if fit_operations(level, q.dim) <= budget]


def possible(levels, dim: int, num_samples: int) -> list[str]:
    """The levels that a pilot of at most ``num_samples`` draws can fit."""
    return [level for level in levels if LEAST_PER_COEFFICIENT * size(level, dim) <= num_samples]


def enough_to_fit(level: str, dim: int) -> int:
    """Draws to which a level is fitted: the error of its coefficients then adds an eighth to the variance, or more
    where what is left grows with the polynomials."""
    return max(LEAST, PER_COEFFICIENT * size(level, dim))


def fit_operations(level: str, dim: int) -> float:
    """Of the fit of a level; a product of matrices does four in the time of one."""
    count = size(level, dim)
    return CALL_OPERATIONS + enough_to_fit(level, dim) * min(count**2 / 2, 6 * SMOOTH_ITERATIONS * dim**2)
