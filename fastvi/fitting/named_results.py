"""What a fitted q says of the parameters, by name and in their own spaces: the methods that ``FitResult`` has of it."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..diagnostics.diagnosis import HARMLESS_LOSS, verdict_of
from ..diagnostics.psis import psis
from ..families.base import Family
from ..kernels.density.error_messages import explain_error
from ..kernels.density.over_draws import over_draws
from ..results import KHAT_LIMITS, Estimate, counted
from ..rng import Key, RandomSource, key_from
from ..targets.data import converted
from ..targets.parameters import Parameters
from ..targets.target import Target
from .summary import Table, chosen_names, row, row_names


class Draws(dict):
    """Arrays (n, *shape) by name, in the declared order.

    Attributes
    ----------
    z : ndarray (n, dim)
        the same draws, unconstrained
    log_weights : ndarray (n,) or None
        of importance sampling, smoothed (PSIS) and normalised, where they were asked for
    khat : float
        of these weights; nan without, and where they hardly differ
    """

    z: np.ndarray
    log_weights: np.ndarray | None = None
    khat: float = math.nan


class NamedResults:
    """Of a fit: draws, tables and predictions.  All take their draws from a stream that the fit has not seen."""

    q: Family
    elbo: Estimate
    key: Key
    khat: float
    converged: bool
    message: str
    history: list
    target: Target | None
    data_state: bytes

    @property
    def parameters(self) -> Parameters | None:
        """Names and spaces; None where the target had none."""
        return vars(self).get("_parameters") if self.target is None else self.target.parameters

    @property
    def verdict(self) -> str:
        """What k-hat says of q in words, and what to do about it."""
        return self._verdict_by(self.khat)

    def _verdict_by(self, khat: float) -> str:
        if not math.isfinite(self.elbo.value):
            return "of no use as it is: its ELBO is not finite"
        starts = 1 + max((line.restart for line in self.history), default=0)
        return verdict_of(khat, self.q.is_diagonal, starts)

    def draws(self, num_samples: int = 4000, *, weights: bool = False, rng: RandomSource = None) -> Draws:
        """Draws of q by name, constrained.

        Parameters
        ----------
        num_samples : int
        weights : bool
            with ``log_weights``, which make averages over the draws those of p, where k-hat allows it
        rng : optional
            by default the fit's key, so that tables, predictions and draws speak of the same draws

        Examples
        --------
        >>> import fastvi as vi
        >>> target = vi.Target(lambda rate: 2.0 * vi.exponential_logpdf(rate, 3.0), {"rate": vi.positive()})
        >>> found = vi.fit(target, "mean_field", rng=0)
        >>> found.draws(5)["rate"].shape
        (5,)
        """
        z = self.q.sample(checks.count("num_samples", num_samples), rng=self.key if rng is None else key_from(rng))
        if self.target is not None:
            found = Draws(self.target.density.constrained(z))
        else:
            found = Draws(dict(z=z) if self.parameters is None else self.parameters.constrain(z))
        found.z = z
        if weights:
            smoothed = psis(self._of(None).value(z) - self.q.log_prob(z))
            found.log_weights = smoothed.log_weights
            effective = 1.0 / np.sum(np.exp(2.0 * smoothed.log_weights))
            if effective < (1.0 - HARMLESS_LOSS) * len(z):  # else it is that of weights which hardly differ
                found.khat = float(smoothed.khat)
        return found

    def summary(
        self,
        num_samples: int = 10_000,
        *,
        names: str | Sequence[str] | None = None,
        probs: Sequence[float] = (0.05, 0.5, 0.95),
        weights: bool = False,
        coords: Mapping[str, Sequence] | None = None,
        rng: RandomSource = None,
    ) -> Table:
        """Means, deviations and quantiles by name: a table that prints, and shows itself in a notebook.

        Parameters
        ----------
        num_samples : int
            draws of q
        names : str or list of str, optional
            parameters to show, all by default
        probs : sequence of float
            quantiles
        weights : bool
            those of p, by smoothed importance weights, rather than those of q
        coords : dict, optional
            labels of the items of a parameter, ``{"theta": schools}``, in place of their numbers; a PyMC model's own by
            default
        rng : optional
            as for :meth:`draws`

        Returns
        -------
        Table
            rows ``tau``, ``theta[0]``; columns ``mean``, ``sd``, the quantiles and ``mcse``, the Monte Carlo error of
            the mean.  ``table["tau"]["mean"]`` is a number, ``table.columns`` a dict of lists for pandas
        """
        draws = self.draws(num_samples, weights=weights, rng=rng)
        shown = chosen_names(names, draws)
        chosen_names(coords or (), draws, "coords")
        own = {} if self.target is None else self.target.density.coords()
        labels = {name: given for name, given in own.items() if name in draws} | dict(coords or {})
        probs = [float(p) for p in probs]
        if not all(0.0 <= p <= 1.0 for p in probs):
            raise ValueError(f"probs: expected numbers between 0 and 1, got {probs}")
        w = None if draws.log_weights is None else np.exp(draws.log_weights)
        index, rows = [], []
        for name in shown:
            values = np.asarray(draws[name], dtype=np.float64)
            index += row_names(name, values.shape[1:], labels.get(name))
            rows += [row(column, probs, w) for column in values.reshape(len(values), -1).T]
        return Table(index, rows, probs, self._notes(num_samples, weights, draws.khat if weights else self.khat))

    def _notes(self, num_samples: int, weights: bool, khat: float) -> list[str]:
        """What to know before a table is believed."""
        whose = "weighted by p / q (PSIS)" if weights else "of q"
        notes = [f"{counted(num_samples, 'draw')} {whose}; elbo = {self.elbo}"]
        if not self.elbo.interval_reliable and math.isfinite(self.elbo.value):
            notes.append("more draws tell the ELBO's error: vi.elbo(target, found.q, atol=1e-3), or found.diagnosis")
        if not self.converged:
            notes.append(f"not converged: {self.message}")
        if not math.isfinite(self.elbo.value):
            notes.append(self.verdict)
        if math.isfinite(khat):
            notes.append(f"k-hat {khat:.2f}: {self._verdict_by(khat)}")
            if khat > KHAT_LIMITS[1]:
                notes.append("means and deviations are q's, and may be far from the posterior's")
        return notes

    def predict(
        self,
        f: Callable,
        num_samples: int = 4000,
        *,
        data: tuple = (),
        weights: bool = False,
        rng: RandomSource = None,
    ) -> Any:
        """f of the parameters at each draw, stacked: ``found.predict(lambda a, beta, X: a + X @ beta, data=(X,))``.

        Parameters
        ----------
        f : callable
            of some of the parameters, by name in any order, and then of ``data`` by position; compiled by Numba, or
            run in Python where it cannot be, with a warning
        num_samples : int
        data : tuple
            arrays and numbers
        weights : bool
            return (values, weights), the weights of importance sampling (n,), which sum to 1
        rng : optional
            as for :meth:`draws`

        Returns
        -------
        ndarray (num_samples, …)
        """
        if not callable(f):
            raise TypeError(
                f"f: expected a function of parameters and data, got {checks.describe(f)}; for new rows write "
                "found.predict(lambda beta, X: X @ beta, data=(X,))"
            )
        draws = self.draws(num_samples, weights=weights, rng=rng)
        taken = converted(data)
        names = list(inspect.signature(f).parameters)
        own = names[: len(names) - len(taken)]
        if len(names) < len(taken) or not all(name in draws for name in own):
            raise TypeError(
                f"f: expected parameters among {', '.join(draws)}, then {counted(len(taken), 'item')} of data, got "
                f"({', '.join(names)})"
            )
        values = [np.asarray(draws[name]) for name in own]
        try:
            found = over_draws(f, values, taken)
        except Exception as error:
            rows = range(num_samples)
            found = np.array([f(*(v[i] for v in values), *data) for i in rows])  # which raises what f raises
            why = explain_error(error, f) if hasattr(f, "__code__") else type(error).__name__
            warnings.warn(f"f: {f.__name__} ran in Python, as Numba cannot compile it ({why})", stacklevel=2)
        return found if draws.log_weights is None else (found, np.exp(draws.log_weights))

    def log_predictive(
        self,
        f: Callable,
        num_samples: int = 4000,
        *,
        data: tuple = (),
        weights: bool = False,
        rng: RandomSource = None,
    ) -> np.ndarray:
        """The logarithm of the mean of exp f over the draws, item by item: the log score of held-out data.

        ``f`` is as for :meth:`predict` and returns a log density, or an array of those of each item.
        """
        from scipy.special import logsumexp

        values = self.predict(f, num_samples, data=data, weights=weights, rng=rng)
        values, w = values if weights else (values, np.full(num_samples, 1.0 / num_samples))
        return logsumexp(values, axis=0, b=w.reshape(-1, *[1] * (values.ndim - 1)))

    def save(self, path: Any) -> None:
        """Write the result, its q, names and spaces to a file, ``.npz`` without pickles, for :func:`fastvi.load`."""
        from .saving import save

        save(self, path)

    def plot(self, *, names: str | Sequence[str] | None = None, prior: Mapping[str, ArrayLike] | None = None):
        """A figure: the ELBO over the rounds, marginals of parameters, the tail of the weights (extra ``plot``).

        ``prior`` are draws by name, to be drawn behind the marginals.
        """
        from .plotting import plot

        return plot(self, names, prior)

    def _of(self, target: Any) -> Target:
        found = self.target if target is None else target
        if found is None:
            raise ValueError("target: this result was pickled, loaded or copied, which loses it; pass target=")
        if target is None and self.data_state != found.density.data_state():
            raise ValueError(
                f"target: the data of {found.name} were set anew since this fit; fit again, set them back, or pass "
                "target="
            )
        return found
