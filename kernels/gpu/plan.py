"""How a sweep on CUDA is cut into groups of leaves: a function of the problem alone."""

import functools
from typing import NamedTuple

from ..jit import routine
from ..plan import cut
from .device import SIMULATED

THREADS = 8 if SIMULATED else 128  # of a block: a power of two
LEAF = {"mean_field": 1024, "full_rank": 512}  # draws


class Plan(NamedTuple):
    """How a sweep is cut: draws in a group, groups, draws in a leaf, leaves in a group, places for scores in a leaf."""

    group: int
    groups: int
    leaf: int
    each: int
    coordinates: int

    @property
    def leaves(self) -> int:
        return self.groups * self.each


@functools.lru_cache(maxsize=4096)
def plan(family: str, dim: int, num_samples: int, sums: int) -> Plan:
    """Cut ``num_samples`` draws, with so many ``sums`` for each variational parameter.

    Groups are the leaves of the CPU's plan, as the optimal baseline depends on them.
    """
    whole = cut(family, dim, num_samples, sums)
    each = -(-whole.leaf // LEAF[family])
    leaf = -(-whole.leaf // (each * THREADS)) * THREADS
    return Plan(whole.leaf, whole.leaves, leaf, -(-whole.leaf // leaf), whole.coordinates)


@routine
def draws_of(which, group, leaf, each, num_samples):
    """(first, end): the draws of a leaf."""
    start = which // each * group
    first = start + which % each * leaf
    return first, min(num_samples, first + leaf, start + group)
