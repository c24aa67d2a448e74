"""What a draw costs: committed counts of operations, so that a choice is a function of the arguments and no clock."""

from typing import NamedTuple

from ..control_variates import size
from ..families.base import Family
from ..slope_surrogates import CUBIC_DRAWS, DIAGONAL_DRAWS, LEAST_DRAWS, MOST_DRAWS

# What a draw costs when log p comes with its gradient, against score sums: the median over benchmarks/run-1-cpu.json
PATHWISE_COST = 2.0
# What a pilot takes before its first draw, in the same unit
CALL_OPERATIONS = 2**21
PER_COEFFICIENT, LEAST, LEAST_PER_COEFFICIENT = 8, 384, 4
SMOOTH_ITERATIONS = 30  # of LSMR, as a rule
CHECK_SHARE = 3  # of the draws of a fit, those that judge it


def operations(level: str, q: Family, gradient: bool = False) -> float:
    """Of a draw in the sweep."""
    dim = q.dim
    if level == "none":
        return q.operations(dim, gradient)
    more = {"diagonal": 4.0 * dim, "quadratic": 2.0 * dim * dim, "cubic": 6.0 * dim * dim}
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


class Slopes(NamedTuple):
    """A pilot of gradients: the levels that it can fit, the draws that it fits and those that judge."""

    levels: tuple[str, ...]
    fitted: int
    checked: int

    @property
    def draws(self) -> int:
        return self.fitted + self.checked

    def tentative(self, dim: int) -> int:
        """The draws that tell whether the rest will pay, where a quadratic is all that is planned."""
        first = TENTATIVE_DRAWS * dim + 16
        return first if self.levels == ("quadratic",) and 2 * first <= self.draws else self.draws


LEAST_CHECKED, SHARE_FITTED = 16, 5  # draws, at least; of all draws one in so many
SHARE_TRIED = 8  # the same where it is not known that they pay
TENTATIVE_DRAWS = 2  # for each dimension, twice as many as the coefficients of a slope
PILOT_SHARE = 0.5  # of what the draws that count take, for a pilot that may bring nothing
WORTH_TRYING = 0.75  # of what plain draws take, for the rest of a pilot and fewer draws of the same error


def slopes_pilot(levels, dim: int, num_samples: int, share: int = SHARE_FITTED) -> Slopes:
    """What a pilot of gradients for ``num_samples`` draws looks like, of what was asked for."""
    least, most = LEAST_DRAWS * dim + 8, MOST_DRAWS * dim + 32
    fitted = min(most, max(least, num_samples // share))
    if fitted + fitted // CHECK_SHARE > num_samples:
        levels, fitted = [level for level in levels if level == "diagonal"], min(DIAGONAL_DRAWS, most)
    if fitted < CUBIC_DRAWS * dim:
        levels = [level for level in levels if level != "cubic"]
    return Slopes(tuple(levels), fitted, max(LEAST_CHECKED, fitted // CHECK_SHARE))


def too_few(num_samples: int, q: Family, density: float) -> bool:
    """Whether even starting a pilot takes more than its share: a quick look before small calls."""
    return PILOT_SHARE * num_samples * (operations("none", q) + density) < CALL_OPERATIONS


def worthwhile(levels, q: Family, num_samples: int, density: float) -> Slopes | None:
    """The pilot of gradients that takes no more than a share of the operations of ``num_samples`` draws, each of
    which takes ``density`` operations for log p itself; None where there is none."""
    budget = PILOT_SHARE * num_samples * (operations("none", q) + density)
    levels = [level for level in levels if level != "diagonal"]  # which has nothing to offer at an optimum
    for end in range(len(levels), 0, -1):
        pilot = slopes_pilot(levels[:end], q.dim, num_samples, SHARE_TRIED)
        price = PATHWISE_COST * pilot.draws * (operations("none", q) + density) + slopes_operations(pilot, q.dim)
        if pilot.levels and price <= budget:
            return pilot
    return None


def least_gain(pilot: Slopes, q: Family, num_samples: int, density: float) -> float:
    """How much less variance than that of ``num_samples`` plain draws makes up for the rest of a tentative pilot."""
    each = operations("none", q) + density
    rest = PATHWISE_COST * (pilot.draws - pilot.tentative(q.dim)) * each + slopes_operations(pilot, q.dim)
    dearer = (operations("quadratic", q) + density) / each
    return dearer / max(WORTH_TRYING - rest / (num_samples * each), 1e-3)


def slopes_operations(pilot: Slopes, dim: int) -> float:
    """Of the fits of a pilot of gradients."""
    columns = {"diagonal": 4, "quadratic": dim + 1, "cubic": 3 * dim}
    rows = {"diagonal": 1, "quadratic": 1, "cubic": dim}
    fits = (rows[level] * columns[level] ** 2 * (pilot.fitted + columns[level] / 3) for level in pilot.levels)
    return CALL_OPERATIONS + sum(fits)


def fit_operations(level: str, dim: int) -> float:
    """Of the fit of a level; a product of matrices does four in the time of one."""
    count = size(level, dim)
    return CALL_OPERATIONS + enough_to_fit(level, dim) * min(count**2 / 2, 6 * SMOOTH_ITERATIONS * dim**2)
