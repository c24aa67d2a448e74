"""The README's code runs as written, its commands are the ones that CI runs, and snippets for other libraries run."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
GUIDES = [ROOT / "fastvi" / room / "README.md" for room in ("bridges", "execution")]


def code_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


(EXAMPLE,) = code_of(ROOT / "README.md")
SNIPPETS = [code for page in GUIDES for code in code_of(page)]
LANES = {"pymc": "pymc", "torch": "guests", "optax": "guests", "numpyro": "guests", "jax": "guests"}


def test_the_example_runs(capsys):
    exec(compile(EXAMPLE, "README.md", "exec"), {"__name__": "readme"})
    out = capsys.readouterr().out
    assert "±" in out and "vectorised" in out
    (shown,) = re.findall(r"prints first\n\n```text\n(.*?)```", README, re.DOTALL)
    (words, numbers), (expected, close) = map(words_and_numbers, (out[: len(shown)], shown))
    assert words == expected and numbers == pytest.approx(close, rel=0.05, abs=0.01)


def words_and_numbers(text):
    number = re.compile(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?")
    return number.sub("#", text).split(), [float(n.replace(",", "")) for n in number.findall(text)]


def test_the_picture_is_that_of_the_saved_run():
    done = subprocess.run(
        [sys.executable, "picture.py", "run-1-cpu.json"],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (ROOT / "benchmarks" / "speed.svg").read_text()


def snippet(code):
    names = (*LANES, "scipy", "numba", "concurrent")
    name = next(n for n in names if re.search(rf"^(import|from) {n}\b", code, re.MULTILINE))
    marks = [getattr(pytest.mark, LANES[name])] if name in LANES else []
    return pytest.param(name, code, id=name, marks=[*marks, pytest.mark.filterwarnings("ignore")])


@pytest.mark.slow
@pytest.mark.parametrize("name, code", [snippet(code) for code in SNIPPETS])
def test_a_snippet_runs_after_the_example(name, code, capsys):
    """Each ends near the best mean-field approximation of the example's posterior, but for two.  A million draws
    stand for ten."""
    scope, code = {"__name__": "__main__"}, code.replace("10_000_000", "1_000_000")
    exec(compile(EXAMPLE + code, "README.md", "exec"), scope)
    out = capsys.readouterr().out.removesuffix("\n")
    if name == "concurrent":
        assert "\nTrue\n" in out
        return
    found = np.array(re.findall(r"-?\d+\.\d*(?:e-?\d+)?", out.split("[")[-1])[:3], float)
    q = scope["vi"].fit(scope["target"], "mean_field", rng=0).q
    loc, scale = (np.arange(3.0), 0.01) if name == "numba" else (q.loc, q.scale)
    assert (np.abs(found - loc) < 0.4 * scale).all(), out


@pytest.mark.slow
def test_the_products_of_factors_run():
    """One on the example's data under another model, the other with its own."""
    code, with_points = re.findall(
        r"```py\n(.*?)```", (ROOT / "fastvi" / "families" / "README.md").read_text(), re.DOTALL
    )
    scope = {"__name__": "readme"}
    exec(compile(EXAMPLE + code, "README.md", "exec"), scope)
    found = scope["found"]
    assert found.converged and found.q["s"].probabilities.shape == (3,)
    exec(compile(with_points, "README.md", "exec"), scope)
    assert scope["found"].converged and scope["found"].q["tau"].value > 0.0


def test_ci_runs_the_very_test_command():
    (command,) = re.findall(r"^python3 -m venv .*pytest tests -n 2$", README, re.MULTILINE)
    assert command in (ROOT / ".ci" / "run").read_text()


TABLES = (ROOT / "benchmarks" / "README.md").read_text()


@pytest.mark.parametrize(
    "begin, end, run, kind",
    [
        ("<!-- benchmark table", "<!-- end of the table", "run-1-cpu", ""),
        ("<!-- precision table", "<!-- end of the precision table", "precision-1-cpu", "1e-3 nat: "),
    ],
)
def test_the_benchmark_tables_are_from_saved_runs(begin, end, run, kind):
    """Every row of a table stands in the run that benchmarks/ keeps."""
    table = TABLES.split(begin)[1].split(end)[0]
    saved = json.loads((ROOT / "benchmarks" / f"{run}.json").read_text())
    groups = {entry["group"] for entry in saved["benchmarks"] if entry["group"].startswith(kind)}
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) - sum(row.startswith("| median") for row in rows) == len(groups) > 5


def test_the_readme_shows_rows_of_the_table():
    rows = [line for line in README.split("## Speed")[1].splitlines() if line.startswith("| ")]
    assert len(rows) == 7 and all(row in TABLES.splitlines() for row in rows)
