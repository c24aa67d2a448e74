"""A density in lanes of fewer draws than 32: what one point of a large model asks for costs less, to the same bits."""

from functools import partial

from .abi import Compiled
from .derived_gradient import recorded
from .inputs import Flat
from .references import assigns_items
from .values import in_lanes, quietly


def compile_few(function, kinds, width, gradient, in_place=True, inputs=None) -> Compiled | None:
    """For ``width`` draws at a time, with the gradient or without; None where lanes cannot follow."""
    inputs = inputs or Flat
    for tables in (False, True) if assigns_items(function) else (False,):
        try:
            if gradient:
                build = partial(recorded, width=width, in_place=in_place, tables=tables, inputs=inputs)
                compiled, back = quietly(build, function, kinds)
                return Compiled(compiled.address, True, None, (compiled, back, function), whole=True)
            compiled = quietly(partial(in_lanes, inputs=inputs, tables=tables, width=width), function, kinds)
            return Compiled(compiled.address, True, None, (compiled, function))
        except Exception:  # lowering can raise anything, and 32 draws at a time are there already
            continue
    return None
