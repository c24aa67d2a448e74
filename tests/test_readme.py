"""The README's code runs as written, and its commands are the ones that CI runs."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    out = capsys.readouterr().out
    assert "±" in out and "vectorised" in out


def test_ci_runs_the_very_test_command():
    (command,) = re.findall(r"^python3 -m venv .*pytest tests$", README, re.MULTILINE)
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_links_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_benchmark_table_is_from_a_saved_run():
    """Every figure of the table stands in the run that benchmarks/ keeps."""
    table = README.split("<!-- benchmark table")[1].split("<!-- end of the table")[0]
    saved = json.loads((ROOT / "benchmarks" / "run-1-cpu.json").read_text())
    groups = {entry["group"] for entry in saved["benchmarks"]}
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| workload")]
    assert len(rows) == len(groups)
