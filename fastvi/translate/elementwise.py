"""Element-wise operations on arrays, broadcast as NumPy does."""

import math

import numpy as np

from . import pieces
from .arrays import ELEMENTS, FEW, FLAT, ROWS, Array, flat, flattened, parts
from .known import Known, Unsupported
from .nodes import Node
from .pieces import MOST_UNROLLED


def map_elements(function, operands: list, meta=None) -> Array:
    """An operation by name, or a function of nodes, of arrays of which at least one depends on z."""
    shape = np.broadcast_shapes(*(a.shape for a in operands))
    axis = vector_axis(operands, shape)
    if axis is not None and len(shape) > 1 and (axis == FLAT or better_flat(operands, shape, axis)):
        return of_flat(function, operands, shape, meta)
    count = tuple(1 if i == axis else s for i, s in enumerate(shape))
    if math.prod(count) > MOST_UNROLLED:
        raise Unsupported(f"an array of shape {shape}")
    items = [np.broadcast_to(aligned(a, shape, axis), count) for a in operands]
    out = np.empty(count, object)
    for index in np.ndindex(count):
        here: list = [each[index] for each in items]
        out[index] = (
            pieces.apply(function, here, meta)
            if axis is None
            else pieces.elementwise(function, here, shape[axis], meta)
        )
    return Array(shape, axis, out)


def better_flat(operands, shape, axis) -> bool:
    """Whether rows are too many to unroll, and none of them is unrolled yet."""
    rows = any(isinstance(a, Array) and a.axis is not None and a.items.size > 1 for a in operands)
    return not rows and math.prod(shape) // shape[axis] > ROWS


def vector_axis(operands, shape):
    """Which axis of the result is a vector: the longest that already is one, or that of a larger result."""
    arrays = [a for a in operands if isinstance(a, Array)]
    if any(a.within_a_step() for a in arrays):
        return None
    if any(a.axis == FLAT and a.size > 1 for a in arrays):
        return FLAT
    axes = {a.axis + len(shape) - a.ndim for a in arrays if a.axis is not None and a.shape[a.axis] > 1}
    longest = int(np.argmax(shape)) if shape else None
    if axes:
        axis = max(axes, key=lambda i: shape[i])
        return longest if shape[longest] > FEW and shape[longest] > shape[axis] else axis
    limit = ELEMENTS if any(isinstance(a, Known) and a.size > 1 for a in operands) else FEW
    changing = any(isinstance(a, Known) and not a.constant and a.size > 1 for a in operands)
    return longest if shape and shape[longest] > 1 and (math.prod(shape) > limit or changing) else None


def aligned(a, shape, axis) -> np.ndarray:
    """Items of an operand, with the vector where the result has it."""
    if isinstance(a, Known):
        return parts(a, shape, axis)
    if a.axis == FLAT:  # of one item
        return a.unrolled().items
    own = None if axis is None else axis - (len(shape) - a.ndim)
    if a.axis is not None and a.axis != own:
        a = a.unrolled()
    if own is not None and own >= 0 and a.axis is None and a.shape[own] > 1:
        a = a.along(own)
    return a.items


def of_flat(function, operands, shape, meta) -> Array:
    """As one vector of all items by rows: nothing but that is unrolled."""
    given = [flattened(a, shape) for a in operands]
    if all(isinstance(g, Node) for g in given):
        return flat(((math.prod(shape), pieces.apply(function, given, meta)),), shape)
    return flat(pieces.elementwise(function, given, math.prod(shape), meta), shape)


def broadcast(a, shape):
    """The same with a larger shape."""
    shape = tuple(int(s) for s in shape)
    if a.shape == shape:
        return a
    if isinstance(a, Known):
        return a.derive(("broadcast", shape), lambda v: np.broadcast_to(v, shape).copy())
    return map_elements(lambda x, _: x, [a, Known(np.zeros(shape))])
