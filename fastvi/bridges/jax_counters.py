"""What a loop knows at each of its steps without z: counters, data by steps, and what is computed of these."""

import numpy as np

from ..translate.arrays import Array, as_array, positions, unrolled
from ..translate.known import Known, Unsupported
from ..translate.movement import take
from ..translate.nodes import ZERO, Node, data
from ..translate.recurrence import MOST_NUMBERS, at_step
from ..translate.simplify import op
from . import guest

jax = guest("jax", "jax")
jaxpr_as_fun = guest("jax.extend.core", "jax").jaxpr_as_fun
MOST_TRIPS = 100_000  # of a while_loop
MOST_CHOICES = 32  # items of a state that the steps of a loop read or write in turn


class Counted:
    """Values of all steps of a loop, none of which depends on z; ``shape`` is that of one step."""

    def __init__(self, values) -> None:
        self.values = np.asarray(values)
        self.shape = self.values.shape[1:]
        self.size, self.ndim = int(np.prod(self.shape)), len(self.shape)

    def array(self) -> Array:
        """As an array of nodes: numbers that are data over the steps."""
        if self.size > MOST_NUMBERS**2:
            raise Unsupported(f"a loop over arrays of shape {self.shape}")
        flat = self.values.reshape(len(self.values), -1)
        return unrolled([by_step(flat[:, k]) for k in range(self.size)], self.shape)


def by_step(values: np.ndarray) -> Node:
    """A number that is known at each step"""
    known = data(Known(np.ascontiguousarray(values)))
    return known if known.n is None else at_step([(len(values), known)])


def bound(equation, values) -> list:
    """What JAX computes of an equation."""
    found = equation.primitive.bind(*values, **equation.params)
    return list(found) if equation.primitive.multiple_results else [found]


def computed(equation, inputs) -> list[Counted]:
    """An equation of what is known, at each step; as of one step where all steps are alike."""
    if not any(isinstance(a, Counted) for a in inputs):
        return [Counted(np.asarray(o)[None]) for o in bound(equation, [jax.numpy.asarray(a.value) for a in inputs])]
    axes = tuple(0 if isinstance(a, Counted) else None for a in inputs)
    values = [jax.numpy.asarray(a.values if isinstance(a, Counted) else a.value) for a in inputs]
    return [Counted(o) for o in jax.vmap(lambda *args: bound(equation, args), in_axes=axes)(*values)]


def sources(equation, arrays, rest) -> np.ndarray:
    """Where each item of the result of each step is from: positions in the arrays, one after the other."""
    ends = np.cumsum([0, *(a.size for a in arrays)])
    places = [np.arange(i, j).reshape(a.shape) for a, i, j in zip(arrays, ends, ends[1:], strict=False)]
    found = computed(equation, [*(Known(p) for p in places), *rest])[0].values
    if found.size and (found.min() < 0 or found.max() >= ends[-1]):
        raise Unsupported(f"the primitive {equation.primitive.name} out of bounds")
    return found


def moved_by_counters(equation, inputs) -> Array:
    """Items that are read at other places, or written to others, in each step."""
    name = equation.primitive.name
    count = {"dynamic_update_slice": 2}.get(name, 1)
    arrays, rest = list(inputs[:count]), list(inputs[count:])
    if name.startswith("scatter"):
        return scattered_by_counters(equation, *inputs)
    if any(isinstance(i, Array) for i in rest):
        raise Unsupported(f"the primitive {name} with an index that depends on z")
    return chosen(arrays, sources(equation, arrays, rest))


def scattered_by_counters(equation, into, indices, updates) -> Array:
    """One item of the updates at most for each place of ``into``, in each step."""
    name, add = equation.primitive.name, equation.primitive.name == "scatter-add"
    if isinstance(indices, Array):
        raise Unsupported(f"the primitive {name} with an index that depends on z")
    before = Known(np.zeros(into.shape))

    def run(values):
        return computed(equation, [before, indices, Known(values)])[0].values.astype(int)

    if add and run(np.ones(updates.shape)).max(initial=0) > 1:
        raise Unsupported(f"the primitive {name} of several items to one place in a loop")
    source = run(1.0 + positions(updates))
    own = positions(into)
    if not add:
        return chosen([into, updates], np.where(source > 0, into.size + source - 1, own))
    added = chosen([unrolled([ZERO], (1,)), updates], source)
    old = chosen([into], np.broadcast_to(own, source.shape))
    items = [op("add", x, y) for x, y in zip(old.items.flat, added.items.flat, strict=True)]
    return unrolled(items, into.shape)


def chosen(arrays, source: np.ndarray) -> Array:
    """The items that each step wants of some arrays, by ``source`` (steps, ...)."""
    shape, flat = source.shape[1:], source.reshape(len(source), -1)
    if flat.shape[1] > MOST_NUMBERS**2:
        raise Unsupported(f"a loop over arrays of shape {shape}")
    return unrolled([column(arrays, np.ascontiguousarray(flat[:, k])) for k in range(flat.shape[1])], shape)


