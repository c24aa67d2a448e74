"""Vectors that are written to memory: what is read at places, running sums, recurrences, factors of matrices."""

from .nodes import Node

FOLDS = {
    "sum": ("0.0", "{0} += {1}"),
    "prod": ("1.0", "{0} *= {1}"),
    "max": ("-math.inf", "{0} = np.maximum({0}, {1})"),
    "min": ("math.inf", "{0} = np.minimum({0}, {1})"),
}  # where a loop starts, and a step


def name_of(printer, a: Node) -> str:
    """The local array, which the statements before have filled."""
    if a.uid not in printer.names:
        WRITERS[a.op](printer, a)
    return printer.names[a.uid]


def product(printer, a):
    x = a.args[0]
    operand = printer.vector(x) if printer.is_lazy(x) else printer.vector_name(x)
    matrix = printer.argument(a.meta)
    printer.names[a.uid] = name = printer.numbered("v")
    printer.lines.append(f"{name} = {matrix} @ {operand}")


def items(printer, a):
    values = [printer.scalar(x) for x in a.args]
    printer.names[a.uid] = name = printer.numbered("v")
    printer.lines.append(f"{name} = np.zeros({a.n})")
    printer.lines += [f"{name}[{i}] = {text}" for i, text in enumerate(values) if text != "0.0"]


def kept(printer, a):
    from .loops import Body, indented
    from .printing import unwrapped

    body = Body(printer)
    text = unwrapped(body.at(a.args[0], "i"))
    printer.names[a.uid] = name = printer.numbered("v")
    printer.lines += [f"{name} = np.zeros({a.n})", f"for i in range({a.n}):"]
    printer.lines += indented([*body.lines, f"{name}[i] = {text}"])


def running_sum(printer, a):
    from .loops import Body, indented
    from .printing import unwrapped

    body = Body(printer)
    text = unwrapped(body.at(a.args[0], "i"))
    total = printer.numbered("total")
    printer.names[a.uid] = name = printer.numbered("v")
    printer.lines += [f"{name} = np.zeros({a.n})", f"{total} = 0.0", f"for i in range({a.n}):"]
    printer.lines += indented([*body.lines, f"{total} += {text}", f"{name}[i] = {total}"])


def rows(printer, a):
    """The sum or the like of each row."""
    from .loops import Body, indented
    from .printing import unwrapped

    fold, width = a.meta
    body = Body(printer)
    text = unwrapped(body.at(a.args[0], "k"))
    total = printer.numbered("total")
    printer.names[a.uid] = name = printer.numbered("v")
    start, step = FOLDS[fold]
    inner = [f"k = {width} * i + j", *body.lines, step.format(total, text)]
    outer = [f"{total} = {start}", f"for j in range({width}):", *indented(inner), f"{name}[i] = {total}"]
    printer.lines += [f"{name} = np.zeros({a.n})", f"for i in range({a.n}):", *indented(outer)]


def recurrence(printer, a):
    """All that one scan emits, in one loop."""
    from .loops import Body, indented
    from .nodes import INSIDE, node
    from .printing import unwrapped

    identity, states, emitted, _ = a.meta
    starts = [printer.scalar(x) for x in a.args[:states]]
    locals_ = [printer.numbered("state") for _ in starts]
    carried = [node("carry", n=INSIDE, meta=(identity, k)) for k in range(states)]
    body = Body(printer, dict(zip(carried, locals_, strict=True)))
    after = [unwrapped(body.at(x, "i")) for x in a.args[states : 2 * states]]
    out = [unwrapped(body.at(x, "i")) for x in a.args[2 * states :]]
    names = [printer.numbered("v") for _ in out]
    for k, name in enumerate(names):
        printer.names[node("scan", a.args, a.n, (identity, states, emitted, k)).uid] = name
    printer.lines += [f"{name} = np.zeros({a.n})" for name in names]
    printer.lines += [f"{name} = {start}" for name, start in zip(locals_, starts, strict=True)]
    lines = [*body.lines, *(f"{name}[i] = {text}" for name, text in zip(names, out, strict=True))]
    # a state may need another's old value: they change together
    new = [printer.numbered("next") if states > 1 else local for local in locals_]
    lines += [f"{name} = {text}" for name, text in zip(new, after, strict=True) if name != text]
    lines += [f"{local} = {name}" for local, name in zip(locals_, new, strict=True) if local != name]
    printer.lines += [f"for i in range({a.n}):", *indented(lines)]


def cholesky(printer, a):
    n, given = a.meta, printer.vector_name(a.args[0])
    printer.names[a.uid] = L = printer.numbered("L")
    printer.lines += f"""\
{L} = np.zeros({n * n})
for i in range({n}):
    for j in range(i + 1):
        t = {given}[{n} * i + j]
        for k in range(j):
            t -= {L}[{n} * i + k] * {L}[{n} * j + k]
        if i == j:
            {L}[{n} * i + i] = np.sqrt(t)
        else:
            {L}[{n} * i + j] = t / {L}[{n} * j + j]""".splitlines()


def triangular_system(printer, a):
    n, count, lower = a.meta
    L, b = (printer.vector_name(x) for x in a.args)
    printer.names[a.uid] = x = printer.numbered("v")
    rows, before = (f"range({n})", "range(i)") if lower else (f"range({n - 1}, -1, -1)", f"range(i + 1, {n})")

    def at(i):
        return i if count == 1 else f"{count} * {i} + r"

    lines = f"""\
for i in {rows}:
    t = {b}[{at("i")}] + 0.0
    for k in {before}:
        t -= {L}[{n} * i + k] * {x}[{at("k")}]
    {x}[{at("i")}] = t / {L}[{n} * i + i]""".splitlines()
    if count > 1:
        lines = [f"for r in range({count}):", *("    " + line for line in lines)]
    printer.lines += [f"{x} = np.zeros({n * count})", *lines]


def matrix_product(printer, a):
    n, inner, m = a.meta
    left, right = a.args
    # the upper half of a Cholesky factor is 0
    last = "i + 1" if left.op == "cholesky" else str(inner)
    A, B = printer.vector_name(left), printer.vector_name(right)
    printer.names[a.uid] = v = printer.numbered("v")
    columns = f"for r in range({m}):"
    at, item = ("i", "k") if m == 1 else (f"{m} * i + r", f"{m} * k + r")
    lines = f"""\
t = 0.0
for k in range({last}):
    t += {A}[{inner} * i + k] * {B}[{item}]
{v}[{at}] = t""".splitlines()
    if m > 1:
        lines = [columns, *("    " + line for line in lines)]
    printer.lines += [f"{v} = np.zeros({n * m})", f"for i in range({n}):", *("    " + line for line in lines)]


WRITERS = {
    "matvec": product, "list": items, "kept": kept, "cumsum": running_sum, "scan": recurrence, "cholesky": cholesky,
    "solve": triangular_system, "product": matrix_product, "rows": rows,
}  # fmt: skip
