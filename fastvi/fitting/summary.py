"""A table of parameters: rows by name, columns of numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..html_tables import html_table


def chosen_names(names: Any, draws: Any, what: str = "names") -> list[str]:
    """Names of parameters, one or some, all where nothing is asked for; ValueError for any that is none."""
    chosen = list(draws) if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [str(name) for name in chosen if name not in draws]
    if unknown:
        raise ValueError(f"{what}: expected some of {', '.join(draws)}, got {', '.join(unknown)}")
    return chosen


def row_names(name: str, shape: tuple[int, ...], labels: Sequence | None = None) -> list[str]:
    """``tau``, ``theta[0]``, ``L[1, 0]``; ``labels`` are those of the first axis."""
    if not shape:
        return [name]
    if labels is not None and len(labels) != shape[0]:
        raise ValueError(f"coords[{name!r}]: expected {shape[0]} labels, got {len(labels)}")
    first = [str(label) for label in (range(shape[0]) if labels is None else labels)]
    return [f"{name}[{', '.join([first[i[0]], *map(str, i[1:])])}]" for i in np.ndindex(*shape)]


def row(x: np.ndarray, probs: Sequence[float], weights: np.ndarray | None = None) -> list[float]:
    """[mean, sd, quantiles, error of the mean] of draws, weighted or not."""
    n = len(x)
    if weights is None:
        sd = float(np.std(x, ddof=1)) if n > 1 else math.nan
        return [float(np.mean(x)), sd, *map(float, np.quantile(x, probs)), sd / math.sqrt(n)]
    mean = float(weights @ x)
    square, size = (x - mean) ** 2, float(np.sum(weights**2))
    sd = math.sqrt(float(weights @ square) / (1.0 - size)) if size < 1.0 else math.nan
    order = np.argsort(x)
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    quantiles = np.interp(probs, below, x[order])
    return [mean, sd, *map(float, quantiles), math.sqrt(float(weights**2 @ square))]


class Table:
    """Numbers by name.

    Attributes
    ----------
    index : list of str
        names of the rows
    columns : dict of lists
        ``pandas.DataFrame(table.columns, table.index)``
    notes : list of str
        what to know before it is believed

    Examples
    --------
    >>> import fastvi as vi
    >>> found = vi.fit(vi.Target(lambda tau: -3.0 * tau, {"tau": vi.positive()}), rng=0)
    >>> table = found.summary(probs=[0.5], rng=0)
    >>> table.index, list(table["tau"])
    (['tau'], ['mean', 'sd', '50%', 'mcse'])
    """

    def __init__(self, index: list[str], rows: list[list[float]], probs: Sequence[float], notes: list[str]) -> None:
        self.index, self.notes = index, notes
        heads = ["mean", "sd", *(f"{100.0 * p:g}%" for p in probs), "mcse"]
        self.columns = {head: [r[k] for r in rows] for k, head in enumerate(heads)}

    def __getitem__(self, name: str) -> dict[str, float]:
        if name not in self.index:
            raise KeyError(f"{name}: expected one of {', '.join(self.index)}")
        place = self.index.index(name)
        return {head: column[place] for head, column in self.columns.items()}

    def __len__(self):
        return len(self.index)

    def cells(self) -> list[list[str]]:
        """As text: as many decimals in a row as give its deviation three digits, its error two."""
        lines = [["", *self.columns]]
        for name in self.index:
            *values, error = self[name].values()
            lines.append([name, *(fixed(value, values[1]) for value in values), f"{error:.2g}"])
        return lines

    def __repr__(self):
        columns = list(zip(*self.cells(), strict=True))
        widths = [max(map(len, column)) for column in columns]
        adjusted = [
            [cell.ljust(width) if k == 0 else cell.rjust(width) for cell in column]
            for k, (column, width) in enumerate(zip(columns, widths, strict=True))
        ]
        return "\n".join([*map("  ".join, zip(*adjusted, strict=True)), *self.notes])

    def _repr_html_(self) -> str:
        head, *rows = self.cells()
        return html_table(rows, head, self.notes)


def fixed(value: float, sd: Any) -> str:
    """A number, rounded to a hundredth of a deviation."""
    if not (math.isfinite(value) and math.isfinite(sd)) or sd <= 0.0:
        return f"{value:.4g}"
    decimals = 2 - math.floor(math.log10(sd))
    return f"{value:.4g}" if decimals > 8 else f"{value:.{max(0, decimals)}f}"
