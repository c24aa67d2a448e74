"""Fitting: the best approximation in a family, how far it is from that, and its ELBO on draws of its own."""

import os
from collections.abc import Callable

from numpy.typing import ArrayLike

from .. import checks
from ..documentation import documented
from ..estimators.options import check_pair, within_spaces
from ..execution.executors import SubmitsTasks
from ..execution.sweep import place
from ..families import Family
from ..rng import CHECK, FINAL, RandomSource, key_from
from ..targets.target import Target
from . import checkpoint as checkpoints
from .ending import Ending, ending, finished, is_poor
from .methods import checked_name, chosen
from .restarts import AUTOMATIC
from .result import FitResult, Round
from .rounds import INTERRUPTED, Run, teller
from .starting_point import starting_point

MAX_ROUNDS, MAX_SWEEPS, MAX_SAMPLES = 500, 100_000, 4_000_000
LEAST_TOLERANCE, TOLERANCE_A_DIMENSION = 0.002, 2e-4  # nats


@documented
def fit(
    target: Target,
    family_or_q: str | Family = "mean_field",
    *,
    start: ArrayLike | Family | str | None = None,
    tolerance: float | None = None,
    method: str = "auto",
    num_restarts: int | str = "auto",
    max_rounds: int | None = None,
    max_samples: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    rng: RandomSource = None,
    num_threads: int | None = None,
    executor: SubmitsTasks | None = None,
    progress: bool | Callable[[Round], object] = False,
) -> FitResult:
    """Fit an approximation by maximising the ELBO: a Gaussian, or a product of factors.

    Parameters
    ----------
    @target
    family_or_q : {"mean_field", "full_rank", "low_rank"}, a Gaussian of such a family, a Bernoulli or a Product
        a family, or a member of it to start from.  ``"low_rank"`` has as many factors as pay, at most ten; a
        :class:`LowRankGaussian` at most those that it has
    start : array_like (dim,), Gaussian or "laplace", optional
        where to start: a point, a Gaussian of any family, or the Laplace approximation at the mode above 0.  By
        default location 0 and scale 1, which is tried along with the Laplace approximations on a climb of log p from
        there, so that a start need not be near
    tolerance : float, optional
        nats, by default max(0.002, 2e-4 dim): converged once q is known to be no further from the best of its family
        near there, in ELBO
    method : {"auto", "newton", "lbfgs", "score", "coordinate_ascent"}
        ``"newton"``: natural-gradient steps on matched draws, the default for a full-rank q and up to 100 dimensions;
        without a gradient of log p by central differences, to 30 dimensions.  ``"lbfgs"``: L-BFGS over few and then
        more matched draws, for a mean-field or low-rank q in any number of dimensions, and over fixed draws for a
        product whose factors can all be differentiated through.  ``"score"``: Adam on
        score-function gradients, the default for what has steps or no gradient.  ``"coordinate_ascent"``: for Gaussian
        targets; and for a product of factors, on a surrogate in their scores, from a pilot a round, which is exact for
        Boltzmann machines and conjugate models; where it does not settle within 50,000 evaluations ``"auto"`` goes on
        with ``"lbfgs"``, if it can
    num_restarts : int or "auto"
        starts, all but the first scattered about it by three of its deviations; the best ELBO wins, and the message
        tells how many optima were met.  ``"auto"``: one, and three more where a full-rank q with a first fit of few
        draws has a k-hat above 0.7
    max_rounds, max_samples : int, optional
        limits for each start, by default 500 rounds (100,000 sweeps of coordinate ascent) and four million evaluations
        of log p; where one ends a fit, ``converged`` is False
    checkpoint : path, optional
        a file that is rewritten after every round; where it exists the fit goes on from it, to the same bits.  Leave
        ``rng`` out then, or give the same
    @rng
    @num_threads
    @executor
    progress : bool or callable
        True for a tqdm bar, or a function that is called with each :class:`Round`

    Returns
    -------
    FitResult
        On Ctrl-C during its rounds, or where log p is not finite, what was best so far, with ``converged=False`` and
        the reason

    Raises
    ------
    TypeError, ValueError
        naming the argument
    Exception
        what the log density raises, with the last good approximation as ``.partial``

    See Also
    --------
    Target.laplace : the Gaussian at a mode
    Objective : the ELBO for an optimizer of your own

    Examples
    --------
    >>> import numpy as np, fastvi as vi
    >>> def log_density(z, x):
    ...     return -0.5 * np.sum((z - x) ** 2)
    >>> target = vi.Target(log_density, 2, (np.array([1.0, 2.0]),))
    >>> found = vi.fit(target, "mean_field", rng=0)
    >>> found.converged, found.q.mean.round(3)
    (True, array([1., 2.]))
    """
    if not isinstance(target, Target):
        raise TypeError(f"target: expected a fastvi.Target, got {checks.describe(target)}")
    method = checked_name(method)
    first = within_spaces(target, starting_point(target, family_or_q, start))
    target = check_pair(target, first)
    automatic = isinstance(num_restarts, str) and checks.choice("num_restarts", num_restarts, ("auto",)) == "auto"
    restarts = 1 if automatic else checks.count("num_restarts", num_restarts)
    most = MAX_SAMPLES if max_samples is None else checks.count("max_samples", max_samples)
    if tolerance is None:
        tolerance = max(LEAST_TOLERANCE, TOLERANCE_A_DIMENSION * target.dim)
    tolerance = checks.positive("tolerance", tolerance)
    if max_rounds is None:
        max_rounds = MAX_SWEEPS if method == "coordinate_ascent" else MAX_ROUNDS
    max_rounds = checks.count("max_rounds", max_rounds)
    on = place(num_threads, executor)
    key, states, history, save = (None if rng is None else key_from(rng)), [], [], nowhere
    if checkpoint is not None:
        path = checkpoints.place(checkpoint)
        mark = checkpoints.fingerprint(target, first, method, dict(tolerance=tolerance, restarts=num_restarts))
        loaded = checkpoints.load(path, mark, key)
        if loaded is not None:
            key, states, history = loaded

        def save(states, history):
            checkpoints.save(path, mark, key, states, history)

    key = key_from(None) if key is None else key
    how, limits = chosen(method, target, first, key), (tolerance, most, max_rounds)
    tell, close = teller(progress, max_rounds)
    run = Run(target, first, how, method, key, limits, on, states, history, save, tell)
    endings: list[Ending] = []
    try:
        while len(endings) < restarts:
            run.start(len(endings))
            endings.append(ending(run, len(endings), CHECK if restarts > 1 else FINAL))
            if run.ends[-1] == INTERRUPTED:
                break
            if automatic and restarts == 1 and is_poor(run, endings[0]):
                restarts, endings[0] = AUTOMATIC, ending(run, 0, CHECK)
    except Exception as error:
        if run.fitters:
            error.partial = run.fitters[-1].q  # type: ignore[attr-defined]
        raise
    finally:
        close()
    return finished(run, endings)


def nowhere(states, history) -> None:
    """Where no checkpoint is wanted."""
