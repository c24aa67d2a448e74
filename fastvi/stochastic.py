"""Stochastic fitting: Adam on gradients of a few fresh draws a step, the whole loop compiled.

Phases of steps at one rate; the mean of a phase's second half is its result.  Two phases are compared by common draws,
and the rate falls where the difference is not told from 0: convergence is claimed only when the comparison is fine
enough to see a gain of the tolerance and sees none, and no slope is left.
"""

import math

import numpy as np

from .comparison import compare
from .estimates import Estimate
from .gradients import continuous, elbo_gradient
from .kernels import adam, cpu, density, scratch
from .rng import FIT, Key

STEPS, FIRST_RATE, SLOWER, LEAST_RATE = 200, 0.1, 0.3, 1e-4
COMPARED, MOST_COMPARED, GROWTH = 2000, 2**20, 4
LEAST_SLOWDOWNS, STEEP = 3, 4.0
NUM_SAMPLES = 32


class Stochastic:
    """One fit, phase by phase; ``state`` is all that the next phase depends on."""

    name = "stochastic"

    def __init__(self, target, q, key, tolerance, max_draws, num_threads=None):
        self.target, self.key, self.tolerance = target, key, tolerance
        self.max_draws, self.num_threads, self.start = max_draws, num_threads, q
        count = len(q.parameters)
        self.state = dict(
            parameters=q.parameters,
            mean=np.zeros(count),
            square=np.zeros(count),
            best_parameters=q.parameters,
            steps=0,
            draws=0,
            rate=FIRST_RATE,
            slowdowns=0,
            compared=COMPARED,
            num_samples=NUM_SAMPLES,
        )

    @property
    def q(self):
        """The best phase's mean."""
        return self.start.with_parameters(self.state["best_parameters"])

    def step(self) -> tuple[Estimate, str]:
        """One phase: (its mean ELBO over the steps, why to stop or "")."""
        s, steps = self.state, STEPS
        if s["draws"] + steps * s["num_samples"] > self.max_draws:
            return Estimate(math.nan, math.nan, 0, key=self.key), "out of draws"
        trace, average = np.full(steps, math.nan), np.zeros(len(s["parameters"]))
        why = self.climb(np.full(steps, s["rate"]), trace, average)
        s["steps"] += steps
        s["draws"] += steps * s["num_samples"]
        seen = trace[np.isfinite(trace)][steps // 2 :]
        error = float(np.std(seen)) / math.sqrt(len(seen)) if len(seen) > 1 else math.nan
        value = Estimate(float(np.mean(seen)) if len(seen) else math.nan, error, steps * s["num_samples"], key=self.key)
        if why:
            return value, why
        return value, self.judge(average / (steps - steps // 2))

    def climb(self, rates, trace, average) -> str:
        """Do the steps; why they stopped early, or ""."""
        s, q, target = self.state, self.start, self.target
        paths = differentiable(target, q, self.key)
        trusted = target.derivative.trusted if paths else target.trusted
        compiled = trusted(lambda: q.sample(2, rng=self.key))
        loc, scale = (np.array(a) for a in q.arrays)
        kernel, done = adam.climb(q.family, paths), 0
        lane_width = density.LANE_WIDTH if compiled.vectorised else 1
        tile = cpu.TILE[q.family] if q.dim <= 1024 else cpu.WIDE_TILE
        tile = min(tile, -(-s["num_samples"] // density.LANE_WIDTH) * density.LANE_WIDTH)
        parameters, mean, square = (s[k].copy() for k in ("parameters", "mean", "square"))
        stop = np.zeros(1, np.int64)

        def steps_from(done, memory):
            status, done = kernel(
                *(parameters, mean, square, average),
                *(q.dim, np.uint64(self.key.word), FIT, s["draws"], s["num_samples"], tile, lane_width),
                *(s["steps"], done, rates, compiled.address, target.words_address, stop, loc, scale, trace, memory),
            )
            return status, done

        while True:
            status, done = scratch.with_room(steps_from, done, cpu.NEEDS_SCRATCH)
            if status != cpu.NEEDS_CARE:
                break
            compiled = target.derivative.take_care()
        if status in (adam.NOT_FINITE, cpu.RAISED):
            # the last good state is kept; Python tells what is wrong there, and raises what the density raises
            s.update(parameters=parameters, mean=mean, square=square, best_parameters=parameters)
            for z in q.with_parameters(parameters).sample(4, rng=self.key):
                target.in_python(z, done)
            return f"the log density or its gradient is not finite at step {s['steps'] + done}"
        s.update(parameters=parameters, mean=mean, square=square)
        return ""

    def judge(self, average) -> str:
        """Whether the phase was better than the best so far, and what follows."""
        s = self.state
        new, old = self.start.with_parameters(average), self.q
        key = Key(self.key.word ^ (s["steps"] << 20))
        gain = compare(self.target, new, old, s["compared"], rng=key, num_threads=self.num_threads)
        s["draws"] += 2 * s["compared"]
        high = gain.value + 2.0 * gain.standard_error
        if gain.value > 0.0 or not math.isfinite(gain.value):
            s["best_parameters"] = average
        if gain.value > max(self.tolerance, 2.0 * gain.standard_error) or not math.isfinite(gain.value):
            return ""
        if high < self.tolerance and s["slowdowns"] >= LEAST_SLOWDOWNS:
            if self.left() < STEEP * self.tolerance:
                return "converged"
            s.update(rate=min(FIRST_RATE, s["rate"] / SLOWER), slowdowns=0)  # a slope, and steps too small for it
            return ""
        if 2.0 * gain.standard_error > 0.5 * self.tolerance:
            s["compared"] = min(GROWTH * s["compared"], MOST_COMPARED)
        s.update(rate=max(LEAST_RATE, SLOWER * s["rate"]), slowdowns=s["slowdowns"] + 1)
        return ""

    def left(self) -> float:
        """Half the square of the gradient at the best q, in units of its width: nats that a slope promises."""
        s, q = self.state, self.q
        found = elbo_gradient(
            self.target, q, s["compared"], estimator="auto", rng=self.key, num_threads=self.num_threads
        )
        s["draws"] += s["compared"]
        lengths = np.empty(len(found.gradient))
        cpu.FAMILIES[q.family].steps(q.scale, q.dim, lengths)
        return 0.5 * float(np.sum((found.gradient**2 - found.standard_error**2) * lengths**2))


def differentiable(target, q, key) -> bool:
    """Whether pathwise gradients can be had and trusted."""
    return continuous(target, q, key)
