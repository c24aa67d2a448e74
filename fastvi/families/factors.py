"""A q of independent factors, some of them discrete: what every such q answers, from its runs of equal factors."""

from functools import cached_property
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..kernels.families.quantile_factors import OFFSET
from ..kernels.families.runs import RUN
from ..targets.target import Target
from .base import DRAW_OPERATIONS, SCORE_OPERATIONS, frozen
from .blocks import Block
from .factor_density import log_prob_of_factors
from .factor_paths import FactorPaths, slices


class Factors(FactorPaths):
    """Independent factors in runs; z has an entry for each.

    ``blocks`` are the runs, ``names`` what they are called (None where they are not) and ``shapes`` what a density of
    named latents sees of them, a number for ().
    """

    family = "product"
    shapes: tuple[tuple[int, ...], ...]

    @property
    def arguments(self):
        return (self.parameters,)

    @classmethod
    def standard(cls, dim: int) -> NoReturn:
        raise TypeError(f"{cls.__name__}: has no standard member; make one")

    @property
    def dim(self) -> int:
        """Number of entries of z."""
        return sum(block.size for block in self.blocks)

    @cached_property
    def parameter_spots(self) -> tuple[slice, ...]:
        """Where each run's parameters are"""
        return slices([block.parameter_count for block in self.blocks])

    @cached_property
    def score_spots(self) -> tuple[slice, ...]:
        """Where each run's whitened scores are"""
        return slices([block.count * block.width for block in self.blocks])

    @property
    def latents(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes, in the order of z: what ``Target(log_density, q.latents, data)`` takes."""
        if None in self.names:
            raise ValueError(f"q: the factors of {self!r} have no names; make a Product(name=factor, …)")
        return {name: shape for name, shape in zip(self.names, self.shapes, strict=True) if name is not None}

    def _joined(self, of) -> np.ndarray:
        return np.concatenate([of(block) for block in self.blocks])

    @property
    def mean(self) -> np.ndarray:
        """(dim,)"""
        return self._joined(lambda block: block.mean)

    @property
    def loc(self) -> np.ndarray:  # type: ignore[override]
        """The mean, (dim,)"""
        return self.mean

    @property
    def stddev(self) -> np.ndarray:
        """(dim,)"""
        return self._joined(lambda block: block.stddev)

    @property
    def covariance(self) -> np.ndarray:
        """(dim, dim), of blocks"""
        from scipy.linalg import block_diag

        return block_diag(*(block.covariance for block in self.blocks))

    @property
    def natural(self) -> Any:
        """Natural parameters, (dim, statistics of a factor)"""
        return self._of_one_run("natural")

    @property
    def mean_statistics(self) -> Any:
        """E t(z) of the sufficient statistics, (dim, statistics of a factor)"""
        return self._of_one_run("mean_statistics")

    def _of_one_run(self, what):
        if len(self.blocks) > 1:
            raise TypeError(f"{what}: of a product's factors, one by one: q['name'].{what}")
        return getattr(self.blocks[0], what)

    @property
    def parameters(self) -> np.ndarray:
        """Unconstrained, factor by factor"""
        return self._joined(lambda block: block.parameters)

    def entropy(self) -> float:
        """-E_q[log q] in nats, in closed form: of z in counting measure for discrete factors."""
        return sum(block.entropy() for block in self.blocks)

    def log_prob(self, z: ArrayLike):
        """log q(z) for z of shape (dim,) -> float, or (n, dim) -> (n,): a density for continuous factors, a probability
        for discrete ones, -inf at what they do not take."""
        points, single = checks.points(z, self.dim)
        found = sum(block.log_prob(points[:, spot]) for block, spot in zip(self.blocks, self.spots, strict=True))
        return float(found[0]) if single else found

    # ---- for the sweeps and their kernels
    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Runs, and a row of parameters for each row of a tile"""
        runs, tables, quantiles, row = [float(len(self.blocks))], [], [], 0
        place = 1 + RUN * len(self.blocks)
        for block, spot in zip(self.blocks, self.spots, strict=True):
            table, own = np.array(block.table), block.quantiles
            runs += [block.kind, spot.start, block.count, row, len(table) // block.count]
            if len(own):
                table[:, OFFSET] += place
            tables.append(table)
            quantiles.append(own)
            row, place = row + len(table), place + len(own)
        return frozen(np.concatenate([np.array(runs), *quantiles])), frozen(np.concatenate(tables))

    @cached_property
    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        height, row, found = len(self.arrays[1]), 0, []
        for block in self.blocks:
            found.append(block.places(row, height))
            row += len(block.table)
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def seen(self, num_samples: int) -> np.ndarray | None:
        parts = [block.seen(num_samples) for block in self.blocks]
        if all(part is None or part.all() for part in parts):
            return None
        sizes = [block.parameter_count for block in self.blocks]
        return np.concatenate([np.ones(n, bool) if p is None else p for n, p in zip(sizes, parts, strict=True)])

    @property
    def steps(self) -> np.ndarray:
        return self._joined(lambda block: block.steps)

    def operations(self, dim: int, gradient: bool) -> float:
        return DRAW_OPERATIONS * dim + (0.5 * SCORE_OPERATIONS * len(self.parameters) if gradient else 0)

    # ---- the mathematics of draws
    def transform(self, eps: np.ndarray) -> np.ndarray:
        parts = [block.transform(eps[..., spot]) for block, spot in zip(self.blocks, self.spots, strict=True)]
        return np.concatenate(parts, axis=-1)

    def log_weights(self, eps, z, log_p):
        return log_p - self.log_prob(z)

    def whitened(self, z: np.ndarray) -> np.ndarray:
        """Scores of z (n, dim) with mean 0 and covariance I, (n, scores): factor by factor"""
        parts = zip(self.blocks, self.spots, strict=True)
        found = [block.whitened(z[:, spot]).reshape(len(z), block.count * block.width) for block, spot in parts]
        return np.concatenate(found, axis=1)

    def from_whitened(self, values: np.ndarray) -> np.ndarray:
        """(..., scores) of whitened scores as of those of the parameters, in their order"""
        parts = []
        for block, spot in zip(self.blocks, self.score_spots, strict=True):
            own = values[..., spot].reshape(*values.shape[:-1], block.count, block.width)
            parts.append(block.flat(np.einsum("cij,...cj->...ci", block.score_root, own)))
        return np.concatenate(parts, axis=-1)

    def scores_at(self, z: np.ndarray) -> np.ndarray:
        """d log q / d parameters at z (n, dim), (n, parameters)"""
        return self.from_whitened(self.whitened(z))

    def scores(self, eps: np.ndarray) -> np.ndarray:
        return self.scores_at(self.transform(eps))

    def squared_scores(self, eps: np.ndarray) -> np.ndarray:
        return np.sum(self.whitened(self.transform(eps)) ** 2, axis=1)

    @cached_property
    def row_roots(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows of a tile, scores) each, see :class:`fastvi.families.blocks.Block`"""
        from scipy.linalg import block_diag

        first, second = zip(*(block.row_roots for block in self.blocks), strict=True)
        return block_diag(*first), block_diag(*second)

    def weighted_scores(self, z: np.ndarray, c: np.ndarray) -> np.ndarray:
        """The scores of draws z (n, dim), each times c (n,), added up"""
        return self.from_whitened(c @ self.whitened(z))

    @cached_property
    def target(self) -> Target:
        """q itself as a normalized Target."""
        kinds = np.concatenate([np.full(block.size, block.kind) for block in self.blocks])
        first, second = (self._joined(lambda block, k=k: block.density[k]) for k in range(2))
        firsts = [spot.start for spot in slices([len(block.values) for block in self.blocks])]
        starts = np.repeat(firsts, [block.size for block in self.blocks])
        data = kinds, first, second, starts, np.append(self._joined(lambda block: block.values), 0.0)
        return Target(log_prob_of_factors, self.dim, data, normalized=True, name=type(self).__name__)

    # ---- for pilots and fits
    def with_blocks(self, blocks: list[Block]) -> Self:
        """The same factors with these parameters"""
        return self.with_parameters(np.concatenate([block.parameters for block in blocks]))

    def flattened(self, share: float) -> Self:
        """The discrete factors mixed with ``share`` of the uniform distribution"""
        return self.with_blocks([block.flattened(share) for block in self.blocks])

    @property
    def discrete(self) -> str:
        """The first of the discrete factors as a message names it, or nothing"""
        return self._first_named(lambda block: block.is_discrete)

    def scattered(self, away: np.ndarray) -> Self:
        """Away by so many standard deviations, ``away`` with an entry for each parameter"""
        parts = zip(self.blocks, self.parameter_spots, strict=True)
        return self.with_blocks([block.scattered(away[spot].reshape(block.count, -1)) for block, spot in parts])

    def _not_here(self, *_: Any) -> NoReturn:
        raise ValueError(
            f"q: {self.discrete or type(self).__name__} has no location and scale to differentiate through"
        )

    standardise = entropy_slope = scaled_slopes = lines_gradient = _not_here  # type: ignore[assignment]
    pathwise_terms = _not_here  # type: ignore[assignment]
    restrict = composed = stretched = polynomial_gradient = member = _not_here  # type: ignore[assignment]
    scale = scale_tril = log_det = scale_mask = property(_not_here)
