"""Every kernel that runs on a CPU, by name: what ``python -m fastvi warm`` compiles."""

import itertools
from collections.abc import Callable
from functools import partial

from .cpu import adam, batch, centred, merging, mixed, points, sweep, values
from .density import row_blocks
from .families.registry import DRAWS, FAMILIES
from .lanes import matrix, tape
from .random import rows

WIDTHS = 32, 8, 1  # draws at a time: of lanes, of few points, and draw by draw


def everything() -> dict[str, Callable]:
    """{name: a function that compiles it, or reads it from the disk cache}"""
    found: dict[str, Callable] = {
        "evaluation at points": points.evaluate,
        "merger": lambda: merging.merger().compiled,
        "score merger": lambda: merging.score_merger().compiled,
        "centred results": lambda: merging.centred_results().compiled,
        "path results": lambda: merging.path_results().compiled,
        "batch of q's": batch.sweep_rows,
        "blocks of rows": row_blocks.over_rows,
        "numbers of rows": rows.row_numbers,
    }
    for width in WIDTHS:
        found[f"way back, {width}"] = partial(tape.way_back, width)
        for product in (matrix.times, matrix.rows_times, matrix.transposed_times):
            found[f"{product.__name__}, {width}"] = partial(product, width)
    found |= {f"values, {dtype}": partial(values.sweep, dtype) for dtype in DRAWS}
    found |= {f"{name}, transform": partial(values.transform, name) for name in FAMILIES}
    for (name, family), dtype in itertools.product(FAMILIES.items(), DRAWS):
        found[f"{name}, {dtype}, scores"] = partial(sweep.score_sweep, name, dtype)
        if hasattr(family, "add_centred"):
            found[f"{name}, {dtype}, scores about a mean"] = partial(centred.sweep, name, dtype)
        if hasattr(family, "add_mixed"):
            found[f"{name}, {dtype}, scores and paths"] = partial(mixed.sweep, name, dtype)
        if hasattr(family, "add_paths"):
            found[f"{name}, {dtype}, paths"] = partial(sweep.path_sweep, name, dtype)
        if hasattr(family, "add_paths") and dtype == "float64":
            found[f"{name}, Adam"] = partial(adam.climb, name)
    return found
