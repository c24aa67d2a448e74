"""Exact gradients of a target, point by point: derived from its source, or as the user wrote them."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..kernels.cpu import pool
from ..kernels.cpu.points import evaluate
from ..kernels.density import abi, compilations, tape_memory

BLOCK = 960  # points that a thread takes at a time: whole tiles
AGREE = 1e-6


def agree(value, other) -> bool:
    """Whether Python and the compiled density say the same."""
    if value == other or (value != value and other != other):
        return True
    return abs(value - other) <= AGREE * max(1.0, abs(value), abs(other))


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
    """

    written_error: float | None
    difference_error: float
    worst: int
    ok: bool


def over_points(compiled, target, points, log_p, gradient, num_threads) -> int:
    """Evaluate a compiled density at points (n, dim), the gradient too unless it has no rows; the worst status."""
    if target.foreign is not None and target.foreign.over_points(points, log_p, gradient):
        return 0
    kernel, stop, found, memory = evaluate(), np.zeros(1, np.int64), [], target.memory
    points = np.ascontiguousarray(points)
    points.flags.writeable = False

    def call(first, last):
        last = min(len(points), last * BLOCK)

        def points_from(first, room):
            where = compiled.address, memory.address, stop
            return kernel(points, first, last, *where, log_p, gradient, room)

        status, _ = tape_memory.with_room(points_from, first * BLOCK, abi.SCRATCH_SMALL)
        if status:
            found.append(status)
        return bool(status)

    blocks = -(-len(points) // BLOCK)
    pool.run(blocks, call, stop, num_threads, 0.0 if num_threads == 1 or blocks == 1 else None, None)
    return max(found, default=0)


class Derivative:
    """The compiled value and gradient of a target."""

    def __init__(self, target):
        self.target = target
        self._known: compilations.Known | None = None
        self._in_place = True

    @property
    def compiled(self) -> abi.Compiled:
        """Compiles when the function, or something it refers to, is new."""
        target = self.target
        if target.foreign is not None:
            target.renew(target.foreign.memory())
            return target.foreign.gradients()
        known = self._known
        if known is None or not known.watch.unchanged():
            kinds = abi.data_types(target.data)
            if target.written_gradient is None:
                watch = compilations.Watch(target.log_density)
                compiled = compilations.differentiated(target.log_density, kinds, self._in_place)
            else:
                watch = compilations.Watch(target.log_density, target.written_gradient)
                compiled = compilations.with_gradient(target.log_density, target.written_gradient, kinds)
            known = self._known = compilations.Known(watch, compiled, False)
        return known.compiled

    @property
    def careful(self) -> bool:
        """Whether it is compiled without additions in place."""
        return not self._in_place

    def take_care(self):
        """Compile again without additions in place: some value was used after ``total += x`` had replaced it."""
        self._in_place, self._known = False, None
        return self.compiled

    def trusted(self, draws) -> abi.Compiled:
        """``compiled``, after its values have once agreed with Python at the first two of ``draws()``, (n, dim)."""
        target = self.target
        if target.foreign is not None:
            target.trusted(draws)
            return self.compiled
        known = self._known
        if known is not None and known.trusted and known.watch.unchanged():
            return known.compiled
        points = draws()[:2]
        expected = target.looked_up(points)
        slope = None if target.written_gradient is None else self._look_up(points[0])
        found = self.evaluate(points)
        if slope is not None and found is not None and not all(map(agree, slope, found[1][0])):
            raise ValueError(f"gradient: it gives {slope} in Python and {found[1][0]} compiled, at z = {points[0]}")
        if found is None or not all(map(agree, expected, found[0])):
            target.trusted(lambda: points)  # which raises what is wrong with the density itself
            raise TypeError(
                f"log_density: {target.name} cannot be differentiated: with recorded numbers it gives "
                f"{'an error' if found is None else found[0]} and in Python {expected}, at z = {points}"
            )
        known = self._known
        if known is not None and known.watch.unchanged():
            self._known = known._replace(trusted=True)
        return self.compiled

    def _look_up(self, z) -> np.ndarray:
        """The written gradient as Python computes it, which must be complete; raises what the function raises."""
        target, out = self.target, np.full(self.target.dim, np.nan)
        name = target.written_gradient.__name__
        z = z.copy()
        z.flags.writeable = False
        try:
            with np.errstate(all="ignore"):
                target.written_gradient(z, *target.python_data, out)
        except Exception as error:
            error.add_note(f"raised by the gradient {name} at z = {z}")
            raise
        if np.isnan(out).any() and np.isfinite(target.in_python(z, 0)):
            raise ValueError(
                f"gradient: {name} leaves out[{int(np.argmax(np.isnan(out)))}] unwritten or nan, at z = {z}"
            )
        return out

    def evaluate(self, points, num_threads=1):
        """(log p, gradient) at points (n, dim), shapes (n,) and (n, dim); None where the density raised."""
        log_p, gradient = np.empty(len(points)), np.empty(points.shape)
        status = over_points(self.compiled, self.target, points, log_p, gradient, num_threads)
        if status == abi.NEEDS_CARE and self.target.foreign is None:
            self.take_care()
            return self.evaluate(points, num_threads)
        return None if status else (log_p, gradient)

    def value_and_grad(self, z, num_threads):
        """See ``Target.value_and_grad``."""
        target = self.target
        points, single = checks.points(z, target.dim)
        num_threads = checks.thread_count(num_threads)
        if len(points) == 0:
            return np.empty(0), np.empty((0, target.dim))
        self.trusted(lambda: points)
        found = self.evaluate(points, num_threads)
        if found is None:
            for i, point in enumerate(points):
                target.in_python(point, i)
            raise RuntimeError(f"log_density: {target.name} raises when compiled and not in Python")
        log_p, gradient = found
        return (float(log_p[0]), gradient[0]) if single else (log_p, gradient)


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
    if target.written_gradient is not None:
        derived = type(target)(target.log_density, target.dim, target.data, name=target.name).gradient(points[0])
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


__all__ = ["Derivative", "GradientCheck", "agree", "check_gradient", "hessian", "hessian_product"]
