"""Second derivatives by differences of exact gradients, and the check of a gradient."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from .latents import refuse


class GradientCheck(NamedTuple):
    """What ``Target.check_gradient`` found.

    Attributes
    ----------
    written_error : float or None
        largest difference between the user's gradient and the derived one, relative to max(|g|, mean |g|); None where
        there is no written one
    difference_error : float
        the same for the gradient in use and central differences, whose own error is about 1e-9
    worst : int
        the coordinate with the largest of them
    ok : bool
        written_error below 1e-9 and difference_error below 1e-5

    Examples
    --------
    >>> import fastvi as vi
    >>> vi.Target(lambda z: -(z[0] ** 4), 1).check_gradient([0.5]).ok
    True
    """

    written_error: float | None
    difference_error: float
    worst: int
    ok: bool


def hessian(target, z) -> np.ndarray:
    """Central differences of exact gradients, made symmetric; error about 1e-9 of the largest entry."""
    points, single = checks.points(z, target.dim)
    if not single:
        raise ValueError(f"z: expected one point ({target.dim},), got shape {points.shape}")
    steps = np.cbrt(np.finfo(float).eps) * np.maximum(1.0, np.abs(points[0]))
    up, down = points + np.diag(steps), points - np.diag(steps)
    slopes = target.gradient(np.concatenate([up, down]))
    width = (up - down)[np.diag_indices(target.dim)]  # the steps as rounded
    rows = (slopes[: target.dim] - slopes[target.dim :]) / width[:, None]
    return 0.5 * (rows + rows.T)


def hessian_product(target, z, vector) -> np.ndarray:
    """The same along one direction: two gradients."""
    points, single = checks.points(z, target.dim)
    direction, one = checks.points(vector, target.dim)
    if not (single and one):
        raise ValueError(f"z, vector: expected one point ({target.dim},) each")
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        return np.zeros(target.dim)
    step = np.cbrt(np.finfo(float).eps) * max(1.0, float(np.max(np.abs(points)))) / length
    up, down = target.gradient(np.concatenate([points + step * direction, points - step * direction]))
    return (up - down) / (2.0 * step)


def check_gradient(target, z) -> GradientCheck:
    """See ``Target.check_gradient``."""
    points, single = checks.points(z, target.dim)
    if not single:
        raise ValueError(f"z: expected one point ({target.dim},), got shape {points.shape}")
    used = target.gradient(points[0])
    scale = np.maximum(np.abs(used), np.mean(np.abs(used))) + np.finfo(float).tiny
    written = None
    errors = np.zeros(target.dim)
    if getattr(target.density, "gradient", None) is not None:
        derived = target.density.unwritten(target).gradient(points[0])
        errors = np.abs(used - derived) / scale
        written = float(np.max(errors))
    # Richardson's step on central differences: error of order h^4
    h = 1e-3 * np.maximum(1.0, np.abs(points[0]))
    differences = [_central(target, points[0], h * factor) for factor in (1.0, 0.5)]
    apart = np.abs(used - (4.0 * differences[1] - differences[0]) / 3.0) / scale
    worst = int(np.argmax(np.maximum(errors, apart)))
    largest = float(np.max(apart))
    return GradientCheck(written, largest, worst, bool((written or 0.0) < 1e-9 and largest < 1e-5))


def _central(target, z, steps):
    up, down = z + np.diag(steps), z - np.diag(steps)
    values = target.value(np.concatenate([up, down]))
    return (values[: len(z)] - values[len(z) :]) / np.diag(up - down)


class Curvature:
    """The part of a :class:`Target` that is made of its gradients."""

    start: Any

    def hessian(self, z: ArrayLike) -> np.ndarray:
        """The second derivatives at one point, (dim, dim): central differences of exact gradients, made symmetric.

        Their error is about 1e-9 of the largest entry for a log density that varies on a scale of 1.
        """
        return hessian(self, z)

    def hessian_product(self, z: ArrayLike, vector: ArrayLike) -> np.ndarray:
        """hessian(z) @ vector from two gradients, with the same accuracy."""
        return hessian_product(self, z, vector)

    def check_gradient(self, z: ArrayLike) -> GradientCheck:
        """Compare the gradient in use at one point with central differences, and a written one with the derived."""
        return check_gradient(self, z)

    def laplace(self, start: ArrayLike | Mapping, **options):
        """The Gaussian at the mode in z: see :class:`LaplaceResult`; options are those of ``fitting.laplace``.

        The mode of the density of z is not that of the constrained density.  ``start`` may name some parameters.
        """
        from ..fitting.laplace import laplace

        refuse(self, "laplace")
        return laplace(self, self.start(start), **options)
