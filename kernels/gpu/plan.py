"""How a sweep on CUDA is cut into chunks of blocks: a function of the problem alone."""

import functools
from typing import NamedTuple

from ..families.registry import FAMILIES
from ..jit import routine
from ..plan import cut
from .device import SIMULATED

THREADS = 8 if SIMULATED else 128  # of a block: a power of two


class Plan(NamedTuple):
    """How a sweep is cut: draws in a chunk, chunks, draws in a block, blocks in a chunk, places for its scores."""

    chunk: int
    chunks: int
    block: int
    each: int
    coordinates: int

    @property
    def blocks(self) -> int:
        return self.chunks * self.each


@functools.lru_cache(maxsize=4096)
def plan(family: str, dim: int, shape: tuple, num_samples: int, sums: int) -> Plan:
    """Cut ``num_samples`` draws, with so many ``sums`` for each variational parameter and a scale of this ``shape``.

    Chunks are those of the CPU's plan, as the optimal baseline depends on them.
    """
    whole = cut(family, dim, shape, num_samples, sums)
    each = -(-whole.chunk // FAMILIES[family].GPU_BLOCK)
    block = -(-whole.chunk // (each * THREADS)) * THREADS
    return Plan(whole.chunk, whole.chunks, block, -(-whole.chunk // block), whole.coordinates)


@routine
def draws_of(which, chunk, block, each, num_samples):
    """(first, end): the draws of a block."""
    start = which // each * chunk
    first = start + which % each * block
    return first, min(num_samples, first + block, start + chunk)
