"""Saved benchmark runs as Markdown tables: medians, and how many times longer each peer takes than fastvi.

python benchmarks/report.py run1.json run2.json > benchmarks/RESULTS.md
python benchmarks/report.py --readme README.md run1.json    # rewrites the table between the markers
"""

import argparse
import json
import pathlib

ORDER = ("fastvi", "numpy", "jax", "torch", "numpyro")
NAMES = {"fastvi": "fastvi", "numpy": "NumPy", "jax": "JAX", "torch": "torch", "numpyro": "NumPyro"}
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


def row(group, medians):
    """One workload: fastvi's median, then each peer's with its ratio."""
    ours = medians["fastvi"]
    cells = [group.replace(": elbo", "").replace("leave_one_out", "+ gradient").replace(":", ","), seconds(ours)]
    for side in ORDER[1:]:
        theirs = medians.get(side)
        cells.append(f"{seconds(theirs)} ({theirs / ours:.1f}x)" if theirs else "")
    return "| " + " | ".join(cells) + " |"


def table(run):
    """The whole table of a run."""
    head = ["| workload | " + " | ".join(NAMES[s] for s in ORDER) + " |", "|---|" + "---:|" * len(ORDER)]
    return "\n".join(head + [row(group, medians) for group, medians in groups(run).items() if "fastvi" in medians])


def caption(run):
    """Machine, threads and versions of a run."""
    info = run["machine_info"]["fastvi"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    count = info["threads"]
    return (
        f"{info['cpu']}, {count} CPU{'s' * (count != 1)} for every side, Python {info['python']}, {versions}; "
        f"{run['datetime'][:10]}. Medians of one run, float64, compilation excluded; in brackets how many times longer "
        "than fastvi. + gradient: with the leave-one-out score gradient; fastvi alone gives its standard errors too."
    )


def section(run):
    return f"{table(run)}\n\n{caption(run)}\n"


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
