"""Fits by score-function gradients, for log densities with steps or without a gradient: Adam on leave-one-out scores
of a few fresh draws a step, the whole loop compiled.

Phases of steps at one rate; the mean of a phase's second half is its result.  Two phases are compared by common draws,
and the rate falls where the difference is not told from 0: convergence is claimed only when the comparison is fine
enough to see a gain of the tolerance and sees none, and no slope is left.
"""

import contextlib
import math

import numpy as np

from ..diagnostics.comparison import compare
from ..errors import NonFiniteError
from ..estimators.gradient import elbo_gradient
from ..kernels.cpu import adam, pool
from ..kernels.cpu import sweep as cpu
from ..kernels.density import abi
from ..kernels.plan import WIDE_DIM, WIDE_TILE
from ..results import Estimate
from ..rng import COMPARISON, FIT, SLOPE
from .fitter import CONVERGED, OUT_OF_DRAWS, Fitter

STEPS, FIRST_RATE, SLOWER, LEAST_RATE = 200, 0.1, 0.3, 1e-4
COMPARED, MOST_COMPARED, GROWTH = 2000, 2**20, 4
LEAST_SLOWDOWNS, STEEP = 3, 4.0  # phases at slower rates; tolerances that a slope may promise at the end
FAR = 1.0  # nats by which a phase that went astray is worse than the best
NUM_SAMPLES = 32


class Score(Fitter):
    """A round is a phase."""

    name = "score"
    uses_gradient = False

    def __init__(self, target, q, key, tolerance, max_samples, on, derived=False):
        super().__init__(target, q, key, tolerance, max_samples, on, derived)
        count = len(q.parameters)
        self.state.update(
            parameters=q.parameters,
            mean=np.zeros(count),
            square=np.zeros(count),
            best_parameters=q.parameters,
            steps=0,
            rate=FIRST_RATE,
            slowdowns=0,
            compared=COMPARED,
        )

    @property
    def q(self):
        """The best phase's mean."""
        return self.start.with_parameters(self.state["best_parameters"])

    def step(self) -> tuple[Estimate | None, str]:
        s, steps = self.state, STEPS
        if s["draws"] + steps * NUM_SAMPLES + 3 * s["compared"] > self.max_samples:
            return None, OUT_OF_DRAWS
        trace, average = np.full(steps, math.nan), np.zeros(len(s["parameters"]))
        why = self.climb(np.full(steps, s["rate"]), trace, average)
        s["steps"] += steps
        s["draws"] += steps * NUM_SAMPLES
        seen = trace[steps // 2 :]
        seen = seen[np.isfinite(seen)]
        error = float(np.std(seen)) / math.sqrt(len(seen)) if len(seen) > 1 else math.nan
        value = Estimate(float(np.mean(seen)) if len(seen) else math.nan, error, steps * NUM_SAMPLES, key=self.key)
        if why:
            return value, why
        return value, self.judge(average / (steps - steps // 2))

    def climb(self, rates, trace, average) -> str:
        """Do the steps; why they stopped early, or ""."""
        s, q, target = self.state, self.start, self.target
        compiled = target.density.trusted(lambda: q.sample(2, rng=self.key))
        loc, scale = (np.array(a) for a in q.arrays)
        kernel, memory = adam.climb(q.family), target.density.memory()
        lane_width = compiled.step
        tile = q.kernels.TILE if q.dim <= WIDE_DIM else WIDE_TILE
        tile = min(tile, -(-NUM_SAMPLES // abi.LANE_WIDTH) * abi.LANE_WIDTH)
        parameters, mean, square = (s[k].copy() for k in ("parameters", "mean", "square"))
        stop, found = np.zeros(1, np.int64), [0, 0]

        def call(first, last):
            found[:] = kernel(
                *(parameters, mean, square, average),
                *(q.dim, np.uint64(self.key.word), FIT, s["draws"], NUM_SAMPLES, tile, lane_width),
                *(s["steps"], 0, rates, compiled.address, memory.address, stop, loc, scale, trace),
            )

        pool.run(1, call, stop, 1, None, None)  # on a thread of the pool, so that Ctrl-C reaches this one
        status, done = found
        s.update(parameters=parameters, mean=mean, square=square)
        if status not in (adam.NOT_FINITE, cpu.RAISED):
            return ""
        # let Python raise what the density raises at a draw of that step
        failure = target.density.failure() if status == cpu.RAISED else None
        if failure is not None:
            raise failure
        z = np.empty((NUM_SAMPLES, q.dim))
        q.with_parameters(parameters).fill(z, self.key, FIT, s["draws"] + done * NUM_SAMPLES)
        for k, draw in enumerate(z):
            target.density.reference(draw, s["draws"] + done * NUM_SAMPLES + k)
        with contextlib.suppress(NonFiniteError):
            self.compare(parameters)
        return f"the log density is not finite at step {s['steps'] + done}"

    def compare(self, parameters) -> Estimate:
        """How much better q is with these parameters than the best so far, which it replaces if it is better."""
        s = self.state
        new, key = self.start.with_parameters(parameters), self.key.child(COMPARISON, s["steps"])
        gain = compare(self.target, new, self.q, s["compared"], rng=key, **self.on.options)
        s["draws"] += 2 * s["compared"]
        if gain.value > 0.0:
            s["best_parameters"] = parameters
        return gain

    def judge(self, average) -> str:
        """Whether the phase was better than the best so far, and what follows."""
        s = self.state
        gain = self.compare(average)
        if gain.value > max(self.tolerance, 2.0 * gain.standard_error) or not math.isfinite(gain.value):
            return ""
        if gain.value < -FAR - 2.0 * gain.standard_error:  # steps too long for the noise of the gradients: back
            zero = np.zeros(len(average))
            rate = max(LEAST_RATE, SLOWER * s["rate"])
            s.update(parameters=s["best_parameters"], mean=zero, square=zero, rate=rate, slowdowns=0)
            return ""
        if 2.0 * gain.standard_error > 0.5 * self.tolerance:
            s["compared"] = min(GROWTH * s["compared"], MOST_COMPARED)
        if gain.value + 2.0 * gain.standard_error < self.tolerance and s["slowdowns"] >= LEAST_SLOWDOWNS:
            s["draws"] += s["compared"]
            left, error = slope(self.target, self.q, s["compared"], self.key.child(SLOPE, s["steps"]), self.on)
            if left + 2.0 * error < STEEP * self.tolerance:
                return CONVERGED
            if left > 2.0 * error:  # a slope, and steps too small for it
                s.update(rate=min(FIRST_RATE, s["rate"] / SLOWER), slowdowns=0)
                return ""
            s["compared"] = min(GROWTH * s["compared"], MOST_COMPARED)
        s.update(rate=max(LEAST_RATE, SLOWER * s["rate"]), slowdowns=s["slowdowns"] + 1)
        return ""


def slope(target, q, num_samples, key, on) -> tuple[float, float]:
    """Half the square of the score-function gradient at q, in units of its width, and its error: nats that a slope
    promises."""
    found = elbo_gradient(target, q, num_samples, estimator="leave_one_out", rng=key, **on.options)
    lengths = q.steps
    g, v = found.gradient * lengths, (found.standard_error * lengths) ** 2
    g[: q.dim] = q.scaled_slopes(found.gradient[: q.dim])  # the location in units of q's own axes
    return 0.5 * float(np.sum(g**2 - v)), 0.5 * math.sqrt(float(np.sum(4.0 * g**2 * v + 2.0 * v**2)))
