"""The rounds of a fit: one start after another, each until its method has a reason to stop."""

import math
from collections.abc import Callable

import numpy as np

from .. import checks
from ..errors import NonFiniteError
from ..families.base import Family
from ..results import counted
from ..rng import Key
from .methods import STEPS, Method, sees_steps
from .restarts import restart_key, scattered
from .result import Round
from .score import Score

CONVERGED, INTERRUPTED, OUT_OF_DRAWS = "converged", "interrupted", "out of draws"
DOUBTFUL_SAMPLES = 200_000  # after which a method that may miss steps is asked whether it does


class Run:
    """One call of ``fit``: its method at each of its starts.

    ``states`` are those of a checkpoint, ``save(states, history)`` writes another; ``asked`` is the method as it was
    asked for.
    """

    def __init__(
        self,
        target,
        first: Family,
        method: Method,
        asked: str,
        key: Key,
        limits: tuple[float, int, int],
        on,
        states: list,
        history: list,
        save: Callable,
        tell: Callable[[Round], object],
    ) -> None:
        self.target, self.first, self.method, self.asked, self.key, self.on = target, first, method, asked, key, on
        self.tolerance, self.max_samples, self.max_rounds = limits
        self.states, self.history, self.save, self.tell = states, history, save, tell
        self.fitters: list = []
        self.ends: list[str] = []

    def start(self, restart: int) -> str:
        """Fit from the start of this number; why that ended."""
        q = self.first if restart == 0 else scattered(self.first, self.key, restart)
        key = restart_key(self.key, restart)
        state = self.states[restart] if restart < len(self.states) else {}
        method = self.method._replace(name=state.get("method", self.method.name))
        doubtful = method.doubtful and method.name != Score.name
        most = min(self.max_samples, DOUBTFUL_SAMPLES) if doubtful else self.max_samples
        fitter = method.fitter(self.target, q, key, self.tolerance, most, self.on)
        fitter.state.update(state, method=method.name)
        self.fitters.append(fitter)
        end = self.ascend(fitter, restart)
        if doubtful and end != INTERRUPTED:
            end = self.doubted(fitter, key, restart, end)
        self.ends.append(end)
        return end

    def doubted(self, fitter, key: Key, restart: int, end: str) -> str:
        """Gradients may have missed steps of log p; if so, scores go on from there."""
        try:
            if not sees_steps(self.target, fitter.q, key, self.tolerance, self.on):
                if end == OUT_OF_DRAWS and fitter.slopes.max_samples < self.max_samples:
                    fitter.slopes.max_samples = self.max_samples
                    return self.ascend(fitter, restart)
                return end
        except NonFiniteError as error:
            return str(error)
        except KeyboardInterrupt:
            return INTERRUPTED
        if self.asked != "auto":
            return STEPS
        other = Score(self.target, fitter.q, key, self.tolerance, self.max_samples, self.on)
        other.state.update(draws=fitter.state["draws"], method=Score.name)
        self.fitters[-1] = other
        return self.ascend(other, restart)

    def ascend(self, fitter, restart: int) -> str:
        """Round after round until the fitter has a reason to stop, which is returned."""
        number = sum(1 for line in self.history if line.restart == restart)
        end = fitter.state.get("end", "")
        try:
            while not end:
                if number >= self.max_rounds:
                    return f"stopped after {counted(self.max_rounds, 'round')}"
                before = dict(fitter.state)
                try:
                    with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # of a q that runs away
                        value, end = fitter.step()
                except KeyboardInterrupt:
                    fitter.state = before
                    raise
                if value.num_samples or end == CONVERGED or value.method == "exact":
                    number += 1
                    seen = (fitter.state.get(name, math.nan) for name in ("gain", "blur"))
                    draws = fitter.state["draws"]
                    self.history.append(Round(restart, number, value.value, value.standard_error, draws, *seen))
                if end and end != OUT_OF_DRAWS:
                    fitter.state["end"] = end
                states = [each.state for each in self.fitters]
                self.save(states + self.states[len(states) :], self.history)
                if self.history and self.history[-1][:2] == (restart, number):
                    before = fitter.state
                    self.tell(self.history[-1])
        except KeyboardInterrupt:
            return INTERRUPTED
        except NonFiniteError as error:
            return str(error)
        except OverflowError:
            return "q runs away: the target may be improper"
        return end


def teller(progress, max_rounds: int) -> tuple[Callable[[Round], object], Callable[[], None]]:
    """(tell, close) for ``progress``."""
    if progress is False or progress is None:
        return (lambda line: None), (lambda: None)
    if callable(progress):
        return progress, (lambda: None)
    if progress is not True:
        raise TypeError(f"progress: expected a bool or a function of a Round, got {checks.describe(progress)}")
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install 'fastvi[progress]'") from None
    bar = tqdm(total=max_rounds, unit="round")

    def tell(line):
        bar.set_postfix(elbo=f"{line.elbo:.6g}", gain=f"{line.gain:.2g}", blur=f"{line.blur:.2g}", refresh=False)
        bar.update(line.number - bar.n)

    return tell, bar.close
