"""Arrays with some of their items replaced or added to, which nothing is written for: the places are known."""

import numpy as np

from .arrays import FEW, FLAT, Array, as_array, flat, unrolled
from .elementwise import broadcast, map_elements
from .known import Known, Unsupported
from .movement import take
from .nodes import ZERO
from .pieces import MOST_UNROLLED, between, elementwise
from .simplify import op

MASKED = 144  # items from which masks take the place of unrolled items


def assign(a, y, at, add: bool):
    """a after ``a[at] = y``, or after ``a[at] += y`` of each place once for every time that it is named."""
    if isinstance(a, Known) and not a.constant:
        raise Unsupported("an assignment into data")
    shape, size = a.shape, int(np.prod(a.shape))
    places = np.asarray(np.arange(size).reshape(shape)[at])
    if places.size == 0:
        return a
    y = broadcast(y, places.shape)
    within = any(isinstance(x, Array) and x.within_a_step() for x in (a, y))
    if within:
        a, y = (as_array(x, None).unrolled() for x in (a, y))
    if not within and len(shape) == 1 and places.ndim == 1 and len(places) > 1 and np.all(np.diff(places) == 1):
        return assign_run(a, y, int(places[0]), add)
    if not within and size >= MASKED and (not add or len(np.unique(places)) == places.size):
        return assign_by_mask(a, y, places, add)
    if size > MOST_UNROLLED:
        raise Unsupported("an assignment into a large array")
    whole, given = as_array(a), as_array(y)
    items = [whole.at(i) for i in range(size)]
    for k, i in enumerate(places.flat):
        items[int(i)] = op("add", items[int(i)], given.at(k)) if add else given.at(k)
    out = unrolled(items, shape)
    return out if size <= FEW or whole.axis in (None, FLAT) else out.along(whole.axis)


def assign_run(a, y, start: int, add: bool) -> Array:
    """Neighbours in a vector: pieces around others."""
    pieces, middle = as_array(a, 0).vector(), as_array(y, 0).vector()
    stop = start + y.size
    if add:
        middle = elementwise("add", [between(pieces, start, stop), middle], stop - start)
    return flat(between(pieces, 0, start) + middle + between(pieces, stop, a.size), a.shape)


def assign_by_mask(a, y, places, add: bool) -> Array:
    """``where(hit, y[source], a)`` for a large array."""
    source, hit = np.zeros(a.size, np.int64), np.zeros(a.size, bool)
    source[places.ravel()], hit[places.ravel()] = np.arange(places.size), True
    y = as_array(y) if y.size > 1 else y
    value = y if y.size == 1 else flat(take(y, source, vector=True).vector(), a.shape)
    old = as_array(a, FLAT if a.ndim > 1 else 0) if isinstance(a, Known) else a
    if not add:
        return map_elements("where", [Known(hit.reshape(a.shape)), value, old])

    def added(mask, new, before):
        return op("add", before, op("where", mask, new, ZERO))

    return map_elements(added, [Known(hit.reshape(a.shape)), value, old])
