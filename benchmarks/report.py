"""Saved benchmark runs as Markdown tables: medians, and how many times longer each peer takes than fastvi.

python benchmarks/report.py run1.json run2.json > benchmarks/RESULTS.md
python benchmarks/report.py --readme README.md run1.json    # rewrites the table between the markers
"""

import argparse
import json
import pathlib

NAMES = {
    "fastvi": "fastvi",
    "tiles": "fastvi, in tiles",
    "written": "with a written gradient",
    "numpy": "NumPy",
    "jax": "JAX",
    "torch": "torch",
    "numpyro": "NumPyro",
}
TASKS = {": elbo": "", ": leave_one_out": ", + score gradient", ": pathwise": ", + pathwise gradient"}
BEGIN, END = "<!-- benchmark table: made by benchmarks/report.py -->", "<!-- end of the table -->"


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


def row(group, medians, sides):
    """One workload: fastvi's median, then each peer's with its ratio to it, or to fastvi in tiles."""
    for task, title in TASKS.items():
        group = group.replace(task, title)
    ours = medians.get("tiles", medians["fastvi"])
    cells = [group.removeprefix("compile: ")]
    for side in sides:
        theirs = medians.get(side)
        ratio = "" if side in ("fastvi", "tiles") or not theirs else f" ({theirs / ours:.1f}x)"
        cells.append(seconds(theirs) + ratio if theirs else "")
    return "| " + " | ".join(cells) + " |"


def table(run, compiling=False):
    """A whole table of a run: of its calls, or of what compiling takes."""
    found = {g: m for g, m in groups(run).items() if "fastvi" in m and g.startswith("compile: ") == compiling}
    sides = [side for side in NAMES if any(side in medians for medians in found.values())]
    title = "compile and first call" if compiling else "workload"
    head = [f"| {title} | " + " | ".join(NAMES[s] for s in sides) + " |", "|---|" + "---:|" * len(sides)]
    return "\n".join(head + [row(group, medians, sides) for group, medians in found.items()])


def caption(run):
    """Machine, threads and versions of a run."""
    info = run["machine_info"]["fastvi"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    count = info["threads"]
    return (
        f"{info['cpu']}, {count} CPU{'s' * (count != 1)} for every side, Python {info['python']}, {versions}; "
        f"{run['datetime'][:10]}. Medians of one run, float64, compilation excluded; in brackets how many times longer "
        "than fastvi. Score gradient: leave-one-out. fastvi alone gives the gradients' standard errors too."
    )


def section(run):
    kinds = sorted({group.startswith("compile: ") for group in groups(run)})
    tables = [table(run, compiling) for compiling in kinds]
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
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    options.readme.write_text(f"{before}{BEGIN}\n{section(runs[0])}{END}{after}")


if __name__ == "__main__":
    main()
