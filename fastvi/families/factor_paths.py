"""Which factors of a product can be differentiated through, and their pathwise terms."""

from functools import cached_property
from typing import Any

import numpy as np

from .base import Family


class FactorPaths(Family):
    """Of all runs that have paths, or of point masses alone ("points")."""

    blocks: tuple[Any, ...]
    names: tuple[str | None, ...]

    @cached_property
    def spots(self) -> tuple[slice, ...]:
        """Where each run is in z"""
        return slices([block.size for block in self.blocks])

    def _first_named(self, is_it) -> str:
        for block, name in zip(self.blocks, self.names, strict=True):
            if is_it(block):
                kind = type(block).__name__.removesuffix("Block")
                return kind if name is None else f"{name} ({kind})"
        return ""

    @cached_property
    def path_layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, row, found = len(self.arrays[1]), 0, []
        for block in self.blocks:
            found.append(block.path_places(row, height))
            row += len(block.table)
        return tuple(np.concatenate(each) for each in zip(*found, strict=True))  # type: ignore[return-value]

    @property
    def has_points(self) -> bool:
        """Whether some are point masses"""
        return any(block.is_point for block in self.blocks)

    @property
    def has_tables(self) -> bool:
        """Whether draws of some are read off tables, which a step of an optimizer makes anew"""
        return any(block.has_tables for block in self.blocks)

    @property
    def without_paths(self) -> str:
        """The first of the factors whose z has no derivative in its parameters as a message names it, or nothing"""
        return self._first_named(lambda block: not block.has_paths)

    def path_runs(self, gradient: str) -> list[bool]:
        """Of each run, whether sums of this kind hold its paths"""
        return [block.is_point or block.has_paths and gradient != "points" for block in self.blocks]

    def path_rows(self, gradient: str) -> np.ndarray:
        """Of each z, 1.0 or 0.0: the same"""
        return np.repeat(np.array(self.path_runs(gradient), float), [block.size for block in self.blocks])

    def path_parameters(self, gradient: str) -> np.ndarray:
        """Of each parameter, whether its gradient comes from paths"""
        return np.repeat(self.path_runs(gradient), [block.parameter_count for block in self.blocks])

    @cached_property
    def path_tables(self) -> np.ndarray:
        """For each row of a tile where the table of dG / d shape begins, or -1, and behind them these tables"""
        starts, tables, place = [], [], float(len(self.arrays[1]))
        for flat, own in (block.path_tables for block in self.blocks):
            starts.append(np.where(own < 0.0, own, own + place))
            tables.append(flat)
            place += len(flat)
        return np.concatenate(starts + tables)

    def path_terms(self, eps: np.ndarray, z: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Slopes (n, dim) of log p in z, made of eps, as those in the parameters, (n, parameters); 0 where there is no
        path"""
        parts = zip(self.blocks, self.spots, strict=True)
        found = [block.path_terms(eps[:, spot], z[:, spot], slopes[:, spot]) for block, spot in parts]
        return np.concatenate(found, axis=1)


def slices(sizes: list[int]) -> tuple[slice, ...]:
    """Neighbouring slices of these sizes."""
    ends = np.cumsum([0, *sizes]).tolist()
    return tuple(slice(a, b) for a, b in zip(ends, ends[1:], strict=False))
