"""Saved benchmark runs as Markdown tables: medians, and how many times longer each peer takes than fastvi.

python benchmarks/report.py run1.json run2.json > benchmarks/RESULTS.md
# and the tables between markers:
python benchmarks/report.py --readme benchmarks/README.md run1.json precision-1-cpu.json
"""

import argparse
import json
import pathlib
import statistics

NAMES = {
    "fastvi": "fastvi",
    "tiles": "fastvi, in tiles",
    "written": "with a written gradient",
    "fastvi, to 0.05": "fastvi, to 0.05 nat",
    "fastvi plain": "fastvi, plain",
    "numpy": "NumPy",
    "jax": "JAX",
    "jax quadratic": "JAX, same correction",
    "torch": "torch",
    "numpyro": "NumPyro",
    "pymc": "PyMC",
    "pathfinder": "BlackJAX Pathfinder",
    "pymc numba": "PyMC in Numba mode",
    "jax, fresh draws": "JAX, fresh draws",
    "objective in jax": "fastvi called in JAX",
    "objective in torch": "fastvi called in torch",
    "batched jax": "fastvi, density in JAX",
    "batched numpy": "fastvi, density in NumPy",
    "C": "fastvi, density in C",
    "numba": "Numba",
    "2 threads": "fastvi, 2 threads",
    "1 process": "fastvi, 1 process",
    "2 processes": "fastvi, 2 processes",
}
# What a group's name begins with, and the heading of its table
KINDS = {
    "compile: ": "compile and first call",
    "1e-3 nat: ": "ELBO to a standard error of 1e-3 nat",
    "1 % gradient: ": "gradient to 1 %",
    "fit: ": "whole fit (peers: told when they are within 0.05 nat)",
    "sgd: ": "Adam, 64 draws a step, to 0.01 nat",
    "own stop: ": "fit to its own stop (PyMC: 10,000 steps)",
    "bridge: ": "through a bridge, and without",
    "": "workload",
}
TASKS = {": elbo": "", ": leave_one_out": ", + leave-one-out gradient", ": pathwise": ", + pathwise gradient"}
MARKERS = (
    ("<!-- benchmark table: made by benchmarks/report.py -->", "<!-- end of the table -->"),
    ("<!-- precision table: made by benchmarks/report.py -->", "<!-- end of the precision table -->"),
)


def seconds(value):
    """A duration with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    raise AssertionError("unreachable")


def groups(run):
    """{group: {side: median seconds}} in the order of the run"""
    found: dict[str, dict[str, float]] = {}
    for entry in run["benchmarks"]:
        found.setdefault(entry["group"], {})[entry["extra_info"]["side"]] = entry["stats"]["median"]
    return found


def kind_of(group):
    """The beginning of a group's name that says what it measures."""
    return next(kind for kind in KINDS if group.startswith(kind))


def row(group, medians, sides):
    """One workload: fastvi's median, then each peer's with its ratio to it, or to fastvi in tiles."""
    for task, title in TASKS.items():
        group = group.replace(task, title)
    cells = [group.removeprefix(kind_of(group))]
    for side in sides:
        ratio = ratio_of(medians, side)
        cells.append((seconds(medians[side]) + (f" ({ratio:.1f}x)" if ratio else "")) if side in medians else "")
    return "| " + " | ".join(cells) + " |"


def ratio_of(medians, side):
    """How many times longer a side takes than fastvi, or fastvi in tiles; None for these, or where it is missing."""
    ours = medians.get("tiles", medians["fastvi"])
    return None if side in ("fastvi", "tiles") or side not in medians else medians[side] / ours


def summary(found, sides):
    """The median and the quartiles of each peer's ratios."""
    cells = ["median (quartiles)"]
    for side in sides:
        ratios = [r for r in (ratio_of(medians, side) for medians in found.values()) if r]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 2 else (0, 0, 0)
        cells.append(f"{middle:.2g}x ({low:.2g}–{high:.2g})" if middle else "")
    return "| " + " | ".join(cells) + " |"


def table(run, kind=""):
    """A whole table of a run: the groups of one kind."""
    found = {g: m for g, m in groups(run).items() if "fastvi" in m and kind_of(g) == kind}
    sides = [side for side in NAMES if any(side in medians for medians in found.values())]
    head = [f"| {KINDS[kind]} | " + " | ".join(NAMES[s] for s in sides) + " |", "|---|" + "---:|" * len(sides)]
    rows = [row(group, medians, sides) for group, medians in found.items()]
    summed = kind in ("1e-3 nat: ", "1 % gradient: ") and len(found) > 2
    return "\n".join(head + rows + ([summary(found, sides)] if summed else []))


def long_table(run, kind):
    """The groups of one kind whose sides differ, one side a row."""
    lines = [f"| {KINDS[kind]} | by | median |", "|---|---|---:|"]
    for group, medians in groups(run).items():
        if kind_of(group) != kind:
            continue
        for side, median in medians.items():
            ratio = ratio_of(medians, side)
            cells = group.removeprefix(kind), NAMES[side], seconds(median) + (f" ({ratio:.1f}x)" if ratio else "")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def caption(run):
    """Machine, threads and versions of a run."""
    info = run["machine_info"]["fastvi"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    count = info["threads"]
    return (
        f"{info['cpu']}, {count} CPU{'s' * (count != 1)} for every side, Python {info['python']}, {versions}; "
        f"{run['datetime'][:10]}. Medians of one run, float64, compilation excluded; in brackets how many times longer "
        "than fastvi. fastvi alone gives the gradients' standard errors too."
    )


def section(run):
    """Every table of a run, and what it was made on."""
    kinds = dict.fromkeys(kind_of(group) for group in groups(run))
    tables = [(long_table if kind == "bridge: " else table)(run, kind) for kind in kinds]
    return "\n\n".join([*tables, caption(run)]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--readme", type=pathlib.Path)
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.runs]
    if options.readme is None:
        print("# Benchmark results\n\n" + "\n".join(section(run) for run in runs), end="")
        return
    text = options.readme.read_text()
    for (begin, end), run in zip(MARKERS, runs, strict=False):
        before, rest = text.split(begin)
        _, after = rest.split(end)
        kind = kind_of(next(iter(groups(run))))
        text = f"{before}{begin}\n{table(run, kind)}\n\n{caption(run)}\n{end}{after}"
    options.readme.write_text(text)


if __name__ == "__main__":
    main()
