"""A sweep to be made: all that its numbers depend on but for the target, and how its draws are cut into chunks."""

from typing import NamedTuple

import numpy as np

from .. import kept_memory
from ..control_variates import Lines, Surrogate
from ..families.base import Family
from ..kernels.plan import Plan, cut
from ..kernels.sums import centred, moments, pathwise, score
from ..rng import Key

NO_SUMS, NO_WEIGHTS = np.empty((0, 0, 0)), np.empty(0)
MIXED = ("mixed", "points")
# Draws whose log w is kept, and draws times squared dimensions, until the mean of f is known: what a second pass takes
# is what an interrupt in the first has to wait for
MOST_KEPT, MOST_OPERATIONS = 2**24, 2**36


class Sums(NamedTuple):
    """What a sweep adds up: moments of each chunk, its sums of gradients, and log w of every draw where it is kept."""

    rows: np.ndarray
    sums: np.ndarray
    log_w: np.ndarray


class Job(NamedTuple):
    """``num_samples`` draws of a stream, from ``first_draw`` on.

    ``gradient`` is None, "score", "centred", "pathwise" or "sticking_the_landing": which sums of a gradient to take;
    "centred" are scores about the mean of f, in a pass of their own; of a product of factors "mixed" and "points" are
    scores and paths, of all factors that have paths or of point masses.  A ``control_variate`` is subtracted from
    log w, or from the gradient.  ``plan`` says how the draws are cut; ``keep`` whether "log_w" of every draw is wanted,
    or what is "left" of it by the control variate; without ``errors`` a pathwise gradient has none.
    """

    q: Family
    key: Key
    stream: int
    first_draw: int
    num_samples: int
    plan: Plan
    gradient: str | None = None
    control_variate: Surrogate | Lines | None = None
    dtype: str = "float64"
    keep: str | None = None
    errors: bool = True

    @property
    def pathwise(self) -> bool:
        """Whether the gradient of log p is needed"""
        return self.gradient not in (None, "score", "centred")

    @property
    def mixed(self) -> bool:
        return self.gradient in MIXED

    def room(self) -> Sums:
        """For the sums; those of gradients are set where a chunk begins."""
        chunks = self.plan.chunks
        alone = not self.errors and self.gradient in ("pathwise", "sticking_the_landing")
        shape = chunks, 1 if alone else sums_of(self.gradient), self.plan.coordinates
        return Sums(
            np.zeros((chunks, moments.COLUMNS)),
            kept_memory.empty(shape) if self.gradient else NO_SUMS,
            kept_memory.empty((self.num_samples,)) if self.keep else NO_WEIGHTS,
        )

    def draw(self, index: int) -> np.ndarray:
        """One draw of the stream, (dim,)."""
        out = np.empty((1, self.q.dim))
        self.q.fill(out, self.key, self.stream, index, self.dtype)
        return out[0]

    def fingerprint(self) -> bytes:
        """Equal for jobs with equal numbers."""
        variate = self.control_variate
        arrays = [*self.q.arrays, *(variate.arrays if variate else ())]
        if self.mixed and variate is not None:
            arrays += variate.path_arrays  # type: ignore[union-attr]
        words = self.q.family, self.key.word, *self[2:5], *self.plan, self.gradient, self.dtype, self.keep, self.errors
        return repr((words, [a.shape for a in arrays])).encode() + b"".join(a.tobytes() for a in arrays)

    def part(self, first: int, last: int) -> "Job":
        """The chunks first … last - 1 as a job of their own, with the same numbers."""
        start, end = first * self.plan.chunk, min(self.num_samples, last * self.plan.chunk)
        plan = self.plan._replace(chunks=last - first)
        return self._replace(first_draw=self.first_draw + start, num_samples=end - start, plan=plan)


def has_second_pass(q: Family) -> bool:
    """Whether scores have a pass of their own where the mean of f may be known."""
    return q.dim >= getattr(q.kernels, "CENTRED_DIM", np.inf)


def sums_of(gradient: str | None) -> int:
    """How many sums a gradient takes for each variational parameter."""
    if gradient in MIXED:
        return score.SUMS + pathwise.SUMS
    return {None: 0, "score": score.SUMS, "centred": centred.OF_ALL}.get(gradient, pathwise.SUMS)


def job_of(target, q: Family, num_samples: int, key: Key, stream: int, *, first_draw: int = 0, **what) -> Job:
    """A job over a target, cut as its density wants it."""
    if what.get("gradient") == "centred" and (num_samples > MOST_KEPT or num_samples * q.dim**2 > MOST_OPERATIONS):
        what["gradient"] = "score"
    sums, most = sums_of(what.get("gradient")), target.density.batch_size
    plan = cut(q.family, q.dim, q.arrays[1].shape, num_samples, sums, most)
    return Job(q, key, stream, first_draw, num_samples, plan, **what)
