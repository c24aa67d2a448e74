"""A jaxpr of a log density of z, evaluated on arrays of nodes: the primitives of ``jax.lax``."""

import numpy as np

from ..translate.arrays import Array, as_array, of_z, positions
from ..translate.assignment import assign
from ..translate.elementwise import broadcast, map_elements
from ..translate.known import Known, Unsupported
from ..translate.movement import join, shuffle, take, transpose
from ..translate.nodes import ONE, ZERO, literal
from ..translate.reductions import cumulate, reduce
from ..translate.simplify import op
from ..translate.translation import Translation, translation
from . import guest
from .jax_algebra import dot_general, factor, linear_solve, triangular
from .jax_counters import Counted, bound, computed, in_a_loop, moved_by_counters
from .jax_scan import scan, while_loop

jax = guest("jax", "jax")

NAMES = {
    "add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "div": "div", "neg": "neg", "exp": "exp",
    "log": "log", "log1p": "log1p", "expm1": "expm1", "sqrt": "sqrt", "abs": "abs", "sign": "sign", "tanh": "tanh",
    "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "atan": "atan", "asin": "asin",
    "acos": "acos", "atan2": "atan2", "logistic": "expit", "max": "max", "min": "min", "pow": "pow", "lt": "lt",
    "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne", "and": "and", "or": "or", "not": "not",
    "lgamma": "lgamma", "digamma": "digamma", "erf": "erf", "erfc": "erfc", "square": "sqr", "floor": "floor",
    "ceil": "ceil",
}  # fmt: skip
REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "prod",
              "reduce_and": "all", "reduce_or": "any"}  # fmt: skip
