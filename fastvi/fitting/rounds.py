"""The rounds of a fit: one start after another, each until its method has a reason to stop."""

from collections.abc import Callable

import numpy as np

from .. import checks
from ..errors import NonFiniteError
from ..estimators.elbo import elbo
from ..families.base import Family
from ..results import counted
from ..rng import Key
from .factor_paths import FactorPaths
from .factors import FactorAscent
from .fitter import NO_STEP, OUT_OF_DRAWS, Fitter
from .methods import STEPS, Method, has_paths, sees_steps
from .restarts import restart_key, scattered
from .result import Round
from .score import Score
from .subsample import start_from_rows

INTERRUPTED = "interrupted"
DOUBTFUL_SAMPLES = 200_000  # after which a method that may miss steps is asked whether it does
# Draws that are asked, at most and at least; one in so many of ``max_samples``
UNSETTLED_SAMPLES, LOOKED_SAMPLES = 50_000, 500  # of coordinate ascent, before slopes are asked; for a look at two q's
DOUBTED_SAMPLES, LEAST_DOUBTED, DOUBTED_SHARE = 10_000, 64, 4


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
        self.fitters: list[Fitter] = []
        self.ends: list[str] = []

    def start(self, restart: int) -> None:
        """Fit from the start of this number; ``ends`` tells why that ended."""
        q = self.first if restart == 0 else scattered(self.first, self.key, restart)
        key = restart_key(self.key, restart)
        state = self.states[restart] if restart < len(self.states) else {}
        method = self.method._replace(name=state.get("method", self.method.name))
        asked = min(DOUBTED_SAMPLES, self.max_samples // DOUBTED_SHARE)
        asked = asked if method.doubtful and asked >= LEAST_DOUBTED else 0
        most = self.max_samples - asked
        near, lost = (None, 0) if state else start_from_rows(self, q, key)
        fitter = method.fitter(self.target, near or q, key, self.tolerance, most, self.on)
        fitter.near = near is not None
        fitter.state.update(lost=lost)
        fitter.state.update(state, method=method.name)
        self.fitters.append(fitter)
        if isinstance(fitter, FactorAscent) and self.asked == "auto" and most > UNSETTLED_SAMPLES:
            fitter.max_samples = UNSETTLED_SAMPLES
            self.ends.append(self.settled(fitter, most, restart, self.ascend(fitter, restart)))
            return
        if not method.doubtful or method.name == Score.name:
            self.ends.append(self.ascend(fitter, restart))
            return
        fitter.max_samples = min(most, DOUBTFUL_SAMPLES)
        end = self.ascend(fitter, restart)
        self.ends.append(end if end == INTERRUPTED else self.doubted(fitter, asked, restart, end))

    def doubted(self, fitter: Fitter, asked: int, restart: int, end: str) -> str:
        """Gradients may have missed steps of log p; if so, scores go on from there."""
        most = self.max_samples - asked
        try:
            steps = asked > 0 and sees_steps(self.target, fitter.q, asked, fitter.key, self.tolerance, self.on)
        except NonFiniteError as error:
            return str(error)
        except KeyboardInterrupt:
            return INTERRUPTED
        fitter.state["lost"] += asked
        if not steps:
            if end == OUT_OF_DRAWS and fitter.max_samples < most:
                fitter.max_samples = most
                return self.ascend(fitter, restart)
            return end
        if self.asked != "auto":
            return STEPS
        other = Score(self.target, fitter.q, fitter.key, self.tolerance, self.max_samples, self.on)
        other.state.update(draws=fitter.state["draws"], lost=fitter.state["lost"], method=Score.name)
        self.fitters[-1] = other
        return self.ascend(other, restart)

    def settled(self, fitter: Fitter, most: int, restart: int, end: str) -> str:
        """Where coordinate ascent did not settle, slopes go on if all factors have them, and itself if not."""
        if end not in (OUT_OF_DRAWS, NO_STEP):
            return end
        if has_paths(self.target, fitter.q, fitter.key):
            other = FactorPaths(self.target, self.better(fitter), fitter.key, self.tolerance, most, self.on)
            other.state.update(draws=fitter.state["draws"], lost=fitter.state["lost"], method=other.name)
            self.fitters[-1] = fitter = other
        elif end == NO_STEP:
            return end
        fitter.max_samples = most
        return self.ascend(fitter, restart)

    def better(self, fitter: Fitter) -> Family:
        """Where it ended, or where it began if that is no worse"""

        def look(q) -> float:
            options = dict(estimator="plain", rng=fitter.key, **self.on.options)
            try:
                return elbo(self.target, q, LOOKED_SAMPLES, **options).value
            except NonFiniteError:
                return -np.inf

        fitter.state["lost"] += 2 * LOOKED_SAMPLES
        return fitter.q if look(fitter.q) > look(fitter.start) else fitter.start

    def ascend(self, fitter: Fitter, restart: int) -> str:
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
                    fitter.abandon(before)
                    raise
                if value is not None:
                    number += 1
                    s = fitter.state
                    line = Round(restart, number, value.value, value.standard_error, s["draws"], s["gain"], s["blur"])
                    self.history.append(line)
                if end and end != OUT_OF_DRAWS:
                    fitter.state["end"] = end
                states = [each.state for each in self.fitters]
                self.save(states + self.states[len(states) :], self.history)
                if value is not None:
                    self.tell(line)
        except KeyboardInterrupt:
            return INTERRUPTED
        except NonFiniteError as error:
            return str(error)
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
