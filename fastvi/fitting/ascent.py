"""Uphill: SciPy's L-BFGS around what is not finite, until its rise has settled, and a truncated Newton step that sees
the long flat valleys in which a rise settles too early."""

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]  # x -> (value, gradient)

WORST = 1e300  # what a line search is told of a point where the function is not finite, or its slopes have no square
LARGEST = 1e150  # a value or slope
RESUMED = 20  # times that a climb whose line search got lost goes on from its best point with an empty memory
PRODUCTS, LEAST_PRODUCTS, STEP = 10, 3, 1e-3  # of conjugate gradients; of a difference, the largest entry's move


class Path:
    """The points that a climb accepted, in order, with the function there."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.values: list[float] = []


def climb(
    function: Function, start: np.ndarray, *, rise: float, over: int, most: int, memory: int, keep: bool = False
) -> Path:
    """Climb a function from ``start`` by L-BFGS.

    It ends when ``over`` iterations have risen less than ``rise``, or after ``most``; of its points all or, without
    ``keep``, the last is kept.
    """
    from scipy.optimize import minimize

    path = Path()

    def loss(x):
        value, gradient = function(x)
        if not (abs(value) < LARGEST and np.all(np.abs(gradient) < LARGEST)):
            return WORST, np.zeros_like(x)
        return -value, -gradient

    def settled():
        return len(path.values) > over and path.values[-1] - path.values[-1 - over] < rise

    def accepted(intermediate_result):
        if intermediate_result.fun == WORST:  # where a line search had nothing better
            raise StopIteration
        path.values.append(-float(intermediate_result.fun))
        if not keep:
            path.points.clear()
        path.points.append(intermediate_result.x.copy())
        if settled():
            raise StopIteration

    for _ in range(RESUMED):
        before = len(path.values)
        # a relative tolerance of 0: the rise is judged in nats
        options = dict(maxiter=most - before, maxfun=3 * most, maxcor=memory, ftol=0.0, gtol=0.0)
        start = path.points[-1] if path.points else start
        minimize(loss, start, jac=True, method="L-BFGS-B", callback=accepted, options=options)
        if settled() or len(path.values) >= most or len(path.values) < before + 2:
            break
    return path


def truncated_newton(function: Function, x: np.ndarray, enough: float) -> tuple[float, np.ndarray, np.ndarray]:
    """(the rise to the top of the parabola at x, the step to there, the gradient at x), by conjugate gradients.

    A long valley has a small gradient and a smaller curvature, and shows within some five products of the Hessian, each
    the difference of two gradients.  It ends when the rise stays below ``enough``/100, or is plain.  Where the function
    is not concave the rise is inf, along the direction that bends upwards.
    """
    gradient = function(x)[1]
    left, direction, step, rise = gradient.copy(), gradient.copy(), np.zeros_like(x), 0.0
    for k in range(PRODUCTS):
        length = STEP / max(float(np.max(np.abs(direction))), np.finfo(float).tiny)
        product = (gradient - function(x + length * direction)[1]) / length
        bend, square = float(direction @ product), float(left @ left)
        if not math.isfinite(bend):
            break
        if bend <= 0.0:
            return math.inf, direction * (length / STEP), gradient
        step = step + (square / bend) * direction
        left = left - (square / bend) * product
        before, rise = rise, 0.5 * float(gradient @ step)
        if k + 1 >= LEAST_PRODUCTS and (rise < 0.01 * enough or rise > enough and rise < 1.1 * before):
            break
        direction = left + (float(left @ left) / square) * direction
    return rise, step, gradient
