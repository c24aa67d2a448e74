"""How a sweep is cut into tiles and chunks: a function of the problem only, never of the machine."""

import functools
import math
from typing import NamedTuple

from .arithmetic.outer_products import GROUP
from .density.abi import LANE_WIDTH
from .families.registry import FAMILIES

WIDE_TILE, WIDE_DIM = 32, 1024
MIN_CHUNKS, MAX_CHUNKS, MIN_CHUNK_TILES, CHUNK_BYTES = 8, 128, 4, 2**26
LEAST_CHUNKS = 4  # that can be judged by each other
# So many places that to write and merge them takes as long as to add a tile to them; what fits the caches beside them
MANY_SUMS, FEW_DRAWS = 2**16, 128
MIN_BATCHES = 4
GROUPED_DRAWS = 512  # of fewer, groups vary so much that mild targets look as if few draws held the variance


class Plan(NamedTuple):
    """How a sweep is cut: draws in a tile, draws in a chunk, chunks, places for scores in a chunk; and how many draws'
    terms are squared as one sum."""

    tile: int
    chunk: int
    chunks: int
    coordinates: int
    group: int


@functools.lru_cache(maxsize=4096)
def cut(family: str, dim: int, shape: tuple, num_samples: int, sums: int, most: int | None = None) -> Plan:
    """Cut ``num_samples`` draws, with so many ``sums`` for each variational parameter; ``shape`` is that of the scale
    as the kernels take it.

    A density that wants batches gets tiles of up to ``most`` draws, a power of two of them.

    A function of the problem only, never of the machine.

    Tiles are an odd number of lane groups wide: at a power of two the rows of a tile share a few cache sets and a
    logistic regression takes 1.4 times as long.  From 256 draws on there are about eight chunks at least, so that
    each can be judged by the others; four where a density wants batches, or where sums are many.
    """
    coordinates = FAMILIES[family].coordinates(dim, shape) if sums else 0
    highest = MAX_CHUNKS if not sums else max(LEAST_CHUNKS, min(MAX_CHUNKS, CHUNK_BYTES // (8 * sums * coordinates)))
    if most is None:
        widest = WIDE_TILE if dim > WIDE_DIM else FAMILIES[family].TILE
        fewest = min(MIN_CHUNKS, highest)
        if coordinates > MANY_SUMS:
            fewest, widest = LEAST_CHUNKS, min(widest, FEW_DRAWS)
        tile = max(LANE_WIDTH, min(widest, -(-num_samples // (fewest * LANE_WIDTH)) * LANE_WIDTH))
    else:
        tile = max(LANE_WIDTH, min(most, 1 << (-(-num_samples // MIN_BATCHES) - 1).bit_length()))
    tiles = -(-num_samples // tile)
    least_tiles = min(MIN_CHUNK_TILES, -(-tiles // MIN_CHUNKS)) if most is None else 1
    chunk_tiles = max(-(-tiles // highest), least_tiles)
    group = GROUP if num_samples >= GROUPED_DRAWS and dim >= getattr(FAMILIES[family], "GROUPED_DIM", math.inf) else 1
    return Plan(tile, tile * chunk_tiles, -(-tiles // chunk_tiles), coordinates, group)
