"""Where a fit has its gradients from: the target's own, or central differences of its values."""

import contextlib
import sys

import numpy as np

from ..execution.sweep import Place

STEP = 1e-3  # of a central difference, in standard deviations of q: it is exact for cubics
DIFFERENCES_DIM = 30  # beyond it differences take more values than scores do


class OutOfDraws(Exception):
    """The next evaluations would exceed ``max_samples``."""


class LeavesRange(ArithmeticError):
    """Linear algebra has no answer in float64, as q has gone where it has none."""


@contextlib.contextmanager
def in_range():
    """Around linear algebra, and never around an evaluation of log p, whose own exceptions are the user's."""
    try:
        yield
    except (ValueError, np.linalg.LinAlgError) as error:
        raise LeavesRange(str(error)) from error


class Slopes:
    """log p and its gradient at points, with a count of the evaluations.

    ``derived`` tells whether the target has a gradient; else each costs 2 dim values more.
    """

    def __init__(self, target, on: Place, max_samples: int, derived: bool) -> None:
        self.target, self.on, self.max_samples, self.derived = target, on, max_samples, derived
        self.evaluations = 0

    def __call__(self, points: np.ndarray, stddev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(log p (n,), gradients (n, dim)) at points (n, dim); ``stddev`` (dim,) is the scale on which log p varies."""
        n, dim = points.shape
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            if self.derived:
                self.count(n)
                return self.on.evaluate(self.target, points, True)
            self.count(n * (2 * dim + 1))
            moves = np.diag(STEP * stddev)
            around = points[:, None, :] + np.concatenate([np.zeros((1, dim)), moves, -moves])
            values = self.on.evaluate(self.target, around.reshape(-1, dim)).reshape(n, 2 * dim + 1)
            widths = (around[:, 1 : dim + 1] - around[:, dim + 1 :])[:, np.arange(dim), np.arange(dim)]
            return values[:, 0].copy(), (values[:, 1 : dim + 1] - values[:, dim + 1 :]) / widths

    @contextlib.contextmanager
    def uncounted(self):
        """Evaluations that were counted before, as a fit makes them again after a checkpoint and at its end."""
        before, most = self.evaluations, self.max_samples
        self.max_samples = sys.maxsize
        try:
            yield
        finally:
            self.evaluations, self.max_samples = before, most

    def count(self, evaluations: int) -> None:
        """Take note of evaluations to come, unless they are too many."""
        if self.evaluations + evaluations > self.max_samples:
            raise OutOfDraws
        self.evaluations += evaluations
