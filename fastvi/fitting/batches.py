"""A target seen through batches of its rows: unbiased in log p and its gradient, and near an anchor almost exact.

N / B times the sum over B rows, drawn with repetition, plus the prior, plus a line that makes up for what these rows
and all rows differ by at the anchor: to first order a batch then says what all rows say.  Per-row control variates of
this kind: Bardenet, Doucet and Holmes (2017), section 4; here of the ELBO's integrand, at the mean of q.
"""

import numpy as np

from ..families.base import Family
from ..kernels.density.row_blocks import Line
from ..kernels.random.rows import rows_at
from ..rng import ROWS, Key
from ..targets.rows import RowsDensity
from ..targets.target import Target

FAR = 5.0  # standard deviations of q that its mean may be from the anchor


class Batches:
    """Targets of ``size`` rows each, by number."""

    def __init__(self, target: Target, size: int, key: Key, num_threads: int | None) -> None:
        density = target.density
        if not isinstance(density, RowsDensity) or not density.rows:
            raise ValueError(f"batch_size: {target.name} does not say which data have rows; give its Target rows=")
        if size > density.count:
            raise ValueError(f"batch_size: expected at most the {density.count} rows there are, got {size}")
        self.whole, self.density, self.size, self.num_threads = target, density, size, num_threads
        self.key = key.child(ROWS, 0)
        self.anchor: tuple[np.ndarray, float, np.ndarray] | None = None  # z, log p and its gradient there

    def renew(self, q: Family) -> None:
        """Put the anchor at q's mean: one pass over all rows."""
        z = q.loc.copy()
        value, slope = self.whole.value_and_grad(z, num_threads=self.num_threads)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            raise ValueError(f"batch_size: log p or its gradient is not finite at the mean of q, {self.density.at(z)}")
        self.anchor = z, value, slope

    def target(self, q: Family, number: int) -> Target:
        """The target of a batch, for a q; the anchor is renewed where q's mean is far from it."""
        if self.anchor is None or np.any(np.abs(q.loc - self.anchor[0]) > FAR * q.stddev):
            self.renew(q)
        assert self.anchor is not None
        index = rows_at(self.key.word, 0, number * self.size, self.density.count, self.size)
        part = self.density.subset(index, self.density.count / self.size)
        z, value, slope = self.anchor
        found, found_slope = Target.of(part).value_and_grad(z, num_threads=1)
        part.line = Line(value - found - float((slope - found_slope) @ z), slope - found_slope)
        return Target.of(part)