def column(arrays, places):
    """The node of one item by steps."""
    kinds = np.unique(places)
    if len(kinds) == 1:
        return item(arrays, int(kinds[0]))
    if len(arrays) == 1 and not in_a_loop(arrays[0]):
        return at_step(take(as_array(arrays[0]), places, vector=True).vector())
    if len(kinds) > MOST_CHOICES:
        raise Unsupported(f"{len(kinds)} items that a loop reads or writes in turn")
    out = item(arrays, int(kinds[0]))
    for k in kinds[1:]:
        out = op("where", by_step(places == k), item(arrays, int(k)), out)
    return out


def item(arrays, place: int):
    for a in arrays:
        if place < a.size:
            return as_array(a.array() if isinstance(a, Counted) else a).at(place)
        place -= a.size
    raise IndexError(place)


def in_a_loop(a) -> bool:
    """Whether it changes from step to step."""
    return isinstance(a, Counted) or isinstance(a, Array) and a.within_a_step()


def known_outputs(jaxpr, known: list[bool]) -> list[bool]:
    """Which outputs of a jaxpr follow from the inputs that are known."""
    found = {v for v, k in zip(jaxpr.invars, known, strict=True) if k} | set(jaxpr.constvars)

    def is_known(v):
        return type(v).__name__ == "Literal" or v in found

    for equation in jaxpr.eqns:
        if all(map(is_known, equation.invars)):
            found.update(equation.outvars)
    return [is_known(v) for v in jaxpr.outvars]


def known_carries(closed, fixed, starts, sequences) -> list[int]:
    """The carries of a loop that never depend on z: counters, data of the steps before, keys."""
    known, carry = [isinstance(a, Known) for a in (*fixed, *starts, *sequences)], slice(len(fixed), len(fixed + starts))
    while True:
        after = known_outputs(closed.jaxpr, known)[: len(starts)]
        still = [a and b for a, b in zip(known[carry], after, strict=True)]
        if still == known[carry]:
            return [k for k, is_known in enumerate(still) if is_known]
        known[carry] = still


def filled(a, variable):
    """A known value; zeros in place of what depends on z."""
    if isinstance(a, Known):
        return jax.numpy.asarray(a.value, variable.aval.dtype)
    return jax.numpy.zeros(variable.aval.shape, variable.aval.dtype)


def history(closed, fixed, starts, rows, known, steps) -> tuple[dict, dict]:
    """The known carries, by their places: before each step, and after the last one."""
    if not known:
        return {}, {}
    function, count = jaxpr_as_fun(closed), len(fixed) + len(starts)
    given = [filled(a, v) for a, v in zip((*fixed, *starts), closed.jaxpr.invars, strict=False)]
    varying = {k: jax.numpy.asarray(x.values) for k, x in enumerate(rows) if isinstance(x, Counted)}
    others = [filled(None, v) for v in closed.jaxpr.invars[count:]]

    def step(state, here):
        args = [*given, *others]
        for k, value in zip(known, state, strict=True):
            args[len(fixed) + k] = value
        for k, value in here.items():
            args[count + k] = value
        after = function(*args)
        return tuple(after[k] for k in known), state

    first = tuple(given[len(fixed) + k] for k in known)
    last, before = jax.lax.scan(step, first, varying, length=steps)
    pairs = list(zip(known, before, last, strict=True))
    return {k: Counted(b) for k, b, _ in pairs}, {k: Known(np.asarray(a)) for k, _, a in pairs}


def number_of_steps(params, asked, fixed, starts) -> int:
    """Of a ``while_loop`` whose condition follows from carries that are known."""
    ask, body = params["cond_jaxpr"], params["body_jaxpr"]
    kept = known_carries(body, fixed, starts, [])
    known = [isinstance(a, Known) for a in asked] + [k in kept for k in range(len(starts))]
    if not all(known_outputs(ask.jaxpr, known)):
        raise Unsupported("the primitive while with a number of steps that depends on z")
    asks = [filled(a, v) for a, v in zip(asked, ask.jaxpr.invars, strict=False)]
    given = [filled(a, v) for a, v in zip((*fixed, *starts), body.jaxpr.invars, strict=True)]
    constants, state = given[: len(fixed)], given[len(fixed) :]
    ask, body = jaxpr_as_fun(ask), jaxpr_as_fun(body)

    def step(carried):
        return carried[0] + 1, body(*constants, *carried[1])

    def goes_on(carried):
        return ask(*asks, *carried[1])[0] & (carried[0] < MOST_TRIPS)

    steps = int(jax.lax.while_loop(goes_on, step, (0, state))[0])
    if steps == MOST_TRIPS:
        raise Unsupported(f"the primitive while of more than {MOST_TRIPS} steps")
    return steps