INLINE = {"pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "remat", "remat2", "checkpoint"}
OWN_DERIVATIVE = {"custom_vjp_call", "custom_vjp_call_jaxpr"}  # which need not be that of the values
# they only move items: run on the positions of the items
STRUCTURAL = {"slice", "rev", "gather", "dynamic_slice", "reshape"}
INTO = {"dynamic_update_slice", "scatter", "scatter-add"}
LOOPS = {"scan", "while"}
SAME = {"copy", "copy_p", "stop_gradient", "optimization_barrier"}


def translate(f, dim: int, name: str, labels=None) -> Translation:
    """The source of ``f(z)``, a JAX log density of z (dim,).

    Raises
    ------
    Unsupported
        naming the primitive
    """
    closed = jax.make_jaxpr(f)(jax.numpy.zeros(dim))
    (result,) = evaluated(closed, [of_z(dim)])
    if isinstance(result, Known):
        raise Unsupported("a density that does not depend on z")
    if result.size != 1:
        raise TypeError(f"f: expected a number, got shape {result.shape}")
    return translation(result.number(), [], name, labels)


def evaluated(closed, args) -> list:
    """The outputs of a closed jaxpr for arrays and known values."""
    jaxpr = getattr(closed, "jaxpr", closed)
    constants = [Known(np.asarray(c)) for c in getattr(closed, "consts", ())]
    env = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(v):
        return Known(np.asarray(v.val)) if type(v).__name__ == "Literal" else env[v]

    for equation in needed(jaxpr):
        inputs = [read(v) for v in equation.invars]
        name = equation.primitive.name
        if all(isinstance(a, Known) for a in inputs) and name not in INLINE:
            found: list = [Known(np.asarray(o)) for o in bound(equation, [a.value for a in inputs])]
        elif all(isinstance(a, Known | Counted) for a in inputs) and name not in INLINE:
            found = computed(equation, inputs)
        else:
            found = applied(name, equation, inputs)
            found = found if isinstance(found, list) else [found]
        env.update(zip(equation.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]


def needed(jaxpr) -> list:
    """The equations that the outputs depend on."""
    wanted, kept = {v for v in jaxpr.outvars if type(v).__name__ != "Literal"}, []
    for equation in reversed(jaxpr.eqns):
        if any(v in wanted for v in equation.outvars):
            kept.append(equation)
            wanted.update(v for v in equation.invars if type(v).__name__ != "Literal")
    return kept[::-1]


def applied(name: str, equation, inputs):
    """The outputs of one equation."""
    if name in INLINE:
        inner = next(equation.params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in equation.params)
        return evaluated(inner, inputs)
    if name in STRUCTURAL | INTO and any(in_a_loop(a) for a in inputs[1:]):
        return moved_by_counters(equation, inputs)
    if name not in LOOPS:
        inputs = [a.array() if isinstance(a, Counted) else a for a in inputs]
    if name in NAMES:
        return map_elements(NAMES[name], inputs)
    if name in ELEMENTWISE:
        return map_elements(ELEMENTWISE[name], inputs)
    if name in REDUCTIONS:
        return reduce(REDUCTIONS[name], inputs[0], equation.params["axes"])
    if name in SAME:
        return inputs if len(inputs) > 1 else inputs[0]
    if name in STRUCTURAL:
        return moved(equation, inputs)
    if name in OTHERS:
        return OTHERS[name](equation, inputs)
    if name in OWN_DERIVATIVE:
        raise Unsupported("a function with a derivative of its own (custom_vjp)")
    raise Unsupported(f"the primitive {name}")


def beyond_one(x):
    """sqrt(1 + x²) - 1, without loss for a small x."""
    square = op("mul", x, x)
    return op("div", square, op("add", ONE, op("sqrt", op("add", ONE, square))))


ELEMENTWISE = {
    "xor": lambda x, y: op("or", op("and", x, op("not", y)), op("and", op("not", x), y)),
    "rsqrt": lambda x: op("div", ONE, op("sqrt", x)),
    "is_finite": lambda x: op("not", op("or", op("isinf", x), op("isnan", x))),
    "asinh": lambda x: op("mul", op("sign", x), op("log1p", op("add", op("abs", x), beyond_one(x)))),
    "acosh": lambda x: op("log", op("add", x, op("sqrt", op("mul", op("sub", x, ONE), op("add", x, ONE))))),
    "atanh": lambda x: op("mul", literal(0.5), op("sub", op("log1p", x), op("log1p", op("neg", x)))),
    "exp2": lambda x: op("exp", op("mul", literal(np.log(2.0)), x)),
    "cbrt": lambda x: op("mul", op("sign", x), op("pow", op("abs", x), literal(1.0 / 3.0))),
    "clamp": lambda low, x, high: op("min", op("max", x, low), high),
}


def moved(equation, inputs):
    """An operation that only moves items."""
    a, rest = inputs[0], inputs[1:]
    if equation.primitive.name == "reshape" and tuple(equation.params["new_sizes"]) == a.shape:
        return a
    if any(isinstance(i, Array) for i in rest) or isinstance(a, Known):
        raise Unsupported(f"the primitive {equation.primitive.name} with an index that depends on z")
    places = equation.primitive.bind(jax.numpy.asarray(positions(a)), *(i.value for i in rest), **equation.params)
    places = np.asarray(places)
    if places.size and (places.min() < 0 or places.max() >= a.size):
        raise Unsupported(f"the primitive {equation.primitive.name} out of bounds")
    return take(a, places)


def select(equation, inputs):
    if len(inputs) != 3:
        raise Unsupported("the primitive select_n of more than two")
    return map_elements(lambda c, a, b: op("where", truth(c), b, a), inputs)


def truth(x):
    """A number, 0 for no, as a truth value."""
    if x.op == "where" and x.args[1] is ONE and x.args[2] is ZERO:
        return x.args[0]
    return x if x.is_bool else op("ne", x, ZERO)


def cond(equation, inputs):
    """One of the branches where it is known which; otherwise both, and a choice item by item."""
    which, args = inputs[0], inputs[1:]
    branches = equation.params["branches"]
    if isinstance(which, Known):
        return evaluated(branches[int(np.clip(which.value, 0, len(branches) - 1))], args)
    out, *others = (evaluated(branch, args) for branch in branches)
    for k, branch in enumerate(others):
        beyond = map_elements(lambda x, k=k: truth(x) if len(branches) == 2 else op("gt", x, literal(k)), [which])
        pairs = zip(out, branch, strict=True)
        out = [map_elements(lambda c, b, a: op("where", c, b, a), [beyond, b, a]) for a, b in pairs]
    return out


def convert(equation, inputs):
    kind = np.dtype(equation.params["new_dtype"]).kind
    source = np.dtype(equation.invars[0].aval.dtype).kind
    if kind == "f" or kind in "iu" and source in "iu":
        return map_elements("tofloat", inputs)

    def to_integer(x):
        if not x.is_bool:
            raise Unsupported("a conversion of z to integers")
        return op("tofloat", x)

    return map_elements(truth if kind == "b" else to_integer, inputs)


def integer_power(equation, inputs):
    return map_elements(lambda x: op("pow", x, literal(equation.params["y"])), inputs)


def broadcast_in_dim(equation, inputs):
    shape, dims = equation.params["shape"], equation.params["broadcast_dimensions"]
    order = [dims.index(i) if i in dims else "x" for i in range(len(shape))]
    return broadcast(shuffle(inputs[0], order), shape)


def expanded(a, dimensions):
    """With axes of length 1 at these places of the result."""
    axes = iter(range(len(a.shape)))
    return shuffle(a, ["x" if k in dimensions else next(axes) for k in range(len(a.shape) + len(dimensions))])


def squeeze(equation, inputs):
    drop = equation.params["dimensions"]
    return shuffle(inputs[0], [i for i in range(len(inputs[0].shape)) if i not in drop])


def split(equation, inputs):
    a, ends = inputs[0], np.cumsum([0, *equation.params["sizes"]])
    axis = equation.params["axis"]
    return [take(a, np.take(positions(a), range(i, j), axis)) for i, j in zip(ends, ends[1:], strict=False)]


def pad(equation, inputs):
    a, fill = inputs
    if isinstance(a, Known) or isinstance(fill, Array):
        raise Unsupported("the primitive pad with a value that depends on z")
    places = equation.primitive.bind(jax.numpy.asarray(1 + positions(a)), jax.numpy.asarray(0), **equation.params)
    return scattered(Known(np.full(places.shape, fill.value, float)), a, np.asarray(places), False)


def scattered(into, a, source, add):
    """``into`` with item source - 1 of a wherever source is not 0."""
    at = np.nonzero(source)
    return assign(into, take(as_array(a), source[at] - 1) if a.size > 1 else a, at, add)


def scatter(equation, inputs):
    into, indices, updates = inputs
    if isinstance(indices, Array):
        raise Unsupported(f"the primitive {equation.primitive.name} with an index that depends on z")
    add = equation.primitive.name == "scatter-add"
    zeros = jax.numpy.zeros(into.shape)

    def run(values):
        return np.asarray(equation.primitive.bind(zeros, indices.value, jax.numpy.asarray(values), **equation.params))

    hits = run(np.ones(updates.shape))
    if add and hits.max(initial=0) > 1:
        return scatter_many(into, updates, run)
    return scattered(into, updates, run(1.0 + positions(updates)).astype(int), add)


def update_slice(equation, inputs):
    into, updates, *starts = inputs
    if any(isinstance(i, Array) for i in starts):
        raise Unsupported("the primitive dynamic_update_slice with an index that depends on z")
    zeros, places = jax.numpy.zeros(into.shape), jax.numpy.asarray(1.0 + positions(updates))
    source = equation.primitive.bind(zeros, places, *(i.value for i in starts), **equation.params)
    return scattered(into, updates, np.asarray(source).astype(int), False)


def scatter_many(into, updates, run):
    """Several updates to one place, each after the other."""
    if updates.size > 512:
        raise Unsupported("the primitive scatter-add of many updates to one place")
    for k in range(updates.size):
        one = np.zeros(updates.size)
        one[k] = 1.0
        at = np.nonzero(run(one.reshape(updates.shape)))
        if len(at[0]):
            into = assign(into, take(as_array(updates), np.array([k])), at, True)
    return into


def cumulative(equation, inputs):
    name = equation.primitive.name
    return cumulate(inputs[0], equation.params["axis"], name == "cumprod", equation.params["reverse"])


OTHERS = {
    "select_n": select, "cond": cond, "convert_element_type": convert, "integer_pow": integer_power,
    "broadcast_in_dim": broadcast_in_dim, "squeeze": squeeze, "pad": pad, "split": split, "scatter": scatter,
    "scatter-add": scatter, "dynamic_update_slice": update_slice,
    "dot_general": dot_general, "cholesky": factor, "triangular_solve": triangular,
    "custom_linear_solve": lambda equation, inputs: linear_solve(equation, inputs, evaluated),
    "cumsum": cumulative, "cumprod": cumulative,
    "scan": lambda equation, inputs: scan(equation, inputs, evaluated),
    "while": lambda equation, inputs: while_loop(equation, inputs, evaluated),
    "expand_dims": lambda e, i: expanded(i[0], e.params["dimensions"]),
    "transpose": lambda e, i: transpose(i[0], list(e.params["permutation"])),
    "concatenate": lambda e, i: join(e.params["dimension"], i),
    "stack": lambda e, i: join(e.params["axis"], [expanded(a, (e.params["axis"],)) for a in i]),
}  # fmt: skip
