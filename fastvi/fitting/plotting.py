"""A figure of a fit: how it went, what it found, how far that is to be trusted."""

import math

import numpy as np

from ..results import KHAT_LIMITS, shown_khat
from .summary import chosen_names, row_names

MOST, COLUMNS, DRAWS, BINS = 10, 4, 4000, 60  # marginals at most, panels in a row


def plot(found, names=None, prior=None):
    """See :meth:`FitResult.plot`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plot needs matplotlib: pip install 'fastvi[plot]'") from None
    draws = found.draws(DRAWS)
    shown = chosen_names(names, draws)
    chosen_names(prior or (), draws, "prior")
    panels = [panel for name in shown for panel in marginals(name, draws, prior or {})][:MOST]
    count = len(panels) + 1 + (found.target is not None)
    rows = math.ceil(count / COLUMNS)
    figure = Figure(figsize=(3.2 * min(count, COLUMNS), 2.6 * rows), layout="constrained")
    axes = iter(figure.subplots(rows, min(count, COLUMNS), squeeze=False).ravel())
    trace(next(axes), found)
    for label, values, before in panels:
        marginal(next(axes), label, values, before)
    if found.target is not None:
        tail(next(axes), found, draws)
    for axis in axes:
        axis.set_visible(False)
    return figure


def marginals(name, draws, prior):
    """(label, draws of q, draws of the prior or None) of each number of a parameter."""
    values = draws[name].reshape(len(draws.z), -1)
    before = None if name not in prior else np.asarray(prior[name], dtype=float).reshape(-1, values.shape[1])
    for k, label in enumerate(row_names(name, draws[name].shape[1:])):
        yield label, values[:, k], None if before is None else before[:, k]


def trace(axis, found) -> None:
    """The ELBO by rounds, each start a line, with two standard errors."""
    for restart in sorted({line.restart for line in found.history}):
        lines = [line for line in found.history if line.restart == restart]
        number, value = np.array([line.number for line in lines]), np.array([line.elbo for line in lines])
        error = np.nan_to_num([2.0 * line.standard_error for line in lines])
        axis.plot(number, value, lw=1)
        axis.fill_between(number, value - error, value + error, alpha=0.3)
    axis.axhline(found.elbo.value, color="black", lw=0.8, ls="--")
    axis.set_title("ELBO by round", fontsize=9)


def marginal(axis, label, values, before) -> None:
    """A histogram of q, over that of the prior where it is given."""
    low, high = np.quantile(values, [0.002, 0.998])
    bins = np.linspace(low, high if high > low else low + 1.0, BINS)
    if before is not None:
        axis.hist(before, bins=bins, density=True, color="0.8", label="prior")
    axis.hist(values, bins=bins, density=True, histtype="step", label="q")
    axis.set_title(label, fontsize=9)
    axis.set_yticks([])


def tail(axis, found, draws) -> None:
    """The largest importance weights over their rank: a slope of k-hat on these axes."""
    log_w = found.target.value(draws.z) - found.q.log_prob(draws.z)
    khat = found.khat
    largest = np.sort(log_w[np.isfinite(log_w)])[::-1][: len(log_w) // 5]
    axis.plot(np.log10(np.arange(1, len(largest) + 1)), largest - largest.max(initial=-np.inf), ".", ms=2)
    trusted = "usable" if khat <= KHAT_LIMITS[1] else "poor"
    axis.set_title(f"log weights by log10 rank; k-hat {shown_khat(khat)}, {trusted}", fontsize=8)
